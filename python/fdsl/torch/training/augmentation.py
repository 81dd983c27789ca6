"""Augmentation of batches, on their device: crops, flips, RandAugment, erasing, mixing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from fdsl._checks import require
from fdsl.torch.training.models import sides

#: Takes and returns images and labels.
Mixing = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


class Augmentation(nn.Module):
    """Crops, flips and distorts each image of a batch in its own way.

    A network that sees the same few images again and again, as in OFDB or 1p-frac, relies on this.
    The random numbers are those of ``torch.manual_seed``: with ``Ranks.manual_seed`` the result is
    a function of the step, and a resumed run repeats nothing. Needs torchvision.

    >>> augment = Augmentation(32, crop_scale=0.08, flip=True)
    >>> augment(torch.zeros(8, 1, 64, 64, dtype=torch.uint8)).shape
    torch.Size([8, 1, 32, 32])

    Args:
        size: side, or height and width, of the result.
        crop_scale: the smallest share of the image's area that a crop may have, above 0. A crop has
            an aspect ratio between 3/4 and 4/3 and is resized to ``size``, as by torchvision's
            ``RandomResizedCrop``. ``None``: the whole image is resized.
        flip: whether half of the images are flipped from left to right.
        rand_augment: the magnitude, 0…30, of two random operations of RandAugment (Cubuk et al.,
            2020) per image; ``None`` for none. torchvision applies them to one image after the
            other, which on a GPU can take longer than a small network's step.

    Raises:
        ValueError: an argument is out of range.
    """

    def __init__(
        self,
        size: int | tuple[int, int],
        *,
        crop_scale: float | None = None,
        flip: bool = False,
        rand_augment: int | None = None,
    ) -> None:
        require("Augmentation", "torchvision")
        from torchvision.transforms import v2

        super().__init__()
        if crop_scale is not None and not 0 < crop_scale <= 1:
            raise ValueError(f"crop_scale must be above 0, up to 1, got {crop_scale}")
        if rand_augment is not None and not 0 <= rand_augment <= 30:
            raise ValueError(f"rand_augment must be 0 to 30, got {rand_augment}")
        self.size = sides(size)
        self.crop_scale, self.flip = crop_scale, flip
        self.resize = v2.Resize(self.size)
        self.distort = None if rand_augment is None else v2.RandAugment(2, rand_augment)

    def forward(self, images: Tensor) -> Tensor:
        """Returns uint8 (B, C, *size) for uint8 (B, C, H, W).

        Raises:
            ValueError: the images are not uint8.
        """
        if images.dtype != torch.uint8:
            raise ValueError(f"images must be uint8 (B, C, H, W), got {images.dtype}")
        if not len(images):
            return images.new_empty((*images.shape[:2], *self.size))
        images = self.resize(images) if self.crop_scale is None else self._cropped(images)
        if self.flip:
            chosen = torch.rand(len(images), 1, 1, 1) < 0.5
            images = torch.where(_sent(chosen, images.device), images.flip(-1), images)
        if self.distort is not None:  # torchvision distorts all images of a batch in the same way
            images = torch.stack([self.distort(image) for image in images])
        return images

    def _cropped(self, images: Tensor) -> Tensor:
        from torchvision.transforms import RandomResizedCrop

        # torchvision's crop takes the same box from all images of a batch. Its operation for
        # regions of interest takes one from each, and averages where it makes them smaller.
        scale, ratio = (self.crop_scale, 1.0), (3 / 4, 4 / 3)
        boxes: list[list[int]] = []
        for _ in range(len(images)):
            top, left, height, width = RandomResizedCrop.get_params(images, scale, ratio)
            boxes.append([len(boxes), left, top, left + width, top + height])
        regions = _sent(torch.tensor(boxes, dtype=torch.float32), images.device)
        # Not torchvision.ops.roi_align: to have a deterministic gradient, which is of no use here,
        # that one is many thousand times slower with deterministic algorithms on a GPU.
        pool: Any = torch.ops.torchvision.roi_align
        cropped: Tensor = pool(images.float(), regions, 1.0, *self.size, -1, True)
        return cropped.round_().clamp_(0, 255).to(torch.uint8)


class Erasing(nn.Module):
    """Fills a rectangle of some images with normally distributed noise.

    For normalized images (B, C, H, W). As torchvision's ``RandomErasing`` (Zhong et al., 2020),
    whose rectangle is the same for all images of a batch; here each image has its own.

    Args:
        probability: the fraction of the images that lose a rectangle, 0…1.

    Raises:
        ValueError: ``probability`` is out of range.
    """

    def __init__(self, probability: float) -> None:
        require("Erasing", "torchvision")
        super().__init__()
        if not 0 <= probability <= 1:
            raise ValueError(f"probability must be 0 to 1, got {probability}")
        self.probability = probability

    def forward(self, images: Tensor) -> Tensor:
        """Returns images of the same shape."""
        if not len(images):
            return images
        boxes = [self._box(images[0]) for _ in range(len(images))]
        sides = _sent(torch.tensor(boxes), images.device)[..., None, None]
        top, left, bottom, right = sides.unbind(1)
        rows = torch.arange(images.shape[-2], device=images.device)[:, None]
        columns = torch.arange(images.shape[-1], device=images.device)
        inside = (rows >= top) & (rows < bottom) & (columns >= left) & (columns < right)
        return torch.where(inside[:, None], torch.randn_like(images), images)

    def _box(self, image: Tensor) -> tuple[int, int, int, int]:
        """Top, left, bottom and right of an image's rectangle; all 0 if it keeps its pixels."""
        from torchvision.transforms import RandomErasing

        if float(torch.rand(())) >= self.probability:
            return 0, 0, 0, 0
        found = RandomErasing.get_params(image, (0.02, 1 / 3), (0.3, 3.3), [0.0])
        top, left, height, width = found[:4]
        if (height, width) == image.shape[-2:]:  # it found none that fits into the image
            return 0, 0, 0, 0
        return top, left, top + height, left + width


def _sent(numbers: Tensor, device: torch.device) -> Tensor:
    """Copies from the CPU to the device of the images, without waiting for a GPU's other work."""
    if device.type == "cuda":
        numbers = numbers.pin_memory()
    return numbers.to(device, non_blocking=True)


def mixing(num_classes: int, *, mixup: float = 0.0, cutmix: float = 0.0) -> Mixing:
    """Returns a function that mixes the images of a batch with one another, and their labels.

    It takes normalized images (B, C, H, W) and labels, int64 (B,), and returns images and float32
    (B, num_classes), for each image the shares of its classes, which ``cross_entropy`` accepts. If
    both alphas are given, it chooses one of the two methods for each batch. With neither, images
    and labels come back as they are. Needs torchvision.

    Args:
        num_classes: the number of classes.
        mixup: alpha of mixup (Zhang et al., 2018); 0 for none.
        cutmix: alpha of CutMix (Yun et al., 2019); 0 for none.

    Raises:
        ValueError: an alpha is negative; or, raised by the function, images have several labels.
    """
    require("mixing", "torchvision")
    from torchvision.transforms import v2

    if min(mixup, cutmix) < 0:
        raise ValueError(f"mixup and cutmix must be 0 or more, got {mixup} and {cutmix}")
    kinds = ((v2.MixUp, mixup), (v2.CutMix, cutmix))
    methods = [kind(alpha=alpha, num_classes=num_classes) for kind, alpha in kinds if alpha]
    if not methods:
        return lambda images, labels: (images, labels)
    choice: Mixing = v2.RandomChoice(methods)

    def mix(images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        if labels.ndim != 1:
            raise ValueError(
                "mixup and CutMix need one label per image, (B,), "
                f"got labels of shape {tuple(labels.shape)}"
            )
        return choice(images, labels)

    return mix
