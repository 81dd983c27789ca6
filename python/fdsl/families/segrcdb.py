"""SegRCDB: ring polygons all over the image, and a mask of their classes."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, SupportsIndex

import numpy as np
import numpy.typing as npt

from fdsl import _core
from fdsl.families.core import CoreFamily, rows_of
from fdsl.families.stored import Arrays, number_or_none, stored_rows
from fdsl.frame import Frame, Slider

#: Number of classes in the released code.
CLASSES = 254


@dataclasses.dataclass(frozen=True, kw_only=True)
class RingScenes(Frame):
    """How ring polygons become an image and a mask.

    ``RingScenes.released()`` replays the authors' code.

    It also has all settings of ``Frame``.

    Args:
        objects: objects per image, 1…255.
        mask: the pixels of an object in masks and boxes: the lines of its rings; the area between
            its first and last ring, where the inside of the first becomes background even over
            other objects; or everything inside its last ring. M1, M2 and M3 in the authors' code.
        compat: ``"released"`` replays the random numbers of the authors' code: the image of
            category c and index i is the original image 254·i + c, and the label carries no
            information. ``None`` draws from the address.

    Raises:
        ValueError: a number or a name is out of range; the message says what is accepted.
        TypeError: an argument is of the wrong type, or there is no such setting.
    """

    objects: Annotated[int, Slider(1, 64)] = 32
    mask: Literal["strokes", "between", "filled"] = "strokes"
    compat: Literal["released"] | None = None

    _checked_as: ClassVar[str | None] = "segrcdb"
    _paper: ClassVar[dict[str, Any]] = {"size": 512}

    def _style(self, settings: dict[str, Any]) -> dict[str, Any]:
        del settings["compat"]
        return settings

    @classmethod
    def released(cls, **changes: Any) -> RingScenes:
        """Returns the settings of the authors' code: 512×512, no flips, its random numbers.

        The released code runs 40 processes that draw 500 images each, with one stream of random
        numbers per process. Rendering out of order is slow: up to 0.1 s for the last image of a
        process.

        Args:
            **changes: settings that replace the released code's.
        """
        settings = {"size": 512, "flips": False, "resample_degenerate": False}
        return cls(**{**settings, "compat": "released", **changes})


class RingClass(NamedTuple):
    """One category of SegRCDB."""

    #: Vertices of every ring.
    vertices: int
    #: Number of rings.
    rings: int
    #: λ: how far noise moves a vertex from one ring to the next, in pixels of a 512×512 image.
    noise: float
    #: How far every ring also moves outward, in pixels of a 512×512 image.
    step: float
    #: Radius of the first ring in pixels of a 512×512 image, before it becomes an oval.
    radius: float
    #: Factors that stretch the first ring along x and y.
    oval: tuple[float, float]

    def _repr_png_(self) -> bytes | None:
        """Returns a row of instances, which notebooks show."""
        return SegRCDB([[*self[:5], *self.oval]])._repr_png_()


class SegRCDB(CoreFamily[RingClass]):
    """Scenes of SegRCDB (Shinoda et al., "SegRCDB: Semantic Segmentation via Formula-Driven
    Supervised Learning", ICCV 2023); immutable, a sequence of ``RingClass``.

    A scene has 32 ring polygons on black; later ones cover earlier ones. The class of a polygon
    fixes everything but its center and its noise. The last polygon has the image's category; the
    address draws the classes of the others. The settings are ``RingScenes``, and the targets are
    those of ``Scene``.

    The classes are those of the authors' code, which has 254, number for number. Lengths scale
    with the image size.

    Args:
        categories: the number of classes; beyond 254, the original sequence is continued. Or an
            array (C, 7) of vertices (3…1000), rings (1…200), noise and step (0…16), radius
            (0…256) and oval (0…4 along x and y).

    Raises:
        ValueError: a number is out of range.
        TypeError: categories is of the wrong type.

    >>> SegRCDB()[0].vertices
    186
    """

    name = "segrcdb"
    _categories_array = "classes"
    style = RingScenes
    targets = ("labels", "mask", "boxes")

    def __init__(self, categories: SupportsIndex | npt.ArrayLike = CLASSES) -> None:
        number = number_or_none(categories)
        if number is None:
            self._rows = rows_of(categories, 7).astype(np.float64)
        else:
            self._rows = _core.segrcdb_classes(number)
        self.core()  # checks the numbers

    def parameters(self, category: int) -> dict[str, Any]:
        """Returns the parameters of a category as plain values that JSON can hold."""
        found: dict[str, Any] = self[category]._asdict()
        return {**found, "oval": list(found["oval"])}

    def __len__(self) -> int:
        return len(self._rows)

    def _single(self, category: int) -> RingClass:
        vertices, rings, noise, step, radius, x, y = self._rows[category].tolist()
        return RingClass(int(vertices), int(rings), noise, step, radius, (x, y))

    def _arrays(self) -> Arrays:
        return {"classes": self._rows}

    @classmethod
    def _from_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> SegRCDB:
        return cls(stored_rows(cls, arrays))

    def _core_name(self, frame: Frame | None) -> str:
        if not isinstance(frame, RingScenes) or frame.compat is None:
            return self.name
        if not np.array_equal(self._rows, _core.segrcdb_classes(CLASSES)):
            raise ValueError(
                f"compat='released' needs the {CLASSES} classes of the released code, "
                f"fdsl.SegRCDB(); got {self!r}"
            )
        return "segrcdb-released"
