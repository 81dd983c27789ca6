"""Densities, backgrounds and the rest of "Improving Fractal Pre-training" (WACV 2022)."""

import dataclasses
import re

import fdsl
import numpy as np
import pytest
from fdsl import IFS, DiamondSquare, Rendering, _core, render
from published import reference, scores

#: The program's image without what an instance varies.
PLAIN = Rendering(
    size=224, num_points=100_000, patch="fixed", shading="any", margin=0, variation=None
)
#: A mask of a single pixel.
CENTER = [0, 0, 0, 0, 1, 0, 0, 0, 0]
SMALL = {"size": 64, "num_points": 5000}


@pytest.fixture(scope="module")
def ifs():
    return IFS.sample(6, seed=4)


def orbit(maps, probabilities, draws):
    """The program's orbit: from the fixed point of the first map, which is not kept."""
    a, b, c, d, e, f = maps[0]
    t = 1 / (1 + a * d - b * c - a - d)
    x, y = t * ((1 - d) * e + b * f), t * ((1 - a) * f + c * e)
    last = len(maps) - 1
    picked = np.minimum(np.searchsorted(np.cumsum(probabilities), draws, side="right"), last)
    points = np.empty((len(draws), 2))
    for i, (a, b, c, d, e, f) in enumerate(np.array(maps)[picked].tolist()):
        x, y = a * x + b * y + e, c * x + d * y + f
        points[i] = x, y
    return points


def drawn(points, patch, hue_shift=0.0, saturation=0, value=0):
    """Lit, gray and color images of points, whose x runs down."""
    mask = sum(bit << (8 - i) for i, bit in enumerate(patch))
    points = points[:, ::-1].astype(np.float32)
    images = _core.draw_density(points, 224, mask, hue_shift, saturation, value)
    # The core puts the first row of points at the bottom.
    return [image.reshape(224, 224, -1).squeeze()[::-1] for image in images]


def test_the_same_orbit_gives_the_programs_images():
    told, images = reference("wacv22")
    for made in told["pictures"]:
        draws = np.random.RandomState(made["seed"]).random_sample(made["iterations"])
        points = orbit(made["maps"], made["probabilities"], draws)
        lit = drawn(points, CENTER)[0] > 0  # their binary images have no patch
        theirs = images["binary"][made["index"]] > 0
        assert (lit & theirs).sum() / (lit | theirs).sum() >= 0.99
        colors = made["hue_shift"], made["saturation_byte"], made["value_byte"]
        _, gray, color = drawn(points, made["patch"], *colors)
        for mine, name in ((gray, "graded"), (color, "colour")):
            wanted = images[name][made["index"]]
            assert (np.abs(mine.astype(int) - wanted) <= 2).mean() >= 0.99


def test_the_same_displacements_give_the_programs_backgrounds():
    told, images = reference("diamond-square")
    for made in told["pictures"]:
        draws = np.random.RandomState(made["seed"]).random_sample(65 * 65)
        colors = [
            [made[f"{part}_scale"], made[f"{part}_shift"]]
            for part in ("hue", "saturation", "value")
        ]
        size = made["size"]
        heights, color = _core.diamond_square(size, made["decay"], draws.tolist(), colors)
        wanted = images["height"][made["index"]]
        np.testing.assert_allclose(heights.reshape(size, size), wanted, atol=1e-6, rtol=1e-5)
        theirs = images["colour"][made["index"]].astype(int)
        assert (np.abs(color.reshape(size, size, 3) - theirs) <= 2).mean() >= 0.99


def measured(image):
    rows, columns = np.nonzero(image)
    rms = [np.sqrt(((axis - 111.5) ** 2).mean()) for axis in (rows, columns)]
    return {"fill": len(rows) / image.size, "rms_row": rms[0], "rms_column": rms[1]}


@pytest.mark.slow
def test_other_random_numbers_give_the_same_kind_of_image():
    told, _ = reference("wacv22")
    found = []
    rendering = dataclasses.replace(PLAIN, draw="point", flips=False)
    for made in told["pictures"]:
        # Their x runs down, ours to the right.
        maps = np.array(made["maps"])[:, [3, 2, 1, 0, 5, 4]]
        family = IFS([maps], [made["probabilities"]])
        images = render(family, 0, range(60), seed=1, rendering=rendering)[:, ::-1]
        told_of = {name: v for name, v in made["own_stream"].items() if name != "draws"}
        found.append(scores([measured(image) for image in images], told_of))
    z = np.concatenate(found)
    assert np.abs(z).max() <= 4 and (z**2).sum() <= 60, z
