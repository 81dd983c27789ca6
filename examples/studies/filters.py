"""Figure 6: the filters of the first layer, and where networks look (Grad-CAM)."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from fdsl.torch import Normalize
from fdsl.torch.training import LabeledImages, build_model, load_weights
from finetune import MEAN, STD
from matplotlib.figure import Figure
from metrics import save_figure
from torch import Tensor, nn
from torchvision.models import ResNet
from torchvision.transforms.v2.functional import resize

Pixels = npt.NDArray[np.float32]


def draw_filters(files: Mapping[str, Path], path: Path) -> None:
    """The first convolution's filters of several networks, side by side, each stretched to its own
    range."""
    figure = Figure(figsize=(3.2 * len(files), 3.6), layout="constrained")
    panels = figure.subplots(1, len(files), squeeze=False)[0]
    for axes, (name, file) in zip(panels, files.items(), strict=True):
        weights, _ = load_weights(file)
        first = next(value for value in weights.values() if value.ndim == 4)
        axes.imshow(_grid(first.float().numpy()), interpolation="nearest")
        axes.set_title(name, fontsize=10)
        axes.axis("off")
    figure.suptitle("Filters of the first layer")
    save_figure(figure, path, dpi=110)


def _grid(filters: Pixels) -> Pixels:
    """Filters (N, 3, H, W) side by side in one image, 0…1."""
    low, high = filters.min((1, 2, 3), keepdims=True), filters.max((1, 2, 3), keepdims=True)
    filters = ((filters - low) / np.maximum(high - low, 1e-12)).transpose(0, 2, 3, 1)
    columns = int(np.ceil(np.sqrt(len(filters))))
    framed = np.pad(filters, ((0, -len(filters) % columns), (1, 1), (1, 1), (0, 0)))
    rows = framed.reshape(-1, columns, *framed.shape[1:])
    return np.concatenate([np.concatenate(list(row), 1) for row in rows], 0)


def chosen_images(
    files: Sequence[Path], images: LabeledImages, size: int, count: int = 6
) -> tuple[Tensor, list[int | None]]:
    """The images to show, uint8 (N, 3, size, size), and their classes: the given files, whose
    classes are not known, or the first image of each of the first classes."""
    if files:
        disk = LabeledImages(files, [0] * len(files), [""], size)
        return torch.stack([disk[i][0] for i in range(len(files))]), [None] * len(files)
    one = images.labels if images.labels.ndim == 1 else images.labels.argmax(1)
    chosen = np.array([np.flatnonzero(one == label)[0] for label in np.unique(one)[:count]])
    found, _ = next(iter(images.batches([chosen])))
    return resize(found, [size, size], antialias=True), one[chosen].tolist()


def draw_heatmaps(
    files: Mapping[str, Path],
    images: Tensor,
    labels: Sequence[int | None],
    *,
    classes: int,
    path: Path,
) -> None:
    """Grad-CAM (Selvaraju et al., 2017) of fine-tuned networks, with a row for each image: for its
    class or, if that is not known, for the class that the network predicts."""
    from pytorch_grad_cam import GradCAM
    from pytorch_grad_cam.utils.image import show_cam_on_image
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    shown = images.permute(0, 2, 3, 1).numpy().astype(np.float32) / 255
    inputs = Normalize(mean=MEAN, std=STD)(images)
    known = [ClassifierOutputTarget(label) for label in labels if label is not None]
    figure = Figure(figsize=(1.6 * (len(files) + 1), 1.6 * len(shown)), layout="constrained")
    grid = figure.subplots(len(shown), len(files) + 1, squeeze=False)
    for axes in grid.flat:
        axes.axis("off")
    for row, image in zip(grid, shown, strict=True):
        row[0].imshow(image)
    for column, (name, file) in enumerate(files.items(), start=1):
        model = _finetuned(file, classes=classes)
        with GradCAM(model, [_last_block(model)]) as cam:
            heat = cam(inputs, known or None)
        grid[0][column].set_title(name, fontsize=10)
        for row, image, warmth in zip(grid, shown, heat, strict=True):
            row[column].imshow(show_cam_on_image(image, warmth, use_rgb=True))
    figure.suptitle("Where the fine-tuned networks look")
    save_figure(figure, path, dpi=110)


def _finetuned(file: Path, *, classes: int) -> nn.Module:
    weights, name = load_weights(file)
    model = build_model(name or "resnet50", classes)
    model.load_state_dict(weights)
    return model.eval()


def _last_block(model: nn.Module) -> nn.Module:
    """The layer for Grad-CAM: the last block of a ResNet, or the last convolution."""
    if isinstance(model, ResNet):
        block: nn.Module = model.layer4[-1]
        return block
    return [part for part in model.modules() if isinstance(part, nn.Conv2d)][-1]
