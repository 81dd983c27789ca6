"""Scenes: several objects of other families in one image."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal, SupportsIndex

import numpy as np
import numpy.typing as npt

from fdsl._checks import (
    checked_seed,
    checked_type,
    checked_whole,
    counted,
    shown,
    whole_or_none,
)
from fdsl._scripts import reduced
from fdsl.families.base import Family
from fdsl.families.compose import compose
from fdsl.families.contour import RCDB, Contours, VisualAtom
from fdsl.families.core import CoreFamily
from fdsl.families.diamond_square import DiamondSquare
from fdsl.families.ifs import IFS
from fdsl.families.registry import find
from fdsl.families.segrcdb import CLASSES, SegRCDB
from fdsl.families.stored import Arrays
from fdsl.frame import Frame, Slider
from fdsl.job import Addresses, Job, Rendered
from fdsl.rendering import Rendering
from fdsl.sample import Sample

#: Most families in one scene.
MAX_PARTS = 64


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scenes(Frame):
    """Rendering settings of ``Scene``.

    It also has all settings of ``Frame``.

    Args:
        min_objects: the fewest objects of a scene, 1…1,000.
        max_objects: the most objects of a scene; their number is uniform between the two.
        min_scale: the smallest side of an object relative to the shorter side of the image, above
            0. No object is smaller than 16 pixels.
        max_scale: the largest side of an object relative to the shorter side of the image, at most
            1.
        overhang: the share of its side by which an object may hang over the border, 0…0.95.
        order: which objects cover others: the object of the scene's category covers all others, the
            order is random, or small objects cover large ones.
        max_covered: the largest share of an object that may be covered, 0…1; beyond it, the object
            is left out. The object of the scene's category is kept.
        object_color: the color of an object: its family's, or a random one; a random gray in gray
            images.
        backdrop: what is behind the objects: one color, or noise; by default the scene's backdrop
            family, or black if it has none. The gray is random, but not close to that of fractals.
        render_scale: the side at which all objects are rendered, relative to the shorter side of
            the image, above 0 and at most 1; they are then resized to their own sides by linear
            interpolation. ``None`` renders them at their own sides.
        blur: share of images that are softened by a 3×3 Gaussian blur, σ random in [0.5, 1]. It
            does not affect masks and boxes.

    Raises:
        ValueError: a number or a name is out of range; the message says what is accepted.
        TypeError: an argument is of the wrong type, or there is no such setting.
    """

    min_objects: Annotated[int, Slider(1, 32)] = 1
    max_objects: Annotated[int, Slider(1, 32)] = 5
    min_scale: Annotated[float, Slider(0.05, 1)] = 0.15
    max_scale: Annotated[float, Slider(0.05, 1)] = 0.6
    overhang: Annotated[float, Slider(0, 0.95)] = 0.5
    order: Literal["own_in_front", "random", "small_in_front"] = "own_in_front"
    max_covered: Annotated[float, Slider(0, 1)] = 0.9
    object_color: Literal["own", "random"] = "own"
    backdrop: Literal["black", "white", "gray", "noise"] | None = None
    render_scale: Annotated[float, Slider(0.05, 1)] | None = None
    blur: Annotated[float, Slider(0, 1)] = 0.0

    _checked_as: ClassVar[str | None] = "scene"
    _paper: ClassVar[dict[str, Any]] = {
        "size": 224,
        "color": True,
        "max_covered": 1.0,
        "render_scale": 0.5,
        "blur": 0.5,
    }

    @classmethod
    def wacv22(cls, **changes: Any) -> Scenes:
        """Returns the settings of the images with several fractals in "Improving Fractal
        Pre-training" (Anderson and Farrell, WACV 2022), for ``Scene.multi_fractal``; the same as
        ``Scenes.paper``.

        224×224 pixels, in color, 1…5 objects with sides of 0.15…0.6 of the image that hang over the
        border by up to a half. Objects are rendered at 112×112 pixels and resized, and half of the
        images are blurred.

        Args:
            **changes: settings that replace the released code's.
        """
        return cls.paper(**changes)

    @classmethod
    def instances(cls, **changes: Any) -> Scenes:
        """Returns settings for instance segmentation and detection: 2…10 objects, mostly inside
        the image and at least 30% of each visible.

        Args:
            **changes: settings that replace these.
        """
        settings = {"min_objects": 2, "max_objects": 10, "max_scale": 0.45, "overhang": 0.25}
        return cls(**{**settings, "max_covered": 0.7, **changes})


class Scene(CoreFamily[Any]):
    """Several objects in one image, with exact masks and boxes; immutable, a sequence of the
    categories of its parts.

    The scene's categories are those of its parts, concatenated. The scene at
    ``(seed, category, index)`` has an object of that category; the others are sampled uniformly
    from all categories, seeded by the address. Every object is an image of its family in its own
    square frame, and covers what is behind it wherever it shows something. The settings are
    ``Scenes``.

    The targets are ``"label"`` (the scene's category), ``"labels"``, ``"mask"`` and ``"boxes"``.

    A scene with a family written in Python is composed in Python: by the same rules, but slower.

    Args:
        families: the parts, one or several; or a number n, for n contractive fractals
            (``IFS.sample``).
        styles: the settings of each part, or ``None`` for its defaults. Objects are scaled copies
            of images with these settings: the points of ``IFS`` and margins scale with ``size``.
            Widths of contours, and the points of ``IFS3D`` and their size, do not. RCDB is drawn on
            black by default.
        backdrop: a family behind the objects; each scene takes one of its categories at random.
        backdrop_style: the settings of the backdrop.

    Raises:
        ValueError: there is no part, or styles have settings that the scene decides.
        TypeError: a part is not a family.

    >>> import fdsl
    >>> scene = Scene([fdsl.Bezier(4), fdsl.RCDB(3)])
    >>> len(scene), fdsl.render(scene, [0, 6], 0, rendering=Scenes(size=64)).shape
    (7, (2, 64, 64))
    """

    name = "scene"
    style = Scenes
    targets = ("labels", "mask", "boxes")

    def __init__(
        self,
        families: SupportsIndex | Family | Sequence[Family] = 100,
        *,
        styles: Sequence[Frame | None] | None = None,
        backdrop: Family | None = None,
        backdrop_style: Frame | None = None,
    ) -> None:
        number = whole_or_none(families)
        if number is not None:
            families = IFS.sample(number)
        if isinstance(families, Family):
            families = [families]
        if not isinstance(families, Sequence) or isinstance(families, str):
            raise TypeError(
                f"families must be a family, a list of families or a number, got {shown(families)}"
            )
        parts = list(families)
        if not 1 <= len(parts) <= MAX_PARTS:
            raise ValueError(f"a scene needs between 1 and {MAX_PARTS} families, got {len(parts)}")
        if styles is not None and not isinstance(styles, Sequence):
            raise TypeError(f"styles must be a list, one for each family, got {shown(styles)}")
        given = [None] * len(parts) if styles is None else list(styles)
        if len(given) != len(parts):
            raise ValueError(
                f"styles must be one for each of {len(parts)} families, got {len(given)}"
            )
        self._parts = tuple(parts)
        self._styles = tuple(map(_style_of, parts, given))
        self._backdrop = backdrop
        if backdrop is None and backdrop_style is not None:
            raise ValueError("backdrop_style needs a backdrop, got None")
        self._backdrop_style = None if backdrop is None else _style_of(backdrop, backdrop_style)
        self._firsts = np.cumsum([0, *map(len, parts)])
        if self.in_core:
            self.core()  # checks the numbers

    @classmethod
    def multi_fractal(
        cls, categories: int = 1000, *, seed: int = 0, backdrop: Family | None = None
    ) -> Scene:
        """Returns scenes of contractive fractals (Anderson and Farrell, "Improving Fractal
        Pre-training", WACV 2022) on diamond–square noise, colored by density.

        ``Scenes.wacv22()`` has its settings. With other settings, fractals and backdrop
        still follow its rules.

        Args:
            categories: number of fractals.
            seed: seed of the fractals.
            backdrop: a family behind the objects instead of the noise.
        """
        fractals = IFS.sample(categories, seed=checked_seed(seed))
        behind = DiamondSquare(_DECAYS) if backdrop is None else backdrop
        return cls(fractals, styles=[_FRACTALS], backdrop=behind)

    @classmethod
    def instances(cls, categories: int = 100, *, seed: int = 0) -> Scene:
        """Returns scenes of several instances of contours, for instance segmentation and detection;
        ``Scenes.instances()`` has settings for them.

        The contours are those of ``VisualAtom(categories, seed=seed)``, centered in their frames
        and limited to the rings that fit: only the border of the scene cuts them off.

        Args:
            categories: number of contours.
            seed: seed of the contours.
        """
        atoms = VisualAtom(categories, seed=seed)
        rows = []
        for vertices, rings, noise, step, frequencies, radius, oval in atoms:
            # On average a ring moves outward by noise + step, and waves add up to 1. Three standard
            # deviations of the last ring are noise·√rings. The frame reaches 256 from its center.
            room, each = 250 - radius * max(oval), noise + step + 1
            fit = (math.sqrt(noise**2 + 4 * each * room) - noise) / (2 * each)
            rings = max(1, min(rings, int(fit**2)))
            rows.append([vertices, rings, noise, step, *frequencies, radius, *oval])
        return cls(VisualAtom(rows), styles=[Contours(centered=True)])

    @staticmethod
    def segrcdb(categories: int = CLASSES) -> SegRCDB:
        """Returns scenes of SegRCDB: 32 ring polygons all over the image. Its objects are not
        scaled images of a family, so it is a separate family, ``fdsl.SegRCDB``.

        Args:
            categories: number of classes.
        """
        return SegRCDB(categories)

    @property
    def parts(self) -> tuple[Family, ...]:
        """The families whose objects the scenes show."""
        return self._parts

    @property
    def backdrop(self) -> Family | None:
        """The family behind the objects, if there is one."""
        return self._backdrop

    @property
    def format(self) -> int:  # type: ignore[override]  # it depends on the parts
        """Version of the bytes; it changes with the versions of the parts."""
        return 1 + sum(part.format - 1 for part in self._all())

    def sample(
        self, category: int, index: int, seed: int = 0, rendering: Frame | None = None
    ) -> Sample:
        """Renders one scene with all of its annotations.

        Returns:
            The image, the map of its objects, and the category of every requested object, with
            the scene's own category first. ``covered`` lists the objects that are not visible.

        >>> found = Scene(5).sample(3, 0, rendering=Scenes(size=64))
        >>> found.categories[0], found.objects.shape
        (3, (64, 64))
        """
        frame = self.checked_style(rendering)
        image = np.empty((1, *frame.image_shape), np.uint8)
        objects = np.empty((1, *frame.output_size), np.uint16)
        at = checked_whole("index", index)
        numbers = np.array([self._checked(category)], np.uint64), np.array([at], np.uint64)
        rendered = self.render_into(Job(frame, checked_seed(seed)), numbers, image, objects)
        assert rendered.objects is not None
        return Sample(image[0], objects[0], rendered.objects[0])

    def render_into(
        self,
        job: Job,
        addresses: Addresses,
        images: npt.NDArray[np.uint8],
        objects: npt.NDArray[np.uint16] | None = None,
    ) -> Rendered:
        """Renders addresses into existing arrays: in the core, unless a part is in Python."""
        if self.in_core:
            return super().render_into(job, addresses, images, objects)
        return compose(self, job, addresses, images, objects)

    def batch_into(
        self,
        job: Job,
        numbers: npt.NDArray[np.uint64],
        images: npt.NDArray[np.uint8],
        *,
        instances: int | None = None,
        label_noise: float = 0.0,
    ) -> npt.NDArray[np.int64]:
        """Renders samples of a stream and returns their labels."""
        batch_into = super().batch_into if self.in_core else super(CoreFamily, self).batch_into
        return batch_into(job, numbers, images, instances=instances, label_noise=label_noise)

    def part_of(self, category: int) -> tuple[int, int]:
        """Returns the part that a category belongs to, and the category's number within it."""
        part = int(np.searchsorted(self._firsts, category, side="right")) - 1
        return part, category - int(self._firsts[part])

    def style_of(self, part: int) -> Frame:
        """Returns the settings of a part; those of the backdrop for −1."""
        style = self._backdrop_style if part < 0 else self._styles[part]
        assert style is not None
        return style

    def parameters(self, category: int) -> dict[str, Any]:
        """Returns the parameters of a category and the name of its family."""
        part, number = self.part_of(self._checked(category))
        return {"family": self._parts[part].name, **self._parts[part].parameters(number)}

    def __len__(self) -> int:
        return int(self._firsts[-1])

    def _single(self, category: int) -> Any:
        part, number = self.part_of(category)
        return self._parts[part][number]

    def _subset(self, categories: npt.NDArray[np.int64]) -> Scene:
        """Returns a scene with a part for each run of categories of one part."""
        owners = np.searchsorted(self._firsts, categories, side="right") - 1
        starts = np.flatnonzero(np.diff(owners, prepend=-1))
        runs = np.split(categories - self._firsts[owners], starts[1:])
        if len(runs) > MAX_PARTS:
            raise ValueError(
                "in this order the categories alternate between the parts of the scene "
                f"{len(runs)} times, more than {MAX_PARTS}: sort them"
            )
        pairs = zip(owners[starts], runs, strict=True)
        parts = [self._parts[part]._subset(run) for part, run in pairs]
        return type(self)(
            parts,
            styles=[self._styles[part] for part in owners[starts]],
            backdrop=self._backdrop,
            backdrop_style=self._backdrop_style,
        )

    def __repr__(self) -> str:
        names = ", ".join(type(part).__name__ for part in self._parts)
        return f"<Scene: {counted(len(self), 'category', 'categories')} of {names}>"

    @property
    def in_core(self) -> bool:
        """Whether the core renders its images: unless a part or the backdrop is in Python."""
        return all(isinstance(part, CoreFamily) for part in self._all())

    def _all(self) -> list[Family]:
        return [*self._parts, *([] if self._backdrop is None else [self._backdrop])]

    def _prefixed(self) -> list[tuple[str, Family, Frame]]:
        named = [(f"{n}:", part, self._styles[n]) for n, part in enumerate(self._parts)]
        if self._backdrop is not None:
            named.append(("backdrop:", self._backdrop, self.style_of(-1)))
        return named

    def _arrays(self) -> Arrays:
        about = self._described([style.to_dict() for _, _, style in self._prefixed()])
        return {"scene": np.array(about), **self._of_parts()}

    def _core_arrays(self) -> dict[str, Any]:
        styles = [json.loads(style.settings) for _, _, style in self._prefixed()]
        return {"scene": self._described(styles), **self._of_parts()}

    def _described(self, settings: list[dict[str, Any]]) -> str:
        every = [
            {"family": part.name, "settings": one}
            for (_, part, _), one in zip(self._prefixed(), settings, strict=True)
        ]
        backdrop = None if self._backdrop is None else every.pop()
        return json.dumps({"parts": every, "backdrop": backdrop})

    def _of_parts(self) -> Arrays:
        return {
            f"{prefix}{name}": array
            for prefix, part, _ in self._prefixed()
            for name, array in part._arrays().items()
        }

    def _notes(self) -> Arrays:
        return {
            f"{prefix}{name}": array
            for prefix, part, _ in self._prefixed()
            for name, array in part._notes().items()
        }

    @classmethod
    def _from_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> Scene:
        about = json.loads(str(arrays["scene"]))

        def made(prefix: str, described: dict[str, Any]) -> tuple[Family, Frame]:
            kind = find(described["family"])
            own = {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}
            return kind._from_arrays(own), kind.style.from_dict(described["settings"])

        pairs = [made(f"{n}:", part) for n, part in enumerate(about["parts"][: MAX_PARTS + 1])]
        backdrop = about["backdrop"] and made("backdrop:", about["backdrop"])
        behind, style = backdrop or (None, None)
        return cls(
            [part for part, _ in pairs],
            styles=[style for _, style in pairs],
            backdrop=behind,
            backdrop_style=style,
        )

    def __reduce__(self) -> tuple[Any, ...]:
        # Each part knows how other processes find its class.
        own = (self._parts, self._styles, self._backdrop, self._backdrop_style)
        return reduced(_restored, type(self), *own)


#: The fractals of the multi-object images of WACV 2022. Instances differ in the orbit, the patch,
#: the colors, the flip and whether they are transposed.
_FRACTALS = Rendering(
    size=112,
    num_points=100_000,
    patch="fixed",
    shading="density",
    variation=None,
    margin=0,
    transpose=True,
)

#: The released code draws a decay from 0.4 to 0.8 for each image: the centers of 64 intervals.
_DECAYS = 0.4 + 0.4 * (np.arange(64) + 0.5) / 64


def _restored(
    kind: type[Scene],
    parts: tuple[Family, ...],
    styles: tuple[Frame, ...],
    backdrop: Family | None,
    backdrop_style: Frame | None,
) -> Scene:
    scene = kind.__new__(kind)  # whose __init__ may take other arguments
    Scene.__init__(scene, parts, styles=styles, backdrop=backdrop, backdrop_style=backdrop_style)
    return scene


def _style_of(part: Family, given: Frame | None) -> Frame:
    """Returns the settings of a part.

    Raises:
        ValueError: they have settings that the scene decides.
    """
    checked_type("a part of a scene", part, Family)
    if isinstance(part, Scene) or (isinstance(part, CoreFamily) and not part.core().can_be_part):
        raise ValueError(f"a part of a scene cannot be a scene itself, got {part!r}")
    if given is None and isinstance(part, RCDB):
        given = Contours(background="black")
    style = part.checked_style(given)
    fixed = {"crop": None, "crop_position": "random", "color": False, "compat": None}
    for name, value in fixed.items():
        if getattr(style, name, value) != value:
            raise ValueError(
                f"{name} of a part must be {value!r}, since the scene decides it, got "
                f"{getattr(style, name)!r}"
            )
    return style
