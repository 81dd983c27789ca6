"""Families in Python: ``draw`` called for each address, then cropped and flipped."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from fdsl import _core
from fdsl.sample import Sample

if TYPE_CHECKING:
    from fdsl.families.base import Family
    from fdsl.frame import Frame

#: Flips: none, top-bottom, left-right, both.
FLIPS = 4
#: How often a black image is drawn again. Part of the format.
RETRIES = 8
#: Numbers the random streams of crop windows, beside those of the attempts.
CROP = 1 << 32


def draw_samples(
    family: Family,
    frame: Frame,
    categories: npt.NDArray[np.uint64],
    indices: npt.NDArray[np.uint64],
    seed: int,
    images: npt.NDArray[np.uint8],
    retries: npt.NDArray[np.uint8],
    objects: npt.NDArray[np.uint16] | None,
) -> list[list[int]] | None:
    """Fills the memory for each address, as ``Family.render_into`` says."""
    of_objects: list[list[int]] = []
    for number, (category, index) in enumerate(
        zip(categories.tolist(), indices.tolist(), strict=True)
    ):
        address = (family.name, family.format, seed, category, index)
        parameters = family[category]  # raises IndexError where there is none
        for attempt in range(RETRIES + 1):
            sample = _drawn(family, parameters, frame, address, attempt)
            image = _kept(sample.image, frame, address, attempt)
            if image.any() or not frame.resample_degenerate:
                break
        images[number], retries[number] = image, attempt
        if objects is not None:
            objects[number] = _kept(sample.objects, frame, address, attempt)
            of_objects.append([int(category) for category in sample.categories])
    return None if objects is None else of_objects


Address = tuple[str, int, int, int, int]


def _generator(address: Address, stream: int) -> np.random.Generator:
    # A generator by its algorithm: its bits never change.
    return np.random.Generator(np.random.Philox(key=_core.address_key(*address, stream)))


def _flip(frame: Frame, index: int) -> int:
    return index % FLIPS if frame.flips else 0


def _drawn(family: Family, parameters: Any, frame: Frame, address: Address, attempt: int) -> Sample:
    name, format, seed, category, index = address
    shared = (name, format, seed, category, index - _flip(frame, index))
    drawn = family.draw(parameters, _generator(shared, attempt), frame)
    shape = (frame.height, frame.width)
    if not isinstance(drawn, Sample):
        drawn = Sample(drawn, np.ones(shape, np.uint16), [category])
    channels = (3,) if frame.color else ()
    image = drawn.image
    if not (isinstance(image, np.ndarray) and image.dtype == np.uint8):
        kind = image.dtype if isinstance(image, np.ndarray) else type(image).__name__
        raise TypeError(f"{type(family).__name__}.draw must return a uint8 array, got {kind}")
    if image.shape != (*shape, *channels):
        raise ValueError(
            f"{type(family).__name__}.draw must return shape {(*shape, *channels)}, "
            f"got {image.shape}"
        )
    if drawn.objects.shape != shape:
        raise ValueError(
            f"the objects of {type(family).__name__}.draw must have shape {shape}, got "
            f"{drawn.objects.shape}"
        )
    most = int(drawn.objects.max(initial=0))
    if int(drawn.objects.min(initial=0)) < 0 or most > min(len(drawn.categories), 65_535):
        raise ValueError(
            f"the objects of {type(family).__name__}.draw are numbered from 1 to "
            f"{len(drawn.categories)}, got {most}"
        )
    return drawn


def _kept(
    whole: npt.NDArray[Any], frame: Frame, address: Address, attempt: int
) -> npt.NDArray[Any]:
    """Flips an image or a map, and crops it."""
    flip = _flip(frame, address[-1])
    flipped = whole[:: -1 if flip & 1 else 1, :: -1 if flip & 2 else 1]
    if frame.crop is None:
        return flipped
    height, width = frame.output_size
    room = (frame.height - height, frame.width - width)
    if frame.crop_position == "random":
        rng = _generator(address, CROP + attempt)
        top, left = (int(rng.integers(0, most, endpoint=True)) for most in room)
    else:
        top, left = room[0] // 2, room[1] // 2
    return flipped[top : top + height, left : left + width]
