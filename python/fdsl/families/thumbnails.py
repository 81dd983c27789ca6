"""Small contact sheets, which notebooks show for families, categories and streams."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np

from fdsl import png
from fdsl.families.spread import stride
from fdsl.frame import Frame
from fdsl.job import Addresses, Job
from fdsl.sheet import Sheet

if TYPE_CHECKING:
    from fdsl.families.base import Family

#: Height and width of a thumbnail. The 4×8 of a family in color are at most 0.9 MB.
SIDE = 96
ROWS, COLUMNS = 4, 8
#: A family in Python gets no further row after this many seconds.
BUDGET = 0.1


def family_thumbnails(family: Family) -> bytes | None:
    """Returns a PNG file: categories from the first to the last, and instances of each.

    Returns ``None`` if the family cannot be rendered: a notebook then shows only the repr.
    """
    rows = min(ROWS, len(family))
    categories = np.linspace(0, len(family) - 1, rows).round().astype(np.uint64)
    indices = np.arange(COLUMNS, dtype=np.uint64) * np.uint64(stride(family, COLUMNS))
    addresses = np.repeat(categories, COLUMNS), np.tile(indices, rows)
    return thumbnails(family, None, addresses)


def thumbnails(
    family: Family, rendering: Frame | None, addresses: Addresses, seed: int = 0
) -> bytes | None:
    """Returns a PNG file of these addresses in rows of 8, rendered small, or ``None`` on an error.

    Never raises: an error would hide the repr behind a traceback.
    """
    try:
        frame = family.checked_style(rendering).thumbnail(SIDE)
        job = Job(frame, seed)
        categories, indices = addresses
        rows = -(-len(categories) // COLUMNS)
        sheet = Sheet(rows, min(COLUMNS, len(categories)), frame.image_shape)
        start = time.monotonic()
        for row in range(rows):
            part = slice(row * COLUMNS, (row + 1) * COLUMNS)
            images = np.empty((len(categories[part]), *frame.image_shape), np.uint8)
            family.render_into(job, (categories[part], indices[part]), images)
            sheet.put(row, images)
            if not family.in_core and time.monotonic() - start > BUDGET:
                break
        high, _ = sheet.corner(row + 1, 0)
        return png.encode(sheet.pixels[None, :high])[0]
    except Exception:
        return None
