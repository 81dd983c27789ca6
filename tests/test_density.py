"""Densities, backgrounds and the rest of "Improving Fractal Pre-training" (WACV 2022)."""

import dataclasses
import re

import numpy as np
import pytest
from fdsl import IFS, DiamondSquare, Frame, Rendering, _core, render
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from published import reference, scores
from strategies import renderings

#: The original image without what an instance varies.
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
    """The original orbit: from the fixed point of the first map, which is not kept."""
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


def test_a_density_is_the_number_of_points_that_cover_a_pixel(ifs):
    points = np.array([[0, 0], [3, 1], [3, 1], [15, 15]], np.float32)
    patch = np.array([[1, 1, 0], [0, 1, 0], [0, 0, 1]])
    counts = np.zeros((18, 18), int)
    for x, y in points.astype(int):  # row 0 of the image is at the top, y points up
        row, column = 15 - y, x
        counts[row : row + 3, column : column + 3] += patch[::-1]
    counts = counts[1:-1, 1:-1]
    mask = sum(int(bit) << (8 - i) for i, bit in enumerate(patch.flat))
    for simd in _core.simd_paths():
        lit, gray, _ = _core.draw_density(points, 16, mask, 0.0, 0, 0, simd)
        np.testing.assert_array_equal(lit.reshape(16, 16), 127 * (counts > 0))
        np.testing.assert_array_equal(gray.reshape(16, 16), 255 * counts // counts.max())


def test_nothing_erases_unless_the_last_point_decides(ifs):
    # One mask for the image: what the last points leave lit is a part of what any point lights.
    size = dataclasses.replace(PLAIN, **SMALL, variation=None)
    any_point = render(ifs, range(6), 0, rendering=size) > 0
    density = render(ifs, range(6), 0, rendering=dataclasses.replace(size, shading="density"))
    assert (any_point | (density == 0)).all() and (density.reshape(6, -1).max(1) == 255).all()
    in_color = dataclasses.replace(size, shading="density", color=True)
    colored = render(ifs, range(6), 0, rendering=in_color).any(-1)
    np.testing.assert_array_equal(colored, any_point)
    every_mask = dataclasses.replace(size, patch="random")
    assert (render(ifs, range(6), 0, rendering=every_mask) > 0).sum() > 1.05 * any_point.sum()


def test_hues_vary_over_an_image_and_shift_from_image_to_image(ifs):
    frame = Rendering(shading="density", patch="fixed", color=True, variation=None, **SMALL)
    images = render(ifs, 0, range(0, 400, 4), rendering=frame)
    lit = [image[image.any(-1)] for image in images]
    brightest = np.array([pixels.max() for pixels in lit])
    assert 127 <= brightest.min() < 140 and brightest.max() > 245  # value U(.5, 1)
    assert all(len(np.unique(pixels, axis=0)) > 5 for pixels in lit)
    first = [pixels[0].argmax() for pixels in lit]
    shares = np.bincount(first, minlength=3) / len(first)
    assert (shares > 0.1).all() and shares[2] < 0.35  # hues stop at 300°, and half come twice


def test_a_zoomed_and_shifted_window_shows_more_or_less_of_the_fractal(ifs):
    plain = dataclasses.replace(PLAIN, **SMALL, draw="point", flips=False)
    zoomed = dataclasses.replace(plain, zoom=2, shift=0.2)

    def sides(rendering):
        images = render(ifs, 0, range(300), rendering=rendering) > 0
        return images.any(2).sum(1), images.any(1).sum(1), images

    rows, columns, images = sides(zoomed)
    # A factor f up to 2 shrinks the fractal to 1/f of the window, unless the shift cuts it.
    for shown in (rows, columns):
        assert shown.min() < 36 and (shown < 60).mean() > 0.4 and (shown > 60).mean() > 0.1
    # The last row and column hold the outermost point alone, so a cut leaves them empty.
    assert images[:, 1].any() and images[:, -1].any()
    assert images[:, :, 0].any() and images[:, :, -2].any()
    # Without a zoom the fractal spans the window, up to the rounding of its outermost point.
    rows, columns, whole = sides(plain)
    assert min(rows.min(), columns.min()) >= 63
    assert (whole[:, [0, -1]].any(2).mean(0) > 0.7).all()
    assert (whole[:, :, [0, -1]].any(1).mean(0) > 0.7).all()


def test_half_of_the_images_exchange_x_and_y(ifs):
    plain = dataclasses.replace(PLAIN, **SMALL, draw="point", flips=False)
    turned = dataclasses.replace(plain, transpose=True)
    images = render(ifs, 0, range(100), rendering=plain)
    found = render(ifs, 0, range(100), rendering=turned)
    # Rows are counted from the bottom, so an exchange of axes is a transposition along the other
    # diagonal.
    same = (found == images).all((1, 2))
    exchanged = (found == images[:, ::-1].transpose(0, 2, 1)[:, ::-1]).all((1, 2))
    assert (same ^ exchanged).all() and 30 < same.sum() < 70


def test_a_background_shows_where_the_fractal_is_black(ifs):
    frame = dataclasses.replace(PLAIN, **SMALL, shading="density", color=True)
    before = render(ifs, range(6), 3, rendering=frame)
    behind = dataclasses.replace(frame, background="diamond-square")
    after = render(ifs, range(6), 3, rendering=behind)
    lit = before.any(-1)
    np.testing.assert_array_equal(after[lit], before[lit])
    assert (after[~lit].max(-1) > 0).mean() > 0.99
    assert len({image[0, 0].tobytes() for image in after}) > 1


def test_a_blur_softens_its_share_of_the_images(ifs):
    frame = dataclasses.replace(PLAIN, **SMALL)
    sharp = render(ifs, 0, range(0, 400, 4), rendering=frame)
    soft = render(ifs, 0, range(0, 400, 4), rendering=dataclasses.replace(frame, blur=0.3))
    changed = (soft != sharp).any((1, 2))
    assert 15 <= changed.sum() <= 45
    assert len(np.unique(soft[changed])) > 20
    # A Gaussian neither adds nor removes light, but for rounding and at the border.
    means = soft[changed].mean((1, 2)) / sharp[changed].mean((1, 2))
    assert np.abs(means - 1).max() < 0.03


@pytest.mark.parametrize(("kind", "w"), [("map", 0.1), ("svd", 0.5), ("sval", 0.5)])
def test_one_map_changes_unless_it_would_expand(kind, w):
    half = [[0.5, 0, 0, 0.5, 0, 0], [0.5, 0, 0, 0.5, 0.5, 0], [0.5, 0, 0, 0.5, 0.25, 0.5]]
    frame = Rendering(variation=w, variation_kind=kind, draw="point", flips=False, **SMALL)
    varied = render(IFS([half]), 0, range(20), rendering=frame)
    assert len({image.tobytes() for image in varied}) == 20
    # No change that is drawn contracts a map with a singular value of 2 to less than 1.
    expands = [[2, 0, 0, 0.1, 0, 0]]
    still = dataclasses.replace(frame, resample_degenerate=False)
    plain = dataclasses.replace(still, variation=None)
    shares = [[1.0]]
    np.testing.assert_array_equal(
        render(IFS([expands], shares), 0, range(4), rendering=still),
        render(IFS([expands], shares), 0, range(4), rendering=plain),
    )


@settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
@given(renderings(dense=True), st.integers(0, 2**64 - 1), st.integers(0, 2**62 - 2))
def test_any_setting_gives_the_same_images_on_every_path_and_number_of_threads(
    rendering, seed, start
):
    ifs = IFS.sample(3, seed=seed)
    indices = np.arange(8, dtype=np.uint64) + np.uint64(4 * start)
    images = render(ifs, indices % 3, indices, seed, rendering, num_threads=1)
    for threads in (2, 8):
        again = render(ifs, indices % 3, indices, seed, rendering, num_threads=threads)
        np.testing.assert_array_equal(again, images)
    for simd in _core.simd_paths():
        by_path = render(ifs, indices % 3, indices, seed, rendering, simd=simd)
        np.testing.assert_array_equal(by_path, images)
    if rendering.flips and rendering.crop is None:
        a, b, c, d = render(ifs, 0, indices[:4], seed, rendering)
        assert (b == a[::-1]).all() and (c == a[:, ::-1]).all() and (d == c[::-1]).all()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"shading": "any", "color": True}, "shading must be 'last' or 'density' with color=True"),
        ({"shading": "sum"}, "shading must be 'last' or 'any' or 'density', got 'sum'"),
        ({"zoom": 0.5}, "zoom must be between 1 and 16, got 0.5"),
        ({"zoom": 17}, "zoom must be between 1 and 16, got 17"),
        ({"shift": -0.1}, "shift must be between 0 and 1, got -0.1"),
        ({"blur": 1.5}, "blur must be between 0 and 1, got 1.5"),
        ({"background": "perlin"}, "background must be 'diamond-square' or None, got 'perlin'"),
        (
            {"compat": "released", "shading": "density"},
            "the released code has no shading: with compat='released' it must be 'last', got "
            "'density'",
        ),
        (
            {"compat": "released", "background": "diamond-square"},
            "the released code has no background: with compat='released' it must be None",
        ),
        (
            {"compat": "released", "variation_kind": "svd"},
            "with compat='released' variation_kind must be 'grid' or 'continuous', got 'svd'",
        ),
    ],
)
def test_settings_that_do_not_fit_are_refused_in_a_sentence(wrong, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        Rendering(**wrong)


def test_the_preset_has_the_programs_settings():
    preset = Rendering.wacv22()
    assert preset.color and preset.shading == "density" and preset.image_shape == (224, 224, 3)
    gray = Rendering.wacv22(color=False, background=None, blur=0)
    images = render(IFS.sample(8, seed=2), range(8), 0, rendering=gray)
    assert set(np.unique(images)) == {0, 127}
    assert Rendering.wacv22(size=64, blur=0.0) == dataclasses.replace(preset, size=64, blur=0.0)


# Diamond–square noise as a family


def test_decays_are_spread_evenly_or_given():
    assert [one.decay for one in DiamondSquare(3)] == pytest.approx([0.4, 0.8, 1.2])
    assert DiamondSquare([0.4, 2])[1].decay == 2
    assert DiamondSquare(10)[2:4] == DiamondSquare([DiamondSquare(10)[k].decay for k in (2, 3)])


def test_a_larger_decay_is_smoother():
    frame = Frame(size=64)
    images = render(DiamondSquare([0.1, 0.6, 2.0]), np.repeat(range(3), 20), range(60), 0, frame)
    steps = np.abs(np.diff(images.astype(float), axis=1)).mean((1, 2)).reshape(3, 20).mean(1)
    assert steps[0] > 2 * steps[1] > 4 * steps[2]


def test_the_image_is_the_top_left_of_the_next_larger_grid():
    whole = render(DiamondSquare([0.5]), 0, 0, rendering=Frame(size=64))
    part = render(DiamondSquare([0.5]), 0, 0, rendering=Frame(size=(40, 64)))
    # Rows are counted from the bottom.
    np.testing.assert_array_equal(part, whole[-40:])


@pytest.mark.parametrize(
    ("wrong", "error", "said"),
    [
        (0, ValueError, "categories must lie between 1 and"),
        ([-0.1], ValueError, "a decay must be between 0 and 10, got -0.1"),
        ([0.5, np.nan], ValueError, "a decay must be between 0 and 10, got NaN"),
        ([], ValueError, r"categories must have shape \(C,\)"),
        ("rough", TypeError, "categories must be an integer or decays"),
    ],
)
def test_wrong_decays_are_refused_in_a_sentence(wrong, error, said):
    with pytest.raises(error, match=said):
        DiamondSquare(wrong)
