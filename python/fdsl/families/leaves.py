"""Dead leaves."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, NamedTuple, SupportsIndex

import numpy as np
import numpy.typing as npt

from fdsl._checks import shown
from fdsl.families.core import CoreFamily, rows_of
from fdsl.families.registry import find
from fdsl.families.stored import Arrays, number_or_none, stored_rows
from fdsl.frame import Frame

#: The kinds of leaves, in order of their numbers; ``mixed`` picks one of the others for each leaf.
SHAPES = (
    "circle",
    "square",
    "oriented_square",
    "rectangle",
    "triangle",
    "quadrilateral",
    "mixed",
)

#: Most categories that can be enumerated, since each keeps a table of its radii.
MAX_ENUMERATED = 100_000

#: The distribution of the authors' code: exponent, smallest and largest radius.
PAPER = (3.0, 0.03, 1.0)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Leaves(Frame):
    """Rendering settings of ``DeadLeaves``.

    It also has all settings of ``Frame``.

    Args:
        compat: ``"released"`` replays the random numbers of the authors' code: the image of index i
            is the original image i, whatever the seed (with ``flips``, indices 4·n to 4·n + 3 are
            the flips of image 4·n). It needs ``color=True``.

    Raises:
        ValueError: a number or a name is out of range; the message says what is accepted.
        TypeError: an argument is of the wrong type, or there is no such setting.
    """

    compat: Literal["released"] | None = None

    _checked_as: ClassVar[str | None] = "deadleaves"

    @classmethod
    def released(cls, **changes: Any) -> Leaves:
        """Returns the settings that replay the authors' code: 128² pixels, color, no flips.

        Args:
            **changes: settings that replace the released code's.
        """
        settings = {"size": 128, "color": True, "flips": False, "resample_degenerate": False}
        return cls(**{**settings, "compat": "released", **changes})


class LeafCategory(NamedTuple):
    """One category of dead leaves."""

    #: The kind of leaf, one of ``SHAPES``.
    shape: str
    #: How fast large leaves become rare: a radius r has the weight r^-exponent.
    exponent: float
    #: The smallest radius, relative to the shorter side of the image.
    min_radius: float
    #: The largest radius, relative to the same side.
    max_radius: float

    def _repr_png_(self) -> bytes | None:
        """Returns a row of instances without texture, which notebooks show."""
        return DeadLeaves([[SHAPES.index(self.shape), *self[1:]]])._repr_png_()


class DeadLeaves(CoreFamily[LeafCategory]):
    """Dead leaves (Lee, Mumford and Huang, 2001; Baradad et al., "Learning to See by Looking at
    Noise", NeurIPS 2021); immutable, a sequence of ``LeafCategory``.

    Shapes, each of one color, cover each other until none of the ground is visible. A category is a
    kind of shape and the distribution of its radius; an instance has its own positions, sizes
    and colors. The kinds, the sizes and the first distribution (weight r^-3 from 0.03 to 1 of the
    image) are those of the second paper's code, which draws images without labels; the categories
    are ours.

    The settings are ``Leaves``. Gray leaves have the same shapes as colored ones.

    Args:
        categories: the number of categories. Category c has the shape ``SHAPES[c % 7]`` and the
            distribution c // 7: number 0 is the original, and the others spread evenly over
            exponents from 2 to 5 and smallest radii from 0.02 to 0.1. A larger number leaves the
            first categories unchanged. Or an array (C, 4) of shapes (0…6, their numbers in
            ``SHAPES``), exponents (0.1…10), smallest and largest radii (0.001…1).
        texture: a family of the core that takes a plain ``Frame``, such as ``Spectrum`` or
            ``Perlin``. Each image uses eight textures, images of any of its categories. A leaf
            takes one of them, and is lighter or darker where the texture differs from middle gray.
            The shapes are the same without it.

    Raises:
        ValueError: a number is out of range.
        TypeError: an argument is of the wrong type.

    >>> DeadLeaves(49)[6]
    LeafCategory(shape='mixed', exponent=3.0, min_radius=0.03, max_radius=1.0)
    """

    name = "deadleaves"
    _categories_array = "leaves"
    style = Leaves

    def __init__(
        self,
        categories: SupportsIndex | npt.ArrayLike = 49,
        *,
        texture: CoreFamily[Any] | None = None,
    ) -> None:
        if texture is not None and (
            not isinstance(texture, CoreFamily) or texture.style is not Frame
        ):
            raise TypeError(
                "texture must be a family of the core that takes a plain Frame, such as Spectrum "
                f"or Perlin, got {shown(texture)}"
            )
        self._texture = texture
        number = number_or_none(categories, MAX_ENUMERATED)
        if number is None:
            self._leaves = rows_of(categories, 4).astype(np.float64)
        else:
            shapes = len(SHAPES)
            self._leaves = np.array([(c % shapes, *_radii(c // shapes)) for c in range(number)])
        self.core()  # checks the numbers

    @property
    def texture(self) -> CoreFamily[Any] | None:
        """The family that shades the leaves, if there is one."""
        return self._texture

    @classmethod
    def paper(cls, shape: str = "mixed", *, texture: CoreFamily[Any] | None = None) -> DeadLeaves:
        """Returns a data set of the paper: one category, a shape with the original radii.

        Args:
            shape: one of ``SHAPES``; the paper trains on ``"square"``, ``"oriented_square"`` and
                ``"mixed"``.
            texture: as for the class.

        Raises:
            ValueError: there is no such shape.
        """
        if shape not in SHAPES:
            raise ValueError(f"shape must be one of {', '.join(SHAPES)}, got {shown(shape)}")
        return cls([(SHAPES.index(shape), *PAPER)], texture=texture)

    def parameters(self, category: int) -> dict[str, Any]:
        """Returns the shape and the radii of a category, and the name of the texture, if any."""
        own = self[category]._asdict()
        return own if self._texture is None else {**own, "texture": self._texture.name}

    def checked_style(self, rendering: Frame | None) -> Frame:
        """Returns the settings as an instance of this family's style; its defaults for ``None``.

        Raises:
            TypeError: some settings do not apply to this family.
            ValueError: the settings replay the released code, which has no textures.
        """
        style = super().checked_style(rendering)
        if self._texture is not None and isinstance(style, Leaves) and style.compat is not None:
            raise ValueError(f"compat={style.compat!r} is for leaves without a texture")
        return style

    def __len__(self) -> int:
        return len(self._leaves)

    def _single(self, category: int) -> LeafCategory:
        shape, *radii = self._leaves[category].tolist()
        return LeafCategory(SHAPES[int(shape)], *radii)

    def _arrays(self) -> Arrays:
        arrays = {"leaves": self._leaves}
        if self._texture is not None:
            start = f"texture.{self._texture.name}."
            arrays |= {start + name: array for name, array in self._texture._arrays().items()}
        return arrays

    @classmethod
    def _from_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> DeadLeaves:
        own = [name.split(".", 2) for name in arrays if name.startswith("texture.")]
        if not own:
            return cls(stored_rows(cls, arrays))
        kind = own[0][1]
        parts = {name: arrays[f"texture.{kind}.{name}"] for _, _, name in own}
        return cls(stored_rows(cls, arrays), texture=find(kind)._from_arrays(parts))


def _radii(number: int) -> tuple[float, float, float]:
    """Returns a distribution of radii: the original, then a sequence that covers exponents and
    radii evenly (Roberts' R2)."""
    if number == 0:
        return PAPER
    plastic = 1.324717957244746  # the root of x³ = x + 1
    across, along = (number / plastic % 1, number / plastic**2 % 1)
    # Rounded, since the last bit of a power differs between platforms.
    return round(2 + 3 * across, 3), round(0.02 * 5**along, 4), 1.0
