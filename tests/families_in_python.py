"""Families in Python that tests use, in a module that worker processes can import."""

import fdsl
import numpy as np


class Disks(fdsl.Family):
    """A category is how many disks there are; the number may be anything above."""

    name = "disks"

    def __init__(self, categories=10, radius=4.0):
        super().__init__(categories)
        self.radius = radius

    def draw(self, category, rng, frame):
        rows, columns = np.ogrid[: frame.height, : frame.width]
        shape = (frame.height, frame.width, 3)[: 3 if frame.color else 2]
        image = np.zeros(shape, np.uint8)
        for row, column in rng.uniform((0, 0), (frame.height, frame.width), (category + 1, 2)):
            image[(rows - row) ** 2 + (columns - column) ** 2 < self.radius**2] = 255
        return image


class Scenes(fdsl.Family):
    """Up to five rectangles, each of a category of its own and as bright; later ones hide earlier
    ones, and some are hidden altogether."""

    name = "scenes"
    targets = ("labels", "mask", "boxes")

    def draw(self, category, rng, frame):
        image = np.zeros((frame.height, frame.width), np.uint8)
        objects = np.zeros((frame.height, frame.width), np.int64)
        categories = [int(category), *rng.integers(0, len(self), rng.integers(0, 5)).tolist()]
        for number, one in enumerate(categories, start=1):
            top, left = rng.integers(0, (frame.height - 4, frame.width - 4))
            down, across = rng.integers(1, 16, 2)
            where = np.s_[top : top + down, left : left + across]
            image[where], objects[where] = 100 + one, number
        if frame.color:
            image = np.repeat(image[..., None], 3, axis=2)
        return fdsl.Sample(image, objects, categories)


class Blobs(Disks):
    """Disks under a name that no doctest registers again."""

    name = "blobs"
