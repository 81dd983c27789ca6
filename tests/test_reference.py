"""The core agrees with the slow, obvious NumPy of reference.py."""

import numpy as np
import pytest
import reference
from fdsl import IFS, Rendering, _core


@pytest.fixture(scope="module")
def ifs():
    return IFS.search(categories=6, fill_rate=0.15, seed=3)


@pytest.fixture(scope="module")
def dots():
    rng = np.random.default_rng(0)
    return rng.normal(size=(1500, 2)).astype(np.float32)


def drawn(rendering, dots, simd, **masks):
    pixels = _core.draw_points(rendering.settings, dots, simd=simd, **masks)
    shape = (*rendering.output_size, rendering.channels)
    return np.broadcast_to(pixels.reshape(shape), (*shape[:2], 3))


@pytest.mark.parametrize("simd", _core.simd_paths())
@pytest.mark.parametrize("size, pad", [((48, 48), 6), ((40, 61), 0), ((16, 33), 1)])
@pytest.mark.parametrize("color", [False, True])
def test_the_canvas_pastes_every_patch_as_the_reference_does(dots, simd, size, pad, color):
    rendering = Rendering(size=size, margin=pad, color=color, num_points=len(dots))
    rows, columns = reference.cells(dots, *size, pad)
    color_of = reference.rainbow if color else reference.gray
    for key in (0, 0xDEADBEEF):
        expected = reference.picture(
            rows, columns, *size, lambda dot, key=key: reference.mask(dot, key), color_of
        )
        np.testing.assert_array_equal(drawn(rendering, dots, simd, key=key), expected)
    for mask in (1, 256, 0b101010011, 511):
        expected = reference.picture(rows, columns, *size, lambda _, mask=mask: mask, color_of)
        np.testing.assert_array_equal(drawn(rendering, dots, simd, mask=mask), expected)


@pytest.mark.parametrize("simd", _core.simd_paths())
@pytest.mark.parametrize("color", [False, True])
def test_the_canvas_shows_the_last_point_of_every_pixel(dots, simd, color):
    rendering = Rendering(size=(40, 33), draw="point", color=color, num_points=len(dots))
    rows, columns = reference.cells(dots, 40, 33, 6)
    color_of = reference.rainbow if color else reference.gray
    expected = reference.points_picture(rows, columns, 40, 33, color_of)
    np.testing.assert_array_equal(drawn(rendering, dots, simd), expected)


def test_the_orbits_sample_the_attractor_that_one_long_orbit_does(ifs):
    """Two-sample chi-squared over an 8×8 grid, both ways of playing the game alike."""
    for category in range(3):
        maps, probabilities = ifs[category]
        ours = ifs.core().points(category, 20_000, seed=1)
        rng = np.random.default_rng(category)
        theirs = reference.chaos_game(maps, probabilities, 20_000, rng, orbits=64, skip=32)
        low = np.quantile(theirs, 0.01, axis=0)
        high = np.quantile(theirs, 0.99, axis=0)
        counts = [
            np.histogramdd(np.clip(d, low, high), bins=8, range=list(zip(low, high, strict=True)))[
                0
            ]
            for d in (ours, theirs)
        ]
        a, b = (count.ravel() for count in counts)
        used = a + b > 20
        # Orbit dots are correlated: allow three times the variance of independent ones.
        chi2 = ((a - b)[used] ** 2 / (a + b)[used]).sum()
        assert chi2 < 3 * used.sum() + 60, (category, chi2, used.sum())
        # ... and the same draw against itself mirrored would be far off.
        mirrored = np.histogramdd(
            np.clip(low + high - ours, low, high), bins=8, range=list(zip(low, high, strict=True))
        )[0].ravel()
        assert ((mirrored - b)[used] ** 2 / (mirrored + b)[used]).sum() > 10 * used.sum()


def test_the_first_dots_already_lie_on_the_attractor(ifs):
    """Few dots and many fill the same box: the warm-up has done its work."""
    many = ifs.core().points(0, 200_000, seed=1)
    few = ifs.core().points(0, 64, seed=1)
    assert (few >= many.min(0) - 1e-3).all()
    assert (few <= many.max(0) + 1e-3).all()


def test_the_filling_rate_is_the_reference_share_of_lit_pixels(ifs):
    measured = ifs.fill_rates(size=128, num_points=10_000)
    for category in range(3):
        maps, probabilities = ifs[category]
        rng = np.random.default_rng(7)
        dots = reference.chaos_game(maps, probabilities, 10_000, rng, orbits=64, skip=32)
        rows, columns = reference.cells(dots, 128, 128, 6)
        share = len(set(zip(rows, columns, strict=True))) / 128**2
        # The box hangs on its outermost dot, so another random stream moves the rate a little.
        assert measured[category] == pytest.approx(share, rel=0.15)


def test_the_filling_rate_counts_the_pixels_of_the_dots_exactly(ifs):
    dots = ifs.core().points(0, 10_000, seed=0)
    rows, columns = reference.cells(dots, 128, 128, 6)
    share = len(set(zip(rows, columns, strict=True))) / 128**2
    assert ifs.fill_rates(size=128, num_points=10_000, seed=0)[0] == share


@pytest.mark.parametrize("simd", _core.simd_paths())
def test_every_path_plays_the_same_dots(ifs, simd):
    for points in (1, 63, 64, 65, 5000):
        expected = ifs.core().points(0, points, seed=5, simd="plain")
        assert expected.shape == (points, 2)
        np.testing.assert_array_equal(ifs.core().points(0, points, 5, simd), expected)
