"""Labeled images to fine-tune on, from files or arrays."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from fdsl._checks import require, shown
from fdsl.torch.training.stop import ignore_signals

if TYPE_CHECKING:
    from PIL.Image import Image

Positions = npt.NDArray[np.int64]


class LabeledImages(Dataset[tuple[Tensor, Tensor]]):
    """Images with their labels, uint8 (3, size, size): resized and center-cropped when decoded.

    If all of them fit into ``cache_bytes``, each is decoded once and kept in memory; otherwise the
    worker processes of ``batches`` decode them again in each epoch. Needs Pillow.

    >>> images = LabeledImages(np.zeros((3, 28, 28), np.uint8), [0, 1, 1], ["cat", "dog"], 32)
    >>> [(tuple(x.shape), y.tolist()) for x, y in images.batches([np.array([2, 0])])]
    [((2, 3, 32, 32), [1, 0])]

    Args:
        source: a file, or an array, uint8 (H, W) or (H, W, 3), for each image; or all of them as
            one array or tensor with another axis in front. Files with 16 bits per pixel, such as
            radiographs, are reduced to the upper 8; values of 12 bits should be scaled up first, or
            the images will be dark.
        labels: the class of each image, (N,); or (N, classes) if an image may show several: 1 if
            it shows the class, 0 if not, -1 to ignore the class.
        classes: the names of the classes.
        size: side of the decoded images.
        cache_bytes: most bytes of memory for decoded images.

    Raises:
        TypeError: an image is neither a file nor a uint8 array, or labels are not integers.
        ValueError: an array has another shape or no pixels, there are more images than labels or
            fewer, or there is no such class.
    """

    def __init__(
        self,
        source: Sequence[Any] | npt.NDArray[np.uint8] | Tensor,
        labels: npt.ArrayLike,
        classes: Sequence[str],
        size: int,
        *,
        cache_bytes: int = 2**30,
    ) -> None:
        require("LabeledImages", "PIL", "pillow")
        require("LabeledImages", "torchvision")
        if isinstance(source, Tensor):
            source = source.numpy()
        self.source, self.classes, self.size = source, list(classes), size
        if isinstance(source, np.ndarray):
            _check_image(source, source.shape[1:])
        else:
            for one in source:
                _check_image(one, getattr(one, "shape", ()))
        self.labels = _checked_labels(labels, len(source), len(self.classes))
        self.cache_bytes = cache_bytes
        self.cached = 3 * size**2 * len(self.labels) <= cache_bytes
        self._kept: dict[int, Tensor] = {}

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, position: int) -> tuple[Tensor, Tensor]:
        """Returns an image and its label.

        Raises:
            OSError: the file of the image is damaged, or of a format that Pillow cannot read.
            ValueError: its values are not integers between 0 and 65535.
        """
        return self._image(position), torch.tensor(self.labels[position], device="cpu")

    def batches(self, parts: Sequence[Positions], num_workers: int = 0) -> DataLoader[Any]:
        """Returns a loader with a batch for each list of positions: images, uint8 (B, 3, H, W), and
        labels, int64 (B,) or (B, classes)."""
        return DataLoader(
            self,
            batch_sampler=[part.tolist() for part in parts],
            num_workers=0 if self.cached else num_workers,
            worker_init_fn=ignore_signals,
            pin_memory=torch.cuda.is_initialized(),  # not available: a CPU's run needs no GPU
            generator=torch.Generator(),  # leaves the state of the global generator unchanged
        )

    def only(self, names: Sequence[str]) -> LabeledImages:
        """Returns the images of these classes, renumbered in alphabetical order.

        Raises:
            ValueError: fewer than two classes are named, a class does not exist, or images have
                several labels.
        """
        wanted = sorted({*names})
        if self.labels.ndim == 2:
            raise ValueError("classes can be chosen only among images with one label each")
        if len(wanted) < 2:
            raise ValueError(f"a choice of classes must name two or more, got {shown(wanted)}")
        if unknown := [name for name in wanted if name not in self.classes]:
            known = ", ".join(self.classes[:3])
            raise ValueError(f"there is no class {unknown[0]!r}; there are {known}, …")
        numbers = [self.classes.index(name) for name in wanted]
        kept = np.flatnonzero(np.isin(self.labels, numbers))
        labels = [numbers.index(label) for label in self.labels[kept]]
        return self._take(kept, labels, wanted)

    def held_out(self, share: float, seed: int = 0) -> tuple[LabeledImages, LabeledImages]:
        """Holds out a random share of the images; returns the rest, and that share.

        If settings are chosen on held-out training images, not on the validation images, the result
        stays unbiased.

        Raises:
            ValueError: one of the two would be empty.
        """
        count = round(share * len(self))
        if not 0 < count < len(self):
            raise ValueError(f"a share of {share} of {len(self)} images leaves one part empty")
        order = np.random.default_rng(seed).permutation(len(self))
        rest, held = np.sort(order[count:]), np.sort(order[:count])
        return (
            self._take(rest, self.labels[rest], self.classes),
            self._take(held, self.labels[held], self.classes),
        )

    def _take(
        self, kept: Positions, labels: npt.ArrayLike, classes: Sequence[str]
    ) -> LabeledImages:
        source = [self.source[int(position)] for position in kept]
        return LabeledImages(source, labels, classes, self.size, cache_bytes=self.cache_bytes)

    def _image(self, position: int) -> Tensor:
        if not self.cached:
            return self._decoded(position)
        if (image := self._kept.get(position)) is None:
            image = self._kept[position] = self._decoded(position)
        return image.clone()  # callers may write to it

    def _decoded(self, position: int) -> Tensor:
        from PIL import Image
        from torchvision.transforms.functional import center_crop, resize

        one = self.source[position]
        if isinstance(one, Tensor):
            one = one.numpy()
        try:
            with Image.fromarray(one) if isinstance(one, np.ndarray) else Image.open(one) as image:
                small = center_crop(resize(_in_rgb(image, one), self.size), self.size)
        except Exception as error:  # Pillow raises half a dozen kinds
            if isinstance(error, OSError | ValueError) and str(one) in str(error):
                raise
            raise OSError(f"cannot read {one}: {error}") from error
        return torch.from_numpy(np.array(small)).permute(2, 0, 1)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_kept": {}}  # a spawned worker decodes its own


def _check_image(one: Any, shape: tuple[int, ...]) -> None:
    """Checks an image of this shape, or an array of several."""
    if isinstance(one, str | os.PathLike):
        return
    if not isinstance(one, np.ndarray | Tensor):
        raise TypeError(f"an image must be a file or a uint8 array, got {shown(one)}")
    if one.dtype not in (np.uint8, torch.uint8):
        raise TypeError(f"images must be uint8, got an array of {one.dtype}")
    if len(shape) < 2 or shape[2:] not in ((), (3,)) or 0 in shape:
        raise ValueError(f"an image must have pixels, (H, W) or (H, W, 3), got shape {(*shape,)}")


def _checked_labels(labels: npt.ArrayLike, images: int, classes: int) -> Positions:
    given = np.asarray(labels)
    if given.size and given.dtype.kind not in "iub":  # an empty list is float64
        raise TypeError(f"labels must be integers, got {given.dtype}")
    if given.shape not in ((images,), (images, classes)):
        if given.ndim == 1:
            raise ValueError(f"got {images} images, but {len(given)} labels")
        raise ValueError(
            f"labels must have the shape ({images},) or ({images}, {classes}), got {given.shape}"
        )
    lowest, highest = (0, classes - 1) if given.ndim == 1 else (-1, 1)
    if given.size and not lowest <= given.min() <= given.max() <= highest:
        wrong = given.min() if given.min() < lowest else given.max()
        raise ValueError(f"labels must be between {lowest} and {highest}, got {wrong}")
    return given.astype(np.int64)


def _in_rgb(image: Image, file: Any) -> Image:
    """Returns a Pillow image in 8-bit RGB. Pillow would cut off 16-bit values at 255."""
    from PIL import Image

    values = np.asarray(image)
    wide = image.mode == "I" and not 0 <= values.min() <= values.max() <= 65535
    if wide or image.mode == "F":  # of floats, which have no common range
        raise ValueError(
            f"{file} must hold integers between 0 and 65535, got {values.min()} to {values.max()} "
            f"in Pillow's mode {image.mode}"
        )
    # Older versions of Pillow read files of 16 bits in mode "I", of 32 bits.
    if image.mode.startswith("I;16") or (image.mode == "I" and values.max() > 255):
        image = Image.fromarray(np.clip(values >> 8, 0, 255).astype(np.uint8))
    return image.convert("RGB")
