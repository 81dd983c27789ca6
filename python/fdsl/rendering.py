"""How the points of fractals become images."""

from __future__ import annotations

import dataclasses
import typing
from typing import Any, ClassVar, Literal

from fdsl.frame import Frame

if typing.TYPE_CHECKING:
    from typing_extensions import Self


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rendering(Frame):
    """How the points of fractals become images. Every combination of settings works with every
    category.

    ``Rendering.paper()`` and ``Rendering.released()`` are the settings of the paper's text
    and of the authors' script. ``dataclasses.replace(rendering, size=64)`` makes another.

    Raises:
        ValueError: a number or a name is out of range; the message says what is accepted.
        TypeError: an argument is of the wrong type, or there is no such setting.
    """

    #: Points per image, 1…16,777,216 (paper, Table 4).
    num_points: int = 200_000
    #: What a point leaves: a 3×3 patch whose black cells erase, or one pixel (paper, Table 1).
    draw: Literal["patch", "point"] = "patch"
    #: A new mask for every point, or one mask for the whole image (paper, Table 1).
    patch: Literal["random", "fixed"] = "random"
    #: Interval w of the factors 1−2w, 1−w, 1, 1+w, 1+2w that scale a parameter, 0…1 (paper,
    #: Table 3); ``None`` or 0 leaves every instance at its category's own parameters.
    variation: float | None = 0.4
    #: The authors' 25 rows of factors, or a factor drawn for each image from [1−2w, 1+2w].
    variation_kind: Literal["grid", "continuous"] = "grid"
    #: Pixels left free on each side of the points.
    margin: int = 6
    #: ``"released"`` replays the authors' released program to the byte; ``None`` is this library.
    compat: Literal["released"] | None = None
    #: With ``compat="released"``: what Python's ``random.seed`` is given before every image,
    #: 0…2⁶⁴−1. ``None`` hashes it from the address; the program leaves it to chance.
    mask_seed: int | None = None

    _paper: ClassVar[dict[str, Any]] = {**Frame._paper, "patch": "fixed", "variation": 0.4}

    def __post_init__(self) -> None:
        old: object = self.variation
        if isinstance(old, str) and old in ("grid", "continuous"):  # values of the first releases
            raise TypeError(f"variation is a number now: give variation_kind={old!r}")
        super().__post_init__()
        if self.compat is None and self.mask_seed is not None:
            raise ValueError(f"mask_seed is for compat='released' alone, got {self.mask_seed}")

    @property
    def _checked_as(self) -> str:  # type: ignore[override]  # it depends on the settings
        return "ifs" if self.compat is None else self.compat

    def _style(self, settings: dict[str, Any]) -> dict[str, Any]:
        del settings["compat"]
        if self.compat is None:
            del settings["mask_seed"]
        return settings

    @classmethod
    def released(cls, **changes: Any) -> Self:
        """Returns the settings of the authors' script, and their program replayed to the byte.

        362² pixels, a new mask for every point, one orbit from the origin with the same random
        numbers for every image, degenerate images kept. Give it the published categories
        (``fdsl.fractaldb(1000)``), and ``mask_seed`` if the program was seeded.

        Args:
            **changes: any setting, instead of the script's.
        """
        settings = {"size": 362, "patch": "random", "variation": 0.4, "resample_degenerate": False}
        return cls(**{**settings, "compat": "released", **changes})


@dataclasses.dataclass(frozen=True, kw_only=True)
class Strokes(Frame):
    """How curves become images.

    Raises:
        ValueError: a number or a name is out of range; the message says what is accepted.
        TypeError: an argument is of the wrong type, or there is no such setting.
    """

    #: A 3×3 brush, or a line of one pixel; in the words for points.
    draw: Literal["patch", "point"] = "patch"
    #: Pixels left free on each side of the control points.
    margin: int = 6

    _checked_as: ClassVar[str | None] = "bezier"
