"""Masks and boxes beside their images, to see whether they are aligned."""

from __future__ import annotations

import colorsys
from typing import Any

import numpy as np
import numpy.typing as npt

#: The step of the hue from one number to the next, 0…1: by the golden ratio, few colors are close.
HUE_STEP = (3 - 5**0.5) / 2


def with_overlay(
    image: npt.NDArray[np.uint8], target: npt.NDArray[Any] | dict[str, npt.NDArray[Any]]
) -> npt.NDArray[np.uint8]:
    """Returns an image and, to its right, its mask or boxes on a copy at a quarter of the
    brightness.

    Args:
        image: uint8 (H, W) or (H, W, 3).
        target: as ``fdsl.Dataset`` returns it with the image: for ``"mask"``, int64 (H, W), with a
            color per category; for ``"boxes"``, a dict, with a color per object for its mask and
            the outline of its box.

    Returns:
        uint8 (H, 2W, 3).

    >>> pair = with_overlay(np.full((2, 2), 200, np.uint8), np.array([[0, 1], [0, 1]]))
    >>> pair.shape, pair[0].tolist()
    ((2, 4, 3), [[200, 200, 200], [200, 200, 200], [50, 50, 50], [255, 102, 102]])
    """
    image = image if image.ndim == 3 else np.repeat(image[..., None], 3, axis=2)
    over = image // 4
    if isinstance(target, dict):
        for number, mask in enumerate(target["masks"]):
            over[mask == 1] = color(number)
        for number, box in enumerate(target["boxes"].astype(int).tolist()):  # over all masks
            left, top, right, bottom = box
            over[top:bottom, [left, right - 1]] = color(number)
            over[[top, bottom - 1], left:right] = color(number)
    else:
        for label in np.unique(target[target > 0]).tolist():
            over[target == label] = color(label - 1)
    return np.concatenate([image, over], axis=1)


def color(number: int) -> npt.NDArray[np.uint8]:
    """Returns the color of a category or an object, counted from 0, uint8 (3,)."""
    return (255 * np.array(colorsys.hsv_to_rgb(HUE_STEP * number % 1, 0.6, 1))).astype(np.uint8)
