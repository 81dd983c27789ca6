"""The first instances of every category, in tensors or PIL images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, SupportsIndex

import numpy as np
import numpy.typing as npt
import torch

from fdsl import dataset
from fdsl._checks import shown
from fdsl.families import Family
from fdsl.frame import Frame
from fdsl.torch.tensors import channels_first, checked_transform, tensors

#: Kinds of PIL images that ``as_pil`` makes.
MODES = ("RGB", "L")


class Dataset(dataset.Dataset, torch.utils.data.Dataset[tuple[Any, Any]]):
    """The first instances of every category as a data set with a length, rendered on access.

    Replaces torchvision's ``ImageFolder``: item ``c · instances + i`` is instance i of category
    c, and it has ``classes``, ``class_to_idx`` and ``targets``. Images are uint8 tensors, or PIL
    images with ``as_pil=True``. ``fdsl.Dataset`` is the same in NumPy.

    Args:
        family: the categories.
        instances: of each; the authors' data base has 1,000.
        rendering: how images are rendered; the family's defaults if not given.
        target: what to learn: ``"label"``, or where the family offers it ``"labels"``,
            ``"mask"`` or ``"boxes"``.
        seed: of every address.
        label_noise: share of the images, 0…1, whose label is picked at random from all
            categories, as in ``Stream``.
        cache: renders every image now and keeps it, as ``fdsl.Dataset`` does.
        as_pil: gives ``transform`` PIL images, as ``ImageFolder`` does: RGB if ``True`` or
            ``"RGB"``, gray if ``"L"``. Needs Pillow.
        transform: called with each image, uint8 (C, H, W) or a PIL image, whenever it is accessed,
            with ``cache`` as well. It does not see the target.
        target_transform: called with each target: an int, a tensor, or a dict of tensors.
        num_threads: that render. If not given, one for a single item and in a worker, else all
            cores.

    Raises:
        IndexError: there is no such item.
        ModuleNotFoundError: ``as_pil`` is given, and Pillow is not installed.
        TypeError, ValueError: an argument is of the wrong type or out of range.
    """

    def __init__(
        self,
        family: Family,
        instances: int = 1000,
        *,
        rendering: Frame | None = None,
        target: str = "label",
        seed: int = 0,
        label_noise: float = 0.0,
        cache: bool = False,
        as_pil: bool | str = False,
        transform: Callable[[Any], Any] | None = None,
        target_transform: Callable[[Any], Any] | None = None,
        num_threads: int | None = None,
    ) -> None:
        self.as_pil = _checked_mode(as_pil)
        self.transform = checked_transform("transform", transform)
        self.target_transform = checked_transform("target_transform", target_transform)
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
        addresses = self._addresses(np.arange(len(self)))
        labels: list[int] = self.family.labels(addresses, self.seed, self.label_noise).tolist()
        return labels

    def __getitem__(self, item: SupportsIndex) -> tuple[Any, Any]:
        """Returns an image and its target, transformed."""
        return self.__getitems__([item])[0]

    def __getitems__(self, items: Sequence[SupportsIndex]) -> list[tuple[Any, Any]]:
        """Renders many items at once; a DataLoader calls this for each batch."""
        arrays, targets = self._batch(items)
        images: Any
        if self.as_pil is None:
            images = channels_first(torch.from_numpy(arrays))
        else:
            images = [pil_image(array, self.as_pil) for array in arrays]
        pairs = zip(images, tensors(targets), strict=True)
        return [(self._transformed(image), self._target(target)) for image, target in pairs]

    def _transformed(self, image: Any) -> Any:
        if self.transform is None:
            return image
        try:
            return self.transform(image)
        except TypeError as error:
            if self.as_pil is not None or "PIL" not in str(error):
                raise
            raise TypeError(
                "transform takes PIL images, and this Dataset gives it uint8 tensors (C, H, W): "
                "make it with as_pil=True; or use a transform for tensors, such as "
                "v2.ToDtype(torch.float32, scale=True) of torchvision instead of ToTensor()"
            ) from error

    def _target(self, target: Any) -> Any:
        return target if self.target_transform is None else self.target_transform(target)


def pil_image(array: npt.NDArray[np.uint8], mode: str) -> Any:
    """Returns uint8 (H, W) or (H, W, 3) as a PIL image of a mode, ``"RGB"`` or ``"L"``."""
    from PIL import Image

    return Image.fromarray(array).convert(mode)


def _checked_mode(as_pil: bool | str) -> str | None:
    """Returns the mode of PIL images, or ``None`` for tensors."""
    mode = ("RGB" if as_pil else None) if isinstance(as_pil, bool) else as_pil
    if mode is None:
        return None
    if not isinstance(mode, str) or mode not in MODES:
        raise ValueError(f"as_pil must be True, False, 'RGB' or 'L', got {shown(as_pil)}")
    try:
        import PIL.Image  # noqa: F401
    except ModuleNotFoundError:
        raise ModuleNotFoundError("as_pil needs Pillow: pip install pillow") from None
    return mode
