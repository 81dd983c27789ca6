"""One sample: the image, and what else there is to know of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt


@dataclasses.dataclass(frozen=True)
class Sample:
    """What ``Family.draw`` returns where there is more to learn than a label.

    Masks, boxes and the labels of all objects are made of the two: which object each pixel shows,
    and the category of each object.
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
