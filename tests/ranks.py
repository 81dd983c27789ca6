"""Runs a function on several ranks, and identifies the samples they see by their number."""

import os
import pickle
import socket
import sys
from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import Path
from typing import Any

import fdsl
import torch
from fdsl.torch import Stream

TINY = fdsl.Rendering(size=32, num_points=500)


def stream_of(**changes: Any) -> Stream:
    """A stream of small images, the same in every process."""
    family = fdsl.IFS.search(categories=5, fill_rate=0.05, seed=1, size=64, num_points=2000)
    return Stream(family, **{"rendering": TINY, "batch_size": 4, "seed": 3, **changes})


def samples(first: int, end: int, batch: int = 4) -> list[list[int]]:
    """The numbers of the samples in the batches ``first`` to ``end`` - 1."""
    return [list(range(n, n + batch)) for n in range(first * batch, end * batch, batch)]


class Numbers:
    """Looks up the number of a sample in the stream by its image."""

    def __init__(self, most: int = 200) -> None:
        samples = islice(stream_of(batch_size=None, rank=0, world_size=1), most)
        self._numbers = {image.numpy().tobytes(): n for n, (image, _) in enumerate(samples)}

    def of(self, images: Any) -> list[int]:
        """The sample number of each image in a batch."""
        return [self._numbers[image.cpu().contiguous().numpy().tobytes()] for image in images]

    def of_all(self, batches: Iterable[Any]) -> list[list[int]]:
        """The sample numbers of the images in each (images, labels) batch."""
        return [self.of(images) for images, _ in batches]


def run_on_ranks(folder: Path, world_size: int, work: Callable[..., Any], *args: Any) -> list[Any]:
    """Calls ``work(*args)`` in as many processes as torchrun would start; returns their results."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    given = (str(folder), world_size, port, work, args)
    torch.multiprocessing.spawn(_run, args=given, nprocs=world_size)
    return [pickle.loads((folder / f"{rank}.pickle").read_bytes()) for rank in range(world_size)]


def _run(
    rank: int, folder: str, world_size: int, port: int, work: Callable[..., Any], args: Any
) -> None:
    if sys.platform == "linux":
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(world_size))
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    os.environ.update(LOCAL_WORLD_SIZE=str(world_size))
    Path(folder, f"{rank}.pickle").write_bytes(pickle.dumps(work(*args)))
    if torch.distributed.is_initialized():
        torch.distributed.barrier()  # a rank that leaves early breaks the others' connections
        torch.distributed.destroy_process_group()
