"""Images of equal size in rows and columns."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

#: Black pixels between neighbors.
GAP = 2


class Sheet:
    """Images in rows and columns on black, ``GAP`` pixels apart.

    Args:
        rows: the number of rows.
        columns: the number of columns.
        image_shape: (H, W) or (H, W, 3), of every image.
        top: empty rows of pixels above the first row of images.
        left: empty columns of pixels before the first column of images.
    """

    def __init__(
        self, rows: int, columns: int, image_shape: tuple[int, ...], top: int = 0, left: int = 0
    ) -> None:
        self._height, self._width, *channels = image_shape
        self._top, self._left = top, left
        high, wide = top + rows * (self._height + GAP), left + columns * (self._width + GAP)
        #: uint8 (H, W), or (H, W, 3).
        self.pixels: npt.NDArray[np.uint8] = np.zeros((high, wide, *channels), np.uint8)

    def corner(self, row: int, column: int) -> tuple[int, int]:
        """Returns the y and x of the top left pixel of an image."""
        y = self._top + row * (self._height + GAP)
        return y, self._left + column * (self._width + GAP)

    def put(self, row: int, images: npt.NDArray[np.uint8]) -> None:
        """Copies images, (C, H, W) or (C, H, W, 3), into a row, from the left."""
        for column, image in enumerate(images):
            y, x = self.corner(row, column)
            self.pixels[y : y + self._height, x : x + self._width] = image
