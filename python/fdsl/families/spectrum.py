"""Noise with a power spectrum."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, SupportsIndex

import numpy as np
import numpy.typing as npt

from fdsl._checks import whole_or_none
from fdsl.families.core import CoreFamily, square_grid
from fdsl.families.stored import Arrays, stored_rows

#: The exponents of the paper: from, to.
EXPONENTS = (0.5, 3.5)


class Exponents(NamedTuple):
    """One category of noise: how fast its spectrum falls along x and along y."""

    x: float
    y: float

    def _repr_png_(self) -> bytes | None:
        """Returns a row of instances, which notebooks show."""
        return Spectrum([self])._repr_png_()


class Spectrum(CoreFamily[Exponents]):
    """Noise with the spectrum of natural images (Baradad et al., "Learning to See by Looking at
    Noise", NeurIPS 2021); immutable, a sequence of ``Exponents``.

    The Fourier magnitude at the frequency (fx, fy) is 1 / (abs(fx)^x + abs(fy)^y), the phase is
    random, and the image is stretched from black to white. The paper draws both exponents
    uniformly from 0.5 to 3.5 for each image, without labels; here the exponents are the category
    and the phases are the instance. Frequencies count periods per image. If a side is not a power
    of two, the image is a corner of a tile with the next powers of two as its sides, and
    frequencies count periods per tile.

    The settings are a ``Frame``; in color, each channel is independent noise.

    Args:
        categories: the number of categories, a square n², for n exponents from 0.5 to 3.5 along
            each axis (category i·n + j has the i-th along x and the j-th along y); or an array
            (C, 2) of exponents (x, y), 0…8.

    Raises:
        ValueError: a number is out of range.
        TypeError: categories is of the wrong type.

    >>> Spectrum(49)[9]
    Exponents(x=1.0, y=1.5)
    """

    name = "spectrum"
    _categories_array = "exponents"

    def __init__(self, categories: SupportsIndex | npt.ArrayLike = 49) -> None:
        grid = square_grid(categories, first=(0, 0), most=4096).astype(np.float64)
        if whole_or_none(categories) is not None:
            least, most = EXPONENTS
            steps = grid.max()
            grid = least + (most - least) * (grid / steps if steps else grid + 0.5)
        self._exponents = grid
        self.core()  # checks the numbers

    def parameters(self, category: int) -> dict[str, Any]:
        """Returns the exponents of a category."""
        return {"exponents": list(self[category])}

    def __len__(self) -> int:
        return len(self._exponents)

    def _single(self, category: int) -> Exponents:
        return Exponents(*self._exponents[category].tolist())

    def _arrays(self) -> Arrays:
        return {"exponents": self._exponents}

    @classmethod
    def _from_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> Spectrum:
        return cls(stored_rows(cls, arrays))
