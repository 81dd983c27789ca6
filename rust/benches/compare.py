"""One picture, one core: ours on every path beside the plain NumPy of tests/reference.py.

    make bench

256×256, 200,000 dots, a new 3×3 mask for every dot, the first categories of a search. Prints
the machine and, from the same run, milliseconds a picture and ratios.
"""

from __future__ import annotations

import platform
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import fdsl
import numpy as np
from fdsl import _core

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))
import reference

CATEGORIES, POINTS, SIZE = 10, 200_000, 256


def milliseconds(
    draw: Callable[[], object], pictures: int, runs: int
) -> tuple[float, float, float]:
    """Returns least, median and largest time of a picture."""
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        draw()
        times.append((time.perf_counter() - start) / pictures * 1000)
    return min(times), statistics.median(times), max(times)


def plain(ifs: fdsl.IFS) -> None:
    """Draws one category as anyone would write it first."""
    rng = np.random.default_rng(0)
    dots = reference.chaos_game(*ifs[0], POINTS, rng)
    rows, columns = reference.cells(dots, SIZE, SIZE, 6)
    reference.picture(rows, columns, SIZE, SIZE, lambda n: reference.mask(n, 1), reference.gray)


def processor() -> str:
    """Names the processor, where Linux tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(": ")[1] for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()


def main() -> None:
    ifs = fdsl.IFS.search(categories=CATEGORIES, fill_rate=0.2, seed=1, max_maps=7)
    rendering = fdsl.Rendering(size=SIZE, points=POINTS, weights=None, redraw=False)
    print(f"{processor()}, one core; Python {platform.python_version()}, NumPy {np.__version__}")
    print("path          least   median  largest   ms a picture")
    theirs = milliseconds(lambda: plain(ifs), 1, 3)
    print(f"{'plain NumPy':10} " + " ".join(f"{value:8.1f}" for value in theirs))
    places = np.arange(200, dtype=np.uint64)
    pixels = np.empty(len(places) * SIZE * SIZE, np.uint8)
    redraws = np.empty(len(places), np.uint8)
    for path in _core.simd_paths():
        arguments = (rendering._core, places % CATEGORIES, places, 0, 1, pixels, redraws, path)
        ours = milliseconds(lambda arguments=arguments: ifs._renderer().render(*arguments), 200, 15)
        values = " ".join(f"{value:8.3f}" for value in ours)
        print(f"{path:11} {values}   {theirs[1] / ours[1]:,.0f} times as fast")


if __name__ == "__main__":
    main()
