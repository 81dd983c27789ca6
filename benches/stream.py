"""Measures how fast batches arrive in the training loop: 256 images of 224², cropped from 256²."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fdsl
import numpy as np
from fdsl.torch import Loader, Stream
from measure import Rates, Work, number, rounds, table
from torch.utils.data import DataLoader

RENDERING = fdsl.Rendering(size=256, crop=224, variation=None, resample_degenerate=False)


def kernel(ifs: fdsl.IFS, threads: int, batch: int, batches: int) -> Work:
    """Renders the same images without a stream, always into the same memory."""
    out = np.empty((batch, 224, 224), np.uint8)
    numbers = np.arange(batch)

    def work() -> int:
        for i in range(batches):
            indices = numbers + i * batch
            fdsl.render(ifs, numbers % 10, indices, 0, RENDERING, threads, out=out)
        return batch * batches

    return work


def taken(start: Callable[[], Iterator[Any]], ahead: int, batch: int, batches: int) -> Work:
    """Takes batches. The first `ahead` are prefetched before the clock starts and do not count."""

    def work() -> tuple[int, float]:
        source = start()
        for _ in range(ahead):
            next(source)
        began = time.perf_counter()
        for _ in range(batches):
            next(source)
        return batch * batches, time.perf_counter() - began

    return work


def measured(*, quick: bool) -> dict[str, Rates]:
    ifs = fdsl.fractaldb(10)
    count, batch, batches = (1, 16, 2) if quick else (5, 256, 16)
    cores = fdsl.cores()

    def stream(**more: Any) -> Stream:
        return Stream(ifs, rendering=RENDERING, batch_size=batch, seed=0, **more)

    def workers(n: int) -> Callable[[], Iterator[Any]]:
        return lambda: iter(DataLoader(stream(), batch_size=None, num_workers=n))

    contenders: dict[str, Work] = {"kernel, 1 thread": kernel(ifs, 1, batch, batches)}
    for threads in (2, 4, 8, 16):
        if threads <= cores:
            name = f"kernel, {threads} threads"
            contenders[name] = kernel(ifs, threads, batch, threads * batches)
    # torch warns about more workers than cores, which we want to measure.
    warnings.filterwarnings("ignore", message="This DataLoader will create")
    on_all, many = f"{cores} threads", cores * batches
    contenders |= {
        "Loader, 1 thread": taken(lambda: iter(Loader(stream(num_threads=1))), 4, batch, batches),
        f"Loader, {on_all}": taken(lambda: iter(Loader(stream())), 4, batch, many),
        f"Stream alone, {on_all}": taken(lambda: iter(stream()), 1, batch, many),
    }
    for n in (1, 2, 4):
        name = f"DataLoader, {n} worker{'s' if n > 1 else ''}"
        contenders[name] = taken(workers(n), 3 * n + 1, batch, min(n, cores) * batches)
    return rounds("stream", contenders, count)


def report(rates: dict[str, Rates]) -> str:
    one, cores = rates["kernel, 1 thread"], fdsl.cores()
    rows = []
    for name, rate in rates.items():
        threads = int(name.split(", ")[1].split()[0])
        share = rate.over(one) / min(threads, cores)
        wanted = ""
        if name == "kernel, 2 threads":
            wanted = f"0.95: {'met' if share >= 0.95 else '**missed**'}"
        if name == f"Loader, {cores} threads":
            wanted = f"0.9: {'met' if share >= 0.9 else '**missed**'}"
        rows.append([name, number(rate.median), rate.spread, f"{share:.2f}", wanted])
    head = "batches of 256, 224² from 256² | images/s | spread | share of cores × kernel | target"
    return table(head, rows)


def memory(*, quick: bool) -> str:
    """Takes 100,000 images from a Loader in a separate process and measures its memory."""
    images = 2560 if quick else 100_000
    script = Path(__file__).with_name("memory.py")
    command = [sys.executable, str(script), str(images)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        return "Memory was not measured: see above."
    seen = json.loads(done.stdout)
    rows = [[f"{n:,}", f"{mib:.0f}"] for n, mib in seen["above"]]
    most = max(mib for _, mib in seen["above"])
    half = len(seen["above"]) // 2
    grown = seen["above"][-1][1] - seen["above"][half][1]
    return (
        table("images, in batches of 256 from Loader | MiB above the interpreter", rows)
        + f"\n\nThe interpreter with torch imported takes {seen['interpreter']:.0f} MiB. The peak "
        f"is {most:.0f} MiB above that (target: 200, {'met' if most < 200 else '**missed**'}); "
        f"the change over the second half is {grown:+.1f} MiB."
    )
