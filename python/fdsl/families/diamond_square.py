"""Diamond–square noise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, SupportsIndex

import numpy as np
import numpy.typing as npt

from fdsl._checks import as_array, count_up_to, shown
from fdsl.families.core import CoreFamily
from fdsl.families.stored import MAX_CATEGORIES, Arrays, number_or_none, stored_rows

#: The range of decays, which is divided into one interval per category.
LOW, HIGH = 0.2, 1.4


class Decay(NamedTuple):
    """One category of diamond–square noise."""

    #: Displacements shrink by a factor of e^−decay from one level to the next.
    decay: float

    def _repr_png_(self) -> bytes | None:
        """Returns a row of instances, which notebooks show."""
        return DiamondSquare([self.decay])._repr_png_()


class DiamondSquare(CoreFamily[Decay]):
    """Diamond–square noise (Fournier, Fussell and Carpenter, "Computer Rendering of Stochastic
    Models", 1982), also called plasma; immutable, a sequence of ``Decay``.

    The four corners of the image get random heights. Level by level, the center of every square
    and then the middle of every edge get the mean height of their four neighbors plus a random
    displacement. It is uniform in ±½ at the first level, and shrinks by a factor of ``e^−decay``
    from each level to the next. A category is a decay; an instance has its own heights and colors.
    In color, hue, saturation and value are random affine functions of the height, and hues wrap
    around; in gray, the image is the value.

    "Improving Fractal Pre-training" (WACV 2022) uses it as a background, with a decay from 0.4 to
    0.8: ``Rendering(background="diamond-square")``. Its settings are a ``Frame``.

    Args:
        categories: a number n, for the centers of n equal intervals of decays from 0.2 (rough) to
            1.4 (smooth); or an array (C,) of decays, 0…10.

    Raises:
        ValueError: a decay or the number is out of range.
        TypeError: the argument is not a number or numbers.

    >>> DiamondSquare(6)[2]
    Decay(decay=0.7)
    """

    name = "diamond-square"
    _categories_array = "decays"

    def __init__(self, categories: SupportsIndex | npt.ArrayLike = 6) -> None:
        number = number_or_none(categories)
        if number is None:
            if count_up_to(MAX_CATEGORIES, categories) > MAX_CATEGORIES:
                raise ValueError(f"categories must be at most {MAX_CATEGORIES:,} decays")
            decays = as_array("categories", categories)
            if decays.dtype.kind not in "fiu":
                raise TypeError(
                    f"categories must be an integer or decays (C,), got {shown(categories)}"
                )
            if decays.ndim != 1 or len(decays) == 0:
                raise ValueError(f"categories must have shape (C,), got {decays.shape}")
        else:
            decays = LOW + (HIGH - LOW) * (np.arange(number) + 0.5) / number
        self._decays = decays.astype(np.float64)
        self.core()  # checks the numbers

    def parameters(self, category: int) -> dict[str, Any]:
        """Returns the decay of a category."""
        return {"decay": self[category].decay}

    def __len__(self) -> int:
        return len(self._decays)

    def _single(self, category: int) -> Decay:
        return Decay(float(self._decays[category]))

    def _arrays(self) -> Arrays:
        return {"decays": self._decays}

    @classmethod
    def _from_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> DiamondSquare:
        return cls(stored_rows(cls, arrays))
