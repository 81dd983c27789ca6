"""The files of a target: masks as PNG, labels and boxes as JSON.

Pillow writes the maps, not ``fdsl.png``: their values are category and object numbers, which a
reader must get back unchanged.
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

#: The extensions of a target's files.
EXTENSIONS: dict[str, tuple[str, ...]] = {
    "label": (),
    "labels": ("labels.json",),
    "mask": ("mask.png",),
    "boxes": ("boxes.json", "objects.png"),
}

#: What 16 bits hold, apart from the background.
MAX_CATEGORIES = 65_535


def check_target(family: Family, target: str) -> None:
    """Checks that files can hold a target that a family has.

    Raises:
        ValueError: the family has too many categories for it.
        ModuleNotFoundError: it needs Pillow, which is not installed.
    """
    if any(extension.endswith("png") for extension in EXTENSIONS[target]):
        _pillow()  # fail before anything is written
    if target == "mask" and len(family) > MAX_CATEGORIES:
        raise ValueError(
            f"a mask file holds at most {MAX_CATEGORIES:,} categories, got {len(family):,}"
        )


def files_of(
    objects: targets.Objects, categories: Sequence[int], target: str, classes: int
) -> dict[str, bytes]:
    """Returns the files of a sample's target, by extension.

    Args:
        objects: uint16 (H, W), the number of the object that each pixel shows; 0 is background.
        categories: the category of each object.
        target: a name in ``EXTENSIONS``, other than ``"label"``.
        classes: the number of categories in the family.
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
    """Encodes a map of numbers 0…most as PNG: 8 bits with a palette, or 16-bit gray."""
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
    """Decodes what ``encode_map`` encoded on any machine; returns None for anything else."""
    try:
        with _pillow().open(io.BytesIO(content), formats=["PNG"]) as image:
            image.load()
    except (OSError, SyntaxError, ValueError):  # what Pillow raises for damaged files
        return None
    if image.mode == "P":
        return np.asarray(image) if bytes(image.getpalette()) == PALETTE else None
    return np.asarray(image).astype(np.uint16) if image.mode in ("I;16", "I") else None


def _pillow() -> Any:
    try:
        from PIL import Image
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            "masks and boxes are written with Pillow: pip install pillow"
        ) from None
    return Image


def _palette() -> bytes:
    """Returns the palette of PASCAL VOC: black, then 255 colors that differ between neighbors."""
    colors = np.zeros((256, 3), np.uint8)
    for number in range(256):
        for bit in range(8):
            colors[number, bit % 3] |= (number >> bit & 1) << 7 - bit // 3
    return colors.tobytes()


PALETTE = _palette()
