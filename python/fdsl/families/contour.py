"""Radial contours."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple, SupportsIndex, overload

import numpy as np
import numpy.typing as npt

from fdsl import _core
from fdsl._checks import checked_seed, shown, whole_or_none
from fdsl.families.base import Arrays
from fdsl.families.core import CoreFamily, rows_of

#: Categories that are drawn: a million take seconds.
MOST_DRAWN = 1_000_000


class Rings(NamedTuple):
    """One category of contours."""

    #: Vertices of every ring.
    vertices: int
    #: Rings.
    rings: int
    #: λ: how far noise moves a vertex from one ring to the next, in pixels of 512.
    noise: float
    #: How far every ring moves out beside that, in pixels of 512.
    step: float


class RCDB(CoreFamily):
    """Radial contours (Kataoka et al., "Replacing Labeled Real-image Datasets with Auto-generated
    Contours", CVPR 2022); immutable, a sequence of ``Rings``.

    Rings of one polygon, each moved outward from the one before by noise of its own and in a gray
    of its own, on white ground. A category is how many vertices and rings there are and how the
    noise moves them; an instance is where the center is, the radius and oval that the first ring
    starts from, and the noise. Rules and distributions are those of the released program; the
    random numbers are ours, so category 3 is not the program's category 3.

    It takes a ``Frame``; lengths grow with the image, and lines stay one pixel wide.

    Args:
        categories: how many, drawn as the program draws them: vertices exponential with mean 100,
            3…200; rings uniform in 1…200; noise uniform in 0…4; step uniform in 0…0.1. More
            categories leave the first ones as they are. Or an array (C, 4) of vertices (3…1000),
            rings (1…200), noise and step (0…16).
        seed: of the categories that are drawn.

    Raises:
        ValueError: a number is out of range.
        TypeError: categories is of the wrong type.

    >>> RCDB(1000)[0].vertices
    112
    """

    name = "rcdb"

    def __init__(self, categories: SupportsIndex | npt.ArrayLike = 1000, *, seed: int = 0) -> None:
        number = whole_or_none(categories)
        if number is None:
            self._contours = rows_of(categories, 4).astype(np.float64)
        elif 1 <= number <= MOST_DRAWN:
            seed = checked_seed(seed)
            self._contours = np.array([_drawn(seed, category) for category in range(number)])
        else:
            raise ValueError(
                f"categories must lie between 1 and {MOST_DRAWN:,}, got {shown(number)}"
            )
        self.core()  # checks the numbers

    def parameters(self, category: int) -> dict[str, Any]:
        """Returns the four numbers of a category."""
        return self[category]._asdict()

    def __len__(self) -> int:
        return len(self._contours)

    @overload
    def __getitem__(self, key: int) -> Rings: ...
    @overload
    def __getitem__(self, key: slice) -> RCDB: ...
    def __getitem__(self, key: int | slice) -> Rings | RCDB:
        """Returns a category, or for a slice those categories, counted from 0 again."""
        if isinstance(key, slice):
            return RCDB(self._contours[key])
        vertices, rings, noise, step = self._contours[self._checked(key)].tolist()
        return Rings(int(vertices), int(rings), noise, step)

    def _arrays(self) -> Arrays:
        return {"contours": self._contours}

    @classmethod
    def _from_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> RCDB:
        return cls(arrays["contours"])


def _drawn(seed: int, category: int) -> list[float]:
    """Draws a category: a function of its number and the seed alone."""
    draws = 0

    def uniform() -> float:
        nonlocal draws
        word = _core.address_key("rcdb", 1, seed, category, 0, draws)[0]
        draws += 1
        return (word >> 11) / (1 << 53)

    vertices = 0
    while not 2 < vertices <= 200:
        vertices = int(-100 * math.log(1 - uniform()))
    return [vertices, 1 + int(200 * uniform()), 4 * uniform(), 0.1 * uniform()]
