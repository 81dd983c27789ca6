"""Where a stream stands, shared with the DataLoader workers of this process and no other."""

from __future__ import annotations

import ctypes
import os
import weakref
from multiprocessing.context import get_spawning_popen
from multiprocessing.sharedctypes import RawArray
from typing import Any

from torch.utils.data import get_worker_info

#: Who began the last iteration: nobody since the position was last set, a loop in this process,
#: or workers and loaders, which run ahead of the loop.
NOBODY, HERE, AHEAD = range(3)

# Offsets in the shared memory: the next iteration, the last one, and who began that.
_NEXT, _LAST, _BY = 0, 2, 4
# Then, for each pool of workers: a tag, its epoch, and the samples of that epoch already seen.
_FIRST_POOL, _POOLS = 5, 16
# Then, for each worker, the tag it joined last.
_FIRST_WORKER, _WORKERS = _FIRST_POOL + 3 * _POOLS, 128
_NUMBERS = _FIRST_WORKER + _WORKERS


class Position:
    """Where the last iteration started and the next one will: (epoch, samples of it seen before).

    The memory is shared between one process and its DataLoader workers, forked or spawned. Any
    other process (such as a rank) gets its own memory, initialized with the position at the time
    it was started; so does a copy.

    The memory comes from ``multiprocessing``'s heap, so thousands of streams need only a few file
    descriptors.
    """

    def __init__(self, epoch: int = 0, seen: int = 0) -> None:
        self._kept = epoch, seen
        # In a worker: the tag it joined last, and the position it was given.
        self._joined = 0
        self._pending: tuple[int, int] | None = None
        self._allocate()

    def next(self) -> tuple[int, int]:
        """Returns where the next iteration starts."""
        if self._pending is not None:
            return self._pending
        memory = self._memory_here()
        epoch, seen = memory[_NEXT : _NEXT + 2]
        return epoch, seen

    def current(self) -> tuple[int, int]:
        """Returns where the last iteration started, or where the next will if set since."""
        at = _NEXT if self.begun_by() == NOBODY else _LAST
        memory = self._memory_here()
        epoch, seen = memory[at : at + 2]
        return epoch, seen

    def begun_by(self) -> int:
        """Returns who began the last iteration since the position was set."""
        return int(self._memory_here()[_BY])

    def set(self, epoch: int, seen: int) -> None:
        """Sets where the next iteration starts; in a worker, that of its pool."""
        if get_worker_info() is not None:
            self._pending = epoch, seen  # each of its siblings is given the same
            return
        memory = self._memory_here()
        memory[_NEXT], memory[_NEXT + 1], memory[_BY] = epoch, seen, NOBODY

    def begin(self, by: int, *, endless: bool) -> tuple[int, int]:
        """Begins an iteration and returns where it starts; the next one is the following epoch."""
        memory = self._memory_here()
        epoch, seen = memory[_NEXT], memory[_NEXT + 1]
        _begin(memory, epoch, seen, by, endless)
        return epoch, seen

    def join(self, *, endless: bool) -> tuple[int, int]:
        """Returns where this worker's pool started its current iteration, or begins one.

        Needs no lock: workers that begin an iteration at the same time write the same numbers, and
        a worker that finds the position advanced also finds the tag changed.
        """
        memory, worker = self._memory_here(), get_worker_info()
        assert worker is not None
        # Workers of one pool have their base seed in common.
        pool = hash((worker.seed - worker.id, worker.num_workers)) & 0x3FFF_FFFF | 0x4000_0000
        at = _FIRST_POOL + 3 * (pool % _POOLS)
        mine = _FIRST_WORKER + worker.id if worker.id < _WORKERS else None
        while True:
            tag = memory[at]
            # An earlier pool with the same seeds may have had a worker of this number; only the
            # shared memory remembers what that one joined.
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
        if get_spawning_popen() is not None:  # the new process may be a worker
            state.update(_memory=self._memory, _owner=self._owner)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        _positions.add(self)

    def _memory_here(self) -> Any:
        if self._memory is None or (self._owner != os.getpid() and get_worker_info() is None):
            self._allocate()
        return self._memory

    def _allocate(self) -> None:
        self._memory: Any = RawArray(ctypes.c_int64, _NUMBERS)
        self._memory[_NEXT], self._memory[_NEXT + 1] = self._kept
        self._owner: int | None = os.getpid()
        _positions.add(self)

    def _keep(self) -> None:
        self._kept = self.next()


def _begin(memory: Any, epoch: int, seen: int, by: int, endless: bool) -> None:
    memory[_LAST], memory[_LAST + 1], memory[_BY] = epoch, seen, by
    if not endless:
        memory[_NEXT], memory[_NEXT + 1] = epoch + 1, 0


_positions: weakref.WeakSet[Position] = weakref.WeakSet()


def _before_fork() -> None:
    """Saves every position, which a forked child then starts from."""
    for position in list(_positions):
        position._keep()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork)
