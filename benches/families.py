"""Measures the families beside a plain compiled loop that draws the same kind of image.

    python benches/families.py

One core. Both draw with random numbers of their own, from the same categories, in turns within one
run. The times of the authors' programs are those of another machine: compare them with care.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Any

import fdsl
import numpy as np
from numba import njit

ROUNDS = 7
IMAGES = 60


@dataclass(frozen=True)
class Row:
    """One family: ours, the loop, and the authors' program in milliseconds per image."""

    name: str
    ours: Callable[[], int]
    loop: Callable[[], int]
    program: float  # their mean


@njit(cache=False)
def noise(x, table):
    cell = np.int64(x)
    t = np.float32(x - cell)
    left, right = table[cell & 255], table[(cell + 1) & 255]
    first = np.float32((left & 7) + 1 if left & 8 == 0 else -1)
    second = np.float32((right & 7) + 1 if right & 8 == 0 else -1)
    fade = t * t * t * (t * (t * np.float32(6) - np.float32(15)) + np.float32(10))
    a, b = first * t, second * (t - np.float32(1))
    return (a + fade * (b - a)) * np.float32(0.4)


@njit(cache=False)
def rings(n, count, size, step, waves, radius, oval, center, ground, table):
    """Rings of one image, as one would write them first: sines for every vertex of every ring."""
    image = np.full((512, 512), ground, np.uint8)
    x, y = np.empty(n + 1), np.empty(n + 1)
    for v in range(n + 1):
        angle = 2 * math.pi / n * v
        x[v] = math.cos(angle) * radius * oval[0]
        y[v] = math.sin(angle) * radius * oval[1]
    for _ in range(count):
        gray = np.random.randint(0, 256)
        for v in range(n):
            angle = 2 * math.pi / n * v
            wave = 0.0
            if waves[0] >= 0:
                wave = -0.5 * math.sin(angle * waves[0]) - 0.5 * math.sin(angle * waves[1])
            factor = 1.0 if waves[0] >= 0 else 2.0
            nx = noise(np.random.random() * 10000, table) * size * factor - size + wave
            ny = noise(np.random.random() * 10000, table) * size * factor - size + wave
            x[v] -= math.cos(angle) * (nx - step)
            y[v] -= math.sin(angle) * (ny - step)
        x[n], y[n] = x[0], y[0]
        for v in range(n):
            x0, y0 = int(x[v] + center[1]), int(y[v] + center[0])
            x1, y1 = int(x[v + 1] + center[1]), int(y[v + 1] + center[0])
            dx, dy = abs(x1 - x0), abs(y1 - y0)
            sx, sy = (1 if x1 > x0 else -1), (1 if y1 > y0 else -1)
            error = 2 * min(dx, dy) - max(dx, dy)
            for _ in range(max(dx, dy) + 1):
                if 0 <= x0 < 512 and 0 <= y0 < 512:
                    image[y0, x0] = gray
                if dx > dy:
                    if error >= 0:
                        y0 += sy
                        error -= 2 * dx
                    error += 2 * dy
                    x0 += sx
                else:
                    if error >= 0:
                        x0 += sx
                        error -= 2 * dy
                    error += 2 * dx
                    y0 += sy
    return image


def contours(family: Any, program: float) -> Row:
    table = np.random.default_rng(0).permutation(256)
    categories = np.linspace(0, len(family) - 1, IMAGES).astype(int)
    frame = fdsl.Contours(size=512, resample_degenerate=False)
    out = fdsl.render(family, categories, 0, rendering=frame, num_threads=1)
    chosen = [family[int(k)] for k in categories]

    def ours() -> int:
        fdsl.render(family, categories, 0, rendering=frame, num_threads=1, out=out)
        return IMAGES

    def loop() -> int:
        rng = np.random.default_rng(0)
        for c in chosen:
            atom = isinstance(family, fdsl.VisualAtom)
            waves = np.array(c.frequencies if atom else (-1, -1), float)
            radius = float(c.radius if atom else rng.integers(0, 101))
            oval = np.array(c.oval) if atom else rng.uniform(1, 2, 2)
            reach = 512 if atom else 400
            center = (512 + rng.integers(-reach, reach + 1, 2)) / 2
            ground = 0 if atom else 255
            rings(c.vertices, c.rings, c.noise, c.step, waves, radius, oval, center, ground, table)
        return IMAGES

    return Row(f"{type(family).__name__} 512×512", ours, loop, program)


def milliseconds(work: Callable[[], int]) -> float:
    start = time.process_time()
    return (count := work()) and (time.process_time() - start) / count * 1000


def main() -> None:
    rows = [contours(fdsl.load("rcdb-1k"), 15.8), contours(fdsl.load("visualatom-1k"), 151.0)]
    print("| family | ours, ms | compiled loop, ms | ratio | authors' program, ms | ratio |")
    print("|---|---|---|---|---|---|")
    for row in rows:
        row.loop(), row.ours()  # compiles
        pairs = [(milliseconds(row.ours), milliseconds(row.loop)) for _ in range(ROUNDS)]
        ours, loop = (median(side) for side in zip(*pairs, strict=True))
        ratio = median(theirs / mine for mine, theirs in pairs)
        print(
            f"| {row.name} | {ours:.3f} | {loop:.2f} | {ratio:.1f} | {row.program} | "
            f"{row.program / ours:.0f} |"
        )


if __name__ == "__main__":
    main()
