"""``fdsl bench``: how fast this machine renders."""

from __future__ import annotations

import argparse
import platform
import statistics
import time

import numpy as np

from fdsl import _core
from fdsl._checks import checked_seed, counted
from fdsl.cli.options import (
    Commands,
    add_rendering,
    add_seed,
    add_source,
    command,
    loaded,
    rendering_of,
)
from fdsl.families import Family
from fdsl.frame import Frame
from fdsl.job import Job


def add_bench(commands: Commands) -> None:
    """Adds ``fdsl bench``."""
    parser = command(
        commands,
        "bench",
        _bench,
        "Measure how many images per second this machine renders",
        "fdsl bench\nfdsl bench perlin-100 --size 64",
    )
    add_source(parser, default="fractaldb-10")
    parser.add_argument(
        "--seconds",
        type=float,
        default=1.0,
        metavar="S",
        help="Time to spend on each row of the table, in seconds (default: 1)",
    )
    add_seed(parser)
    add_rendering(parser)


def _bench(a: argparse.Namespace) -> None:
    if not a.seconds > 0:
        raise ValueError(f"seconds must be above 0, got {a.seconds}")
    checked_seed(a.seed)
    family = loaded(a)
    rendering = rendering_of(a, family)
    cores, paths = _core.cores(), _core.simd_paths()
    print(f"{platform.processor() or platform.machine()}, {counted(cores, 'core')}; {family!r}")
    print(f"{rendering}")
    print(f"{'path':<8} {'threads':>7} {'images/s':>11} {'ms/image':>9}   slowest … fastest batch")
    runs: list[tuple[str | None, int]] = [(None, 1)]  # what Python draws, it draws on one thread
    if family.in_core:
        runs = [(path, 1) for path in paths]
        if cores > 1:
            runs.append((paths[-1], cores))
    for path, threads in runs:
        rates = _rates(family, rendering, a.seed, path, threads, a.seconds)
        median = statistics.median(rates)
        print(
            f"{path or 'python':<8} {threads:>7} {median:>11,.0f} {1000 / median:>9.3f}   "
            f"{min(rates):,.0f} … {max(rates):,.0f}"
        )


def _rates(
    family: Family, rendering: Frame, seed: int, path: str | None, threads: int, seconds: float
) -> list[float]:
    """Returns the images per second of several batches of new images, without the first batch."""
    size, first = 8 * threads, 0
    images = np.empty((size, *rendering.image_shape), np.uint8)
    job = Job(rendering, seed, threads, path)
    rates: list[float] = []
    end = time.perf_counter() + seconds
    while len(rates) < 4 or time.perf_counter() < end:
        numbers = np.arange(first, first + size, dtype=np.uint64)
        start = time.perf_counter()
        addresses = numbers % np.uint64(len(family)), numbers * np.uint64(4)
        family.render_into(job, addresses, images)
        rates.append(size / (time.perf_counter() - start))
        first += size
    return rates[1:]
