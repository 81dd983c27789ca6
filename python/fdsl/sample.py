"""One sample: an image and its annotations."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt


@dataclasses.dataclass(frozen=True)
class Sample:
    """What ``Family.draw`` returns for targets other than a label.

    Masks, boxes and the labels of all objects are derived from the last two: the object that each
    pixel shows, and the category of each object.
    """

    #: uint8 (H, W), or (H, W, 3) in color.
    image: npt.NDArray[np.uint8]
    #: (H, W) integers: 0 is background, k the k-th object, counted from 1; at most 65,535.
    objects: npt.NDArray[np.integer]
    #: The category of each object, in ``0…len(family)-1``.
    categories: Sequence[int]

    @property
    def covered(self) -> list[int]:
        """The numbers of the objects of which no pixel is visible, because others, the border or
        the crop hide them."""
        visible = set(np.unique(self.objects).tolist())
        return [number for number in range(1, len(self.categories) + 1) if number not in visible]
