"""Looking at images: one of them, several, or a labeled contact sheet."""

from __future__ import annotations

import importlib.util
import itertools
import math
import operator
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np

from fdsl import png
from fdsl._checks import Numbers, checked_numbers, checked_seed, checked_type, checked_whole
from fdsl._files import PathLike, write_whole
from fdsl.families import Family
from fdsl.frame import Frame
from fdsl.job import Job
from fdsl.overlay import with_overlay
from fdsl.render import Images, render
from fdsl.sheet import GAP, Sheet
from fdsl.targets import boxes, checked_target, mask, render_objects

#: Pixels of a sheet that viewers can still show.
MAX_PIXELS = 1 << 28
#: That many pixels in images of the smallest size, 16×16.
MAX_IMAGES = MAX_PIXELS // 16**2

#: What can be shown beside an image; ``"label"`` shows nothing.
ShownTarget: TypeAlias = Literal["label", "mask", "boxes"]


class Image:
    """An image that a notebook shows, and that can be saved.

    Args:
        pixels: uint8 (H, W), or (H, W, 3) in color.

    Raises:
        TypeError: the pixels are not a uint8 array.
        ValueError: they have another shape.
    """

    def __init__(self, pixels: Images) -> None:
        if not (isinstance(pixels, np.ndarray) and pixels.dtype == np.uint8):
            kind = getattr(pixels, "dtype", type(pixels).__name__)
            raise TypeError(f"pixels must be a uint8 array, got {kind}")
        if not pixels.size or pixels.ndim not in (2, 3) or pixels.shape[2:] not in ((), (3,)):
            raise ValueError(f"pixels must have shape (H, W) or (H, W, 3), got {pixels.shape}")
        #: uint8 (H, W), or (H, W, 3) in color.
        self.pixels = pixels

    def save(self, file: PathLike) -> None:
        """Writes a PNG file.

        Raises:
            ValueError: the name of the file does not end in ``.png``.
        """
        path = Path(file)
        if path.suffix.lower() != ".png":
            raise ValueError(f"the name of the file must end in .png, got {str(file)!r}")
        write_whole(path, self._repr_png_())

    def __repr__(self) -> str:
        height, width = self.pixels.shape[:2]
        return f"<Image: {height}×{width}, {'color' if self.pixels.ndim == 3 else 'gray'}>"

    def _repr_png_(self) -> bytes:
        """Returns the PNG file, which notebooks show."""
        return png.encode(self.pixels[None])[0]


def show(
    family: Family,
    category: Numbers = 0,
    index: Numbers = 0,
    *,
    seed: int = 0,
    rendering: Frame | None = None,
    target: ShownTarget | None = None,
    **settings: Any,
) -> Image:
    """Renders one image, or a row of them for each category, to look at in a notebook.

    Args:
        family: the categories.
        category: the category, or several.
        index: the index of the instance of each category, or several.
        seed: the seed of every address.
        rendering: how images are rendered; the family's defaults if not given.
        target: what to show to the right of each image, on a darker copy of it: ``"mask"``, in a
            color per category; or ``"boxes"``, with their masks, in a color per object. The family
            must offer it. By default, and with ``"label"``, only images are shown.
        **settings: settings of the family's style, instead of those of ``rendering``.

    Returns:
        An ``Image``: its ``pixels`` are those of ``fdsl.render``, with 2 black pixels after each
        image if there are several. With a target, an image is in color and twice as wide: uint8
        (H, 2W, 3).

    Raises:
        IndexError: a category or an index is out of range.
        TypeError, ValueError: another argument is wrong, or the family does not offer the target;
            the message says what is accepted.

    >>> import fdsl
    >>> fdsl.show(fdsl.fractaldb(10), 3, size=64)
    <Image: 64×64, gray>
    >>> fdsl.show(fdsl.fractaldb(10), [3, 7], range(8), size=64, patch="fixed")
    <Image: 132×528, gray>
    >>> fdsl.show(fdsl.Scene([fdsl.Bezier(9)]), 3, size=64, target="boxes")
    <Image: 64×128, color>
    """
    checked_type("family", family, Family)
    frame = family.checked_style(rendering)
    overlay = _checked_overlay(family, target)
    if settings:
        frame = type(frame)(**{**frame.to_dict(), **settings})
    for name, numbers in (("category", category), ("index", index)):
        if isinstance(numbers, range) and numbers[MAX_IMAGES:]:  # too long for an array
            raise _too_many(name)
    categories, indices = checked_numbers("category", category), checked_numbers("index", index)
    if not (categories.size and indices.size):
        raise ValueError("there is no image to show: give at least one category and one index")
    if categories.ndim == indices.ndim == 0:
        return Image(_rendered(family, categories, indices, seed, frame, overlay))
    rows, columns = np.atleast_1d(categories).tolist(), np.atleast_1d(indices).tolist()
    return Image(
        contact_sheet(
            family, rows, columns, rendering=frame, seed=seed, label=False, target=overlay
        )
    )


def contact_sheet(
    family: Family,
    categories: int | Sequence[int] = 8,
    instances: int | Sequence[int] = 8,
    *,
    rendering: Frame | None = None,
    seed: int = 0,
    label: bool = True,
    target: ShownTarget | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> Images:
    """Renders a row of instances for each category, labeled with category and index.

    Args:
        family: the categories.
        categories: the number of categories, from the first on; or a list of them.
        instances: the number of instances of each, spread over the authors' grid of 1,000; or a
            list of their indices.
        rendering: how images are rendered; the family's defaults if not given.
        seed: the seed of every address.
        label: write category and index beside the images; needs Pillow.
        target: ``"mask"`` or ``"boxes"``, shown to the right of each image as in ``fdsl.show``.
        progress: called with (images rendered, images of the sheet) after each row.

    Returns:
        uint8 (H, W), or (H, W, 3) in color and with a target.

    Raises:
        ModuleNotFoundError: labels are wanted and Pillow is missing.
        IndexError, TypeError, ValueError: an argument is wrong, or the family does not offer the
            target; the message says what is accepted.
    """
    frame = checked_type("family", family, Family).checked_style(rendering)
    overlay = _checked_overlay(family, target)
    if label and importlib.util.find_spec("PIL") is None:
        raise ModuleNotFoundError(
            "labels are written with Pillow: pip install pillow, or leave them out"
        )
    rows = _numbers_or_count("categories", categories)
    if isinstance(rows, int):
        rows = list(range(min(rows, len(family))))
    columns = _numbers_or_count("instances", instances)
    if isinstance(columns, int):
        if columns > 1000:
            raise ValueError(f"instances must be at most 1000, or a list of them, got {columns}")
        # A step that 2 or 3 divides would show the same flip or few of the twelve views.
        step = next(step for step in range(1000 // columns, 0, -1) if math.gcd(step, 12) == 1)
        columns = [number * step for number in range(columns)]
    shape = _shape(frame, overlay)
    height, width = shape[:2]
    if (pixels := len(rows) * len(columns) * height * width) > MAX_PIXELS:
        raise ValueError(
            f"a sheet may have at most {MAX_PIXELS:,} pixels, got {len(rows)}×{len(columns)} "
            f"images of {height}×{width}: {pixels:,}"
        )
    letters = max(11, height // 12)  # legible even when the sheet is shown smaller
    top, left = (letters + 5, letters * 48 // 11) if label else (0, 0)
    sheet = Sheet(len(rows), len(columns), shape, top, left)
    for number, row in enumerate(rows):
        sheet.put(number, _rendered(family, row, columns, seed, frame, overlay))
        if progress:
            progress((number + 1) * len(columns), len(rows) * len(columns))
    return _labeled(sheet, rows, columns, height, letters) if label else sheet.pixels


def _checked_overlay(family: Family, target: ShownTarget | None) -> Literal["mask", "boxes"] | None:
    """Returns the target to show beside the images, or ``None`` for images alone.

    Raises:
        ValueError: the family does not offer the target, or it cannot be shown.
    """
    if target is None or checked_target(family, target) == "label":
        return None
    if target not in ("mask", "boxes"):
        raise ValueError(f"target must be 'mask' or 'boxes' to be shown, got {target!r}")
    return target


def _shape(frame: Frame, overlay: str | None) -> tuple[int, ...]:
    height, width, *_ = frame.image_shape
    return (height, 2 * width, 3) if overlay else frame.image_shape


def _rendered(
    family: Family,
    category: Numbers,
    indices: Numbers,
    seed: int,
    frame: Frame,
    overlay: str | None,
) -> Images:
    """Renders one index of a category, or several, as ``render`` does; with an overlay, uint8
    (H, 2W, 3) or (B, H, 2W, 3)."""
    if overlay is None:
        return render(family, category, indices, seed, frame)
    numbers = np.asarray(indices, np.uint64)
    addresses = np.full(numbers.size, category, np.uint64), numbers.reshape(-1)
    images = np.empty((numbers.size, *frame.image_shape), np.uint8)
    objects, of_objects = render_objects(family, Job(frame, checked_seed(seed)), addresses, images)
    target_of = mask if overlay == "mask" else boxes
    pairs = np.empty((numbers.size, *_shape(frame, overlay)), np.uint8)
    for number, image in enumerate(images):  # one by one: masks take up to 8 bytes per pixel
        pairs[number] = with_overlay(image, target_of(objects[number], of_objects[number]))
    return pairs if numbers.ndim else pairs[0]


def _too_many(name: str) -> ValueError:
    return ValueError(f"{name} must be at most {MAX_IMAGES:,} numbers, got more")


def _numbers_or_count(name: str, wanted: int | Sequence[int]) -> list[int] | int:
    """Returns the numbers as a list, or the count that was given instead."""
    if isinstance(wanted, Sequence) or (isinstance(wanted, np.ndarray) and wanted.ndim):
        numbers = list(itertools.islice(wanted, MAX_IMAGES + 1))  # a range can be huge
        if len(numbers) > MAX_IMAGES:
            raise _too_many(name)
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


def _labeled(
    sheet: Sheet, rows: list[int], columns: list[int], height: int, letters: int
) -> Images:
    """Writes categories on the left and indices above."""
    from PIL import Image as Canvas
    from PIL import ImageDraw, ImageFont

    image = Canvas.fromarray(sheet.pixels)
    pen = ImageDraw.Draw(image)
    try:
        font = ImageFont.load_default(letters)
    except TypeError:  # before Pillow 10.1, it has one size
        font = ImageFont.load_default()
    white = (255, 255, 255) if sheet.pixels.ndim == 3 else 255
    for number, row in enumerate(rows):
        y, _ = sheet.corner(number, 0)
        pen.text((4, y + height // 2 - letters // 2 - 1), f"{row:05d}", fill=white, font=font)
    for number, column in enumerate(columns):
        _, x = sheet.corner(0, number)
        pen.text((x + GAP, 1), str(column), fill=white, font=font)
    return np.array(image)
