"""What to learn from an image: its label, the labels of its objects, a mask, or boxes.

Every target but the label is made of two things that a family gives for each image: which object
each pixel shows, and the category of each object. Objects of which no pixel is visible, because
others or the crop hide them, are in no target.
"""

from __future__ import annotations

import typing
from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from fdsl._checks import checked_type, shown
from fdsl.job import Addresses, Job

if typing.TYPE_CHECKING:
    from fdsl.families.base import Family

#: ``"label"``: int64 (B,), the category. ``"labels"``: float32 (B, C), 1 for the category of every
#: visible object. ``"mask"``: int64 (B, H, W), 0 is background, else category + 1. ``"boxes"``: a
#: dict for each image, as torchvision's detection models take them.
TargetName: TypeAlias = Literal["label", "labels", "mask", "boxes"]
TARGETS: tuple[str, ...] = typing.get_args(TargetName)

Objects: TypeAlias = "npt.NDArray[np.uint16]"
#: The targets of a batch: an array whose first axis is the batch, or a dict for each image.
Targets: TypeAlias = "npt.NDArray[Any] | list[dict[str, npt.NDArray[Any]]]"


def checked_target(family: Family, target: str, label_noise: float = 0.0) -> str:
    """Returns the target if the family offers it.

    Raises:
        ValueError: there is no such target, the family does not offer it, or ``label_noise`` is
            given with a target other than ``"label"``.
    """
    checked_type("target", target, str)
    if target not in TARGETS:
        names = ", ".join(map(repr, TARGETS))
        raise ValueError(f"target must be one of {names}, got {shown(target)}")
    offered = ("label", *family.targets)
    if target not in offered:
        raise ValueError(
            f"{type(family).__name__} has no target {target!r}; it has "
            f"{', '.join(map(repr, offered))}"
        )
    if label_noise > 0 and target != "label":
        raise ValueError(f"label_noise is only for target='label', got {target!r}")
    return target


def render_targets(
    family: Family,
    job: Job,
    addresses: Addresses,
    images: npt.NDArray[np.uint8],
    target: str,
    label_noise: float = 0.0,
) -> Targets:
    """Renders addresses into ``images``, and returns their targets."""
    if target == "label":
        family.render_into(job, addresses, images)
        return family.labels(addresses, job.seed, label_noise)
    return targets_of(*render_objects(family, job, addresses, images), target, len(family))


def render_batch(
    family: Family,
    job: Job,
    numbers: npt.NDArray[np.uint64],
    images: npt.NDArray[np.uint8],
    target: str,
    *,
    instances: int | None,
    label_noise: float,
) -> Targets:
    """Renders samples of a stream, by their numbers, and returns their targets."""
    if target == "label":  # one call into the core
        return family.batch_into(job, numbers, images, instances=instances, label_noise=label_noise)
    return render_targets(family, job, family.order(numbers, instances, job.seed), images, target)


def render_objects(
    family: Family, job: Job, addresses: Addresses, images: npt.NDArray[np.uint8]
) -> tuple[Objects, list[list[int]]]:
    """Renders addresses into ``images``, and returns which object each pixel shows, uint16
    (B, H, W), and the categories of the objects of each image."""
    objects = np.empty((len(images), *job.frame.output_size), np.uint16)
    of_objects = family.render_into(job, addresses, images, objects).objects
    if of_objects is None:
        raise TypeError(
            f"{type(family).__name__}.render_into must return the categories of the objects"
        )
    return objects, of_objects


def targets_of(
    objects: Objects, of_objects: Sequence[Sequence[int]], target: str, classes: int
) -> Targets:
    """Makes the targets of a batch, other than the label, from its object maps.

    Args:
        objects: (B, H, W), 0 is background, k the k-th object.
        of_objects: the categories of the objects of each image.
        target: a name in ``TARGETS``.
        classes: how many categories the family has.
    """
    pairs = list(zip(objects, of_objects, strict=True))
    if target == "labels":
        return np.array([labels(*pair, classes) for pair in pairs], np.float32).reshape(-1, classes)
    if target == "mask":
        return np.array([mask(*pair) for pair in pairs], np.int64).reshape(objects.shape)
    return [boxes(*pair) for pair in pairs]


def labels(objects: Objects, categories: Sequence[int], classes: int) -> npt.NDArray[np.float32]:
    """Returns 1 for the category of each visible object, float32 (C,).

    >>> labels(np.array([[0, 2], [2, 2]], np.uint16), [5, 1], 6)
    array([0., 1., 0., 0., 0., 0.], dtype=float32)
    """
    many_hot = np.zeros(classes, np.float32)
    many_hot[np.asarray(categories, np.int64)[visible(objects) - 1]] = 1
    return many_hot


def mask(objects: Objects, categories: Sequence[int]) -> npt.NDArray[np.int64]:
    """Returns 0 for background and category + 1 elsewhere, int64 (H, W).

    >>> mask(np.array([[0, 2], [2, 2]], np.uint16), [5, 1])
    array([[0, 2],
           [2, 2]])
    """
    classes = np.array([0, *(category + 1 for category in categories)], np.int64)
    return classes[objects]


def boxes(objects: Objects, categories: Sequence[int]) -> dict[str, npt.NDArray[Any]]:
    """Returns the boxes of the visible objects, as torchvision's detection models take them.

    Returns:
        ``boxes``: float32 (N, 4), left, top, right, bottom; the pixels are left ≤ x < right.
        ``labels``: int64 (N,), category + 1, since those models keep 0 for background.
        ``masks``: uint8 (N, H, W), 1 where the object is.

    >>> found = boxes(np.array([[0, 2], [2, 2]], np.uint16), [5, 1])
    >>> found["boxes"].tolist(), found["labels"].tolist(), found["masks"].shape
    ([[0.0, 0.0, 2.0, 2.0]], [2], (1, 2, 2))
    """
    numbers = visible(objects)
    corners = np.empty((len(numbers), 4), np.float32)
    masks = np.empty((len(numbers), *objects.shape), np.uint8)
    for row, number in enumerate(numbers):
        masks[row] = objects == number
        down, across = (np.flatnonzero(masks[row].any(axis)) for axis in (1, 0))
        corners[row] = across[0], down[0], across[-1] + 1, down[-1] + 1
    classes = np.asarray(categories, np.int64)[numbers - 1] + 1
    return {"boxes": corners, "labels": classes, "masks": masks}


def visible(objects: Objects) -> npt.NDArray[np.intp]:
    """Returns the numbers of the objects that have a pixel, in order."""
    found = np.flatnonzero(np.bincount(objects.reshape(-1)))
    return found[found > 0]
