"""Radial contours: RCDB and VisualAtom."""

from __future__ import annotations

import abc
import dataclasses
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple, SupportsIndex

import numpy as np
import numpy.typing as npt

from fdsl import _core
from fdsl._checks import checked_positive, checked_seed, checked_threads
from fdsl.families.core import C, CoreFamily, rows_of
from fdsl.families.readers import Floats
from fdsl.families.stored import Arrays, number_or_none, stored_rows
from fdsl.frame import Frame

#: Most categories that can be drawn; a million take seconds.
MAX_DRAWN = 1_000_000


@dataclasses.dataclass(frozen=True, kw_only=True)
class Contours(Frame):
    """Rendering settings of ``RCDB`` and ``VisualAtom``.

    ``Contours.released()`` has the settings of the authors' code and replays its random
    numbers.

    It also has all settings of ``Frame``.

    Args:
        background: background; by default white for RCDB and black for VisualAtom, as in their
            code.
        line_width: width of the lines in pixels, 1…64.
        line_color: color of each ring: a random gray, or with ``color=True`` a random color or the
            next of the 128 colors that FractalDB cycles through.
        centered: whether the rings are in the center of the image, as for an object, instead of
            anywhere.
        compat: ``"released"`` replays the random numbers of the authors' code. It needs the
            original categories: ``fdsl.load("rcdb-1k")`` or ``RCDB.released()``. ``None`` draws
            from the address.

    Raises:
        ValueError: a number or a name is out of range; the message says what is accepted.
        TypeError: an argument is of the wrong type, or there is no such setting.
    """

    background: Literal["black", "white"] | None = None
    line_width: int = 1
    line_color: Literal["gray", "random", "cycle"] = "gray"
    centered: bool = False
    compat: Literal["released"] | None = None

    _checked_as: ClassVar[str | None] = "rcdb"
    _paper: ClassVar[dict[str, Any]] = {"size": 512}

    def _shrunk(self, scale: float) -> dict[str, Any]:
        # Replaying images out of order would take seconds.
        return {**super()._shrunk(scale), "compat": None}

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.compat is not None and self.centered:
            raise ValueError("the authors' code draws random centers: centered must be False")

    @property
    def slow_out_of_order(self) -> str | None:
        """A warning, with ``compat="released"``."""
        if self.compat is None:
            return None
        return (
            "with compat='released', an image depends on all earlier ones of its process: in the "
            "order of a stream it takes up to 3 seconds, category by category a millisecond"
        )

    def _style(self, settings: dict[str, Any]) -> dict[str, Any]:
        del settings["compat"]
        return settings

    @classmethod
    def released(cls, **changes: Any) -> Contours:
        """Returns the settings of the authors' code: 512×512, no flips, its random numbers.

        Instance i of category c is then their image i of category c, byte for byte. An image
        depends on all earlier ones of its process, so rendering out of order is slow: up to 3
        seconds when the category changes, and 6 µs for each instance that is skipped.

        Args:
            **changes: settings that replace the original ones.
        """
        settings = {"size": 512, "flips": False, "resample_degenerate": False}
        return cls(**{**settings, "compat": "released", **changes})


class Rings(NamedTuple):
    """One category of RCDB."""

    #: Vertices of every ring.
    vertices: int
    #: Number of rings.
    rings: int
    #: λ: how far noise moves a vertex from one ring to the next, in pixels of a 512×512 image.
    noise: float
    #: How far every ring also moves outward, in pixels of a 512×512 image.
    step: float

    def _repr_png_(self) -> bytes | None:
        """Returns a row of instances, which notebooks show."""
        return RCDB([self])._repr_png_()


class Atom(NamedTuple):
    """One category of VisualAtom."""

    #: Vertices of every ring.
    vertices: int
    #: Number of rings.
    rings: int
    #: λ: how far noise moves a vertex from one ring to the next, in pixels of a 512×512 image.
    noise: float
    #: How far every ring also moves outward, in pixels of a 512×512 image.
    step: float
    #: Frequencies of the two waves along each ring.
    frequencies: tuple[int, int]
    #: Radius of the first ring in pixels of a 512×512 image, before it becomes an oval.
    radius: float
    #: Factors that stretch the first ring along x and y.
    oval: tuple[float, float]

    def _repr_png_(self) -> bytes | None:
        """Returns a row of instances, which notebooks show."""
        *row, frequencies, radius, oval = self
        return VisualAtom([[*row, *frequencies, radius, *oval]])._repr_png_()


class _Contours(CoreFamily[C]):
    """Base of both families: rows of numbers, and where in the original stream they came from."""

    _abstract = True
    style = Contours
    #: The core's name for the array of categories, and its number of columns.
    _categories_array: ClassVar[str]
    _columns: ClassVar[int]
    #: Number of processes that the authors' script starts.
    _processes: ClassVar[int]

    _rows: Floats
    _origins: Floats | None

    def __init__(self, categories: SupportsIndex | npt.ArrayLike = 1000, *, seed: int = 0) -> None:
        number, seed = number_or_none(categories, MAX_DRAWN), checked_seed(seed)
        if number is None:
            rows = rows_of(categories, self._columns).astype(np.float64)
        else:
            rows = np.array([self._drawn(self._uniform(seed, k)) for k in range(number)])
        self._set(rows, None)

    def _set(self, rows: Floats, origins: npt.NDArray[Any] | None) -> None:
        """Takes the rows, and where the original stream had them.

        Raises:
            ValueError: a number is out of range, or the origins have another shape.
        """
        if origins is not None:
            if origins.shape != (len(rows), 7) or origins.dtype.kind not in "fiu":
                raise ValueError(
                    f"origins must be numbers ({len(rows)}, 7), got {origins.dtype} {origins.shape}"
                )
            origins = origins.astype(np.float64)
        self._rows, self._origins = rows, origins
        self.core()  # checks the numbers
        if origins is not None:
            self.core(Contours.released())  # checks the origins, too

    @classmethod
    def _of(cls, rows: Floats, origins: npt.NDArray[Any] | None) -> Any:
        family = cls.__new__(cls)
        family._set(rows, origins)
        return family

    @classmethod
    def released(
        cls,
        categories: int = 1000,
        *,
        instances: int = 1000,
        processes: int | None = None,
        num_threads: int | None = None,
        progress: Callable[[int, int], object] | None = None,
    ) -> Any:
        """Steps through a run of the authors' code and returns its categories.

        The released code draws categories and images from one stream per process, so its categories
        depend on the number of instances and processes. A thousand categories take 10 s (RCDB) and
        40 s (VisualAtom) on one core; ``fdsl.load("rcdb-1k")`` and ``fdsl.load("visualatom-1k")``
        read them from the package.

        Args:
            categories: number of categories, shared evenly by the processes.
            instances: images per category.
            processes: processes of the run; by default as in the authors' script that renders
                1,000 categories (10 for RCDB, 20 for VisualAtom). The script that trains on RCDB
                uses 40.
            num_threads: number of threads; all available cores by default.
            progress: called with (categories stepped through, categories) ten times a second. An
                exception stops the run.

        Raises:
            ValueError: an argument is out of range.
        """
        count = checked_positive("categories", categories)
        workers = cls._processes if processes is None else processes
        if count > MAX_DRAWN:
            raise ValueError(f"categories must be at most {MAX_DRAWN:,}, got {count}")
        if checked_positive("processes", workers) > MAX_DRAWN:
            raise ValueError(f"processes must be at most {MAX_DRAWN:,}, got {workers}")
        rows, origins = _core.released_contours(
            cls.name,
            categories=count,
            instances=checked_positive("instances", instances),
            processes=workers,
            num_threads=checked_threads(num_threads),
            progress=progress,
        )
        return cls._of(rows, origins)

    @classmethod
    def shipped(cls, file: Path) -> Any:
        """Reads the rows and origins of categories that come with the package."""
        with np.load(file) as kept:
            return cls._of(kept["rows"], kept["origins"])

    @staticmethod
    @abc.abstractmethod
    def _drawn(uniform: Callable[[], float]) -> list[float]:
        """Draws the row of a category."""

    def _uniform(self, seed: int, category: int) -> Callable[[], float]:
        """Returns a source of uniform numbers, which depends only on seed and category."""
        draws = 0

        def uniform() -> float:
            nonlocal draws
            word = _core.address_key(self.name, 1, seed, category, 0, draws)[0]
            draws += 1
            return (word >> 11) / (1 << 53)

        return uniform

    def parameters(self, category: int) -> dict[str, Any]:
        """Returns the parameters of a category as plain values that JSON can hold."""
        found: dict[str, Any] = self._single(self._checked(category))._asdict()
        return {k: list(v) if isinstance(v, tuple) else v for k, v in found.items()}

    def __len__(self) -> int:
        return len(self._rows)

    def _arrays(self) -> Arrays:
        arrays: Arrays = {self._categories_array: self._rows}
        if self._origins is not None:
            arrays["origins"] = self._origins
        return arrays

    @classmethod
    def _from_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> Any:
        rows = rows_of(stored_rows(cls, arrays), cls._columns).astype(np.float64)
        return cls._of(rows, arrays.get("origins"))

    def _subset(self, categories: npt.NDArray[np.int64]) -> Any:
        origins = None if self._origins is None else self._origins[categories]
        return self._of(self._rows[categories], origins)

    def shows(self, image: npt.NDArray[np.uint8], frame: Any) -> npt.NDArray[np.bool_]:
        """Returns where an image shows a ring, that is, where it differs from the background."""
        own = "white" if self.name == RCDB.name else "black"
        lit: npt.NDArray[np.bool_] = image != (255 if (frame.background or own) == "white" else 0)
        return lit if image.ndim == 2 else np.logical_or.reduce(lit, -1)

    def _core_name(self, frame: Frame | None) -> str:
        if not isinstance(frame, Contours) or frame.compat is None:
            return self.name
        if self._origins is None:
            raise ValueError(
                "compat='released' needs categories that know the original random numbers: "
                f"fdsl.load('{self.name}-1k') or {type(self).__name__}.released()"
            )
        return f"{self.name}-released"


class RCDB(_Contours[Rings]):
    """Radial contours (Kataoka et al., "Replacing Labeled Real-image Datasets with Auto-generated
    Contours", CVPR 2022); immutable, a sequence of ``Rings``.

    An image shows the rings of one polygon on white. Each ring is the previous one moved outward by
    new noise, and has its own gray. A category is the number of vertices and rings and the strength
    of the noise. An instance is the center, the radius and oval of the first ring, and the noise.

    Rules and distributions follow the released code. ``RCDB(1000)`` draws categories with this
    library's random numbers; ``fdsl.load("rcdb-1k")`` has the original categories, and renders
    the original images with ``fdsl.Contours.released()``. Lengths scale with the image size.

    Args:
        categories: the number of categories, drawn as in the released code: vertices exponential
            with mean 100, 3…200; rings uniform in 1…200; noise uniform in 0…4; step uniform in
            0…0.1. A larger number leaves the first categories unchanged. Or an array (C, 4) of
            vertices (3…1000), rings (1…200), noise and step (0…16).
        seed: seed for drawing the categories.

    Raises:
        ValueError: a number is out of range.
        TypeError: categories is of the wrong type.

    >>> RCDB(1000)[0].vertices
    112
    """

    name = "rcdb"
    _categories_array, _columns, _processes = "contours", 4, 10

    @staticmethod
    def _drawn(uniform: Callable[[], float]) -> list[float]:
        vertices = 0
        while not 2 < vertices <= 200:
            vertices = int(-100 * math.log(1 - uniform()))
        return [vertices, 1 + int(200 * uniform()), 4 * uniform(), 0.1 * uniform()]

    def _single(self, category: int) -> Rings:
        vertices, rings, noise, step = self._rows[category].tolist()
        return Rings(int(vertices), int(rings), noise, step)


class VisualAtom(_Contours[Atom]):
    """Visual atoms (Takashima et al., "Visual Atoms: Pre-training Vision Transformers with
    Sinusoidal Waves", CVPR 2023); immutable, a sequence of ``Atom``.

    An image shows rings like RCDB's, but with two sine waves along each ring, and on black. A
    category fixes all parameters of the rings; instances differ in their center and in the noise.

    Rules and distributions follow the released code with the arguments of its script for
    VisualAtom-1k. ``VisualAtom(1000)`` draws categories with this library's random numbers;
    ``fdsl.load("visualatom-1k")`` has the original categories, and renders the released code's
    images with ``fdsl.Contours.released()``. Lengths scale with the image size.

    Args:
        categories: the number of categories, drawn as in the released code: vertices uniform in
            200…1000; rings in 1…200; noise in 0…4; step in 0…0.1; two frequencies in 0…20,
            different unless the first is 0; radius in 10…60; oval in 1…2. A larger number leaves
            the first categories unchanged. Or an array (C, 9) of vertices (3…1000), rings (1…200),
            noise and step (0…16), two frequencies (0…100), radius (0…256) and oval (0…4 along x
            and y).
        seed: seed for drawing the categories.

    Raises:
        ValueError: a number is out of range.
        TypeError: categories is of the wrong type.

    >>> VisualAtom(1000)[0].frequencies
    (15, 0)
    """

    name = "visualatom"
    _categories_array, _columns, _processes = "atoms", 9, 20

    @staticmethod
    def _drawn(uniform: Callable[[], float]) -> list[float]:
        def whole(low: int, high: int) -> int:
            return low + int((high - low + 1) * uniform())

        row = [whole(200, 1000), whole(1, 200), 4 * uniform(), 0.1 * uniform()]
        first = second = whole(0, 20)
        while second == first:
            second = whole(0, 20)
            if first == 0:
                break
        radius = whole(10, 60)
        return [*row, first, second, radius, 1 + uniform(), 1 + uniform()]

    def _single(self, category: int) -> Atom:
        n, rings, noise, step, first, second, radius, x, y = self._rows[category].tolist()
        frequencies = (int(first), int(second))
        return Atom(int(n), int(rings), noise, step, frequencies, radius, (x, y))
