"""The first instances of every category, as a data set with a length."""

from __future__ import annotations

import operator
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import Dataset, get_worker_info

from fdsl._checks import (
    checked_positive,
    checked_seed,
    checked_share,
    checked_threads,
    checked_type,
)
from fdsl.families import Family
from fdsl.frame import Frame
from fdsl.render import render
from fdsl.torch.stream import channels_first


class Instances(Dataset[tuple[Any, Any]]):
    """The first instances of every category as a data set with a length, drawn when asked for.

    Stands where torchvision's ``ImageFolder`` stood: item ``c · instances + i`` is instance
    i of category c, and ``classes``, ``class_to_idx`` and ``targets`` are there. Pictures
    come as tensors, not as PIL images.

    Args:
        family: the categories.
        instances: of each; the authors' data base has 1,000.
        rendering: how pictures are drawn; the family's defaults if not given.
        seed: of every address.
        label_noise: share of the pictures, 0…1, with a label drawn from all categories alike, as
            in ``Stream``.
        transform: takes the picture, uint8 (C, H, W), and returns what is wanted.
        target_transform: takes the label, an int.
        num_threads: that render a batch; one in a worker and all cores elsewhere if not given.

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
        seed: int = 0,
        label_noise: float = 0.0,
        transform: Callable[[Any], Any] | None = None,
        target_transform: Callable[[Any], Any] | None = None,
        num_threads: int | None = None,
    ) -> None:
        self.family: Family = checked_type("family", family, Family)
        self.instances = checked_positive("instances", instances)
        most = sys.maxsize // len(family)  # or there is no length
        if self.instances > most:
            raise ValueError(
                f"instances must be at most {most} of {len(family)} categories, got {instances}"
            )
        self.rendering: Frame = family.checked_style(rendering)
        self.seed = checked_seed(seed)
        self.label_noise = checked_share("label_noise", label_noise)
        self.transform = transform
        self.target_transform = target_transform
        self.num_threads = checked_threads(num_threads)
        #: The authors' folder names: 00000, 00001, …
        self.classes: list[str] = [f"{category:05d}" for category in range(len(family))]
        self.class_to_idx: dict[str, int] = {name: i for i, name in enumerate(self.classes)}

    @property
    def targets(self) -> list[int]:
        """The label of every item."""
        categories, indices = np.divmod(np.arange(len(self), dtype=np.uint64), self.instances)
        targets: list[int] = self._labels(categories, indices).tolist()
        return targets

    def __len__(self) -> int:
        return len(self.family) * self.instances

    def __getitem__(self, item: int) -> tuple[Any, Any]:
        return self.__getitems__([item])[0]

    def __getitems__(self, items: Sequence[int]) -> list[tuple[Any, Any]]:
        """Draws many items at once; a DataLoader calls this for each batch."""
        numbers = np.array([self._number(item) for item in items], np.int64)
        categories, indices = numbers // self.instances, numbers % self.instances
        in_worker = get_worker_info() is not None or len(items) == 1
        num_threads = 1 if self.num_threads is None and in_worker else self.num_threads
        images = render(self.family, categories, indices, self.seed, self.rendering, num_threads)
        transform = self.transform or _as_it_is
        target_transform = self.target_transform or _as_it_is
        labels = self._labels(categories.astype(np.uint64), indices.astype(np.uint64)).tolist()
        pairs = zip(channels_first(torch.from_numpy(images)), labels, strict=True)
        return [(transform(image), target_transform(label)) for image, label in pairs]

    def __repr__(self) -> str:
        return f"<Instances: {len(self.family)} categories of {self.instances}>"

    def _labels(
        self, categories: npt.NDArray[np.uint64], indices: npt.NDArray[np.uint64]
    ) -> npt.NDArray[np.int64]:
        return self.family.labels(categories, indices, self.seed, self.label_noise)

    def _number(self, item: int) -> int:
        number = operator.index(item)
        number += len(self) if number < 0 else 0
        if not 0 <= number < len(self):
            raise IndexError(f"item {item} is out of range: there are {len(self)}")
        return number


def _as_it_is(value: Any) -> Any:
    return value
