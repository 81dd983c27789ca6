"""A NumPy data set with a length, for Grain, Keras, Hugging Face datasets and plain loops."""

from __future__ import annotations

import multiprocessing
import operator
import sys
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, SupportsIndex

import numpy as np
import numpy.typing as npt

from fdsl._checks import (
    checked_fraction,
    checked_positive,
    checked_seed,
    checked_threads,
    checked_type,
    counted,
)
from fdsl.families import Family
from fdsl.frame import Frame
from fdsl.job import Addresses, Job
from fdsl.targets import (
    Objects,
    TargetName,
    Targets,
    checked_target,
    render_objects,
    render_targets,
    targets_of,
)

if TYPE_CHECKING:
    from typing_extensions import Self

#: The largest cache in bytes.
MAX_CACHED = 1 << 35


class Dataset:
    """The first instances of every category as a data set with a length, rendered on access.

    Item ``c · instances + i`` is instance i of category c, and its bytes are always the same. The
    data set is thread-safe and can be pickled. ``docs/loaders.md`` shows how other libraries read
    it.

    Args:
        family: the categories.
        instances: the number of instances per category; FractalDB has 1,000. With
            ``flips=True`` the first four are flips of one image, and the first forty of a fractal
            have the same variation: ``docs/training.md`` shows how to hold out some of them.
        rendering: how images are rendered; by default the family's own settings.
        target: what to learn: ``"label"``; or, if the family offers it, ``"labels"``, ``"mask"``
            or ``"boxes"``.
        seed: the seed of every address.
        label_noise: fraction of the images, 0…1, that get a random label, as in
            ``fdsl.torch.Stream``.
        cache: whether to render every image now and keep it in memory. With ``instances=1`` this is
            the setup of OFDB and 1p-frac, which rely on augmentation. A cache of 1,000 gray images
            of 512×512 takes 262 MB; targets other than the label add two bytes per pixel. The limit
            is 34 GB. Forked workers share the memory. The cache is not pickled: a spawned worker
            renders all images again when its first item is requested.
        num_threads: the number of rendering threads. If not given, one for a single item and in a
            daemonic process (a worker), otherwise all cores.

    Raises:
        IndexError: an item is out of range.
        TypeError, ValueError: an argument has the wrong type or is out of range.

    >>> import fdsl
    >>> data = fdsl.Dataset(fdsl.Perlin(4), instances=10, rendering=fdsl.Frame(size=32))
    >>> image, label = data[13]
    >>> len(data), image.shape, image.dtype, label
    (40, (32, 32), dtype('uint8'), 1)
    """

    #: What a data set is made of. A cache and copies in workers would not have a change.
    _fixed: ClassVar[frozenset[str]] = frozenset(
        {"family", "instances", "rendering", "target", "seed", "label_noise", "cache"}
    )

    def __init__(
        self,
        family: Family,
        instances: int = 1000,
        *,
        rendering: Frame | None = None,
        target: TargetName = "label",
        seed: int = 0,
        label_noise: float = 0.0,
        cache: bool = False,
        num_threads: int | None = None,
    ) -> None:
        self.family: Family = checked_type("family", family, Family)
        self.instances = checked_positive("instances", instances)
        most = sys.maxsize // len(family)  # the maximum of len() is sys.maxsize
        if self.instances > most:
            raise ValueError(
                f"instances must be at most {most} with "
                f"{counted(len(family), 'category', 'categories')}, got {instances}"
            )
        self.rendering: Frame = family.checked_style(rendering)
        self.seed = checked_seed(seed)
        self.label_noise = checked_fraction("label_noise", label_noise)
        self.target = checked_target(family, target, self.label_noise)
        self.num_threads = checked_threads(num_threads)
        self.cache = bool(checked_type("cache", cache, (bool, np.bool_)))
        self._lock = threading.Lock()
        self._cached: _Cache | None = None
        if self.cache:
            self._check_memory()
            self._cached = self._render_all()

    def __setattr__(self, name: str, value: Any) -> None:
        if name in self._fixed and "_cached" in self.__dict__:  # all of them are set
            raise AttributeError(
                f"the {name} of a Dataset cannot be changed: create another Dataset"
            )
        super().__setattr__(name, value)

    def __len__(self) -> int:
        return len(self.family) * self.instances

    def __getitem__(self, item: SupportsIndex) -> tuple[Any, Any]:
        """Returns an image and its target.

        The image is uint8 (H, W) or (H, W, 3). The target is an int for ``"label"``, float32 (C,)
        for ``"labels"``, int64 (H, W) for ``"mask"``, and a dict of arrays for ``"boxes"``.
        ``fdsl.torch.Dataset`` describes its own.
        """
        return self._items([item])[0]

    def __getitems__(self, items: Sequence[SupportsIndex]) -> list[tuple[Any, Any]]:
        """Returns several items, rendered together on ``num_threads`` threads.

        If a subclass overrides ``__getitem__``, batches consist of its items, rendered one by one.
        A subclass that overrides ``__getitems__`` changes batches only, so it should override
        both. If it does, or if a subclass of it overrides ``__getitem__``, this method renders the
        items without calling ``__getitem__``.
        """
        order = type(self).__mro__
        single, several = (
            next(position for position, kind in enumerate(order) if method in vars(kind))
            for method in ("__getitem__", "__getitems__")
        )
        here = order.index(Dataset)
        if single == here or single <= several < here:
            return self._items(items)
        return [self[item] for item in items]

    def _items(self, items: Sequence[SupportsIndex]) -> list[tuple[Any, Any]]:
        images, targets = self._batch(items)
        return list(zip(images, targets, strict=True))

    def __repr__(self) -> str:
        categories = counted(len(self.family), "category", "categories")
        return f"<Dataset: {categories} of {self.instances:,}>"

    def __copy__(self) -> Self:
        copied = type(self).__new__(type(self))
        copied.__dict__.update(self.__dict__)  # with the cache
        copied._lock = threading.Lock()
        return copied

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_cached": None, "_lock": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._lock = threading.Lock()

    def _batch(
        self, items: Sequence[SupportsIndex]
    ) -> tuple[npt.NDArray[np.uint8], list[int] | Targets]:
        """Returns the images and targets of items, in new arrays."""
        images, targets = self.take(np.array([self._number(item) for item in items], np.int64))
        if self.target == "label" and isinstance(targets, np.ndarray):
            return images, targets.tolist()
        return images, targets

    def take(self, numbers: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.uint8], Targets]:
        """Returns the images of items, uint8 (B, H, W) or (B, H, W, 3), in a new array, and their
        targets in the form that ``fdsl.torch.Stream`` describes, as arrays.

        Args:
            numbers: int64 (B,), 0 or more and less than the length.

        Raises:
            IndexError: a number is out of range.
        """
        for number in numbers[(numbers < 0) | (numbers >= len(self))][:1]:
            raise IndexError(f"item {number} is out of range: there are {len(self):,} items")
        addresses = self._addresses(numbers)
        if not self.cache:
            images, job = self._empty(len(numbers)), self._job(single_item=len(numbers) == 1)
            targets = render_targets(
                self.family, job, addresses, images, self.target, self.label_noise
            )
            return images, targets
        if (cached := self._cached) is None:  # unpickled in another process
            with self._lock:  # only one thread renders the images
                cached = self._cached = self._cached or self._render_all()
        images = cached.images[numbers]  # a copy, so callers may write to it
        if cached.objects is None:
            return images, self.family.labels(addresses, self.seed, self.label_noise)
        categories = [cached.object_categories[number] for number in numbers.tolist()]
        objects = cached.objects[numbers]
        return images, targets_of(objects, categories, self.target, len(self.family))

    def _render_all(self) -> _Cache:
        """Renders all images. Works in batches, so Ctrl-C takes effect after the current batch."""
        cache = _Cache(self._empty(len(self)))
        if self.target != "label":
            cache.objects = np.empty((len(self), *self.rendering.output_size), np.uint16)
        step = self.rendering.images_at_once
        job = self._job()
        for first in range(0, len(self), step):
            numbers = np.arange(first, min(first + step, len(self)))
            images = cache.images[first : first + len(numbers)]
            addresses = self._addresses(numbers)
            if cache.objects is None:
                self.family.render_into(job, addresses, images)
            else:
                objects, categories = render_objects(self.family, job, addresses, images)
                cache.objects[first : first + len(numbers)] = objects
                cache.object_categories += categories
        return cache

    def _check_memory(self) -> None:
        height, width = self.rendering.output_size
        per_pixel = self.rendering.channels + (0 if self.target == "label" else 2)
        needed = len(self) * height * width * per_pixel
        if needed > MAX_CACHED:
            raise ValueError(
                f"cache=True keeps at most {MAX_CACHED:,} bytes, got {len(self):,} images of "
                f"{height}×{width}, which need {needed:,} bytes: use fewer instances or smaller "
                "images"
            )

    def _empty(self, count: int) -> npt.NDArray[np.uint8]:
        return np.empty((count, *self.rendering.image_shape), np.uint8)

    def _job(self, *, single_item: bool = False) -> Job:
        num_threads = self.num_threads
        if num_threads is None and (single_item or multiprocessing.current_process().daemon):
            num_threads = 1
        return Job(self.rendering, self.seed, num_threads)

    def _addresses(self, numbers: npt.NDArray[np.int64]) -> Addresses:
        categories, indices = np.divmod(numbers.astype(np.uint64), np.uint64(self.instances))
        return categories, indices

    def _number(self, item: SupportsIndex) -> int:
        number = operator.index(item)
        number += len(self) if number < 0 else 0
        if not 0 <= number < len(self):
            raise IndexError(f"item {item} is out of range: there are {len(self):,} items")
        return number


class _Cache:
    """The images and objects that ``cache=True`` keeps in memory."""

    def __init__(self, images: npt.NDArray[np.uint8]) -> None:
        self.images = images
        #: For targets other than the label: the object that each pixel shows, and the category of
        #: each object.
        self.objects: Objects | None = None
        self.object_categories: list[list[int]] = []
