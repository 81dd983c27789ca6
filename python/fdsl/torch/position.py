"""The position of a stream, shared between a process and its DataLoader workers."""

from __future__ import annotations

import ctypes
import os
import weakref
from multiprocessing.context import get_spawning_popen
from multiprocessing.sharedctypes import RawValue
from typing import Any, NamedTuple

from torch.utils.data import get_worker_info

from fdsl._core import memory_fence

#: What started the latest pass over the stream: nothing yet, since the position was set; a loop in
#: this process; or workers or a ``Loader``, which run ahead of the training loop.
NOT_STARTED, BY_LOOP, BY_PREFETCHER = range(3)


class Pass(NamedTuple):
    """Where a pass starts: an epoch, and the samples of it already seen."""

    epoch: int
    seen: int
    #: Whether this worker or process began it, and the pass before it started at the same position.
    repeats: bool


class _Start(ctypes.Structure):
    """Where a pass starts: an epoch, and the samples of it already seen."""

    _fields_ = (("epoch", ctypes.c_int64), ("seen", ctypes.c_int64))

    def get(self) -> tuple[int, int]:
        return self.epoch, self.seen

    def set(self, epoch: int, seen: int) -> None:
        self.epoch, self.seen = epoch, seen


class _Pool(ctypes.Structure):
    """The current pass of a pool of workers."""

    _fields_ = (
        #: The number of the pool, and a counter that differs in every pass.
        ("tag", ctypes.c_int64),
        #: The tag of the pool's previous pass.
        ("tag_before", ctypes.c_int64),
        ("start", _Start),
        #: When the pass began: a number that grows with every pass of any pool.
        ("begun", ctypes.c_int64),
        #: For each worker, ``_mark`` of the pass that it joined last.
        ("joined", ctypes.c_uint8 * 128),
    )


class _Memory(ctypes.Structure):
    """What a process and its workers share; a worker knows only its own pool and its own number."""

    _fields_ = (
        ("next", _Start),
        ("latest", _Start),
        ("started_by", ctypes.c_int64),
        #: Of the latest pass.
        ("workers", ctypes.c_int64),
        ("pools", _Pool * 64),
    )


class Position:
    """Where the latest pass over a stream started, and where the next one will start.

    Each start is a pair: an epoch, and how many samples were seen since that epoch began. Until a
    pass begins, these may be more than an epoch has: how many that is depends on the number of
    ranks, which may not be known earlier.

    One process and its DataLoader workers, forked or spawned, share the memory. Any other process
    (such as another rank) gets separate memory, initialized with the position at the time that
    process was started. A copy gets separate memory, too.

    The memory comes from ``multiprocessing``'s heap, so thousands of streams need only a few file
    descriptors.
    """

    def __init__(self, epoch: int = 0, seen: int = 0) -> None:
        self._saved = epoch, seen  # what new memory is initialized with
        # In a worker: the tag of the pass it joined last, and the position set since then.
        self._joined_tag = 0
        self._pending: tuple[int, int] | None = None
        self._allocate()

    def next(self) -> tuple[int, int]:
        """Returns where the next pass starts."""
        if self._pending is not None:
            return self._pending
        start: tuple[int, int] = self._shared_memory().next.get()
        return start

    def current(self) -> tuple[int, int]:
        """Returns where the latest pass started; if the position was set since, where the next
        pass starts."""
        memory = self._shared_memory()
        epoch, seen = _latest(memory) or memory.next.get()
        return epoch, seen

    def started_by(self) -> int:
        """Returns what started the latest pass; if the position was set since, ``NOT_STARTED``."""
        return int(self._shared_memory().started_by)

    def workers(self) -> int:
        """Returns how many workers share the latest pass; 0 if this process renders it, or if the
        position was set since."""
        memory = self._shared_memory()
        return 0 if _latest(memory) is None else int(memory.workers)

    def set(self, epoch: int, seen: int) -> None:
        """Sets where the next pass starts; in a worker, where the next pass of its pool starts."""
        if get_worker_info() is not None:
            self._pending = epoch, seen  # the other workers of the pool set the same position
            return
        memory = self._shared_memory()
        memory.next.set(epoch, seen)
        memory.started_by = NOT_STARTED

    def begin(self, started_by: int, length: int | None) -> Pass:
        """Begins a pass and returns it. The pass after it is the next epoch.

        Args:
            started_by: what starts it.
            length: the number of samples of an epoch, or ``None`` for an endless one.
        """
        memory = self._shared_memory()
        before, start = _latest(memory), within(length, *memory.next.get())
        _begin(memory, *start, started_by, length)
        return Pass(*start, repeats=before == start)

    def join(self, length: int | None) -> Pass:
        """Returns the current pass of this worker's pool, or begins a pass.

        The first worker of the pool to get here begins the pass; the others find a tag that they
        have not joined yet. This needs no lock. The start is written before the tag, so a worker
        that sees the tag also sees its start. Workers that begin a pass at the same time write the
        same numbers. If one of them is late and reads the next position of the pass after it, the
        tag has changed as well, and it looks again. Fences keep that order on every processor.

        A pool keeps its slot until at least 32 passes of other pools have begun since its own.

        Raises:
            RuntimeError: the pool has gone on without this worker, or another pool has the seeds
                of this one.
        """
        memory, worker = self._shared_memory(), get_worker_info()
        assert worker is not None
        # All workers of a pool have the same base seed.
        number = pool_number(worker.seed - worker.id, worker.num_workers)
        remembered = worker.id < len(memory.pools[0].joined)
        while True:
            before = _latest(memory)  # the pass before, if this worker begins one
            pool, tag = _slot(memory.pools, number)
            repeats = False
            # An earlier pool with the same seeds may have had a worker with the same number. Only
            # the shared memory remembers which pass that worker joined.
            joined_by_one = remembered and pool.joined[worker.id] == _mark(tag)
            joined = tag == self._joined_tag if self._joined_tag else joined_by_one
            if tag >> 32 == number and not joined:
                memory_fence()  # the tag was read before its start
                epoch, seen = pool.start.get()
                if joined_by_one:
                    raise RuntimeError(
                        "two DataLoaders with the same seed iterate over this stream, and would "
                        "share its epochs: give each a generator with a seed of its own, or a copy "
                        "of the stream"
                    )
                if self._joined_tag not in (0, pool.tag_before):
                    raise RuntimeError(
                        "the other workers of this DataLoader are two passes over the stream ahead "
                        "of this one, which would skip a pass: begin a new pass only when all "
                        "workers are done with the last"
                    )
                break
            epoch, seen = within(length, *self.next())
            memory_fence()  # the next position was read before the tag
            if pool.tag == tag:
                # Greater than in every earlier pass of this pool, which may have had another slot,
                # and in every earlier pass in this slot.
                tag = number << 32 | max(tag & 0xFFFF_FFFF, self._joined_tag & 0xFFFF_FFFF) + 1
                pool.tag_before = self._joined_tag
                pool.start.set(epoch, seen)
                memory_fence()  # the start is written before the tag
                pool.tag = tag
                memory_fence()  # and the tag before all that follows
                pool.begun = max(one.begun for one in memory.pools) + 1
                repeats = before == (epoch, seen)
                _begin(memory, epoch, seen, BY_PREFETCHER, length, worker.num_workers)
                break
        self._joined_tag, self._pending = tag, None
        if remembered:
            pool.joined[worker.id] = _mark(tag)
        return Pass(epoch, seen, repeats)

    def __getstate__(self) -> dict[str, Any]:
        state = {"_saved": self.next(), "_joined_tag": 0, "_pending": None}
        state.update(_memory=None, _owner=None)
        if get_spawning_popen() is not None:  # the new process may be a worker
            state.update(_memory=self._memory, _owner=self._owner)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        _positions.add(self)

    def _shared_memory(self) -> Any:
        """Returns the memory shared with the workers; a forked process that is no worker gets
        separate memory first."""
        if self._memory is None or (self._owner != os.getpid() and get_worker_info() is None):
            self._allocate()
        return self._memory

    def _allocate(self) -> None:
        self._memory: Any = RawValue(_Memory)
        self._memory.next.set(*self._saved)
        self._owner: int | None = os.getpid()
        _positions.add(self)

    def _save(self) -> None:
        self._saved = self.next()


def pool_number(seed: int, workers: int) -> int:
    """Returns what identifies a pool of workers: a number of 31 bits, never 0."""
    return hash((seed, workers)) & 0x3FFF_FFFF | 0x4000_0000


def within(length: int | None, epoch: int, seen: int) -> tuple[int, int]:
    """Returns the same start with fewer samples seen than an epoch has, which is ``length``."""
    return (epoch, seen) if length is None else (epoch + seen // length, seen % length)


def _latest(memory: Any) -> tuple[int, int] | None:
    """Returns where the latest pass started; ``None`` if the position was set since."""
    if memory.started_by == NOT_STARTED:
        return None
    memory_fence()
    start: tuple[int, int] = memory.latest.get()
    return start


def _begin(
    memory: Any, epoch: int, seen: int, started_by: int, length: int | None, workers: int = 0
) -> None:
    memory.latest.set(epoch, seen)
    memory.workers = workers
    memory_fence()  # a reader that sees started_by also sees the rest of this pass
    memory.started_by = started_by
    if length is not None:
        memory.next.set(epoch + 1, 0)


def _mark(tag: int) -> int:
    """Returns a byte, never 0, that differs between nearby passes in a slot."""
    return (tag & 0xFFFF_FFFF) % 255 + 1


def _slot(pools: Any, number: int) -> tuple[Any, int]:
    """Returns the slot of a pool, and the tag in it.

    A pool without a slot gets one that is free, or whose pass began long ago, to overwrite it.
    """
    # Read before the tags, since a worker writes it after the tag. So of two workers of one pool,
    # the second finds either the tag of the first or the same slot.
    begun = [pool.begun for pool in pools]
    memory_fence()
    tags = [pool.tag for pool in pools]
    old = max(begun) - len(pools) // 2
    # Each pool starts its search at a slot of its own, so that two that begin at once rarely take
    # the same.
    order = [(number + step) % len(pools) for step in range(len(pools))]
    own = (slot for slot in order if tags[slot] >> 32 == number)
    free = (slot for slot in order if begun[slot] <= max(old, 0))
    slot = next(own, None)
    slot = next(free, order[0]) if slot is None else slot
    return pools[slot], tags[slot]


_positions: weakref.WeakSet[Position] = weakref.WeakSet()


def _before_fork() -> None:
    """Saves every position, from which a forked process then starts."""
    for position in list(_positions):
        position._save()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork)
