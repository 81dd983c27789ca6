"""Contact sheets: people look before they read."""

from __future__ import annotations

import itertools
import operator
from collections.abc import Callable, Sequence

import numpy as np

from fdsl._checks import checked_whole
from fdsl.families import Family
from fdsl.frame import Frame
from fdsl.render import Images, render

#: Of a sheet: what a viewer can still show.
MOST_PIXELS = 1 << 28
#: As many images of the smallest size, 16 × 16.
MOST_IMAGES = MOST_PIXELS // 16**2


def contact_sheet(
    family: Family,
    categories: int | Sequence[int] = 8,
    instances: int | Sequence[int] = 8,
    *,
    rendering: Frame | None = None,
    seed: int = 0,
    label: bool = True,
    progress: Callable[[int, int], object] | None = None,
) -> Images:
    """Draws a row of instances for each category, under their numbers.

    Args:
        family: the categories.
        categories: how many of the first, or which.
        instances: how many of each, spread over the authors' grid of 1,000; or which.
        rendering: how they are drawn; the family's defaults if not given.
        seed: of every address.
        label: write category and index beside the pictures; needs Pillow.
        progress: called with (pictures drawn, pictures of the sheet).

    Returns:
        uint8 (H, W), or (H, W, 3) in colour.
    """
    frame = family.checked_style(rendering)
    rows = _numbers_or_count("categories", categories)
    if isinstance(rows, int):
        rows = list(range(min(rows, len(family))))
    columns = _numbers_or_count("instances", instances)
    if isinstance(columns, int):
        if columns > 1000:
            raise ValueError(f"instances must be at most 1000, or a list of them, got {columns}")
        columns = [number * (1000 // columns) for number in range(columns)]
    height, width = frame.output_size
    if (pixels := len(rows) * len(columns) * height * width) > MOST_PIXELS:
        raise ValueError(
            f"a sheet may have at most {MOST_PIXELS:,} pixels, got {len(rows)} × {len(columns)} "
            f"pictures of {height} × {width}: {pixels:,}"
        )
    letters = max(11, height // 12)  # large enough to be read when the sheet is shrunk
    top, left, gap = (letters + 5, letters * 48 // 11, 2) if label else (0, 0, 2)
    shape = (top + len(rows) * (height + gap), left + len(columns) * (width + gap))
    sheet = np.zeros((*shape, 3) if frame.color else shape, np.uint8)
    for number, row in enumerate(rows):
        y = top + number * (height + gap)
        for place, picture in enumerate(render(family, row, columns, seed, frame)):
            x = left + place * (width + gap)
            sheet[y : y + height, x : x + width] = picture
        if progress:
            progress((number + 1) * len(columns), len(rows) * len(columns))
    return (
        _labelled(sheet, rows, columns, (top, left, gap), (height, width), letters)
        if label
        else sheet
    )


def _numbers_or_count(name: str, wanted: int | Sequence[int]) -> list[int] | int:
    """Returns the numbers of a list, or how many were asked for."""
    if isinstance(wanted, Sequence) or (isinstance(wanted, np.ndarray) and wanted.ndim):
        numbers = list(itertools.islice(wanted, MOST_IMAGES + 1))  # a range can be endless
        if len(numbers) > MOST_IMAGES:
            raise ValueError(f"{name} must be at most {MOST_IMAGES:,} numbers, got more")
        if not numbers:
            raise ValueError(f"{name} must be at least 1, got none")
        return [checked_whole(name, number) for number in numbers]
    try:
        count = operator.index(wanted)
    except TypeError:
        raise TypeError(f"{name} must be an integer or a list of them, got {wanted!r}") from None
    if count < 1:
        raise ValueError(f"{name} must be at least 1, got {count}")
    return count


def _labelled(
    sheet: Images,
    rows: list[int],
    columns: list[int],
    margins: tuple[int, int, int],
    size: tuple[int, int],
    letters: int,
) -> Images:
    try:
        from PIL import Image, ImageDraw, ImageFont
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            "labels are written with Pillow: pip install pillow, or leave them out"
        ) from None

    image = Image.fromarray(sheet)
    pen = ImageDraw.Draw(image)
    font = ImageFont.load_default(letters)
    top, left, gap = margins
    white = (255, 255, 255) if sheet.ndim == 3 else 255
    for number, row in enumerate(rows):
        y = top + number * (size[0] + gap) + size[0] // 2 - letters // 2 - 1
        pen.text((4, y), f"{row:05d}", fill=white, font=font)
    for number, column in enumerate(columns):
        pen.text((left + number * (size[1] + gap) + 2, 1), str(column), fill=white, font=font)
    return np.array(image)
