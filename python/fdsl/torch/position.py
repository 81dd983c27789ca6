"""The position of a stream, shared between a process and its DataLoader workers."""

from __future__ import annotations

import ctypes
import os
import weakref
from multiprocessing.context import get_spawning_popen
from multiprocessing.sharedctypes import RawArray
from typing import Any

from torch.utils.data import get_worker_info

#: What started the latest pass over the stream: nothing yet, since the position was set; a loop in
#: this process; or workers or a ``Loader``, which run ahead of the training loop.
NOT_STARTED, BY_LOOP, BY_PREFETCHER = range(3)

# Offsets in the shared memory: the start of the next pass, the start of the latest pass (each an
# epoch and the samples of it already seen), what started the latest pass, and its workers.
_NEXT, _LATEST, _STARTED_BY, _WORKERS_OF_LATEST = 0, 2, 4, 5
# Then, for each pool of workers: the tag of its current pass, and the start of that pass.
_FIRST_POOL, _POOLS = 6, 16
# Then, for each worker, the tag of the pass that it joined last.
_FIRST_WORKER, _WORKERS = _FIRST_POOL + 3 * _POOLS, 128
_NUMBERS = _FIRST_WORKER + _WORKERS


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
        memory = self._shared_memory()
        epoch, seen = memory[_NEXT : _NEXT + 2]
        return epoch, seen

    def current(self) -> tuple[int, int]:
        """Returns where the latest pass started; if the position was set since, where the next
        pass starts."""
        offset = _NEXT if self.started_by() == NOT_STARTED else _LATEST
        memory = self._shared_memory()
        epoch, seen = memory[offset : offset + 2]
        return epoch, seen

    def started_by(self) -> int:
        """Returns what started the latest pass; if the position was set since, ``NOT_STARTED``."""
        return int(self._shared_memory()[_STARTED_BY])

    def workers(self) -> int:
        """Returns how many workers share the latest pass; 0 if this process renders it, or if the
        position was set since."""
        memory = self._shared_memory()
        return 0 if memory[_STARTED_BY] == NOT_STARTED else int(memory[_WORKERS_OF_LATEST])

    def set(self, epoch: int, seen: int) -> None:
        """Sets where the next pass starts; in a worker, where the next pass of its pool starts."""
        if get_worker_info() is not None:
            self._pending = epoch, seen  # the other workers of the pool set the same position
            return
        memory = self._shared_memory()
        memory[_NEXT], memory[_NEXT + 1], memory[_STARTED_BY] = epoch, seen, NOT_STARTED

    def begin(self, started_by: int, length: int | None) -> tuple[int, int]:
        """Begins a pass and returns where it starts. The pass after it is the next epoch.

        Args:
            started_by: what starts it.
            length: the number of samples of an epoch, or ``None`` for an endless one.
        """
        memory = self._shared_memory()
        epoch, seen = within(length, memory[_NEXT], memory[_NEXT + 1])
        _begin(memory, epoch, seen, started_by, length)
        return epoch, seen

    def join(self, length: int | None) -> tuple[int, int]:
        """Returns where the current pass of this worker's pool started, or begins a pass.

        Needs no lock: workers that begin a pass at the same time write the same numbers, and a
        worker that finds the position advanced also finds the tag changed.
        """
        memory, worker = self._shared_memory(), get_worker_info()
        assert worker is not None
        # All workers of a pool have the same base seed.
        pool = hash((worker.seed - worker.id, worker.num_workers)) & 0x3FFF_FFFF | 0x4000_0000
        pool_offset = _FIRST_POOL + 3 * (pool % _POOLS)
        worker_offset = _FIRST_WORKER + worker.id if worker.id < _WORKERS else None
        while True:
            tag = memory[pool_offset]
            # An earlier pool with the same seeds may have had a worker with the same number. Only
            # the shared memory remembers which pass that worker joined.
            joined_tag = self._joined_tag
            if not joined_tag and worker_offset is not None:
                joined_tag = memory[worker_offset]
            if tag >> 32 == pool and tag != joined_tag:
                epoch, seen = memory[pool_offset + 1], memory[pool_offset + 2]
                break
            epoch, seen = within(length, *self.next())
            if memory[pool_offset] == tag:
                tag = pool << 32 | (tag + 1) & 0xFFFF_FFFF
                memory[pool_offset + 1], memory[pool_offset + 2] = epoch, seen
                memory[pool_offset] = tag
                _begin(memory, epoch, seen, BY_PREFETCHER, length, worker.num_workers)
                break
        self._joined_tag, self._pending = tag, None
        if worker_offset is not None:
            memory[worker_offset] = tag
        return epoch, seen

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
        self._memory: Any = RawArray(ctypes.c_int64, _NUMBERS)
        self._memory[_NEXT], self._memory[_NEXT + 1] = self._saved
        self._owner: int | None = os.getpid()
        _positions.add(self)

    def _save(self) -> None:
        self._saved = self.next()


def within(length: int | None, epoch: int, seen: int) -> tuple[int, int]:
    """Returns the same start with less than ``length`` samples seen, the number of an epoch."""
    return (epoch, seen) if length is None else (epoch + seen // length, seen % length)


def _begin(
    memory: Any, epoch: int, seen: int, started_by: int, length: int | None, workers: int = 0
) -> None:
    memory[_LATEST], memory[_LATEST + 1], memory[_STARTED_BY] = epoch, seen, started_by
    memory[_WORKERS_OF_LATEST] = workers
    if length is not None:
        memory[_NEXT], memory[_NEXT + 1] = epoch + 1, 0


_positions: weakref.WeakSet[Position] = weakref.WeakSet()


def _before_fork() -> None:
    """Saves every position, from which a forked process then starts."""
    for position in list(_positions):
        position._save()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork)
