"""The settings for rendering the points of fractals."""

from __future__ import annotations

import dataclasses
import typing
from typing import Annotated, Any, ClassVar, Literal

from fdsl.frame import Frame, Slider

if typing.TYPE_CHECKING:
    from typing_extensions import Self


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rendering(Frame):
    """How the points of fractals become images: the settings of ``IFS``.

    ``Rendering.paper()`` returns the settings in the paper's text, ``Rendering.released()`` those
    of the authors' code, and ``Rendering.wacv22()`` those of "Improving Fractal Pre-training".
    ``dataclasses.replace(rendering, size=64)`` returns a copy with changed settings.

    It also has all settings of ``Frame``.

    Args:
        num_points: points per image, 1…16,777,216 (paper, Table 4).
        draw: what is drawn at each point: a 3×3 patch, whose black cells erase, or a single pixel
            (paper, Table 1).
        patch: whether patches have a new random mask for every point, or one fixed mask for the
            whole image (paper, Table 1), or are solid: all nine pixels.
        shading: what decides a pixel that several points cover: the last point, whose black cells
            erase; any point, so nothing erases (in gray); or their number, as a share of the
            largest in the image. A density is a gray, or with ``color=True`` a hue, whose shift,
            saturation and value are random for each image. A gray density below 1/255 is black, but
            counts as lit for ``resample_degenerate``: such an image may be nearly black, and a
            small crop of it black.
        variation: the step w, 0…1, of the factors 1−2w, 1−w, 1, 1+w, 1+2w by which a parameter is
            scaled (paper, Table 3), or what ``variation_kind`` says. With ``None`` or 0, every
            instance has the unchanged parameters of its category.
        variation_kind: how instances get their factors: from the authors' fixed table of 25 rows
            (``"grid"``), or at random from [1−2w, 1+2w] for each image (``"continuous"``). The
            other kinds are jitters of "Improving Fractal Pre-training". They change one random map,
            unless it would then expand. ``"map"`` scales all its parameters by a factor from
            [1−2w, 1+w]; the authors' w is 0.1. ``"svd"`` rotates it by up to w radians, before
            or after its scaling, or moves it by up to w along x and y; theirs is 0.5.
            ``"sval"`` scales its matrix, so that the sum of s₁ + 2·s₂ (see ``IFS.sample``) over all
            n maps becomes a random number from [(5 + n)/2, (5 + n)/2 + w]; theirs is 0.5.
        margin: the number of pixels left empty on each side of the points.
        zoom: factor z, 1…16: the window is larger or smaller than the extent of the points by a
            random factor in [1/z, z] along x, and another along y. Points outside it are not drawn.
        shift: the center of the window moves by a random share in [−shift, shift] of the extent,
            0…1.
        transpose: whether a random half of the images exchange x and y.
        background: what shows where a fractal is black: nothing, or diamond–square noise with
            random colors.
        blur: share of images that are softened by a 3×3 Gaussian blur, σ random in [0.5, 1].
        compat: ``"released"`` reproduces the output of the authors' released code byte for byte.
        mask_seed: with ``compat="released"``: the argument of ``random.seed`` before every image,
            0…2⁶⁴−1. ``None`` derives it from the address; the authors' code does not seed
            ``random`` at all.

    Raises:
        ValueError: a number or a name is out of range; the message says what is accepted.
        TypeError: an argument is of the wrong type, or there is no such setting.
    """

    num_points: Annotated[int, Slider(1000, 1_000_000)] = 200_000
    draw: Literal["patch", "point"] = "patch"
    patch: Literal["random", "fixed", "solid"] = "random"
    shading: Literal["last", "any", "density"] = "last"
    variation: Annotated[float, Slider(0, 1)] | None = 0.4
    variation_kind: Literal["grid", "continuous", "map", "svd", "sval"] = "grid"
    margin: Annotated[int, Slider(0, 32)] = 6
    zoom: Annotated[float, Slider(1, 4)] = 1.0
    shift: Annotated[float, Slider(0, 1)] = 0.0
    transpose: bool = False
    background: Literal["diamond-square"] | None = None
    blur: Annotated[float, Slider(0, 1)] = 0.0
    compat: Literal["released"] | None = None
    mask_seed: int | None = None

    _paper: ClassVar[dict[str, Any]] = {**Frame._paper, "patch": "fixed", "variation": 0.4}

    def __post_init__(self) -> None:
        old: object = self.variation
        if isinstance(old, str) and old in ("grid", "continuous"):  # values of the first releases
            raise TypeError(f"variation is a number now: use variation_kind={old!r}")
        super().__post_init__()
        if self.compat is None and self.mask_seed is not None:
            raise ValueError(f"mask_seed works only with compat='released', got {self.mask_seed}")
        if self.compat is not None:
            for name, plain in _LATER.items():
                if (given := getattr(self, name)) != plain:
                    raise ValueError(
                        f"the released code has no {name}: with compat='released' it must be "
                        f"{plain!r}, got {given!r}"
                    )
            if self.variation_kind not in ("grid", "continuous"):
                raise ValueError(
                    "the released code varies one parameter of every map: with "
                    "compat='released' variation_kind must be 'grid' or 'continuous', got "
                    f"{self.variation_kind!r}"
                )

    @property
    def _checked_as(self) -> str:  # type: ignore[override]  # it depends on the settings
        return "ifs" if self.compat is None else self.compat

    def _style(self, settings: dict[str, Any]) -> dict[str, Any]:
        del settings["compat"]
        if self.compat is None:
            del settings["mask_seed"]
        else:
            settings = {k: v for k, v in settings.items() if k not in _LATER}
        return settings

    def _shrunk(self, scale: float) -> dict[str, Any]:
        points = max(1, round(self.num_points * scale**2))  # keeps the density
        return {**super()._shrunk(scale), "num_points": points, "margin": int(self.margin * scale)}

    @classmethod
    def released(cls, **changes: Any) -> Self:
        """Returns the settings of the authors' code, which reproduce its images byte for byte.

        Images have 362×362 pixels and a new mask for every point. Each is plotted from a single
        orbit, which starts at the origin and uses the same random numbers for every image.
        Degenerate images are kept. Use the published categories (``fdsl.fractaldb(1000)``), and
        set ``mask_seed`` if the released code was seeded.

        Args:
            **changes: settings that replace those of the released code.
        """
        settings = {"size": 362, "patch": "random", "variation": 0.4, "resample_degenerate": False}
        return cls(**{**settings, "compat": "released", **changes})

    @classmethod
    def wacv22(cls, **changes: Any) -> Self:
        """Returns the settings of "Improving Fractal Pre-training" (Anderson and Farrell, WACV
        2022) for one fractal per image; the random numbers are ours.

        224×224 pixels, 100,000 points, one mask per image that is added, density as a hue, one map
        scaled by a factor from 0.8 to 1.1, a window of half to twice the extent of the points, a
        diamond–square background, and a blur on half of the images; degenerate images are kept.
        Flips follow the index, and half of the images are transposed. Their categories are those
        of ``IFS.sample``.

        Args:
            **changes: settings that replace the released code's.
        """
        settings: dict[str, Any] = {
            "size": 224,
            "color": True,
            "resample_degenerate": False,
            "num_points": 100_000,
            "patch": "fixed",
            "shading": "density",
            "variation": 0.1,
            "variation_kind": "map",
            "margin": 0,
            "zoom": 2.0,
            "shift": 0.2,
            "transpose": True,
            "background": "diamond-square",
            "blur": 0.5,
        }
        if not changes.get("color", True):
            settings["shading"] = "any"  # their gray images have a single gray
        return cls(**{**settings, **changes})


#: Settings that the released code does not have, and their values without effect.
_LATER: dict[str, Any] = {
    "shading": "last",
    "zoom": 1.0,
    "shift": 0.0,
    "transpose": False,
    "background": None,
    "blur": 0.0,
}
