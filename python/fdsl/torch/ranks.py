"""Finds the rank of this process, and refuses to let Accelerate shard a stream a second time."""

from __future__ import annotations

import os
import sys

import torch

from fdsl._checks import checked_positive, checked_whole

#: Accelerate's classes that divide the samples of an iterable data set among the ranks.
SPLITTERS = ("IterableDatasetShard", "DataLoaderDispatcher")


def ranks_of_distributed() -> tuple[int, int] | None:
    """Returns torch.distributed's (rank, world_size), if it is initialized here."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_rank(), torch.distributed.get_world_size()
    return None


def ranks_of_launcher(*, complete: bool = True) -> tuple[int, int] | None:
    """Returns torchrun's (rank, world_size), if set in the environment.

    Args:
        complete: whether setting only one of the two is an error, unless it is ``RANK=0`` or
            ``WORLD_SIZE=1``. Otherwise it counts as setting neither: Lightning's child processes
            have no ``RANK`` until Lightning initializes ``torch.distributed``.

    Raises:
        ValueError: ``complete``, and only one of the two is set; or one of them is not a number.
    """
    given = {name: os.environ[name] for name in ("RANK", "WORLD_SIZE") if name in os.environ}
    for name, other, alone in (("RANK", "WORLD_SIZE", "0"), ("WORLD_SIZE", "RANK", "1")):
        if complete and given.keys() == {name} and given[name] != alone:
            # Otherwise every rank would be the first.
            raise ValueError(f"{name}={given[name]} is set without {other}: set both, or neither")
    for name, value in given.items():
        if not value.isdecimal():
            raise ValueError(f"{name} must be a whole number, got {value!r}")
    return checked_ranks(*map(int, given.values())) if len(given) == 2 else None


def checked_ranks(rank: int, world_size: int | None) -> tuple[int, int]:
    """Checks that a rank and a world size go together, and returns both."""
    world = checked_positive("world_size", world_size if world_size is not None else 1)
    if checked_whole("rank", rank) >= world:
        raise ValueError(f"rank must be below world_size, got {rank} of {world}")
    return rank, world


def refuse_second_split(world_size: int) -> None:
    """Raises an error if Accelerate would shard a stream that is already sharded.

    ``set_epoch`` must call this directly: Accelerate calls ``set_epoch`` on every rank before it
    iterates, and a data set has no other way to tell that Accelerate reads it. So this inspects
    the stack frame of the caller of ``set_epoch``.

    Raises:
        ValueError: each rank would get only part of its samples.
    """
    caller = sys._getframe(2)
    package = str(caller.f_globals.get("__name__", "")).partition(".")[0]
    splitter = type(caller.f_locals.get("self")).__name__
    if world_size > 1 and package in ("accelerate", "transformers") and splitter in SPLITTERS:
        raise ValueError(
            f"this Stream already divides its samples among the {world_size} ranks, and "
            f"Accelerate ({splitter}) would divide them a second time: most samples would be lost. "
            "Do not pass its DataLoader to accelerator.prepare. With transformers.Trainer, or "
            "wherever it must be prepared, leave the division to Accelerate: "
            "Stream(..., rank=0, world_size=1)"
        )
