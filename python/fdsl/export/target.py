"""The files of a target beside an image: masks as PNG, labels and boxes as JSON.

Maps are written by Pillow, not by ``fdsl.png``: their values are numbers of categories and objects,
which a reader must get back as they are, and not shades of gray.
"""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from fdsl import targets
from fdsl.families import Family

#: The endings of a target's files.
ENDINGS: dict[str, tuple[str, ...]] = {
    "label": (),
    "labels": ("labels.json",),
    "mask": ("mask.png",),
    "boxes": ("boxes.json", "objects.png"),
}

#: What 16 bits hold beside background.
MOST_CATEGORIES = 65_535


def check_target(family: Family, target: str) -> None:
    """Raises ValueError if the family has no such target, or files cannot hold it."""
    targets.checked_target(family, target)
    if target == "mask" and len(family) > MOST_CATEGORIES:
        raise ValueError(
            f"a mask in a file has at most {MOST_CATEGORIES:,} categories, got {len(family):,}"
        )


def files_of(
    objects: targets.Objects, categories: Sequence[int], target: str, classes: int
) -> dict[str, bytes]:
    """Returns the files of a sample's target, by their endings.

    Args:
        objects: (H, W), which object each pixel shows.
        categories: of the objects.
        target: a name in ``ENDINGS``, not ``"label"``.
        classes: how many categories the family has.
    """
    if target == "labels":
        found = np.flatnonzero(targets.labels(objects, categories, classes))
        return {"labels.json": json.dumps(found.tolist()).encode()}
    if target == "mask":
        return {"mask.png": encode_map(targets.mask(objects, categories), classes)}
    boxes = targets.boxes(objects, categories)
    described = {
        "boxes": boxes["boxes"].astype(np.int64).tolist(),
        "labels": boxes["labels"].tolist(),
    }
    visible = targets.visible(objects)
    renumbered = np.zeros(int(objects.max()) + 1, np.int64)
    renumbered[visible] = np.arange(1, len(visible) + 1)
    return {
        "boxes.json": json.dumps(described).encode(),
        "objects.png": encode_map(renumbered[objects], len(visible)),
    }


def encode_map(numbers: npt.NDArray[np.integer], most: int) -> bytes:
    """Encodes a map of the numbers 0…most as PNG: 8 bits with a palette, or 16 bits of gray."""
    Image = _pillow()
    if most <= 255:
        image = Image.fromarray(np.ascontiguousarray(numbers, np.uint8)).convert("L")
        image.putpalette(PALETTE)
    else:
        image = Image.fromarray(np.ascontiguousarray(numbers, np.uint16))
    content = io.BytesIO()
    image.save(content, "PNG")
    return content.getvalue()


def decode_map(content: bytes) -> npt.NDArray[Any] | None:
    """Decodes what ``encode_map`` encoded, on any machine; ``None`` if it is something else."""
    try:
        with _pillow().open(io.BytesIO(content), formats=["PNG"]) as image:
            image.load()
    except (OSError, SyntaxError, ValueError):  # so Pillow says that it is damaged
        return None
    if image.mode == "P":
        return np.asarray(image) if bytes(image.getpalette()) == PALETTE else None
    return np.asarray(image).astype(np.uint16) if image.mode in ("I;16", "I") else None


def _pillow() -> Any:
    try:
        from PIL import Image
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            "maps are written with Pillow: it is in the extra 'export'"
        ) from None
    return Image


def _palette() -> bytes:
    """Black, then 255 colors that tell neighbors apart: those of PASCAL VOC, known to viewers."""
    colors = np.zeros((256, 3), np.uint8)
    for number in range(256):
        for bit in range(8):
            colors[number, bit % 3] |= (number >> bit & 1) << 7 - bit // 3
    return colors.tobytes()


PALETTE = _palette()
