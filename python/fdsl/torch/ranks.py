"""This process's place among those that train together."""

from __future__ import annotations

import os

import torch

from fdsl._checks import checked_positive, checked_whole


def found_ranks() -> tuple[int, int]:
    """Returns (rank, world_size): torch.distributed's, else torchrun's, else (0, 1)."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_rank(), torch.distributed.get_world_size()
    if "RANK" in os.environ and "WORLD_SIZE" in os.environ:
        return checked_ranks(int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"]))
    return 0, 1


def checked_ranks(rank: int, world_size: int | None) -> tuple[int, int]:
    """Returns both, if there can be such a rank."""
    world = checked_positive("world_size", world_size if world_size is not None else 1)
    if checked_whole("rank", rank) >= world:
        raise ValueError(f"rank must be below world_size, got {rank} of {world}")
    return rank, world
