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
