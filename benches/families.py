"""Compares the families with a plain compiled loop that draws the same kind of image.

    python benches/families.py

One core. Both draw with random numbers of their own, from the same categories, in turns within one
run. The authors' code was timed on another machine; compare with care.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import fdsl
import measure
import numpy as np
from fdsl.job import Job
from measure import Rates, timed
from peers import compiled, have_numba


@dataclass(frozen=True)
class Row:
    """A family: our renderer, the loop, and the time of the authors' code."""

    name: str
    ours: Callable[[], int]
    loop: Callable[[], int]
    program: float  # milliseconds per image
    # The targets: a multiple of the loop's rate, or a number of images per second.
    times: float | None = None
    rate: float | None = None


@compiled
def noise(x, table):
    cell = np.int64(x)
    t = np.float32(x - cell)
    left, right = table[cell & 255], table[(cell + 1) & 255]
    first = np.float32((left & 7) + 1 if left & 8 == 0 else -1)
    second = np.float32((right & 7) + 1 if right & 8 == 0 else -1)
    fade = t * t * t * (t * (t * np.float32(6) - np.float32(15)) + np.float32(10))
    a, b = first * t, second * (t - np.float32(1))
    return (a + fade * (b - a)) * np.float32(0.4)


@compiled
def rings(n, count, size, step, waves, radius, oval, center, ground, table):
    """Rings of one image, as one would write them first: sines for every vertex of every ring."""
    image = np.full((512, 512), ground, np.uint8)
    add_rings(image, image, 0, n, count, size, step, waves, radius, oval, center, table)
    return image


@compiled
def add_rings(image, mask, number, n, count, size, step, waves, radius, oval, center, table):
    """Draws rings on an image, and with a number above 0 that number on a mask."""
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
                    if number > 0:
                        mask[y0, x0] = number
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


def scenes(program: float, *, count: int) -> Row:
    family = fdsl.Scene.multi_fractal(1000)
    frame = family.checked_style(fdsl.Scenes.wacv22())
    count *= 4
    categories = np.arange(count, dtype=np.uint64)
    images = np.empty((count, *frame.image_shape), np.uint8)
    objects = np.empty((count, *frame.output_size), np.uint16)
    systems = [np.array(category.maps) for category in family.parts[0]]

    def ours() -> int:
        family.render_into(Job(frame, 0, 1), (categories, categories), images, objects)
        return count

    def loop() -> int:
        rng = np.random.default_rng(0)
        for image, mask in zip(images, objects, strict=True):
            image[:], mask[:] = diamond_square(224, rng.uniform(0.4, 0.8)), 0
            for number in range(1, rng.integers(1, 6) + 1):
                side = int(rng.uniform(0.15, 0.6) * 224)
                top, left = rng.integers(-(side // 2), 224 - side // 2, 2)
                add_fractal(image, mask, number, systems[rng.integers(1000)], side, top, left)
            if rng.random() < 0.5:
                blur(image)
        return count

    name = "Scene.multi_fractal 224×224, 1 to 5 new objects, with masks"
    return Row(name, ours, loop, program, rate=1500)


def segrcdb(program: float, *, count: int) -> Row:
    family, frame = fdsl.SegRCDB(), fdsl.RingScenes(size=512)
    table = np.random.default_rng(0).permutation(256)
    categories = np.arange(count, dtype=np.uint64)
    images = np.empty((count, 512, 512), np.uint8)
    objects = np.empty((count, 512, 512), np.uint16)
    classes = list(family)

    def ours() -> int:
        family.render_into(Job(frame, 0, 1), (categories, categories), images, objects)
        return count

    def loop() -> int:
        rng = np.random.default_rng(0)
        for image, mask in zip(images, objects, strict=True):
            image[:], mask[:] = 0, 0
            for number in range(1, 33):
                c = classes[rng.integers(254)]
                center = (512 + rng.integers(-512, 513, 2)) / 2
                shape = (c.vertices, c.rings, c.noise, c.step, np.full(2, -1.0), float(c.radius))
                add_rings(image, mask, number, *shape, np.array(c.oval), center, table)
        return count

    name = "SegRCDB 512×512, 32 objects, with masks"
    return Row(name, ours, loop, program, rate=50 * 1000 / program)


def contours(family: Any, program: float, *, count: int) -> Row:
    table = np.random.default_rng(0).permutation(256)
    categories = np.linspace(0, len(family) - 1, count).astype(int)
    frame = fdsl.Contours(size=512, resample_degenerate=False)
    out = fdsl.render(family, categories, 0, rendering=frame, num_threads=1)
    chosen = [family[int(k)] for k in categories]

    def ours() -> int:
        fdsl.render(family, categories, 0, rendering=frame, num_threads=1, out=out)
        return count

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
        return count

    return Row(f"{type(family).__name__} 512×512", ours, loop, program, times=4)


@compiled
def colored(hue, saturation, value):
    """A color of bytes, whose hue has 180 steps."""
    sector, along = divmod((hue % 180) / 30, 1.0)
    s = saturation / 255
    p, q, t = value * (1 - s), value * (1 - s * along), value * (1 - s * (1 - along))
    if sector == 0:
        return value, t, p
    if sector == 1:
        return q, value, p
    if sector == 2:
        return p, value, t
    if sector == 3:
        return p, q, value
    if sector == 4:
        return t, p, value
    return value, p, q


@compiled
def diamond_square(size, decay):
    levels = math.ceil(math.log2(size))
    n = 2**levels
    z = np.empty((n + 1, n + 1))
    z[0, 0], z[0, n] = np.random.random(), np.random.random()
    z[n, 0], z[n, n] = np.random.random(), np.random.random()
    for level in range(levels):
        step, m = n >> level, 0.5 * math.exp(-decay * level)
        half = step // 2
        for y in range(half, n + 1, step):
            for x in range(half, n + 1, step):
                corners = z[y - half, x - half] + z[y - half, x + half]
                corners += z[y + half, x - half] + z[y + half, x + half]
                z[y, x] = corners / 4 + np.random.uniform(-m, m)
        for y in range(0, n + 1, half):
            for x in range(half if y % step == 0 else 0, n + 1, step):
                up = z[y - half if y > 0 else n - half, x]
                left = z[y, x - half if x > 0 else n - half]
                right = z[y, x + half if x < n else half]
                down = z[y + half if y < n else half, x]
                z[y, x] = (up + left + right + down) / 4 + np.random.uniform(-m, m)
    image = np.empty((size, size, 3), np.uint8)
    u = np.random.uniform
    hue = 255 * u(0.25, 1), 255 * u(0, 1)
    saturation, value = (
        (255 * u(0.1, 0.3), 255 * u(0.4, 0.6)),
        (255 * u(0.3, 0.6), 255 * u(0.4, 0.6)),
    )
    for y in range(size):
        for x in range(size):
            h = math.floor(z[y, x] * hue[0] + hue[1]) & 255
            s = int(min(z[y, x] * saturation[0] + saturation[1], 255.0))
            v = int(min(z[y, x] * value[0] + value[1], 255.0))
            r, g, b = colored(h, s, v)
            image[y, x, 0], image[y, x, 1], image[y, x, 2] = r + 0.5, g + 0.5, b + 0.5
    return image


@compiled
def orbit(maps, num_points):
    weights = np.abs(maps[:, 0] * maps[:, 3] - maps[:, 1] * maps[:, 2])
    cumulative = np.cumsum(weights / weights.sum())
    a, b, c, d, e, f = maps[0]
    t = 1 / (1 + a * d - b * c - a - d)
    x, y = t * ((1 - d) * e + b * f), t * ((1 - a) * f + c * e)
    points = np.empty((num_points, 2))
    for i in range(num_points):
        draw, j = np.random.random(), 0
        while j < len(maps) - 1 and draw >= cumulative[j]:
            j += 1
        a, b, c, d, e, f = maps[j]
        x, y = a * x + b * y + e, c * x + d * y + f
        points[i, 0], points[i, 1] = x, y
    return points


@compiled
def add_density(image, points, shift, zoom):
    """Colors a window of the points by their density."""
    size = len(image)
    scale, low = np.empty(2), np.empty(2)
    for axis in range(2):
        least, most = points[:, axis].min(), points[:, axis].max()
        extent = most - least
        middle = (least + most) / 2 + extent * np.random.uniform(-shift, shift)
        half = extent * np.random.uniform(1 / zoom, zoom) / 2
        low[axis], scale[axis] = middle - half, (size - 1) / (2 * half)
    mask = np.random.randint(0, 512)
    counts = np.zeros((size, size))
    for i in range(len(points)):
        row = math.floor((points[i, 0] - low[0]) * scale[0])
        column = math.floor((points[i, 1] - low[1]) * scale[1])
        if 0 <= row < size and 0 <= column < size:
            for bit in range(9):
                y0, x0 = row + bit // 3 - 1, column + bit % 3 - 1
                if mask >> bit & 1 and 0 <= y0 < size and 0 <= x0 < size:
                    counts[y0, x0] += 1
    shift, largest = np.random.uniform(0, 255), max(counts.max(), 1.0)
    s, v = int(255 * np.random.uniform(0.3, 1)), int(255 * np.random.uniform(0.5, 1))
    for y0 in range(size):
        for x0 in range(size):
            if counts[y0, x0] > 0:
                h = int(255 * counts[y0, x0] / largest + shift) & 255
                r, g, b0 = colored(h, s, v)
                image[y0, x0, 0], image[y0, x0, 1], image[y0, x0, 2] = r + 0.5, g + 0.5, b0 + 0.5


@compiled
def blur(image):
    size, sigma = len(image), np.random.uniform(0.5, 1)
    side = math.exp(-0.5 / sigma**2)
    center, side = 1 / (1 + 2 * side), side / (1 + 2 * side)
    across = np.empty(image.shape)
    for y0 in range(size):
        for x0 in range(size):
            for k in range(3):
                before, after = abs(x0 - 1), size - 1 - abs(size - 2 - x0)
                both = float(image[y0, before, k]) + image[y0, after, k]
                across[y0, x0, k] = center * image[y0, x0, k] + side * both
    for y0 in range(size):
        for x0 in range(size):
            for k in range(3):
                before, after = abs(y0 - 1), size - 1 - abs(size - 2 - y0)
                both = across[before, x0, k] + across[after, x0, k]
                image[y0, x0, k] = center * across[y0, x0, k] + side * both + 0.5


@compiled
def density(maps, size, num_points, behind):
    """One image of "Improving Fractal Pre-training", as one would write it first."""
    maps = maps.copy()
    maps[np.random.randint(len(maps))] *= np.random.uniform(0.8, 1.1)
    points = orbit(maps, num_points)
    image = np.zeros((size, size, 3), np.uint8)
    if behind:
        image = diamond_square(size, np.random.uniform(0.4, 0.8))
    add_density(image, points, 0.2, 2.0)
    if np.random.random() < 0.5:
        blur(image)
    return image


@compiled
def add_fractal(image, mask, number, maps, side, top, left):
    """Resizes a fractal, flipped and transposed at random, and puts it into an image."""
    fractal = np.zeros((112, 112, 3), np.uint8)
    add_density(fractal, orbit(maps, 100_000), 0.0, 1.0)
    flips, mixed = np.random.randint(0, 8), np.empty(3, np.uint8)
    for row in range(max(0, -top), min(side, len(image) - top)):
        for column in range(max(0, -left), min(side, len(image) - left)):
            y = min(max((row + 0.5) * 112 / side - 0.5, 0.0), 111.0)
            x = min(max((column + 0.5) * 112 / side - 0.5, 0.0), 111.0)
            y = 111 - y if flips & 1 else y
            x = 111 - x if flips & 2 else x
            if flips & 4:
                y, x = x, y
            y0, x0 = int(y), int(x)
            y1, x1 = min(y0 + 1, 111), min(x0 + 1, 111)
            lit = False
            for k in range(3):
                above = (x0 + 1 - x) * fractal[y0, x0, k] + (x - x0) * fractal[y0, x1, k]
                below = (x0 + 1 - x) * fractal[y1, x0, k] + (x - x0) * fractal[y1, x1, k]
                mixed[k] = (y0 + 1 - y) * above + (y - y0) * below + 0.5
                lit |= mixed[k] > 0
            if lit:
                image[top + row, left + column] = mixed
                mask[top + row, left + column] = number


def densities(behind: bool, program: float, *, count: int) -> Row:
    family = fdsl.IFS.sample(count, seed=0)
    frame = fdsl.Rendering.wacv22(background="diamond-square" if behind else None)
    everything = np.arange(count)
    out = fdsl.render(family, everything, 0, rendering=frame, num_threads=1)
    chosen = [np.array(category.maps) for category in family]

    def ours() -> int:
        fdsl.render(family, everything, 0, rendering=frame, num_threads=1, out=out)
        return count

    def loop() -> int:
        for maps in chosen:
            density(maps, 224, 100_000, behind)
        return count

    return Row(f"WACV 2022, {'with' if behind else 'without'} background", ours, loop, program)


def backgrounds(program: float, *, count: int) -> Row:
    frame, everything = fdsl.Frame(size=224, color=True), np.arange(count)
    family = fdsl.DiamondSquare(count)
    out = fdsl.render(family, everything, 0, rendering=frame, num_threads=1)

    def ours() -> int:
        fdsl.render(family, everything, 0, rendering=frame, num_threads=1, out=out)
        return count

    def loop() -> int:
        for category in family:
            diamond_square(224, category.decay)
        return count

    return Row("Diamond–square 224×224", ours, loop, program)


def measured(*, quick: bool) -> list[tuple[Row, dict[str, Rates]]]:
    count = 4 if quick else 60
    rows = [
        contours(fdsl.load("rcdb-1k"), 15.8, count=count),
        contours(fdsl.load("visualatom-1k"), 151.0, count=count),
        densities(True, 6.1, count=count),
        densities(False, 4.7, count=count),
        backgrounds(0.77, count=count),
        scenes(5.7, count=count),
        segrcdb(248.0, count=count),
    ]
    found = []
    for row in rows:
        works = {"ours": row.ours, **({"numba": row.loop} if have_numba() else {})}
        own = {who: timed(work) for who, work in works.items()}
        found.append((row, measure.rounds(row.name, own, 1 if quick else 7)))
    return found


def report(*, quick: bool) -> str:
    """The table of the template."""
    lines, number = [], measure.number
    for row, rates in measured(quick=quick):
        rate = rates["ours"].median
        cells = [row.name, number(1000 / rate), "", "", number(row.program)]
        cells += [f"{number(row.program * rate / 1000)} times", ""]
        wanted, met = "", False
        if row.rate is not None:
            wanted, met = f"{number(row.rate)} images/s", rate >= row.rate
        if "numba" in rates:
            times = rates["ours"].over(rates["numba"])
            cells[2:4] = number(1000 / rates["numba"].median), f"{number(times)} times"
            if row.times is not None:
                wanted, met = f"{row.times} times the loop", times >= row.times
        if wanted:
            cells[6] = f"{wanted}: {'met' if met else '**missed**'}"
        lines.append(cells)
    head = "one core, per image | ms | a loop, ms | speedup | the authors' code elsewhere, ms"
    return measure.table(f"{head} | speedup over it | target", lines)


if __name__ == "__main__":
    print(report(quick=False))
