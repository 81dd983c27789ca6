"""How pictures are drawn, and drawing them."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any, Literal, TypeAlias, overload

import numpy as np
import numpy.typing as npt

from fdsl import _core
from fdsl._checks import (
    Numbers,
    Size,
    checked_number,
    checked_numbers,
    checked_pair,
    checked_seed,
    checked_threads,
    checked_type,
    checked_whole,
    side_or_pair,
)
from fdsl.formulas import Family

Pictures: TypeAlias = "npt.NDArray[np.uint8]"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rendering:
    """How pictures are drawn. Every combination of settings works with every category.

    ``Rendering.paper()`` and ``Rendering.released()`` are the settings of the paper's text
    and of the authors' script. ``dataclasses.replace(rendering, size=64)`` makes another.

    Raises:
        ValueError: a number or a name is out of range; the message says what is accepted.
        TypeError: an argument is of the wrong type.
    """

    #: Height and width of the whole picture, 16…4096 (paper, Table 5). One number is a square.
    size: Size = 256
    #: Dots a picture, 1…16,777,216 (paper, Table 4).
    points: int = 200_000
    #: What a dot leaves: a 3×3 patch whose black cells erase, or one pixel (paper, Table 1).
    draw: Literal["patch", "point"] = "patch"
    #: A new mask for every dot, or one mask for the whole picture (paper, Table 1).
    patch: Literal["random", "fixed"] = "random"
    #: Three channels in the authors' cycle of 128 colours, instead of one gray (127).
    color: bool = False
    #: Interval w of the weights 1−2w, 1−w, 1, 1+w, 1+2w, 0…1 (paper, Table 3);
    #: ``None`` or 0 leaves every instance at its category's own parameters.
    weights: float | None = 0.4
    #: Pixels left free on each side of the dots.
    pad: int = 6
    #: Height and width of the window that is kept; ``None`` keeps the whole picture.
    crop: Size | None = None
    #: Where the window stands: drawn for each picture, or in the centre.
    crop_position: Literal["random", "center"] = "random"
    #: The authors' 25 weight rows, or a factor drawn for each picture from [1−2w, 1+2w].
    variation: Literal["grid", "continuous"] = "grid"
    #: Whether ``index % 4`` mirrors the picture: not, top-bottom, left-right, both.
    flips: bool = True
    #: Whether a picture that failed is drawn again with other weights: it diverged, or less
    #: than 1 % of what could be lit is. At weights 0.4, 7 in 100 are. If not, a
    #: system that diverges starts over wherever it leaves for infinity.
    redraw: bool = True
    #: Whose dots are drawn: this library's, or those of the authors' released program, replayed
    #: to the byte. Of ``IFS`` alone; other families have no use for it.
    sampler: Literal["fdsl", "released"] = "fdsl"
    #: With ``sampler="released"``: what Python's ``random.seed`` is given before every picture,
    #: 0…2⁶⁴−1. ``None`` hashes it from the address; the program leaves it to chance.
    mask_seed: int | None = None

    def __post_init__(self) -> None:
        plain: dict[str, Any] = {  # as JSON and NumPy bring them, to plain values
            "size": side_or_pair(checked_pair("size", self.size)),
            "crop": None if self.crop is None else side_or_pair(checked_pair("crop", self.crop)),
            "points": checked_whole("points", self.points),
            "pad": checked_whole("pad", self.pad),
            "weights": None if self.weights is None else checked_number("weights", self.weights),
        }
        if self.mask_seed is not None:
            plain["mask_seed"] = checked_whole("mask_seed", self.mask_seed)
        for name in ("draw", "patch", "crop_position", "variation", "sampler"):
            plain[name] = checked_type(name, getattr(self, name), str)
        for name in ("color", "flips", "redraw"):
            plain[name] = bool(checked_type(name, getattr(self, name), (bool, np.bool_)))
        for name, value in plain.items():
            object.__setattr__(self, name, value)
        _ = self._core  # checks the values

    @functools.cached_property
    def _core(self) -> _core.Rendering:
        """The settings as the core takes them."""
        settings: dict[str, Any] = {**self.to_dict(), "size": checked_pair("size", self.size)}
        if self.crop is not None:
            settings["crop"] = checked_pair("crop", self.crop)
        return _core.Rendering(**settings)

    @classmethod
    def paper(cls, **changes: Any) -> Rendering:
        """Returns the settings of the paper's text: 256² cropped to 224², one mask a picture.

        Args:
            **changes: any argument of ``Rendering``, instead of the paper's.
        """
        return cls(**{"size": 256, "crop": 224, "patch": "fixed", "weights": 0.4, **changes})

    @classmethod
    def released(cls, **changes: Any) -> Rendering:
        """Returns the settings of the authors' script, and their program replayed to the byte.

        362² pixels, a new mask a dot, one orbit from the origin with the same random numbers
        for every picture, failures kept. Give it the published categories
        (``fdsl.fractaldb(1000)``), and ``mask_seed`` if the program was seeded.

        Args:
            **changes: any argument of ``Rendering``, instead of the script's.
        """
        settings = {"size": 362, "patch": "random", "weights": 0.4, "redraw": False}
        return cls(**{**settings, "sampler": "released", **changes})

    @classmethod
    def from_dict(cls, settings: dict[str, Any]) -> Rendering:
        """Makes a rendering from what ``to_dict`` returned, also by way of JSON."""
        names = {field.name for field in dataclasses.fields(cls)}
        unknown = sorted(set(settings) - names)
        if unknown:
            raise ValueError(
                f"a rendering has no {unknown[0]!r}; it has {', '.join(sorted(names))}"
            )
        return cls(**settings)

    def to_dict(self) -> dict[str, Any]:
        """Returns the settings as plain values that JSON can hold."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}

    @property
    def channels(self) -> int:
        """3 in colour, else 1."""
        return 3 if self.color else 1

    @property
    def _at_once(self) -> int:
        """How many pictures to draw at once where more than those would only cost memory."""
        height, width = self.output_size
        return max(1, min(512, (1 << 24) // (height * width * self.channels)))

    @property
    def output_size(self) -> tuple[int, int]:
        """Height and width of what is kept."""
        return checked_pair("size", self.size if self.crop is None else self.crop)

    def __reduce__(self) -> tuple[Any, ...]:
        return _from_dict, (self.to_dict(),)


def _from_dict(settings: dict[str, Any]) -> Rendering:
    return Rendering.from_dict(settings)


@overload
def render(
    family: Family,
    categories: Numbers,
    indices: Numbers,
    seed: int = ...,
    rendering: Rendering | None = ...,
    threads: int | None = ...,
    *,
    out: Pictures | None = ...,
    return_redraws: Literal[False] = ...,
    simd: str | None = ...,
) -> Pictures: ...
@overload
def render(
    family: Family,
    categories: Numbers,
    indices: Numbers,
    seed: int = ...,
    rendering: Rendering | None = ...,
    threads: int | None = ...,
    *,
    out: Pictures | None = ...,
    return_redraws: Literal[True],
    simd: str | None = ...,
) -> tuple[Pictures, npt.NDArray[np.uint8]]: ...
def render(
    family: Family,
    categories: Numbers,
    indices: Numbers,
    seed: int = 0,
    rendering: Rendering | None = None,
    threads: int | None = None,
    *,
    out: Pictures | None = None,
    return_redraws: bool = False,
    simd: str | None = None,
) -> Pictures | tuple[Pictures, npt.NDArray[np.uint8]]:
    """Draws pictures, each a pure function of ``(seed, category, index)``.

    Args:
        family: the categories.
        categories: integers in ``0…len(family)-1``, one or an array (B,).
        indices: integers from 0 on, one or an array (B,); one stands for all. The first
            1,000 are the authors' grid, ``weight·40 + patch·4 + flip``.
        seed: 0…2⁶⁴−1; tells one data set from another.
        rendering: how they are drawn; ``Rendering()`` if not given.
        threads: how many draw; all the cores this process may use if not given. The pictures
            do not depend on it.
        out: where to draw, of the shape that is returned, in one piece; new memory if not given.
        return_redraws: also return how often each picture was drawn again because it had
            failed, uint8 (B,).
        simd: the processor's path, one of ``"plain"``, ``"avx2"``, ``"avx512"`` and ``"neon"``; the
            fastest, or that of the environment variable ``FDSL_SIMD``, if not given. The images
            do not depend on it.

    Returns:
        uint8 (B, H, W), or (B, H, W, 3) in colour.

    Raises:
        IndexError: a category or an index is out of range.
        TypeError: categories or indices are not integers, or ``out`` is no array of bytes.
        ValueError: they do not match in shape, ``out`` has another shape or lies in pieces, or seed
            or threads are out of range.

    >>> import fdsl
    >>> ifs = fdsl.IFS.search(categories=2, fill_rate=0.2, seed=1)
    >>> fdsl.render(ifs, [0, 1], 7, rendering=fdsl.Rendering(size=64, points=10_000)).shape
    (2, 64, 64)
    """
    rendering = (
        Rendering() if rendering is None else checked_type("rendering", rendering, Rendering)
    )
    checked_type("family", family, Family)
    category_numbers = checked_numbers("categories", categories)
    index_numbers = checked_numbers("indices", indices)
    try:
        both = np.broadcast_arrays(category_numbers, index_numbers)
    except ValueError:
        raise ValueError(
            f"categories and indices must match in length, got {len(category_numbers)} and "
            f"{len(index_numbers)}"
        ) from None
    flat = [np.ascontiguousarray(numbers) for numbers in both]
    channels = (3,) if rendering.color else ()
    shape = (len(flat[0]), *rendering.output_size, *channels)
    images = np.empty(shape, np.uint8) if out is None else _checked_out(out, shape)
    redraws = np.zeros(len(flat[0]), np.uint8)
    seed, threads = checked_seed(seed), checked_threads(threads)
    if simd is not None:
        checked_type("simd", simd, str)
    family._renderer().render(
        rendering._core, flat[0], flat[1], seed, threads, images.reshape(-1), redraws, simd
    )
    return (images, redraws) if return_redraws else images


def _checked_out(out: Pictures, shape: tuple[int, ...]) -> Pictures:
    checked_type("out", out, np.ndarray)
    if out.dtype != np.uint8:
        raise TypeError(f"out must be uint8, got {out.dtype}")
    if out.shape != shape or not (out.flags.c_contiguous and out.flags.writeable):
        raise ValueError(
            f"out must be a writeable array of shape {shape} in one piece, got shape {out.shape}"
            f"{'' if out.flags.c_contiguous else ' in pieces'}"
            f"{'' if out.flags.writeable else ' that cannot be written'}"
        )
    return out
