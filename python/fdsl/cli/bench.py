"""Timing this machine: bench."""

from __future__ import annotations

import argparse
import platform
import statistics
import time

import numpy as np

from fdsl import _core
from fdsl._checks import checked_seed
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
        "say how many pictures a second this machine draws",
        "fdsl bench\nfdsl bench perlin-100 --size 64",
    )
    add_source(parser, default="fractaldb-10")
    parser.add_argument(
        "--seconds", type=float, default=1.0, metavar="S", help="for each line (default: 1)"
    )
    add_seed(parser)
    add_rendering(parser)


def _bench(a: argparse.Namespace) -> None:
    if not a.seconds > 0:
        raise ValueError(f"seconds must be above 0, got {a.seconds}")
    checked_seed(a.seed)
    family = loaded(a)
    rendering = rendering_of(a, family)
    cores = _core.cores()
    print(f"{platform.processor() or platform.machine()}, {cores} cores; {family!r}")
    print(f"{rendering}")
    print(f"{'path':<8} {'threads':>7} {'pictures/s':>11} {'ms each':>9}   least … most")
    paths = _core.simd_paths()
    for path, threads in [
        *((path, 1) for path in paths),
        *([(paths[-1], cores)] if cores > 1 else []),
    ]:
        rates = _rates(family, rendering, a.seed, path, threads, a.seconds)
        middle = statistics.median(rates)
        print(
            f"{path:<8} {threads:>7} {middle:>11,.0f} {1000 / middle:>9.3f}   "
            f"{min(rates):,.0f} … {max(rates):,.0f}"
        )


def _rates(
    family: Family, rendering: Frame, seed: int, path: str, threads: int, seconds: float
) -> list[float]:
    """Pictures a second of several batches, the first left out; no picture is drawn twice."""
    some, first = 8 * threads, 0
    images = np.empty((some, *rendering.image_shape), np.uint8)
    job = Job(rendering, seed, threads, path)
    rates: list[float] = []
    end = time.perf_counter() + seconds
    while len(rates) < 4 or time.perf_counter() < end:
        numbers = np.arange(first, first + some, dtype=np.uint64)
        start = time.perf_counter()
        addresses = numbers % np.uint64(len(family)), numbers * np.uint64(4)
        family.render_into(job, addresses, images)
        rates.append(some / (time.perf_counter() - start))
        first += some
    return rates[1:]
