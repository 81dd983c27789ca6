"""Pictures without end, in an order that nothing but the seed decides."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import IterableDataset, get_worker_info

from fdsl import _core
from fdsl._checks import (
    checked_positive,
    checked_seed,
    checked_share,
    checked_threads,
    checked_type,
    checked_whole,
)
from fdsl.formulas import Family
from fdsl.rendering import Rendering, render
from fdsl.torch.ranks import checked_ranks, found_ranks

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
        label_noise: share of the pictures, 0…1, whose label is drawn from all categories alike
            (paper, Figure 5). The address decides: a picture keeps its label, and more noise
            keeps the labels that less noise drew. The pictures and their order do not change.
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
        label_noise: float = 0.0,
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
        self.label_noise = checked_share("label_noise", label_noise)
        self.threads = checked_threads(threads)
        if (rank is None) != (world_size is None):
            raise ValueError(f"give rank and world_size both or neither, got {rank}, {world_size}")
        self._ranks = None if rank is None else checked_ranks(rank, world_size)
        # In shared memory, or persistent workers would never see a new epoch:
        # the epoch, the samples of it already seen, and how often workers iterated.
        self._shared = torch.zeros(3, dtype=torch.int64)
        self._shared.share_memory_()  # type: ignore[no-untyped-call]  # torch's own stub
        self._running: StreamIterator | None = None
        self._told = 0  # how often it was told where to start

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
        self._told += 1

    def state_dict(self, batches: int | None = None) -> dict[str, int]:
        """Returns {"samples": n}: how many samples all ranks together have seen.

        Args:
            batches: how many batches of this iteration the training loop has taken. Needed
                with DataLoader workers, which run ahead of the loop (a ``Loader`` counts for
                itself); without, what this process's last iterator has yielded counts.

        Raises:
            RuntimeError: workers or a loader iterate, and ``batches`` is not given.
        """
        if batches is not None:
            return {
                "samples": self._start() + checked_whole("batches", batches) * self._global_batch()
            }
        if get_worker_info() is None and self._shared[2] > 0:
            raise RuntimeError(
                "workers and loaders run ahead of the training loop: say how many batches of this "
                "iteration it has taken, state_dict(batches=…), or ask the Loader"
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
        self._told += 1

    def __iter__(self) -> Iterator[Sample]:
        worker = get_worker_info()
        if worker is not None:
            self._ahead()
            return StreamIterator(self, worker.id, worker.num_workers)
        self._shared[2] = 0
        self._running = StreamIterator(self, 0, 1)
        return self._running

    def _ahead(self) -> None:
        """Notes that somebody iterates who runs ahead of the training loop."""
        self._shared[2] += 1
        self._running = None  # a fork brings along what iterated in its parent

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
        return found_ranks() if self._ranks is None else self._ranks

    def _global_batch(self) -> int:
        return (self.batch_size or 1) * self._resolved_ranks()[1]

    def _epoch_samples(self) -> int | None:
        return self.steps_per_epoch and self.steps_per_epoch * self._global_batch()

    def _start(self) -> int:
        return int(self._shared[0]) * (self._epoch_samples() or 0) + int(self._shared[1])

    def _threads(self) -> int | None:
        return 1 if self.threads is None and get_worker_info() is not None else self.threads


class StreamIterator(Iterator[Sample]):
    """Yields batches number w, w + W, … of an iteration that starts at one sample."""

    #: Single samples are rendered so many at a time, or one core would do all the work.
    AHEAD = 32

    def __init__(
        self,
        stream: Stream,
        worker: int,
        workers: int,
        empty: Callable[[tuple[int, ...]], Tensor] | None = None,
    ) -> None:
        """``empty`` makes the memory to draw into, uint8 of a shape and in one piece."""
        self._stream, self._workers = stream, workers
        self._empty = empty or _empty
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
        rendering = stream.rendering
        channels = (3,) if rendering.color else ()
        images = self._empty((len(numbers), *rendering.output_size, *channels))
        render(
            stream.family,
            categories,
            indices,
            stream.seed,
            rendering,
            stream._threads(),
            out=images.numpy(),
        )
        labels = noisy_labels(stream.family, categories, indices, stream.seed, stream.label_noise)
        return channels_first(images), torch.from_numpy(labels)


def noisy_labels(
    family: Family,
    categories: npt.NDArray[np.uint64],
    indices: npt.NDArray[np.uint64],
    seed: int,
    noise: float,
) -> npt.NDArray[np.int64]:
    """Returns the labels of addresses: the categories, or what ``label_noise`` made of them."""
    if noise > 0:
        categories = _core.noisy_labels(categories, indices, seed, len(family), noise)
    return categories.astype(np.int64)


def channels_first(pictures: Tensor) -> Tensor:
    """Returns (B, H, W) or (B, H, W, 3) as (B, C, H, W), in the same memory."""
    return pictures.unsqueeze(1) if pictures.ndim == 3 else pictures.permute(0, 3, 1, 2)


def _empty(shape: tuple[int, ...]) -> Tensor:
    return torch.empty(shape, dtype=torch.uint8)
