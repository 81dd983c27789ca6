"""The reference implementation: slow, simple NumPy that the core must agree with.

Written from the paper, not from the Rust code, and simple enough to check by eye."""

from __future__ import annotations

import numpy as np


def chaos_game(maps, probabilities, num_points, rng, orbits=1, skip=0):
    """Plays the chaos game in float64 from random starting points; returns (num_points, 2)."""
    cumulative = np.cumsum(probabilities)
    points = []
    for _ in range(orbits):
        x, y = rng.uniform(-1, 1, 2)
        for step in range(skip + -(-num_points // orbits)):
            chosen = min(np.searchsorted(cumulative, rng.random(), side="right"), len(maps) - 1)
            a, b, c, d, e, f = maps[chosen]
            x, y = x * a + y * b + e, x * c + y * d + f
            if step >= skip:
                points.append((x, y))
    return np.array(points[:num_points])


def cells(points, height, width, margin):
    """Returns the row and column of each point: x and y are stretched independently and truncated.

    Uses float32 and the same order of operations as the core."""
    points = points.astype(np.float32)
    found = []
    for values, size in ((points[:, 1], height), (points[:, 0], width)):
        span = np.float32(min(size - 2 * margin, size - 1 - margin))
        low, high = values.min(), values.max()
        scale = span / (high - low)
        found.append(((values - low) * scale + np.float32(margin)).astype(np.int64))
    return found[0], found[1]


def mask(point, key):
    """Returns the nine mask bits of a point: murmur3's finalizer of its number, scaled to 1…511."""
    h = ((point ^ key) * 0x85EBCA6B) & 0xFFFFFFFF
    h = ((h ^ (h >> 13)) * 0xC2B2AE35) & 0xFFFFFFFF
    h ^= h >> 16
    return (((h >> 9) * 511) >> 23) + 1


def patch_image(rows, columns, height, width, mask_of, color_of):
    """Pastes a 3×3 patch, black pixels included, for every point; then reverses the rows."""
    image = np.zeros((height, width, 3), np.uint8)
    for point, (row, column) in enumerate(zip(rows, columns, strict=True)):
        bits = mask_of(point)
        for bit in range(9):
            y, x = row + bit // 3 - 1, column + bit % 3 - 1
            if 0 <= y < height and 0 <= x < width:
                lit = bits >> (8 - bit) & 1
                image[y, x] = color_of(point) if lit else 0
    return image[::-1]


def point_image(rows, columns, height, width, color_of):
    image = np.zeros((height, width, 3), np.uint8)
    for point, (row, column) in enumerate(zip(rows, columns, strict=True)):
        image[row, column] = color_of(point)
    return image[::-1]


def gray(_point):
    return (127, 127, 127)


def rainbow(point):
    """Returns hue 2π·i/128 with saturation and value 0.75; red and blue are swapped."""
    import colorsys

    r, g, b = colorsys.hsv_to_rgb(point % 128 / 128, 0.75, 0.75)
    return int(b * 255), int(g * 255), int(r * 255)


def released_orbit(maps, probabilities, num_points):
    """Plays the orbit of the authors' code, step by step; returns x and y."""
    draws = np.random.RandomState(100).random_sample(num_points)
    cumulative, total = [], 0.0
    for p in probabilities:
        total += p
        cumulative.append(total)
    xs, ys = [0.0], [0.0]
    with np.errstate(all="ignore"):
        for draw in draws[: num_points - 1]:
            x, y = np.float64(xs[-1]), np.float64(ys[-1])
            for bound, (a, b, c, d, e, f) in zip(cumulative, maps, strict=True):
                if draw <= bound:
                    x, y = x * a + y * b + e, x * c + y * d + f
                    break
            xs.append(x)
            ys.append(y)
    return np.array(xs), np.array(ys)


def released_cells(xs, ys, height, width, margin):
    """Drops NaN, then shifts, stretches and truncates to pixels, as the authors' code does."""
    for values in (0, 1):
        nan = np.flatnonzero(np.isnan((xs, ys)[values]))
        if len(nan):
            dropped = np.union1d(np.arange(max(0, nan[0] - 100), nan[0]), nan)
            xs, ys = np.delete(xs, dropped), np.delete(ys, dropped)
    cells = []
    with np.errstate(all="ignore"):
        for values, size in ((ys, height), (xs, width)):
            if values.min() < 0:
                values = values - values.min()
            stretched = values / (values.max() - values.min()) * (size - 2 * margin) + margin
            # NumPy's cast to uint16 on x86: values outside the range of an int32 become 0.
            fits = np.abs(stretched) < 2**31
            cells.append(np.where(fits, stretched, 0).astype(np.int64) & 0xFFFF)
    return cells


def released_image(maps, probabilities, num_points, size, margin, python_seed, color_of):
    """Pastes a patch, black pixels included, for every point; then reverses the rows."""
    import random

    masks = random.Random(python_seed)
    rows, columns = released_cells(
        *released_orbit(maps, probabilities, num_points), size, size, margin
    )
    image = np.zeros((size, size, 3), np.uint8)
    for point, (row, column) in enumerate(zip(rows, columns, strict=True)):
        for bit, lit in enumerate(f"{masks.randrange(1, 512):09b}"):
            y, x = row + 1 + bit // 3, column + 1 + bit % 3
            if y < size and x < size:
                image[y, x] = color_of(point) if lit == "1" else 0
    return image[::-1]
