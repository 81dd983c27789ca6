"""Composes scenes in Python, for parts that are written in Python. The rules are those of
``rust/formula/scene/``; the random numbers differ."""

from __future__ import annotations

import dataclasses
import decimal
import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fdsl.families.base import Family
from fdsl.families.drawing import RETRIES, Address, flip_of, flipped, generator, window
from fdsl.families.perlin import Perlin
from fdsl.frame import Frame
from fdsl.job import Addresses, Job, Rendered

if TYPE_CHECKING:
    from fdsl.families.scene import Scene

#: The smallest side of an image.
SMALLEST = 16
#: Does not depend on the context of the caller's thread.
EXACT = decimal.Context(prec=28, rounding=decimal.ROUND_HALF_EVEN, traps=[])


class Object(NamedTuple):
    """One object, before it is rendered."""

    #: 0 for the object of the scene's own category.
    number: int
    category: int
    side: int
    top: int
    left: int
    color: npt.NDArray[np.int64]
    rank: float
    #: Seed in the address of the object.
    seed: int
    instance: int


#: Returns the settings of a part, or of the backdrop for −1, at a size, in color or not.
Scaled = Callable[[int, tuple[int, int], bool], Frame]


class Canvas(NamedTuple):
    """The whole scene."""

    image: npt.NDArray[np.uint8]
    #: 0 for the background, else the number of the object, counted from 1.
    map: npt.NDArray[np.uint16]


def compose(
    scene: Scene,
    job: Job,
    addresses: Addresses,
    images: npt.NDArray[np.uint8],
    objects: npt.NDArray[np.uint16] | None,
) -> Rendered:
    """Renders each address into the arrays, as documented in ``Family.render_into``."""
    frame: Any = job.frame

    @functools.cache  # checking settings takes as long as rendering a small image
    def scaled(part: int, size: tuple[int, int], color: bool) -> Frame:
        return _scaled(scene.style_of(part), size, color, **({"flips": False} if part < 0 else {}))

    retries = np.empty(len(images), np.uint8)
    of_objects = []
    pairs = zip(*(numbers.tolist() for numbers in addresses), strict=True)
    for number, (category, index) in enumerate(pairs):
        if category >= len(scene):
            raise IndexError(
                f"category {category} is out of range: there are {len(scene)}, counted from 0"
            )
        address = (scene.name, scene.format, job.seed, category, index)
        shared = (*address[:4], index - flip_of(frame, index))
        for attempt in range(RETRIES + 2):
            rng = generator(shared, attempt)
            last = attempt > RETRIES
            asked = _layout(frame, category, len(scene), rng)
            if last:
                asked = [_alone(frame, min(asked))]  # number 0, wherever it lies
            canvas = _painted(scene, job, asked, rng, scaled)
            if last and not (canvas.map == 1).any():  # resizing has lost an object of a few pixels
                sharp = job._replace(frame=dataclasses.replace(frame, render_scale=None))
                canvas = _painted(scene, sharp, asked, rng, scaled)
            kept = _window(frame, address, attempt, canvas if last else None)
            image, seen = (flipped(whole, frame, index)[kept] for whole in canvas)
            if (seen == 1).any() or not frame.resample_degenerate:
                break
        images[number], retries[number] = image, attempt
        if objects is not None:
            objects[number] = seen
        of_objects.append([one.category for one in sorted(asked)])
    return Rendered(retries, None if objects is None else of_objects)


def _layout(frame: Any, category: int, categories: int, rng: np.random.Generator) -> list[Object]:
    """Draws the objects, from front to back."""
    found = []
    for number in range(rng.integers(frame.min_objects, frame.max_objects, endpoint=True)):
        drawn = int(rng.integers(categories))
        side = _side(frame, _uniform(rng, frame.min_scale, frame.max_scale))
        beyond = int(frame.overhang * side)
        top, left = (
            int(rng.integers(-beyond, size - side + beyond, endpoint=True))
            for size in (frame.height, frame.width)
        )
        found.append(
            Object(
                number,
                drawn if number else category,
                side,
                top,
                left,
                rng.integers(64, 256, 3),
                rng.random(),
                int(rng.integers(2**64, dtype=np.uint64)),
                int(rng.integers(2**32)),
            )
        )
    if frame.order == "random":
        found.sort(key=lambda one: one.rank)
    elif frame.order == "small_in_front":
        found.sort(key=lambda one: (one.side, one.rank))
    return found


def _uniform(rng: np.random.Generator, low: float, high: float) -> float:
    # rng.uniform fuses the multiplication and the addition on some processors.
    return low + (high - low) * rng.random()


def _alone(frame: Any, one: Object) -> Object:
    """Returns the object of the scene's category, moved to the center."""
    side = _side(frame, frame.max_scale)
    top, left = (frame.height - side) // 2, (frame.width - side) // 2
    return one._replace(side=side, top=top, left=left)


def _side(frame: Frame, scale: float) -> int:
    shorter = min(frame.height, frame.width)
    return min(max(int(scale * shorter), SMALLEST), shorter)


def _painted(
    scene: Scene, job: Job, asked: list[Object], rng: np.random.Generator, scaled: Scaled
) -> Canvas:
    """Paints the objects on the backdrop, from front to back."""
    frame: Any = job.frame
    size = (frame.height, frame.width)
    canvas = Canvas(_behind(scene, job, rng, scaled), np.zeros(size, np.uint16))
    random = frame.object_color == "random"
    for one in asked:
        part, category = scene.part_of(one.category)
        family = scene.parts[part]
        drawn = one.side if frame.render_scale is None else _side(frame, frame.render_scale)
        color = frame.color and not random
        own = scaled(part, (drawn, drawn), color)
        pixels = _rendered(family, own, job, category, one.instance, one.seed)
        if drawn != one.side:
            pixels = _resized(pixels, (one.side, one.side))
            own = scaled(part, (one.side, one.side), color)
        shown = family.shows(pixels, own)
        if random:
            pixels = _colored(pixels, shown, one.color if frame.color else one.color[:1])
        top, left = max(0, -one.top), max(0, -one.left)
        inside = np.s_[top : size[0] - one.top, left : size[1] - one.left]
        shown, pixels = shown[inside], pixels[inside]
        where = np.s_[
            one.top + top : one.top + top + shown.shape[0],
            one.left + left : one.left + left + shown.shape[1],
        ]
        free = shown & (canvas.map[where] == 0)
        total, visible = int(shown.sum()), int(free.sum())
        most = 1.0 if one.number == 0 else frame.max_covered
        if visible and total - visible <= most * total:
            # Faster than an assignment to the pixels that a mask selects.
            np.copyto(canvas.map[where], np.uint16(one.number + 1), where=free)
            free = free if pixels.ndim == 2 else free[..., None]
            np.copyto(canvas.image[where], pixels, where=free)
    if frame.blur > 0:
        blurred, sigma = rng.random() < frame.blur, _uniform(rng, 0.5, 1)
        if blurred:
            canvas.image[:] = _blurred(canvas.image, sigma)
    return canvas


def _behind(
    scene: Scene, job: Job, rng: np.random.Generator, scaled: Scaled
) -> npt.NDArray[np.uint8]:
    frame: Any = job.frame
    size = (frame.height, frame.width)
    backdrop = frame.backdrop or ("black" if scene.backdrop is None else "family")
    # All are drawn, whichever this backdrop needs: the numbers after them must not depend on it.
    gray, frequency = int(rng.integers(128)), _uniform(rng, 1, 12)
    seed, choice, index = rng.integers(2**63), rng.random(), rng.integers(2**32)
    if backdrop == "family":
        assert scene.backdrop is not None
        category = int(choice * len(scene.backdrop))
        style = scaled(-1, size, frame.color)
        return _rendered(scene.backdrop, style, job, category, int(index), int(seed))
    if backdrop == "noise":
        noise = Perlin([(frequency, frequency)], octaves=3)
        style = Frame(size=size, color=frame.color, flips=False)
        return _rendered(noise, style, job, 0, int(index), int(seed))
    grays = {"black": 0, "white": 255, "gray": gray if gray < 64 else gray + 128}
    shape = (*size, 3) if frame.color else size
    return np.full(shape, grays[backdrop], np.uint8)


def _scaled(style: Frame, size: tuple[int, int], color: bool, **changes: Any) -> Frame:
    """Returns the settings for a copy of another size."""
    scale = min(size) / min(style.height, style.width)
    scaled = {**style._shrunk(scale), "size": size, "crop": None, "color": color, **changes}
    if "margin" in scaled:
        scaled["margin"] = min(scaled["margin"], (min(size) - 2) // 2)
    if "num_points" in scaled:
        scaled["num_points"] = min(scaled["num_points"], 1 << 24)
    return dataclasses.replace(style, **scaled)


def _rendered(
    family: Family, style: Frame, job: Job, category: int, index: int, seed: int
) -> npt.NDArray[np.uint8]:
    image: npt.NDArray[np.uint8] = np.empty(style.image_shape, np.uint8)
    address = np.array([category], np.uint64), np.array([index], np.uint64)
    family.render_into(job._replace(frame=style, seed=seed), address, image[None])
    return image


def _colored(
    pixels: npt.NDArray[np.uint8], shown: npt.NDArray[np.bool_], color: npt.NDArray[np.int64]
) -> npt.NDArray[np.uint8]:
    """Turns gray pixels into shades of one color."""
    strength = pixels.astype(np.int64)
    if shown.any() and not shown.all() and pixels[~shown].min() == 255:  # dark on white
        strength = 255 - strength
    peak = max(1, int(strength[shown].max(initial=0)))
    shades = np.maximum(strength[..., None] * color // peak, 1).clip(0, 255).astype(np.uint8)
    colored: npt.NDArray[np.uint8] = shades if len(color) == 3 else shades[..., 0]
    return colored


def _resized(pixels: npt.NDArray[np.uint8], size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """Resizes an image by linear interpolation between the pixels around each new center."""
    found = pixels.astype(np.float64)
    for axis, side in enumerate(size):
        last = pixels.shape[axis] - 1
        centers = (np.arange(side) + 0.5) * pixels.shape[axis] / side - 0.5
        first = np.minimum(centers.clip(0).astype(int), last)
        shape = [-1 if n == axis else 1 for n in range(pixels.ndim)]
        share = (centers.clip(0, last) - first).reshape(shape)
        second = np.minimum(first + 1, last)
        found = found.take(first, axis) * (1 - share) + found.take(second, axis) * share
    return np.rint(found).astype(np.uint8)


def _blurred(pixels: npt.NDArray[np.uint8], sigma: float) -> npt.NDArray[np.uint8]:
    """Blurs an image with a 3×3 Gaussian kernel; the image is reflected at the border."""
    # Correctly rounded: NumPy's exp differs between processors in the last bit.
    side = float(EXACT.exp(decimal.Decimal(-0.5 / (sigma * sigma))))
    found = pixels.astype(np.float64)
    for axis in (0, 1):
        around = [(1, 1) if n == axis else (0, 0) for n in range(pixels.ndim)]
        padded = np.pad(found, around, mode="reflect")
        count = pixels.shape[axis]
        before, here, after = (padded.take(range(n, n + count), axis) for n in range(3))
        found = (here + side * (before + after)) / (1 + 2 * side)
    return np.rint(found).astype(np.uint8)


def _window(
    frame: Frame, address: Address, attempt: int, showing: Canvas | None
) -> tuple[slice, slice]:
    """Returns the window to keep; with a canvas, one that shows its first object."""
    kept = frame.output_size
    room = (frame.height - kept[0], frame.width - kept[1])
    cells = np.empty((0, 2), np.intp)
    if showing is not None and frame.crop is not None:
        cells = np.argwhere(flipped(showing.map, frame, address[-1]) == 1)
    if len(cells) > 0:  # a part in Python may draw an empty image
        corner = [int(c) - k // 2 for c, k in zip(cells[0], kept, strict=True)]
        top, left = (min(max(c, 0), most) for c, most in zip(corner, room, strict=True))
    else:
        return window(frame, address, attempt)
    return slice(top, top + kept[0]), slice(left, left + kept[1])
