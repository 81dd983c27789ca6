"""Where a stream stands: known to the DataLoader workers of this process, and to no other."""

from __future__ import annotations

import ctypes
import os
import weakref
from multiprocessing.context import get_spawning_popen
from multiprocessing.sharedctypes import RawArray
from typing import Any

from torch.utils.data import get_worker_info

#: Who began the last iteration: nobody since the stream was told where to start, a loop in this
#: process, or workers and loaders, which run ahead of the loop.
NOBODY, HERE, AHEAD = range(3)

# The numbers in memory. The next iteration, the last one, who began that.
_NEXT, _LAST, _BY = 0, 2, 4
# Then what pools of workers are at: a tag, an epoch and the samples seen of it.
_FIRST_POOL, _POOLS = 5, 16
# Then the tag that each worker has joined last.
_FIRST_WORKER, _WORKERS = _FIRST_POOL + 3 * _POOLS, 128
_NUMBERS = _FIRST_WORKER + _WORKERS


class Place:
    """Where the next iteration starts, (epoch, samples of it already seen), and the last did.

    The memory is that of one process and of its DataLoader workers, forked or spawned. Any other
    process (a rank that was forked or spawned) gets memory of its own, with what was true when it
    was started; so does a copy.

    It is a piece of ``multiprocessing``'s heap: thousands of them need a few file descriptors.
    """

    def __init__(self, epoch: int = 0, seen: int = 0) -> None:
        self._kept = epoch, seen
        # In a worker: the tag that it has joined last, and where it was told to start.
        self._joined = 0
        self._pending: tuple[int, int] | None = None
        self._own()

    def next(self) -> tuple[int, int]:
        """Where the next iteration starts."""
        if self._pending is not None:
            return self._pending
        memory = self._memory_here()
        epoch, seen = memory[_NEXT : _NEXT + 2]
        return epoch, seen

    def current(self) -> tuple[int, int]:
        """Where the last iteration started, or the next will if told so since."""
        at = _NEXT if self.begun_by() == NOBODY else _LAST
        memory = self._memory_here()
        epoch, seen = memory[at : at + 2]
        return epoch, seen

    def begun_by(self) -> int:
        """Who began the last iteration since the stream was told where to start."""
        return int(self._memory_here()[_BY])

    def tell(self, epoch: int, seen: int) -> None:
        """Sets where the next iteration starts; in a worker, that of its pool."""
        if get_worker_info() is not None:
            self._pending = epoch, seen  # each of its siblings is told the same, in its own time
            return
        memory = self._memory_here()
        memory[_NEXT], memory[_NEXT + 1], memory[_BY] = epoch, seen, NOBODY

    def begin(self, by: int, *, endless: bool) -> tuple[int, int]:
        """Returns where the iteration that begins now starts; the next is the epoch after it."""
        memory = self._memory_here()
        epoch, seen = memory[_NEXT], memory[_NEXT + 1]
        _begin(memory, epoch, seen, by, endless)
        return epoch, seen

    def join(self, *, endless: bool) -> tuple[int, int]:
        """Returns where the iteration starts that this worker's pool is at, or begins it.

        No lock is needed: workers that begin it at the same time write the same numbers, and one
        that finds the place moved on finds the tag changed as well.
        """
        memory, worker = self._memory_here(), get_worker_info()
        assert worker is not None
        # Siblings have in common what their seeds were made of.
        pool = hash((worker.seed - worker.id, worker.num_workers)) & 0x3FFF_FFFF | 0x4000_0000
        at = _FIRST_POOL + 3 * (pool % _POOLS)
        mine = _FIRST_WORKER + worker.id if worker.id < _WORKERS else None
        while True:
            tag = memory[at]
            # The memory remembers what this process cannot: that a worker of this number has
            # joined, in an earlier pool with the same seeds.
            joined = self._joined if self._joined or mine is None else memory[mine]
            if tag >> 32 == pool and tag != joined:
                epoch, seen = memory[at + 1], memory[at + 2]
                break
            epoch, seen = self.next()
            if memory[at] == tag:
                tag = pool << 32 | (tag + 1) & 0xFFFF_FFFF
                memory[at + 1], memory[at + 2] = epoch, seen
                memory[at] = tag
                _begin(memory, epoch, seen, AHEAD, endless)
                break
        self._joined, self._pending = tag, None
        if mine is not None:
            memory[mine] = tag
        return epoch, seen

    def __getstate__(self) -> dict[str, Any]:
        state = {"_kept": self.next(), "_joined": 0, "_pending": None}
        state.update(_memory=None, _owner=None)
        if get_spawning_popen() is not None:  # perhaps a worker is started with it
            state.update(_memory=self._memory, _owner=self._owner)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        _places.add(self)

    def _memory_here(self) -> Any:
        if self._memory is None or (self._owner != os.getpid() and get_worker_info() is None):
            self._own()
        return self._memory

    def _own(self) -> None:
        self._memory: Any = RawArray(ctypes.c_int64, _NUMBERS)
        self._memory[_NEXT], self._memory[_NEXT + 1] = self._kept
        self._owner: int | None = os.getpid()
        _places.add(self)

    def _keep(self) -> None:
        self._kept = self.next()


def _begin(memory: Any, epoch: int, seen: int, by: int, endless: bool) -> None:
    memory[_LAST], memory[_LAST + 1], memory[_BY] = epoch, seen, by
    if not endless:
        memory[_NEXT], memory[_NEXT + 1] = epoch + 1, 0


_places: weakref.WeakSet[Place] = weakref.WeakSet()


def _before_fork() -> None:
    """Lets a child know what is true now, not when it first asks."""
    for place in list(_places):
        place._keep()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork)
