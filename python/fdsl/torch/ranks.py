"""Which rank this process is, and how many there are."""

from __future__ import annotations

import os

import torch

from fdsl._checks import checked_positive, checked_whole


def ranks_of_distributed() -> tuple[int, int] | None:
    """Returns torch.distributed's (rank, world_size), if it is initialised here."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_rank(), torch.distributed.get_world_size()
    return None


def ranks_of_launcher() -> tuple[int, int] | None:
    """Returns torchrun's (rank, world_size), if it set them."""
    if "RANK" in os.environ and "WORLD_SIZE" in os.environ:
        return checked_ranks(int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"]))
    return None


def checked_ranks(rank: int, world_size: int | None) -> tuple[int, int]:
    """Returns both, if there can be such a rank."""
    world = checked_positive("world_size", world_size if world_size is not None else 1)
    if checked_whole("rank", rank) >= world:
        raise ValueError(f"rank must be below world_size, got {rank} of {world}")
    return rank, world
