"""Perlin noise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, NamedTuple, SupportsIndex

import numpy as np
import numpy.typing as npt

from fdsl._checks import checked_number, checked_whole, counted
from fdsl.families.core import CoreFamily, square_grid
from fdsl.families.stored import Arrays, stored_rows
from fdsl.frame import Slider


class Frequencies(NamedTuple):
    """One category of noise."""

    #: Lattice cells across the image.
    x: float
    #: Lattice cells down the image.
    y: float

    def _repr_png_(self) -> bytes | None:
        """Returns a row of instances with one octave, which notebooks show."""
        return Perlin([self])._repr_png_()


class Perlin(CoreFamily[Frequencies]):
    """Improved Perlin noise (Perlin, "Improving Noise", 2002); immutable, a sequence of
    ``Frequencies``.

    The paper compares FractalDB with Perlin-100 and Perlin-1296 (section 4.3 (iv), Table 9), and
    says only that they are made "just as FractalDB". This definition is ours: a category is a pair
    of lattice frequencies, which determine the visible texture; an instance is a gradient table
    and a phase. ``Perlin(100)`` has frequencies 1…10 on each axis, ``Perlin(1296)`` 1…36.

    Its settings are a ``Frame``. In color each channel has its own noise. An all-black image is
    degenerate. To avoid aliasing, pixels that are large compared to the lattice are the mean of
    several samples, and octaves too fine to be seen are skipped.

    Args:
        categories: a square number n², for frequencies 1…n on each axis (category
            (fx − 1)·n + fy − 1); or an array (C, 2) of frequencies (fx, fy), 1/4096…4096.
        octaves: 1…16; each has twice the frequency of the previous one.
        persistence: amplitude of an octave relative to the previous one, above 0, at most 1.
        contrast: above 0, at most 100; at 1 the noise goes from black at −1 to white at 1.

    Raises:
        ValueError: an argument is out of range.
        TypeError: an argument is of the wrong type.

    >>> Perlin(100)[23]
    Frequencies(x=3.0, y=4.0)
    """

    name = "perlin"
    _categories_array = "frequencies"

    def __init__(
        self,
        categories: SupportsIndex | npt.ArrayLike = 100,
        *,
        octaves: Annotated[int, Slider(1, 16)] = 1,
        persistence: Annotated[float, Slider(0.05, 1)] = 0.5,
        contrast: Annotated[float, Slider(0.1, 10)] = 1.0,
    ) -> None:
        self._frequencies = square_grid(categories, first=(1, 1), most=4096).astype(np.float64)
        self._octaves = checked_whole("octaves", octaves)
        self._persistence = checked_number("persistence", persistence)
        self._contrast = checked_number("contrast", contrast)
        self.core()  # checks the numbers

    @property
    def octaves(self) -> int:
        """The number of octaves; each has twice the frequency of the previous one."""
        return self._octaves

    @property
    def persistence(self) -> float:
        """Amplitude of an octave relative to the previous one."""
        return self._persistence

    @property
    def contrast(self) -> float:
        """Contrast; at 1 the noise goes from black at −1 to white at 1."""
        return self._contrast

    def shows(self, image: npt.NDArray[np.uint8], frame: Any) -> npt.NDArray[np.bool_]:
        """Returns where an image shows something: everywhere."""
        return np.ones(image.shape[:2], np.bool_)

    def parameters(self, category: int) -> dict[str, Any]:
        """Returns the frequencies of a category, and the parameters that all share."""
        fx, fy = self[category]
        shared = {
            "octaves": self.octaves,
            "persistence": self.persistence,
            "contrast": self.contrast,
        }
        return {"frequency": [fx, fy], **shared}

    def __len__(self) -> int:
        return len(self._frequencies)

    def _single(self, category: int) -> Frequencies:
        return Frequencies(*self._frequencies[category].tolist())

    def __repr__(self) -> str:
        octaves = counted(self.octaves, "octave")
        return f"<Perlin: {counted(len(self), 'category', 'categories')}, {octaves}>"

    def _arrays(self) -> Arrays:
        return {
            "frequencies": self._frequencies,
            "octaves": np.array(self.octaves, np.int64),
            "persistence": np.array(self.persistence),
            "contrast": np.array(self.contrast),
        }

    @classmethod
    def _from_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> Perlin:
        return cls(
            stored_rows(cls, arrays),
            octaves=arrays["octaves"].item(),
            persistence=arrays["persistence"].item(),
            contrast=arrays["contrast"].item(),
        )
