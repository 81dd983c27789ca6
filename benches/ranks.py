"""Measures images per second of several processes under torchrun, on CPU, and checks that together
they see the same samples as a single process.

    torchrun --standalone --nproc-per-node 2 benches/ranks.py
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import fdsl
import torch
import torch.distributed as dist
from fdsl.torch import Loader, Stream
from measure import number, table

GLOBAL_BATCH, COUNTED = 256, 8
RENDERING = fdsl.Rendering(size=256, crop=224)


def stream(ifs: fdsl.IFS, rank: int, size: int) -> Stream:
    """Returns the stream of one rank, rendered by one thread."""
    return Stream(
        ifs,
        rendering=RENDERING,
        batch_size=GLOBAL_BATCH // size,
        rank=rank,
        world_size=size,
        num_threads=1,
    )


def digests(batches: list[Any]) -> list[tuple[str, int]]:
    """Returns a digest of each image, and its label."""
    return [
        (hashlib.sha256(image.numpy().tobytes()).hexdigest(), int(label))
        for images, labels in batches
        for image, label in zip(images, labels, strict=True)
    ]


def main() -> None:
    dist.init_process_group("gloo")
    rank, size = dist.get_rank(), dist.get_world_size()
    ifs = fdsl.fractaldb(10)
    with Loader(stream(ifs, rank, size)) as loader:
        source = iter(loader)
        seen = [next(source) for _ in range(4)]
        dist.barrier()
        start = time.perf_counter()
        # The same number of images per process, whatever the number of processes.
        rest = [next(source) for _ in range(COUNTED * size)]
        rate = len(rest) * GLOBAL_BATCH / size / (time.perf_counter() - start)
        dist.barrier()  # waits for the slowest
        together = len(rest) * GLOBAL_BATCH / (time.perf_counter() - start)
    seen += rest[:COUNTED]  # enough to compare
    mine: list[Any] = [None] * size
    dist.all_gather_object(mine, (rate, digests(seen)))
    if rank == 0:
        whole = iter(stream(ifs, 0, 1))
        expected = digests([next(whole) for _ in range(4 + COUNTED)])
        union = [one for _, theirs in mine for one in theirs]
        exact = sorted(union) == sorted(expected)
        rates = [rate for rate, _ in mine]
        print(json.dumps({"rates": rates, "together": together, "exact": exact}))
    dist.destroy_process_group()


def report() -> str:
    rows = []
    for size in (1, 2, 4):
        launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
        done = subprocess.run(
            [*launcher, "--nproc-per-node", str(size), str(Path(__file__).resolve())],
            check=True,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},  # or torchrun warns that it sets it
        )
        found = json.loads(done.stdout.splitlines()[-1])
        each = ", ".join(number(rate) for rate in found["rates"])
        total = number(found["together"])
        rows.append([str(size), each, total, "exact" if found["exact"] else "**not exact**"])
    return table(f"processes on {fdsl.cores()} cores | images/s of each | together | samples", rows)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
