"""The implementations we compare with: plain NumPy, a plain numba loop, and datumaro's generator.

All render the same categories by the same rule, with their own random numbers. Numba and datumaro
are optional (`pip install '.[bench]'`; the generator is in datumaro up to version 1.10).
"""

from __future__ import annotations

import functools
import importlib.metadata
import importlib.util
import random
import sys
from pathlib import Path
from typing import Any

import fdsl
import numpy as np

sys.path.append(str(Path(__file__).parents[1] / "tests"))
import reference

MARGIN = 6
WARM_UP = 32  # points discarded before the orbit is on the attractor, as in the core

try:
    from numba import njit
except ModuleNotFoundError:
    njit = None


def have_numba() -> bool:
    return njit is not None


def numpy_image(category: fdsl.Category, num_points: int, size: int, draw: str) -> Any:
    """Renders an image with the reference implementation of the tests."""
    points = reference.chaos_game(*category, num_points, np.random.default_rng(0), skip=WARM_UP)
    rows, columns = reference.cells(points, size, size, MARGIN)
    if draw == "point":
        return reference.point_image(rows, columns, size, size, reference.gray)
    masks = functools.partial(reference.mask, key=1)
    return reference.patch_image(rows, columns, size, size, masks, reference.gray)


def compiled(function: Any) -> Any:
    return function if njit is None else njit(cache=False)(function)


@compiled
def play(maps, cumulative, num_points, seed):
    """Plays the chaos game; returns no points if the orbit diverges."""
    np.random.seed(seed)
    xs, ys = np.empty(num_points), np.empty(num_points)
    x = y = 0.0
    last = len(cumulative) - 1
    for i in range(-WARM_UP, num_points):
        draw = np.random.random()
        j = 0
        while j < last and draw > cumulative[j]:
            j += 1
        x, y = (
            x * maps[j, 0] + y * maps[j, 1] + maps[j, 4],
            x * maps[j, 2] + y * maps[j, 3] + maps[j, 5],
        )
        if not (abs(x) < 1e6 and abs(y) < 1e6):
            return xs[:0], ys[:0]
        if i >= 0:
            xs[i], ys[i] = x, y
    return xs, ys


@compiled
def stretch(values, size):
    low, high = values[0], values[0]
    for v in values:
        low, high = min(low, v), max(high, v)
    scale = (size - 2 * MARGIN) / (high - low)
    cells = np.empty(len(values), np.int32)
    for i in range(len(values)):
        cells[i] = int((values[i] - low) * scale + MARGIN)
    return cells


@compiled
def numba_patches(maps, cumulative, num_points, size, seed):
    """Renders patches, with a new 3×3 mask for every point, black pixels included."""
    xs, ys = play(maps, cumulative, num_points, seed)
    rows, columns = stretch(ys, size), stretch(xs, size)
    image = np.zeros((size, size), np.uint8)
    for i in range(len(rows)):
        mask = np.random.randint(1, 512)
        row, column = size - 1 - rows[i], columns[i]
        for bit in range(9):
            y, x = row + bit // 3 - 1, column + bit % 3 - 1
            if 0 <= y < size and 0 <= x < size:
                image[y, x] = 127 if mask >> bit & 1 else 0
    return image


@compiled
def numba_points(maps, cumulative, num_points, size, seed):
    xs, ys = play(maps, cumulative, num_points, seed)
    rows, columns = stretch(ys, size), stretch(xs, size)
    image = np.zeros((size, size), np.uint8)
    for i in range(len(rows)):
        image[size - 1 - rows[i], columns[i]] = 127
    return image


@compiled
def numba_fill_rate(maps, cumulative, num_points, size, seed, wanted):
    """Measures the filling rate of a candidate; stops once it cannot reach the wanted one."""
    xs, ys = play(maps, cumulative, num_points, seed)
    if len(xs) == 0:
        return 0.0
    rows, columns = stretch(ys, size), stretch(xs, size)
    lit = np.zeros(size * size, np.bool_)
    count, spare = 0, len(rows) - wanted * size * size
    for i in range(len(rows)):
        cell = rows[i] * size + columns[i]
        if not lit[cell]:
            lit[cell] = True
            count += 1
        elif i - count >= spare:
            break
    return count / (size * size)


@compiled
def numba_leaves(size, seed):
    """Squares on top of each other until none of the ground shows, as the released code throws
    them; a count of hidden pixels says when."""
    np.random.seed(seed)
    radii = np.linspace(0.03, 1, 200)
    shares = np.cumsum(radii**-3 - 1)
    shares /= shares[-1]
    image = np.zeros((size, size, 3), np.uint8)
    hidden = np.zeros((size, size), np.bool_)
    left = size * size
    for _ in range(5000):
        red, green, blue = (
            int(255 * np.random.random()),
            int(255 * np.random.random()),
            int(255 * np.random.random()),
        )
        radius = max(int(radii[np.argmin(np.abs(shares - np.random.random()))] * size), 1)
        half = int(radius * np.sqrt(2) / 2)
        x, y = int(size * np.random.random()), int(size * np.random.random())
        for row in range(max(y - half, 0), min(y + half + 1, size)):
            for column in range(max(x - half, 0), min(x + half + 1, size)):
                image[row, column, 0] = red
                image[row, column, 1] = green
                image[row, column, 2] = blue
                if not hidden[row, column]:
                    hidden[row, column] = True
                    left -= 1
        if left == 0:
            break
    return image


def numpy_spectrum(size, seed):
    """1/f noise by NumPy's transform of real images."""
    rng = np.random.default_rng(seed)
    fx = np.arange(size // 2 + 1.0)
    fy = np.abs(np.fft.fftfreq(size, 1 / size))[:, None]
    with np.errstate(divide="ignore"):
        magnitude = 1 / (fx + fy)
    magnitude[0, 0] = 0
    phases = np.exp(2j * np.pi * rng.random(magnitude.shape))
    noise = np.fft.irfft2(magnitude * phases, (size, size))
    noise -= noise.min()
    return (noise * (255 / noise.max()) + 0.5).astype(np.uint8)


def arrays(category: fdsl.Category) -> tuple[Any, Any]:
    """Returns the maps and cumulative probabilities of a category."""
    return np.ascontiguousarray(category.maps), np.cumsum(category.probabilities)


def candidates(count: int) -> list[tuple[Any, Any]]:
    """Draws candidates as a search does: 2 to 8 maps, with parameters uniform in [−1, 1]."""
    rng = np.random.default_rng(1)
    drawn = []
    for _ in range(count):
        maps = rng.uniform(-1, 1, (rng.integers(2, 9), 6))
        weights = np.abs(maps[:, 0] * maps[:, 3] - maps[:, 1] * maps[:, 2])
        drawn.append((maps, np.cumsum(weights / weights.sum())))
    return drawn


def datumaro() -> tuple[Any, str] | None:
    """Returns datumaro's IFS class and version, if installed, without importing all of datumaro."""
    try:
        files = importlib.metadata.files("datumaro") or []
        version = importlib.metadata.version("datumaro")
        file = next(f for f in files if str(f).endswith("plugins/synthetic_data/utils.py"))
        spec = importlib.util.spec_from_file_location("datumaro_synthetic", file.locate())
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    except (importlib.metadata.PackageNotFoundError, StopIteration, ImportError):
        return None
    return module.IFSFunction, version


def datumaro_image(category: fdsl.Category, ifs_function: Any, num_points: int, size: int) -> Any:
    """Renders datumaro's image in patches, before coloring and blurring."""
    system = ifs_function(random.Random(1), 0.0, 0.0)
    for parameters, probability in zip(*category, strict=True):
        system.add_param(parameters, probability)
    system.calculate(num_points - 1)
    return system.draw(size, size, False)
