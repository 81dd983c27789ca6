"""The first instances of every category, in tensors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, SupportsIndex

import numpy as np
import torch

from fdsl import dataset
from fdsl.families import Family
from fdsl.frame import Frame
from fdsl.torch.tensors import channels_first, tensors


class Dataset(dataset.Dataset, torch.utils.data.Dataset[tuple[Any, Any]]):
    """The first instances of every category as a data set with a length, rendered when asked for.

    Stands where torchvision's ``ImageFolder`` stood: item ``c · instances + i`` is instance
    i of category c, and ``classes``, ``class_to_idx`` and ``targets`` are there. Images come as
    tensors, not as PIL images. ``fdsl.Dataset`` is the same in NumPy.

    Args:
        family: the categories.
        instances: of each; the authors' data base has 1,000.
        rendering: how images are rendered; the family's defaults if not given.
        target: what there is to learn: ``"label"``, or where the family offers it ``"labels"``,
            ``"mask"`` or ``"boxes"``.
        seed: of every address.
        label_noise: share of the images, 0…1, with a label drawn from all categories, as in
            ``Stream``.
        cache: render every image now and keep it, as ``fdsl.Dataset`` does.
        transform: takes the image, uint8 (C, H, W), and returns what is wanted. With ``cache`` it
            still sees each image whenever it is asked for.
        target_transform: takes the target: an int, a tensor, or a dict of tensors.
        num_threads: that render; if not given one for a single item and in a worker, else all
            cores.

    Raises:
        IndexError: there is no such item.
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
        transform: Callable[[Any], Any] | None = None,
        target_transform: Callable[[Any], Any] | None = None,
        num_threads: int | None = None,
    ) -> None:
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
        self.transform = transform
        self.target_transform = target_transform
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
        transform = self.transform or _as_it_is
        target_transform = self.target_transform or _as_it_is
        images, targets = self._batch(items)
        pairs = zip(channels_first(torch.from_numpy(images)), tensors(targets), strict=True)
        return [(transform(image), target_transform(target)) for image, target in pairs]


def _as_it_is(value: Any) -> Any:
    return value
