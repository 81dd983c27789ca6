"""How times are taken: contenders in turn, round after round, so that what slows the machine for a
while slows all of them."""

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

#: Does something and returns how many items it did, or also in how many seconds, if not all of its
#: time counts.
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
        """How many times as fast: the median of the ratios, round by round."""
        pairs = zip(self.all, other.all, strict=False)  # the slowest peers have fewer rounds
        return statistics.median(mine / theirs for mine, theirs in pairs)


def rounds(about: str, contenders: Mapping[str, Work], count: int) -> dict[str, Rates]:
    """Runs each contender once a round, and once before, to warm up."""
    rates: dict[str, list[float]] = {name: [] for name in contenders}
    with tqdm(total=(count + 1) * len(contenders), desc=about, leave=False) as bar:
        for turn in range(count + 1):
            for name, work in contenders.items():
                start = time.perf_counter()
                done = work()
                passed = time.perf_counter() - start
                items, passed = done if isinstance(done, tuple) else (done, passed)
                if turn:
                    rates[name].append(items / passed)
                bar.update()
    return {name: Rates(values) for name, values in rates.items()}


def seconds(about: str, work: Callable[[], object]) -> float:
    """Times what is done once."""
    print(f"{about} …", end=" ", flush=True, file=sys.stderr)
    start = time.perf_counter()
    work()
    passed = time.perf_counter() - start
    print(f"{passed:.1f} s", file=sys.stderr)
    return passed


def number(value: float) -> str:
    """Three digits that count."""
    value = float(f"{value:.3g}")
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def table(head: str, rows: list[list[str]]) -> str:
    """A table in Markdown; the columns after the first are flush right."""
    names = [name.strip() for name in head.split("|")]
    lines = [names, ["---"] + ["---:"] * (len(names) - 1), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def machine() -> str:
    """Names the processor, its cores and what is installed."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        processor = next(line.split(": ")[1] for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        processor = platform.processor() or platform.machine()
    memory = ""
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        memory = f", {pages / 2**30:.0f} GiB"
    return f"{processor}{memory}, {platform.system()}"
