"""Which rank this process is, how many there are, and who else divides samples between them."""

from __future__ import annotations

import os
import sys

import torch

from fdsl._checks import checked_positive, checked_whole

#: Accelerate's classes that split what an iterable data set yields between all ranks.
SPLITTERS = ("IterableDatasetShard", "DataLoaderDispatcher")


def ranks_of_distributed() -> tuple[int, int] | None:
    """Returns torch.distributed's (rank, world_size), if it is initialized here."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_rank(), torch.distributed.get_world_size()
    return None


def ranks_of_launcher() -> tuple[int, int] | None:
    """Returns torchrun's (rank, world_size), if set in the environment."""
    if "RANK" in os.environ and "WORLD_SIZE" in os.environ:
        return checked_ranks(int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"]))
    return None


def checked_ranks(rank: int, world_size: int | None) -> tuple[int, int]:
    """Returns both, if there can be such a rank."""
    world = checked_positive("world_size", world_size if world_size is not None else 1)
    if checked_whole("rank", rank) >= world:
        raise ValueError(f"rank must be below world_size, got {rank} of {world}")
    return rank, world


def refuse_second_split(world_size: int) -> None:
    """Refuses to let Accelerate split a rank's share again. To be called by ``set_epoch``.

    Accelerate calls ``set_epoch`` on every rank before it iterates. A data set cannot tell in any
    other way that it is read through Accelerate, so this looks at the caller's frame.

    Raises:
        ValueError: each rank would get only a part of its own share.
    """
    caller = sys._getframe(2)
    package = str(caller.f_globals.get("__name__", "")).partition(".")[0]
    splitter = type(caller.f_locals.get("self")).__name__
    if world_size > 1 and package in ("accelerate", "transformers") and splitter in SPLITTERS:
        raise ValueError(
            f"this Stream gives each of the {world_size} ranks its own share, and Accelerate "
            f"({splitter}) would split that share between the ranks again: most samples would be "
            "lost. Do not pass its DataLoader to accelerator.prepare; or, with "
            "transformers.Trainer and wherever it must be prepared, let Accelerate alone split: "
            "Stream(..., rank=0, world_size=1)"
        )
