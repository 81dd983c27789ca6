"""Rendering of families in Python: ``draw`` for each address, then crops and flips."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from fdsl import _core
from fdsl.frame import Frame
from fdsl.job import Addresses, Job, Rendered
from fdsl.sample import Sample

if TYPE_CHECKING:
    from fdsl.families.base import Family

#: Flips: none, top-bottom, left-right, both.
FLIPS = 4
#: How often a black image is re-rendered at most. Part of the format.
RETRIES = 8
#: Offset of the random streams of crop windows, beyond those of the attempts.
CROP = 1 << 32
#: The largest number of objects in an image: 16 bits.
MAX_OBJECTS = 65_535


def draw_samples(
    family: Family,
    job: Job,
    addresses: Addresses,
    images: npt.NDArray[np.uint8],
    objects: npt.NDArray[np.uint16] | None,
) -> Rendered:
    """Renders each address into the arrays, as documented in ``Family.render_into``."""
    frame = job.frame
    retries = np.empty(len(images), np.uint8)
    of_objects: list[list[int]] = []
    pairs = zip(*(numbers.tolist() for numbers in addresses), strict=True)
    for number, (category, index) in enumerate(pairs):
        address = (family.name, family.format, job.seed, category, index)
        parameters = family[category]  # raises IndexError if out of range
        for attempt in range(RETRIES + 1):
            try:
                sample = _draw_checked(family, parameters, frame, address, attempt)
            except Exception as error:
                if hasattr(error, "add_note"):  # Python ≥ 3.11
                    kind, seed = type(family).__name__, job.seed
                    at = f"seed={seed}, category={category}, index={index}, {frame}"
                    error.add_note(f"In {kind}.draw, for the image at {at}")
                raise
            kept = window(frame, address, attempt)
            image = flipped(sample.image, frame, index)[kept]
            if image.any() or not frame.resample_degenerate:
                break
        images[number], retries[number] = image, attempt
        if objects is not None:
            objects[number] = flipped(sample.objects, frame, index)[kept]
            of_objects.append([int(category) for category in sample.categories])
    return Rendered(retries, None if objects is None else of_objects)


Address = tuple[str, int, int, int, int]


def generator(address: Address, stream: int) -> np.random.Generator:
    """Returns the random numbers of an address."""
    # Philox by name: unlike default_rng, it never changes its bits.
    return np.random.Generator(np.random.Philox(key=_core.address_key(*address, stream)))


def flip_of(frame: Frame, index: int) -> int:
    """Returns the number of the flip of an instance."""
    return index % FLIPS if frame.flips else 0


def _draw_checked(
    family: Family, parameters: Any, frame: Frame, address: Address, attempt: int
) -> Sample:
    name, format, seed, category, index = address
    shared = (name, format, seed, category, index - flip_of(frame, index))
    sample = family.draw(parameters, generator(shared, attempt), frame)
    what = f"{type(family).__name__}.draw"
    if not isinstance(sample, Sample):
        if family.targets:
            raise TypeError(
                f"{what} must return an fdsl.Sample, since the family has the targets "
                f"{', '.join(family.targets)}; got {type(sample).__name__}"
            )
        sample = Sample(sample, np.ones((frame.height, frame.width), np.uint16), [category])
    shape = (frame.height, frame.width)
    channels = (3,) if frame.color else ()
    if not (isinstance(sample.image, np.ndarray) and sample.image.dtype == np.uint8):
        raise TypeError(f"{what} must return a uint8 array, got {_kind(sample.image)}")
    if sample.image.shape != (*shape, *channels):
        raise ValueError(
            f"{what} must return shape {(*shape, *channels)}, got {sample.image.shape}"
        )
    objects = sample.objects
    if not (isinstance(objects, np.ndarray) and objects.dtype.kind in "iu"):
        raise TypeError(f"the objects of {what} must be an array of integers, got {_kind(objects)}")
    if objects.shape != shape:
        raise ValueError(f"the objects of {what} must have shape {shape}, got {objects.shape}")
    count = min(len(sample.categories), MAX_OBJECTS)
    least, most = int(objects.min()), int(objects.max())
    if least < 0 or most > count:
        raise ValueError(
            f"the objects of {what} are numbered from 1 to {count}, and 0 is background; got "
            f"{least if least < 0 else most}"
        )
    for one in sample.categories:
        if not 0 <= operator.index(one) < len(family):
            raise ValueError(
                f"the categories of {what} must lie between 0 and {len(family) - 1}, got {one}"
            )
    return sample


def _kind(value: object) -> str:
    return str(value.dtype) if isinstance(value, np.ndarray) else type(value).__name__


def window(frame: Frame, address: Address, attempt: int) -> tuple[slice, slice]:
    """Returns the window of the crop: the whole image if there is none."""
    height, width = frame.output_size
    room = (frame.height - height, frame.width - width)
    if frame.crop is not None and frame.crop_position == "random":
        rng = generator(address, CROP + attempt)
        top, left = (int(rng.integers(0, most, endpoint=True)) for most in room)
    else:
        top, left = room[0] // 2, room[1] // 2
    return slice(top, top + height), slice(left, left + width)


def flipped(whole: npt.NDArray[Any], frame: Frame, index: int) -> npt.NDArray[Any]:
    """Flips an image or an object map."""
    flip = flip_of(frame, index)
    return whole[:: -1 if flip & 1 else 1, :: -1 if flip & 2 else 1]
