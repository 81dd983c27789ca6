"""Measures times. Contenders take turns, round after round, so a temporary slowdown of the machine
affects all of them."""

from __future__ import annotations

import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

#: Does some work and returns the number of items, or (items, seconds) if not all its time counts.
Work = Callable[[], int | tuple[int, float]]


@dataclass(frozen=True)
class Rates:
    """Items per second of each round."""

    all: list[float]

    @property
    def median(self) -> float:
        return statistics.median(self.all)

    @property
    def spread(self) -> str:
        return f"{number(min(self.all))}…{number(max(self.all))}"

    def over(self, other: Rates) -> float:
        """Returns the speed relative to `other`: the median of the ratios of each round."""
        pairs = zip(self.all, other.all, strict=False)  # the slowest peers have fewer rounds
        return statistics.median(mine / theirs for mine, theirs in pairs)


def rounds(about: str, contenders: Mapping[str, Work], count: int) -> dict[str, Rates]:
    """Runs each contender once per round, after a warm-up round."""
    rates: dict[str, list[float]] = {name: [] for name in contenders}
    with tqdm(total=(count + 1) * len(contenders), desc=about, leave=False) as bar:
        for turn in range(count + 1):
            for name, work in contenders.items():
                start = time.perf_counter()
                done = work()
                elapsed = time.perf_counter() - start
                items, elapsed = done if isinstance(done, tuple) else (done, elapsed)
                if turn:
                    rates[name].append(items / elapsed)
                bar.update()
    return {name: Rates(values) for name, values in rates.items()}


def timed(work: Callable[[], int]) -> Callable[[], tuple[int, float]]:
    """Counts the processor's time alone, whatever else the machine does."""

    def counted() -> tuple[int, float]:
        start = time.process_time()
        done = work()
        return done, time.process_time() - start

    return counted


def seconds(about: str, work: Callable[[], object]) -> float:
    """Times a single run."""
    print(f"{about} …", end=" ", flush=True, file=sys.stderr)
    start = time.perf_counter()
    work()
    elapsed = time.perf_counter() - start
    print(f"{elapsed:.1f} s", file=sys.stderr)
    return elapsed


def number(value: float) -> str:
    """Formats a number with three significant digits."""
    value = float(f"{value:.3g}")
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def table(head: str, rows: list[list[str]]) -> str:
    """Formats a Markdown table; all columns but the first are right-aligned."""
    names = [name.strip() for name in head.split("|")]
    lines = [names, ["---"] + ["---:"] * (len(names) - 1), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def machine() -> str:
    """Describes the processor, the memory and the operating system."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        processor = next(line.split(": ")[1] for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        processor = platform.processor() or platform.machine()
    memory = ""
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        memory = f", {pages / 2**30:.0f} GiB"
    return f"{processor}{memory}, {platform.system()}"
