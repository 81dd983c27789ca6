"""Pictures as torch data sets. The only file of the package that imports torch.

>>> import fdsl, torch
>>> from fdsl.torch import Stream
>>> ifs = fdsl.IFS.search(categories=10, fill_rate=0.2, seed=1)
>>> stream = Stream(ifs, rendering=fdsl.Rendering.paper(), batch_size=4, seed=0)
>>> loader = torch.utils.data.DataLoader(stream, batch_size=None, num_workers=0)
>>> images, labels = next(iter(loader))
>>> tuple(images.shape), images.dtype, tuple(labels.shape), labels.dtype
((4, 1, 224, 224), torch.uint8, (4,), torch.int64)
"""

from __future__ import annotations

import operator
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

try:
    import torch
except ModuleNotFoundError as error:
    if error.name != "torch":
        raise
    raise ModuleNotFoundError("fdsl.torch needs torch: pip install 'fdsl[train]'") from None
from torch import Tensor, nn
from torch.utils.data import Dataset, IterableDataset, get_worker_info

from fdsl import _core
from fdsl._checks import (
    checked_positive,
    checked_seed,
    checked_threads,
    checked_type,
    checked_whole,
)
from fdsl.formulas import Family
from fdsl.rendering import Rendering, render

__all__ = ["Instances", "Normalize", "Stream"]

Sample = tuple[Tensor, Tensor]


class Stream(IterableDataset[Sample]):
    """An endless stream of batches, the same for any number of workers and ranks.

    Every block of ``len(family)`` samples holds each category once, in a random order; each
    category walks its instances in a random order of its own. Sample number n is a pure
    function of (seed, n), so a stream can start anywhere at once.

    Give it to ``DataLoader(stream, batch_size=None, num_workers=…)``. In this process it
    renders with all cores; in a worker with one. Workers take batches in turn, and ranks
    take their slices of each global batch, so the union over ranks is what one rank with
    the global batch would see.

    Args:
        family: the categories; a label is a category's number.
        rendering: how pictures are drawn; ``Rendering()`` if not given.
        batch_size: samples a batch and rank. ``None`` yields single samples, uint8
            (C, H, W) and int64 (), for a DataLoader that collates. The order then depends on
            ``num_workers``: sample n goes to worker n mod W, and each worker fills batches of
            its own. Collating costs a copy of each batch and a call for each sample.
        seed: of the stream; also that of every address in it.
        steps_per_epoch: batches (samples, for ``batch_size=None``) an epoch, on every rank;
            gives the stream a length. ``None`` is endless.
        instances: a category has only this many instances, which come round again (paper,
            Figure 4); ``None`` never repeats one.
        rank: of this process; if not given, that of ``torch.distributed``, else torchrun's
            ``RANK``, else 0. Read when the stream is first iterated or sent to a worker.
        world_size: how many ranks there are; found like ``rank``.
        threads: that render; one in a worker and all cores elsewhere if not given.

    Yields:
        (images, labels): uint8 (B, C, H, W) with C = 1, or 3 in colour (then with
        channels-last strides), and int64 (B,).

    Raises:
        TypeError: an argument is of the wrong type.
        ValueError: an argument is out of range.
    """

    def __init__(
        self,
        family: Family,
        *,
        rendering: Rendering | None = None,
        batch_size: int | None = 256,
        seed: int = 0,
        steps_per_epoch: int | None = None,
        instances: int | None = None,
        rank: int | None = None,
        world_size: int | None = None,
        threads: int | None = None,
    ) -> None:
        self.family: Family = checked_type("family", family, Family)
        self.rendering: Rendering = (
            Rendering() if rendering is None else checked_type("rendering", rendering, Rendering)
        )
        self.batch_size = None if batch_size is None else checked_positive("batch_size", batch_size)
        self.seed = checked_seed(seed)
        self.steps_per_epoch = (
            None
            if steps_per_epoch is None
            else checked_positive("steps_per_epoch", steps_per_epoch)
        )
        self.instances = None if instances is None else checked_positive("instances", instances)
        self.threads = checked_threads(threads)
        if (rank is None) != (world_size is None):
            raise ValueError(f"give rank and world_size both or neither, got {rank}, {world_size}")
        self._ranks = None if rank is None else _checked_ranks(rank, world_size)
        # In shared memory, or persistent workers would never see a new epoch:
        # the epoch, the samples of it already seen, and how often workers iterated.
        self._shared = torch.zeros(3, dtype=torch.int64)
        self._shared.share_memory_()  # type: ignore[no-untyped-call]  # torch's own stub
        self._running: _StreamIterator | None = None

    @property
    def epoch(self) -> int:
        """The epoch that the next iteration belongs to."""
        return int(self._shared[0])

    def set_epoch(self, epoch: int) -> None:
        """Picks the epoch of the next iteration; workers see it, persistent ones too.

        Like torch's ``DistributedSampler``, a stream that is not told repeats its epoch.
        Naming the current epoch again keeps the place that ``load_state_dict`` set.

        Raises:
            RuntimeError: the stream is endless.
        """
        if self.steps_per_epoch is None:
            raise RuntimeError("an endless stream has no epochs: give it steps_per_epoch")
        if checked_whole("epoch", epoch) != self.epoch:
            self._shared[0], self._shared[1] = epoch, 0
        self._shared[2] = 0
        self._running = None

    def state_dict(self, batches: int | None = None) -> dict[str, int]:
        """Returns {"samples": n}: how many samples all ranks together have seen.

        Args:
            batches: how many batches of this iteration the training loop has taken. Needed
                with DataLoader workers, which run ahead of the loop; without, what this
                process's last iterator has yielded counts.

        Raises:
            RuntimeError: workers iterate, and ``batches`` is not given.
        """
        if batches is not None:
            return {
                "samples": self._start() + checked_whole("batches", batches) * self._global_batch()
            }
        if get_worker_info() is None and self._shared[2] > 0:
            raise RuntimeError(
                "DataLoader workers run ahead of the training loop: say how many batches of this "
                "iteration it has taken, state_dict(batches=…)"
            )
        if self._running is not None:
            return self._running.state_dict()
        return {"samples": self._start()}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Lets the next iteration start where ``state`` was taken, with any number of workers.

        An epoch that was under way is finished: the next iteration is that much shorter.
        The number of ranks may change too, as long as the global batch stays the same.
        """
        try:
            samples = checked_whole("samples", state["samples"])
        except (KeyError, TypeError):
            raise ValueError(
                f"expected the state of a stream, {{'samples': n}}, got {state!r}"
            ) from None
        epoch = self._epoch_samples()
        if epoch is not None and samples % self._global_batch():
            raise ValueError(
                f"{samples} samples are not a whole number of batches of {self._global_batch()} "
                "(of all ranks together): the state is of another stream"
            )
        self._shared[0] = 0 if epoch is None else samples // epoch
        self._shared[1] = samples if epoch is None else samples % epoch
        self._shared[2] = 0
        self._running = None

    def __iter__(self) -> Iterator[Sample]:
        worker = get_worker_info()
        if worker is not None:
            self._shared[2] += 1
            self._running = None  # a fork brings along what iterated in its parent
            return _StreamIterator(self, worker.id, worker.num_workers)
        self._shared[2] = 0
        self._running = _StreamIterator(self, 0, 1)
        return self._running

    def __len__(self) -> int:
        """Batches in the next iteration; fewer than ``steps_per_epoch`` after a resume."""
        if self.steps_per_epoch is None:
            raise TypeError("an endless stream has no length: give it steps_per_epoch")
        seen = int(self._shared[1]) // self._global_batch()
        return self.steps_per_epoch - seen

    def __getstate__(self) -> dict[str, Any]:
        # A spawned worker knows neither torch.distributed nor what iterates here.
        return {**self.__dict__, "_ranks": self._resolved_ranks(), "_running": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        # A copy's memory is its own, and not shared yet.
        self._shared.share_memory_()  # type: ignore[no-untyped-call]  # torch's own stub

    def __repr__(self) -> str:
        length = "endless" if self.steps_per_epoch is None else f"{self.steps_per_epoch} steps"
        return f"<Stream: {len(self.family)} categories, batch_size={self.batch_size}, {length}>"

    def _resolved_ranks(self) -> tuple[int, int]:
        return _found_ranks() if self._ranks is None else self._ranks

    def _global_batch(self) -> int:
        return (self.batch_size or 1) * self._resolved_ranks()[1]

    def _epoch_samples(self) -> int | None:
        return self.steps_per_epoch and self.steps_per_epoch * self._global_batch()

    def _start(self) -> int:
        return int(self._shared[0]) * (self._epoch_samples() or 0) + int(self._shared[1])

    def _threads(self) -> int | None:
        return 1 if self.threads is None and get_worker_info() is not None else self.threads


class _StreamIterator(Iterator[Sample]):
    """Yields batches number w, w + W, … of an iteration that starts at one sample."""

    #: Single samples are rendered so many at a time, or one core would do all the work.
    AHEAD = 32

    def __init__(self, stream: Stream, worker: int, workers: int) -> None:
        self._stream, self._workers = stream, workers
        self._rank = stream._resolved_ranks()[0]
        self._start, self._global_batch = stream._start(), stream._global_batch()
        self._batches = len(stream) if stream.steps_per_epoch is not None else None
        self._next = worker
        self._singles: deque[Sample] = deque()

    def __next__(self) -> Sample:
        if self._batches is not None and self._next >= self._batches:
            raise StopIteration
        sample = self._single() if self._stream.batch_size is None else self._draw([self._next])
        self._next += self._workers
        return sample

    def state_dict(self) -> dict[str, int]:
        """Where the next batch starts, counted in samples of all ranks."""
        return {"samples": self._start + self._next * self._global_batch}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Goes to where ``state_dict`` was."""
        self._next = (state["samples"] - self._start) // self._global_batch
        self._singles.clear()

    def _single(self) -> Sample:
        if not self._singles:
            end = self._next + self.AHEAD * self._workers
            if self._batches is not None:
                end = min(end, self._batches)
            images, labels = self._draw(range(self._next, end, self._workers))
            self._singles.extend(zip(images, labels, strict=True))
        return self._singles.popleft()

    def _draw(self, batches: Sequence[int]) -> Sample:
        stream = self._stream
        size = stream.batch_size or 1
        firsts = [self._start + batch * self._global_batch + self._rank * size for batch in batches]
        within = np.arange(size, dtype=np.uint64)
        numbers = np.add.outer(np.array(firsts, np.uint64), within).ravel()
        categories, indices = _core.stream_order(
            numbers, len(stream.family), stream.instances, stream.seed
        )
        images = render(
            stream.family, categories, indices, stream.seed, stream.rendering, stream._threads()
        )
        return _channels_first(images), torch.from_numpy(categories.astype(np.int64))


class Instances(Dataset[tuple[Any, Any]]):
    """The first instances of every category as a data set with a length, drawn when asked for.

    Stands where torchvision's ``ImageFolder`` stood: item ``c · instances + i`` is instance
    i of category c, and ``classes``, ``class_to_idx`` and ``targets`` are there. Pictures
    come as tensors, not as PIL images.

    Args:
        family: the categories.
        instances: of each; the authors' data base has 1,000.
        rendering: how pictures are drawn; ``Rendering()`` if not given.
        seed: of every address.
        transform: takes the picture, uint8 (C, H, W), and returns what is wanted.
        target_transform: takes the label, an int.
        threads: that render a batch; one in a worker and all cores elsewhere if not given.

    Raises:
        IndexError: there is no such item.
        TypeError, ValueError: an argument is of the wrong type or out of range.
    """

    def __init__(
        self,
        family: Family,
        instances: int = 1000,
        *,
        rendering: Rendering | None = None,
        seed: int = 0,
        transform: Callable[[Any], Any] | None = None,
        target_transform: Callable[[Any], Any] | None = None,
        threads: int | None = None,
    ) -> None:
        self.family: Family = checked_type("family", family, Family)
        self.instances = checked_positive("instances", instances)
        self.rendering: Rendering = (
            Rendering() if rendering is None else checked_type("rendering", rendering, Rendering)
        )
        self.seed = checked_seed(seed)
        self.transform = transform
        self.target_transform = target_transform
        self.threads = checked_threads(threads)
        #: The authors' folder names: 00000, 00001, …
        self.classes: list[str] = [f"{category:05d}" for category in range(len(family))]
        self.class_to_idx: dict[str, int] = {name: i for i, name in enumerate(self.classes)}

    @property
    def targets(self) -> list[int]:
        """The label of every item."""
        targets: list[int] = np.repeat(np.arange(len(self.family)), self.instances).tolist()
        return targets

    def __len__(self) -> int:
        return len(self.family) * self.instances

    def __getitem__(self, item: int) -> tuple[Any, Any]:
        return self.__getitems__([item])[0]

    def __getitems__(self, items: Sequence[int]) -> list[tuple[Any, Any]]:
        """Draws many items at once; a DataLoader calls this for each batch."""
        numbers = np.array([self._number(item) for item in items], np.int64)
        categories, indices = numbers // self.instances, numbers % self.instances
        in_worker = get_worker_info() is not None or len(items) == 1
        threads = 1 if self.threads is None and in_worker else self.threads
        images = render(self.family, categories, indices, self.seed, self.rendering, threads)
        transform = self.transform or _as_it_is
        target_transform = self.target_transform or _as_it_is
        pairs = zip(_channels_first(images), categories.tolist(), strict=True)
        return [(transform(image), target_transform(label)) for image, label in pairs]

    def __repr__(self) -> str:
        return f"<Instances: {len(self.family)} categories of {self.instances}>"

    def _number(self, item: int) -> int:
        number = operator.index(item)
        number += len(self) if number < 0 else 0
        if not 0 <= number < len(self):
            raise IndexError(f"item {item} is out of range: there are {len(self)}")
        return number


class Normalize(nn.Module):
    """uint8 pictures to normalised floats in three channels, on the device they are on.

    A gray picture crosses to the device as one channel of bytes and is expanded there.

    Args:
        mean: of pixels scaled to 0…1, one number or three. 0.2 and 0.5 are those the
            authors pre-train with.
        std: likewise, above 0.
        dtype: of the result.

    >>> import torch
    >>> Normalize()(torch.zeros(8, 1, 32, 32, dtype=torch.uint8)).shape
    torch.Size([8, 3, 32, 32])
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        mean: float | Sequence[float] = 0.2,
        std: float | Sequence[float] = 0.5,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__()
        self.register_buffer("mean", _three("mean", mean), persistent=False)
        self.register_buffer("std", _three("std", std), persistent=False)
        if not bool((self.std > 0).all()):
            raise ValueError(f"std must be above 0, got {std}")
        self.dtype = dtype

    def forward(self, images: Tensor) -> Tensor:
        """Takes uint8 (B, 1 or 3, H, W) and returns (B, 3, H, W)."""
        if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] not in (1, 3):
            raise ValueError(
                f"images must be uint8 (B, 1 or 3, H, W), got {images.dtype} {tuple(images.shape)}"
            )
        # One multiplication and one addition a pixel, and the channels by broadcasting.
        scale = 1 / (255 * self.std)
        return (images * scale - self.mean / self.std).to(self.dtype)


def _channels_first(images: np.ndarray[Any, np.dtype[np.uint8]]) -> Tensor:
    pictures = torch.from_numpy(images)
    return pictures.unsqueeze(1) if pictures.ndim == 3 else pictures.permute(0, 3, 1, 2)


def _as_it_is(value: Any) -> Any:
    return value


def _three(name: str, value: float | Sequence[float]) -> Tensor:
    numbers = torch.as_tensor(value, dtype=torch.float32)
    if numbers.shape not in ((), (3,)):
        raise ValueError(f"{name} must be one number or three, got {value!r}")
    return numbers.expand(3).reshape(3, 1, 1).clone()


def _found_ranks() -> tuple[int, int]:
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_rank(), torch.distributed.get_world_size()
    if "RANK" in os.environ and "WORLD_SIZE" in os.environ:
        return _checked_ranks(int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"]))
    return 0, 1


def _checked_ranks(rank: int, world_size: int | None) -> tuple[int, int]:
    world = checked_positive("world_size", world_size if world_size is not None else 1)
    if checked_whole("rank", rank) >= world:
        raise ValueError(f"rank must be below world_size, got {rank} of {world}")
    return rank, world
