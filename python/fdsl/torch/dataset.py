"""A data set of the first instances of every category, as tensors or PIL images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, Literal, SupportsIndex

import numpy as np
import numpy.typing as npt
import torch

from fdsl import dataset
from fdsl._checks import require, shown
from fdsl.families import Family
from fdsl.frame import Frame
from fdsl.targets import TargetName
from fdsl.torch.tensors import (
    apply_transform,
    apply_transforms,
    as_tv_tensors,
    channels_first,
    checked_transform,
    checked_transforms,
    to_tensors,
)

#: The modes of PIL images that ``as_pil`` accepts.
MODES = ("RGB", "L")


class Dataset(dataset.Dataset, torch.utils.data.Dataset[tuple[Any, Any]]):
    """The first instances of every category as a data set with a length, rendered on access.

    A replacement for torchvision's ``ImageFolder``: item ``c · instances + i`` is instance i of
    category c, and the data set has ``classes``, ``class_to_idx``, ``targets`` and ``samples``.
    Images are uint8 tensors, or PIL images with ``as_pil=True``. ``fdsl.Dataset`` is the same, but
    returns NumPy arrays.

    Args:
        family: the categories.
        instances: the number of instances per category; FractalDB has 1,000. With
            ``flips=True`` the first four are flips of one image, and the first forty of a fractal
            have the same variation: do not use ``random_split``, but hold out instances as
            ``docs/training.md`` does.
        rendering: how images are rendered; by default the family's own settings.
        target: what to learn: ``"label"``; or, if the family offers it, ``"labels"``, ``"mask"``
            or ``"boxes"``.
        seed: the seed of every address.
        label_noise: fraction of the images, 0…1, whose label is picked at random from all
            categories, as in ``Stream``.
        cache: whether to render every image now and keep it in memory, as in ``fdsl.Dataset``.
        as_pil: whether images are PIL images, as in ``ImageFolder``, instead of tensors: RGB for
            ``True`` or ``"RGB"``, gray for ``"L"``. Needs Pillow.
        transform: called with each image, uint8 (C, H, W) or a PIL image, on every access, even if
            the image is cached. It does not see the target.
        target_transform: called with each target: an int, a tensor, or a dict of tensors.
        transforms: called with each image and its target instead of the two above; returns both.
            Images, masks and boxes are ``torchvision.tv_tensors``, so the transforms of
            ``torchvision.transforms.v2`` crop and flip them together. Needs torchvision.
        num_threads: the number of rendering threads. If not given, one for a single item and in a
            worker, otherwise all cores.

    Raises:
        IndexError: there is no such item.
        ModuleNotFoundError: ``as_pil`` needs Pillow or ``transforms`` torchvision, which is not
            installed.
        TypeError, ValueError: an argument is of the wrong type or out of range.
    """

    _fixed = dataset.Dataset._fixed | {"as_pil"}

    def __init__(
        self,
        family: Family,
        instances: int = 1000,
        *,
        rendering: Frame | None = None,
        target: TargetName = "label",
        seed: int = 0,
        label_noise: float = 0.0,
        cache: bool = False,
        as_pil: bool | Literal["RGB", "L"] = False,
        transform: Callable[[Any], Any] | None = None,
        target_transform: Callable[[Any], Any] | None = None,
        transforms: Callable[[Any, Any], Any] | None = None,
        num_threads: int | None = None,
    ) -> None:
        self.as_pil = _checked_mode(as_pil)
        self.transform = checked_transform("transform", transform)
        self.target_transform = checked_transform("target_transform", target_transform)
        self.transforms = checked_transforms(
            transforms, transform=transform, target_transform=target_transform
        )
        super().__init__(
            family,
            instances,
            rendering=rendering,
            target=target,
            seed=seed,
            label_noise=label_noise,
            cache=cache,
            num_threads=num_threads,
        )
        #: The authors' folder names: 00000, 00001, …
        self.classes: list[str] = [f"{category:05d}" for category in range(len(family))]
        self.class_to_idx: dict[str, int] = {name: i for i, name in enumerate(self.classes)}

    @property
    def targets(self) -> list[int]:
        """The label of every item."""
        return self._labels

    @cached_property
    def _labels(self) -> list[int]:
        addresses = self._addresses(np.arange(len(self)))
        labels: list[int] = self.family.labels(addresses, self.seed, self.label_noise).tolist()
        return labels

    @property
    def samples(self) -> list[tuple[tuple[int, int, int], int]]:
        """The address of every item, (seed, category, index), which is what it has in place of a
        file, and its label."""
        return self._samples

    @cached_property
    def _samples(self) -> list[tuple[tuple[int, int, int], int]]:
        categories, indices = (part.tolist() for part in self._addresses(np.arange(len(self))))
        rows = zip(categories, indices, self.targets, strict=True)
        return [((self.seed, category, index), label) for category, index, label in rows]

    def __getstate__(self) -> dict[str, Any]:
        # Workers would otherwise get all the samples, if they were listed once.
        listed = {"_labels", "_samples"}
        return {name: part for name, part in super().__getstate__().items() if name not in listed}

    def _items(self, items: Sequence[SupportsIndex]) -> list[tuple[Any, Any]]:
        arrays, targets = self._batch(items)
        images: Any
        if self.as_pil is None:
            images = channels_first(torch.from_numpy(arrays))
        else:
            images = [pil_image(array, self.as_pil) for array in arrays]
        pairs = zip(images, to_tensors(targets), strict=True)
        if self.transforms is None:
            return [(self._transform_image(x), self._transform_target(y)) for x, y in pairs]
        marked = (as_tv_tensors(x, y, self.target) for x, y in pairs)
        return [apply_transforms(self.transforms, *both) for both in marked]

    def _transform_image(self, image: Any) -> Any:
        try:
            return apply_transform(self.transform, image)
        except TypeError as error:
            if self.as_pil is not None or "PIL" not in str(error):
                raise
            raise TypeError(
                "transform expects PIL images, but this Dataset returns uint8 tensors (C, H, W): "
                "create it with as_pil=True, or use a transform for tensors, such as "
                "torchvision's v2.ToDtype(torch.float32, scale=True) instead of ToTensor()"
            ) from error

    def _transform_target(self, target: Any) -> Any:
        return apply_transform(self.target_transform, target, name="target_transform")


def pil_image(array: npt.NDArray[np.uint8], mode: str) -> Any:
    """Converts uint8 (H, W) or (H, W, 3) to a PIL image in mode ``"RGB"`` or ``"L"``."""
    from PIL import Image

    return Image.fromarray(array).convert(mode)


def _checked_mode(as_pil: bool | str) -> str | None:
    """Returns the mode of the PIL images, or ``None`` for tensors."""
    mode = ("RGB" if as_pil else None) if isinstance(as_pil, bool) else as_pil
    if mode is None:
        return None
    if not isinstance(mode, str) or mode not in MODES:
        raise ValueError(f"as_pil must be True, False, 'RGB' or 'L', got {shown(as_pil)}")
    require("as_pil", "PIL", "pillow")
    return mode
