"""The core agrees with the slow, simple NumPy of reference.py."""

import numpy as np
import pytest
import reference
from fdsl import IFS, Rendering, _core


@pytest.fixture(scope="module")
def ifs():
    return IFS.search(categories=6, fill_rate=0.15, seed=3)


@pytest.fixture(scope="module")
def points():
    rng = np.random.default_rng(0)
    return rng.normal(size=(1500, 2)).astype(np.float32)


def drawn(rendering, points, simd, **masks):
    pixels = _core.draw_points(rendering.settings, points, simd=simd, **masks)
    shape = (*rendering.output_size, rendering.channels)
    return np.broadcast_to(pixels.reshape(shape), (*shape[:2], 3))


@pytest.mark.parametrize("simd", _core.simd_paths())
@pytest.mark.parametrize("size, margin", [((48, 48), 6), ((40, 61), 0), ((16, 33), 1)])
@pytest.mark.parametrize("color", [False, True])
def test_patches_are_pasted_as_in_the_reference(points, simd, size, margin, color):
    rendering = Rendering(size=size, margin=margin, color=color, num_points=len(points))
    rows, columns = reference.cells(points, *size, margin)
    color_of = reference.rainbow if color else reference.gray
    for key in (0, 0xDEADBEEF):
        expected = reference.patch_image(
            rows, columns, *size, lambda point, key=key: reference.mask(point, key), color_of
        )
        np.testing.assert_array_equal(drawn(rendering, points, simd, key=key), expected)
    for mask in (1, 256, 0b101010011, 511):
        expected = reference.patch_image(rows, columns, *size, lambda _, mask=mask: mask, color_of)
        np.testing.assert_array_equal(drawn(rendering, points, simd, mask=mask), expected)


@pytest.mark.parametrize("simd", _core.simd_paths())
@pytest.mark.parametrize("color", [False, True])
def test_every_pixel_shows_its_last_point(points, simd, color):
    rendering = Rendering(size=(40, 33), draw="point", color=color, num_points=len(points))
    rows, columns = reference.cells(points, 40, 33, 6)
    color_of = reference.rainbow if color else reference.gray
    expected = reference.point_image(rows, columns, 40, 33, color_of)
    np.testing.assert_array_equal(drawn(rendering, points, simd), expected)


def test_the_orbits_sample_the_same_attractor_as_the_reference(ifs):
    """A two-sample chi-squared test on an 8×8 grid."""
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
        # Points of an orbit are correlated: allows three times the variance of independent ones.
        chi2 = ((a - b)[used] ** 2 / (a + b)[used]).sum()
        assert chi2 < 3 * used.sum() + 60, (category, chi2, used.sum())
        # The flipped points fail the test by a wide margin.
        flipped = np.histogramdd(
            np.clip(low + high - ours, low, high), bins=8, range=list(zip(low, high, strict=True))
        )[0].ravel()
        assert ((flipped - b)[used] ** 2 / (flipped + b)[used]).sum() > 10 * used.sum()


def test_the_first_points_already_lie_on_the_attractor(ifs):
    """A few points lie in the bounding box of many: the warm-up is long enough."""
    many = ifs.core().points(0, 200_000, seed=1)
    few = ifs.core().points(0, 64, seed=1)
    assert (few >= many.min(0) - 1e-3).all()
    assert (few <= many.max(0) + 1e-3).all()


def test_the_filling_rate_is_close_to_that_of_the_reference(ifs):
    measured = ifs.fill_rates(size=128, num_points=10_000)
    for category in range(3):
        maps, probabilities = ifs[category]
        rng = np.random.default_rng(7)
        points = reference.chaos_game(maps, probabilities, 10_000, rng, orbits=64, skip=32)
        rows, columns = reference.cells(points, 128, 128, 6)
        share = len(set(zip(rows, columns, strict=True))) / 128**2
        # Other random numbers change the outermost points and thereby the bounding box a little.
        assert measured[category] == pytest.approx(share, rel=0.15)


def test_the_filling_rate_counts_the_pixels_of_the_points_exactly(ifs):
    points = ifs.core().points(0, 10_000, seed=0)
    rows, columns = reference.cells(points, 128, 128, 6)
    share = len(set(zip(rows, columns, strict=True))) / 128**2
    assert ifs.fill_rates(size=128, num_points=10_000, seed=0)[0] == share


@pytest.mark.parametrize("simd", _core.simd_paths())
def test_every_path_plays_the_same_points(ifs, simd):
    for points in (1, 63, 64, 65, 5000):
        expected = ifs.core().points(0, points, seed=5, simd="plain")
        assert expected.shape == (points, 2)
        np.testing.assert_array_equal(ifs.core().points(0, points, 5, simd), expected)
