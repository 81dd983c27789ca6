"""Fractals in three dimensions: images and candidates per second of one core's time, against a
plain numba loop and the released code.

    python benches/views.py
"""

from __future__ import annotations

import math
from collections.abc import Callable

import fdsl
import numpy as np
from measure import Rates, number, rounds, table, timed
from peers import compiled, have_numba

POINTS = 10_000
#: Milliseconds of the released code on one core of another machine (AMD EPYC): orbit and view
#: (OpenGL in software, with PNG), another view, a candidate of its search.
PROGRAM = {"image": 12.4 + 2.1, "view": 2.1, "candidate": 15.0}
#: How many times as fast as the released code each should be.
WANTED = {"image": 20, "view": 20, "candidate": 100}


@compiled
def cloud(maps, cumulative, seed):
    """One orbit from the origin, normalized: the released code's."""
    np.random.seed(seed)
    points = np.empty((POINTS - 1, 3))
    x = y = z = 0.0
    last = len(cumulative) - 1
    low, high = np.inf, -np.inf
    for i in range(POINTS - 1):
        draw = np.random.random()
        k = 0
        while k < last and draw > cumulative[k]:
            k += 1
        m = maps[k]
        x, y, z = (
            x * m[0] + y * m[1] + z * m[2] + m[9],
            x * m[3] + y * m[4] + z * m[5] + m[10],
            x * m[6] + y * m[7] + z * m[8] + m[11],
        )
        points[i, 0], points[i, 1], points[i, 2] = x, y, z
        low, high = min(low, x, y, z), max(high, x, y, z)
    if not (np.isfinite(low) and np.isfinite(high) and np.isfinite(x + y + z)):
        return points[:0]
    for axis in range(3):
        total = 0.0
        for i in range(POINTS - 1):
            points[i, axis] = (points[i, axis] - low) / (high - low) * 2 - 1
            total += points[i, axis]
        for i in range(POINTS - 1):
            points[i, axis] -= total / POINTS
    return points


@compiled
def view(points, phi):
    """One camera's image of it."""
    image = np.zeros((224, 224), np.uint8)
    cos, sin, focal = math.cos(phi), math.sin(phi), 1 / math.tan(math.pi / 8)
    for i in range(len(points)):
        x, y, z = points[i]
        depth = 4 + x * cos - z * sin
        column = int(112 * (focal * (x * sin + z * cos) / depth + 1))
        row = int(112 * (focal * y / depth + 1))
        if 1 <= depth <= 100 and 0 <= row < 224 and 0 <= column < 224:
            image[row, column] = 255
    return image


@compiled
def variance(points):
    """The smallest of the variances along the axes, which a search asks for."""
    if len(points) == 0:
        return 0.0
    return min(points[:, 0].var(), points[:, 1].var(), points[:, 2].var())


def rendered(
    family: fdsl.IFS3D, addresses: list[tuple[int, int]], **settings: str
) -> Callable[[], int]:
    """Renders the images on one thread."""
    style = fdsl.Views(resample_degenerate=False, **settings)
    categories, indices = np.array(addresses).T
    out = fdsl.render(family, categories, indices, 0, style, 1)

    def work() -> int:
        fdsl.render(family, categories, indices, 0, style, 1, out=out)
        return len(addresses)

    return work


def searched(sampler: str, tries: int) -> int:
    """Measures `tries` candidates, and accepts none."""
    try:
        fdsl.IFS3D.search(1, 0.99, 1, max_tries=tries, sampler=sampler, num_threads=1)
    except ValueError:
        return tries
    raise AssertionError("points that vary as much as they can")


def measured(*, quick: bool) -> dict[str, dict[str, Rates]]:
    count, images, tries = (1, 24, 50) if quick else (7, 600, 3000)
    family = fdsl.IFS3D(images // 12)
    maps = [np.ascontiguousarray(category.maps) for category in family]
    sums = [np.cumsum(category.probabilities) for category in family]
    fresh = [(k % len(family), 12 * 6) for k in range(images)]
    views = [(k // 12, 12 * 6 + k % 12) for k in range(images)]
    rng = np.random.default_rng(1)
    drawn = [rng.uniform(-1, 1, (rng.integers(2, 8), 12)) for _ in range(tries // 10)]
    volumes = [abs(np.linalg.det(m[:, :9].reshape(-1, 3, 3))) for m in drawn]
    chosen = [np.cumsum(volume / volume.sum()) for volume in volumes]

    def loop_images() -> int:
        for k, _ in fresh:
            view(cloud(maps[k], sums[k], 7), 0.5)
        return images

    def loop_views() -> int:
        for k in range(len(family)):
            points = cloud(maps[k], sums[k], 7)
            for azimuth in range(12):
                view(points, 0.5 * azimuth)
        return images

    def loop_candidates() -> int:
        for m, c in zip(drawn, chosen, strict=True):
            variance(cloud(m, c, 7))
        return len(drawn)

    loops = have_numba()
    contenders = {
        "image": {
            "ours": rendered(family, fresh),
            "released": rendered(family, fresh, compat="released"),
            **({"numba": loop_images} if loops else {}),
        },
        "view": {
            "ours": rendered(family, views),
            "released": rendered(family, views, compat="released"),
            **({"numba": loop_views} if loops else {}),
        },
        "candidate": {
            "ours": lambda: searched("fdsl", tries),
            "released": lambda: searched("released", tries),
            **({"numba": loop_candidates} if loops else {}),
        },
    }
    return {
        name: rounds(name, {who: timed(work) for who, work in works.items()}, count)
        for name, works in contenders.items()
    }


def report(*, quick: bool) -> str:
    """The table of the template."""
    names = {
        "image": "an image, 224², 10,000 points",
        "view": "an image of twelve that share their points",
        "candidate": "a candidate of the search",
    }
    rows = []
    for name, rates in measured(quick=quick).items():
        for who, rate in rates.items():
            each = 1000 / rate.median
            cells = [f"{names[name]}: {who}", number(each), "", "", ""]
            if who != "numba":
                if "numba" in rates:
                    cells[2] = f"{number(rate.over(rates['numba']))} times"
                times = PROGRAM[name] / each
                cells[3] = f"{number(times)} times"
                cells[4] = (
                    f"{WANTED[name]} times: {'met' if times >= WANTED[name] else '**missed**'}"
                )
            rows.append(cells)
    head = "one core | ms | speedup over the loop | over the authors' code, elsewhere | target"
    return table(head, rows)


if __name__ == "__main__":
    print(report(quick=False))
