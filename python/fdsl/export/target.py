"""The files of a target beside an image: masks as PNG, labels and boxes as JSON.

PNG files of maps are written here, not by ``fdsl.png``: their values are numbers of categories and
objects, which a reader must get back as they are, and not shades of gray.
"""

from __future__ import annotations

import json
import struct
import zlib
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
    height, width = numbers.shape
    small = most <= 255
    rows = np.zeros((height, 1 + width * (1 if small else 2)), np.uint8)  # each after its filter, 0
    wide = np.ascontiguousarray(numbers, "u1" if small else ">u2")
    rows[:, 1:] = wide.view(np.uint8).reshape(height, -1)
    header = struct.pack(">IIBBBBB", width, height, 8 if small else 16, 3 if small else 0, 0, 0, 0)
    chunks = [(b"IHDR", header)]
    if small:
        chunks.append((b"PLTE", PALETTE))
    chunks += [(b"IDAT", zlib.compress(rows.tobytes(), 6)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content))
        + kind
        + content
        + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in chunks
    )


def decode_map(content: bytes) -> npt.NDArray[Any] | None:
    """Decodes what ``encode_map`` encoded, on any machine; ``None`` if it is something else."""
    parts: dict[bytes, bytes] = {}
    at = 8
    while at + 12 <= len(content):
        (length,) = struct.unpack_from(">I", content, at)
        kind = content[at + 4 : at + 8]
        parts[kind] = parts.get(kind, b"") + content[at + 8 : at + 8 + length]
        at += 12 + length
    try:
        width, height, depth, kind_of, *_ = struct.unpack(">IIBBBBB", parts[b"IHDR"])
        unpack = zlib.decompressobj()
        expected = height * (1 + width * depth // 8)
        rows = np.frombuffer(unpack.decompress(parts[b"IDAT"], expected), np.uint8)
        if (depth, kind_of) not in ((8, 3), (16, 0)) or len(rows) != expected:
            return None
        if depth == 8 and parts[b"PLTE"] != PALETTE:
            return None
        rows = rows.reshape(height, -1)
    except (KeyError, struct.error, zlib.error, ValueError):
        return None
    if rows[:, 0].any():
        return None
    return np.ascontiguousarray(rows[:, 1:]).view("u1" if depth == 8 else ">u2")


def _palette() -> bytes:
    """Black, then 255 colors that tell neighbors apart: those of PASCAL VOC, known to viewers."""
    colors = np.zeros((256, 3), np.uint8)
    for number in range(256):
        for bit in range(8):
            colors[number, bit % 3] |= (number >> bit & 1) << 7 - bit // 3
    return colors.tobytes()


PALETTE = _palette()
