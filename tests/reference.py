"""Slow, obvious NumPy: what the core must agree with. Written from the paper and DESIGN,
not from the Rust code; anyone can check it by eye."""

from __future__ import annotations

import numpy as np


def chaos_game(maps, probabilities, points, rng, orbits=1, skip=0):
    """One dot after the other, float64, from random places; (points, 2)."""
    cumulative = np.cumsum(probabilities)
    dots = []
    for _ in range(orbits):
        x, y = rng.uniform(-1, 1, 2)
        for step in range(skip + -(-points // orbits)):
            chosen = min(np.searchsorted(cumulative, rng.random(), side="right"), len(maps) - 1)
            a, b, c, d, e, f = maps[chosen]
            x, y = x * a + y * b + e, x * c + y * d + f
            if step >= skip:
                dots.append((x, y))
    return np.array(dots[:points])


def cells(dots, height, width, pad):
    """The row and column of each dot: x and y stretched independently, cut to integers.

    In float32, in this order of operations, as the core does."""
    dots = dots.astype(np.float32)
    found = []
    for values, size in ((dots[:, 1], height), (dots[:, 0], width)):
        span = np.float32(min(size - 2 * pad, size - 1 - pad))
        low, high = values.min(), values.max()
        scale = span / (high - low)
        found.append(((values - low) * scale + np.float32(pad)).astype(np.int64))
    return found[0], found[1]


def mask(dot, key):
    """The nine bits of a dot's patch: murmur3's finaliser of its number, scaled to 1…511."""
    h = ((dot ^ key) * 0x85EBCA6B) & 0xFFFFFFFF
    h = ((h ^ (h >> 13)) * 0xC2B2AE35) & 0xFFFFFFFF
    h ^= h >> 16
    return (((h >> 9) * 511) >> 23) + 1


def picture(rows, columns, height, width, mask_of, color_of):
    """Pastes a 3×3 patch for every dot, black cells included, then turns the picture over."""
    image = np.zeros((height, width, 3), np.uint8)
    for dot, (row, column) in enumerate(zip(rows, columns, strict=True)):
        bits = mask_of(dot)
        for bit in range(9):
            y, x = row + bit // 3 - 1, column + bit % 3 - 1
            if 0 <= y < height and 0 <= x < width:
                lit = bits >> (8 - bit) & 1
                image[y, x] = color_of(dot) if lit else 0
    return image[::-1]


def points_picture(rows, columns, height, width, color_of):
    image = np.zeros((height, width, 3), np.uint8)
    for dot, (row, column) in enumerate(zip(rows, columns, strict=True)):
        image[row, column] = color_of(dot)
    return image[::-1]


def gray(_dot):
    return (127, 127, 127)


def rainbow(dot):
    """Hue 2π·i/128, saturation and intensity 0.75, blue-green-red read as red-green-blue."""
    import colorsys

    r, g, b = colorsys.hsv_to_rgb(dot % 128 / 128, 0.75, 0.75)
    return int(b * 255), int(g * 255), int(r * 255)


def released_orbit(maps, probabilities, points):
    """The orbit of the authors' program, as ../REFERENCE's rules have it: NumPy, step by step."""
    draws = np.random.RandomState(100).random_sample(points)
    cumulative, total = [], 0.0
    for p in probabilities:
        total += p
        cumulative.append(total)
    xs, ys = [0.0], [0.0]
    with np.errstate(all="ignore"):
        for draw in draws[: points - 1]:
            x, y = np.float64(xs[-1]), np.float64(ys[-1])
            for bound, (a, b, c, d, e, f) in zip(cumulative, maps, strict=True):
                if draw <= bound:
                    x, y = x * a + y * b + e, x * c + y * d + f
                    break
            xs.append(x)
            ys.append(y)
    return np.array(xs), np.array(ys)


def released_cells(xs, ys, height, width, pad):
    """Drops what is no number, moves, stretches, and cuts to pixels."""
    for values in (0, 1):
        nan = np.flatnonzero(np.isnan((xs, ys)[values]))
        if len(nan):
            gone = np.union1d(np.arange(max(0, nan[0] - 100), nan[0]), nan)
            xs, ys = np.delete(xs, gone), np.delete(ys, gone)
    cells = []
    with np.errstate(all="ignore"):
        for values, size in ((ys, height), (xs, width)):
            if values.min() < 0:
                values = values - values.min()
            stretched = values / (values.max() - values.min()) * (size - 2 * pad) + pad
            # What NumPy's cast did on the machine that REFERENCE was measured on.
            fits = np.abs(stretched) < 2**31
            cells.append(np.where(fits, stretched, 0).astype(np.int64) & 0xFFFF)
    return cells


def released_picture(maps, probabilities, points, size, pad, python_seed, color_of):
    """Pastes each patch, black cells included, and turns the picture over."""
    import random

    masks = random.Random(python_seed)
    rows, columns = released_cells(*released_orbit(maps, probabilities, points), size, size, pad)
    image = np.zeros((size, size, 3), np.uint8)
    for dot, (row, column) in enumerate(zip(rows, columns, strict=True)):
        for bit, lit in enumerate(f"{masks.randrange(1, 512):09b}"):
            y, x = row + 1 + bit // 3, column + 1 + bit % 3
            if y < size and x < size:
                image[y, x] = color_of(dot) if lit == "1" else 0
    return image[::-1]
