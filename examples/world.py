"""The processes that train together: how they join, and how they agree to stop."""

import math
import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class World:
    """The processes that train together, and this one's place among them."""

    rank: int
    size: int
    local_size: int  # processes on this machine
    device: torch.device

    def total(self, numbers: Tensor) -> Tensor:
        """The sum over all processes, in place."""
        if self.size > 1:
            dist.all_reduce(numbers)
        return numbers

    def from_first(self, numbers: Tensor) -> Tensor:
        """The numbers of rank 0, in place."""
        if self.size > 1:
            dist.broadcast(numbers, 0)
        return numbers

    def gather(self, thing: Any) -> list[Any]:
        """Everyone's `thing`, by rank."""
        things = [thing] * self.size
        if self.size > 1:
            dist.all_gather_object(things, thing)
        return things

    def share(self, batch_size: int) -> int:
        """This process's part of a batch."""
        if batch_size % self.size:
            raise ValueError(
                f"--batch-size {batch_size} does not divide over {self.size} processes"
            )
        return batch_size // self.size


def place(device: str) -> torch.device:
    """The device that --device names. Raises ValueError for one that is not here."""
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise ValueError(f"--device {device}: torch sees no GPU here")
    try:
        found = torch.device(device)
    except RuntimeError as error:
        raise ValueError(f"--device {device}: torch knows no such device") from error
    if found.type != "cpu" and found.index is None:
        found = torch.device(found.type, int(os.environ.get("LOCAL_RANK", 0)))
    return found


@contextmanager
def same_bits(wanted: bool) -> Iterator[None]:
    """Makes torch compute the same bits in every run on the same hardware, or as fast as it can."""
    before = torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark
    if wanted:
        # cuBLAS reads it once, before its first product.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True)
    # It times convolutions to choose one, and another may win after a resume.
    torch.backends.cudnn.benchmark = not wanted  # pictures never change their size
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0])
        torch.backends.cudnn.benchmark = before[1]


@contextmanager
def joined_world(device: str) -> Iterator[World]:
    """Joins the processes that torchrun started; without torchrun, a world of one."""
    rank = int(os.environ.get("RANK", 0))
    size = int(os.environ.get("WORLD_SIZE", 1))
    here = place(device)
    if here.type == "cuda":
        torch.cuda.set_device(here)
    if size > 1:
        # gloo as well, so that ranks agree on small things without waiting for their GPU.
        theirs = dist.Backend.default_device_backend_map.get(here.type, "gloo")
        own = "" if here.type == "cpu" else f",{here.type}:{theirs}"
        dist.init_process_group(f"cpu:gloo{own}")
    local_size = int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    yield World(rank=rank, size=size, local_size=local_size, device=here)
    # Not in a `finally`: after an error the others may never arrive here, and torchrun ends them.
    if size > 1:
        dist.destroy_process_group()


class Stop:
    """Turns Ctrl-C, SIGTERM and the limits into a step at which all processes stop together.

    `now` says whether that was agreed, `code` what the script then exits with: 130 after Ctrl-C,
    143 after SIGTERM, else 0. A signal that was ignored before stays ignored.
    """

    def __init__(self, world: World, *, max_steps: int | None, max_minutes: float | None) -> None:
        self.world, self.now, self.code, self.heard = world, False, 0, 0
        self.last_step = math.inf if max_steps is None else max_steps
        self.deadline = time.monotonic() + 60 * (math.inf if max_minutes is None else max_minutes)

    def __enter__(self) -> "Stop":
        self.before = {}
        for number in (signal.SIGINT, signal.SIGTERM):
            # Ignored is how `nohup … &` starts a script, so a Ctrl-C is not meant for it; and None
            # is a handler that Python did not set, and could not restore.
            if signal.getsignal(number) not in (signal.SIG_IGN, None):
                self.before[number] = signal.signal(number, self._hear)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def _hear(self, number: int, frame: FrameType | None) -> None:
        # A second signal changes nothing: under torchrun one Ctrl-C arrives twice.
        self.heard = max(self.heard, 128 + number)

    def agreed(self, step: int) -> bool:
        """Whether to stop after this step: the same answer, at the same step, on every rank."""
        limit = step >= self.last_step or time.monotonic() >= self.deadline
        wish = self.heard or int(limit)
        if self.world.size > 1:
            wishes = torch.tensor(wish)
            dist.all_reduce(wishes, dist.ReduceOp.MAX)  # over gloo: no GPU is waited for
            wish = int(wishes)
        self.now, self.code = wish > 0, wish if wish > 1 else 0
        return self.now


def ignore_signals(worker: int) -> None:
    """For DataLoader workers: Ctrl-C reaches them too, but the trainer decides when to stop."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def end_workers() -> None:
    """Ends what `ignore_signals` made deaf: after an error Python would wait for it for ever."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # torch would report their deaths as errors
    for child in multiprocessing.active_children():
        child.kill()
