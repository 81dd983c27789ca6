"""Bézier curves, and their settings."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, SupportsIndex

import numpy as np
import numpy.typing as npt

from fdsl._checks import counted
from fdsl.families.core import CoreFamily, square_grid
from fdsl.families.stored import Arrays, stored_rows
from fdsl.frame import Frame, Slider


@dataclasses.dataclass(frozen=True, kw_only=True)
class Strokes(Frame):
    """How curves become images.

    It also has all settings of ``Frame``.

    Args:
        draw: whether to draw with a 3×3 brush (``"patch"``) or a line one pixel wide (``"point"``).
        margin: the number of pixels left empty on each side of the control points.

    Raises:
        ValueError: a number or a name is out of range; the message says what is accepted.
        TypeError: an argument is of the wrong type, or there is no such setting.
    """

    draw: Literal["patch", "point"] = "patch"
    margin: Annotated[int, Slider(0, 32)] = 6

    _checked_as: ClassVar[str | None] = "bezier"

    def _shrunk(self, scale: float) -> dict[str, Any]:
        return {**super()._shrunk(scale), "margin": int(self.margin * scale)}


class Counts(NamedTuple):
    """One category of curves."""

    #: Control points per curve.
    points: int
    #: Curves per image.
    curves: int

    def _repr_png_(self) -> bytes | None:
        """Returns a row of instances, which notebooks show."""
        return Bezier([self])._repr_png_()


class Bezier(CoreFamily[Counts]):
    """Bézier curves; immutable, a sequence of ``Counts``.

    The paper compares FractalDB with Bezier-144 and Bezier-1024 (section 4.3 (iv), Table 9), and
    says only that they are made "just as FractalDB". This definition is ours: a category is the
    number of control points per curve and the number of curves, which determine how curves bend
    and how full the image is; an instance is a set of control point positions. ``Bezier(144)`` has
    2…13 control points and 1…12 curves, ``Bezier(1024)`` 2…33 and 1…32.

    Its settings are ``Strokes``. In color the authors' cycle of 128 colors runs along each curve.
    An empty crop is degenerate. Curves have no gaps.

    Args:
        categories: a square number n², for 2…n+1 control points and 1…n curves (category
            (points − 2)·n + curves − 1); or an array (C, 2) of integers, 2…64 and 1…256.

    Raises:
        ValueError: a number is out of range.
        TypeError: categories is of the wrong type.

    >>> Bezier(144)[25]
    Counts(points=4, curves=2)
    """

    name = "bezier"
    _categories_array = "counts"
    style = Strokes

    def __init__(self, categories: SupportsIndex | npt.ArrayLike = 144) -> None:
        counts = square_grid(categories, first=(2, 1), most=63)
        if counts.dtype.kind not in "iu":
            raise TypeError(f"control points and curves must be integers, got {counts.dtype}")
        if counts.min() < 0:
            raise ValueError(f"control points and curves must be 1 or more, got {counts.min()}")
        self._counts = counts.astype(np.uint64)
        self.core()  # checks the numbers

    def parameters(self, category: int) -> dict[str, Any]:
        """Returns the two numbers of a category."""
        return self[category]._asdict()

    def __len__(self) -> int:
        return len(self._counts)

    def _single(self, category: int) -> Counts:
        return Counts(*self._counts[category].tolist())

    def __repr__(self) -> str:
        points, curves = self._counts.max(axis=0)
        categories = counted(len(self), "category", "categories")
        curves = counted(int(curves), "curve")
        return f"<Bezier: {categories} of up to {points} points and {curves}>"

    def _arrays(self) -> Arrays:
        return {"counts": self._counts}

    @classmethod
    def _from_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> Bezier:
        return cls(stored_rows(cls, arrays))
