"""Images are a function of their address, in frame, not blank, the same on every machine."""

import copy
import dataclasses
import hashlib
import inspect
import json
import os
import pickle
import re
import subprocess
import sys

import fdsl
import numpy as np
import pytest
from fdsl import IFS, Rendering, _core, render
from fdsl.preview import contact_sheet
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from strategies import renderings

SMALL = Rendering(size=48, num_points=1500)
POINT = dataclasses.replace(SMALL, draw="point")

#: Every rendering mode, small.
MODES = {
    f"{draw}-{color}-{crop}-{variation}-{kind}": Rendering(
        size=(40, 52),
        num_points=700,
        draw=draw.split("_")[0],
        patch=draw.split("_")[1],
        color=color == "color",
        crop=(24, 33) if crop == "crop" else None,
        variation=None if variation == "same" else 0.4,
        variation_kind=kind,
    )
    for draw in ("patch_random", "patch_fixed", "point_random")
    for color in ("gray", "color")
    for crop in ("whole", "crop")
    for variation, kind in (("same", "grid"), ("0.4", "grid"), ("0.4", "continuous"))
}
every_mode = pytest.mark.parametrize("rendering", MODES.values(), ids=MODES)

#: Systems that diverge, collapse or cover no pixel.
BAD = {
    "one diverging map": ([[2, 0, 0, 2, 1, 1]], [1.0]),
    "one point": ([[0, 0, 0, 0, 0.3, 0.3]], [1.0]),
    "the origin": ([[0, 0, 0, 0, 0, 0]], [1.0]),
    "two points": ([[0, 0, 0, 0, -1, -1], [0, 0, 0, 0, 1, 1]], [0.5, 0.5]),
    "a line across": ([[0.5, 0, 0, 0, 0.1, 0], [0.5, 0, 0, 0, 0.5, 0]], [0.5, 0.5]),
    "a line upwards": ([[0, 0, 0, 0.5, 0, 0], [0, 0, 0, 0.5, 0, 0.5]], [0.5, 0.5]),
    "huge": ([[1e300] * 6], [1.0]),
    "largest float": ([[1.7976931348623157e308] * 6, [-1.7976931348623157e308] * 6], [0.5, 0.5]),
    "tiny": ([[1e-300] * 6], [1.0]),
    "smallest float": ([[5e-324] * 6, [-5e-324] * 6], [0.5, 0.5]),
    "far away": ([[0.5, 0, 0, 0.5, 4e5, 4e5]], [1.0]),
    "a map in a million": ([[0.5, 0, 0, 0.5, 0, 0], [9, 0, 0, 9, 9, 9]], [1 - 1e-6, 1e-6]),
    "twenty maps": ([[1.5, 0.3 * n, -0.2, 1.1, n, -n] for n in range(20)], [0.05] * 20),
}


@pytest.fixture(scope="module")
def full():
    """Fuller than `ifs`, with distinguishable shapes."""
    return IFS.search(categories=5, fill_rate=0.2, seed=1, size=64, num_points=2000)


def lit(images, rendering):
    """(B, H, W) booleans: which pixels are not black."""
    return images.any(axis=-1) if rendering.color else images > 0


def on(simd, ifs, categories, indices, rendering, seed=0, num_threads=1):
    """Images and retries on one SIMD backend."""
    return render(
        ifs, categories, indices, seed, rendering, num_threads, return_retries=True, simd=simd
    )


def outside(images, rendering, reach):
    """The number of lit pixels outside the frame, for unflipped indices. The image is the canvas
    upside down; a point may fall on `margin … size − margin`, or one less."""
    canvas = lit(images, rendering)[:, ::-1]
    beyond = np.ones(canvas.shape, bool)
    height, width = rendering.output_size
    low = max(0, rendering.margin - reach)
    high = 1 + reach - rendering.margin
    beyond[:, low : height + high, low : width + high] = False
    return (canvas & beyond).sum()


# Shapes


@pytest.mark.parametrize("color", [False, True])
@pytest.mark.parametrize(
    "size, crop, expected",
    [
        (16, None, (16, 16)),
        ((16, 40), None, (16, 40)),
        ((61, 33), None, (61, 33)),
        (64, 32, (32, 32)),
        (64, (7, 64), (7, 64)),
        ((40, 50), 1, (1, 1)),
        (1024, None, (1024, 1024)),
        (4096, (3, 5), (3, 5)),
    ],
)
def test_a_batch_has_the_shape_that_its_rendering_says(ifs, size, crop, expected, color):
    rendering = Rendering(size=size, crop=crop, color=color, num_points=500)
    images = render(ifs, [0, 1, 2], [0, 7, 999], rendering=rendering)
    assert rendering.output_size == expected
    assert rendering.channels == (3 if color else 1)
    assert images.shape == (3, *expected) + ((3,) if color else ())
    assert images.dtype == np.uint8
    assert images.flags.c_contiguous and images.flags.writeable


def test_a_gray_picture_is_black_and_127(ifs):
    images = render(ifs, np.arange(40) % 5, np.arange(40), rendering=SMALL)
    assert set(np.unique(images)) == {0, 127}


def test_a_color_image_lights_the_pixels_of_the_gray_one_in_128_colors(ifs):
    for gray in (SMALL, POINT):
        color = dataclasses.replace(gray, color=True, size=64, num_points=5000)
        gray = dataclasses.replace(color, color=False)
        images = render(ifs, np.arange(40) % 5, np.arange(40), rendering=color)
        np.testing.assert_array_equal(
            lit(images, color), render(ifs, np.arange(40) % 5, np.arange(40), rendering=gray) > 0
        )
        colors = np.unique(images.reshape(-1, 3), axis=0)
        assert 100 < len(colors) <= 129


def test_one_address_and_many_give_the_same_image(ifs):
    one = render(ifs, 3, 7, rendering=SMALL)
    assert one.shape == (48, 48)
    for categories, indices, shape in (
        (np.int64(3), np.uint8(7), (48, 48)),
        (np.array(3), 7, (48, 48)),
        ([3], [7], (1, 48, 48)),
        (np.array(3), np.array([7]), (1, 48, 48)),
        (np.array([3], np.int8), 7, (1, 48, 48)),
        ((3,), [7], (1, 48, 48)),
        (np.array([0, 3, 0])[1::2], 7, (1, 48, 48)),
    ):
        images = render(ifs, categories, indices, rendering=SMALL)
        assert images.shape == shape
        np.testing.assert_array_equal(images.reshape(48, 48), one)


def test_a_single_number_is_broadcast(ifs):
    categories, indices = [4, 0, 2], [5, 6, 70]
    np.testing.assert_array_equal(
        render(ifs, categories, 5, rendering=SMALL),
        render(ifs, categories, [5, 5, 5], rendering=SMALL),
    )
    np.testing.assert_array_equal(
        render(ifs, 4, indices, rendering=SMALL),
        render(ifs, [4, 4, 4], indices, rendering=SMALL),
    )


@pytest.mark.parametrize("color", [False, True])
def test_no_addresses_give_an_empty_batch(ifs, color):
    rendering = dataclasses.replace(SMALL, color=color, crop=(20, 30))
    for nothing in ([], (), np.array([], np.int64)):
        for indices in (nothing, 3):
            images, retries = render(
                ifs, nothing, indices, rendering=rendering, return_retries=True
            )
            assert images.shape == (0, 20, 30) + ((3,) if color else ())
            assert retries.shape == (0,)


def test_the_default_settings_are_those_of_rendering(ifs):
    assert Rendering().output_size == (256, 256)
    np.testing.assert_array_equal(render(ifs, 0, 3), render(ifs, 0, 3, rendering=Rendering()))


# An image is a function of its address


@every_mode
def test_images_do_not_depend_on_threads_or_on_the_rest_of_the_batch(ifs, rendering):
    rng = np.random.default_rng(0)
    categories, indices = rng.integers(0, 5, 256), rng.integers(0, 3000, 256)
    expected, retries = render(
        ifs, categories, indices, rendering=rendering, num_threads=1, return_retries=True
    )
    for threads in (2, 3, 8):
        images, again = render(
            ifs, categories, indices, rendering=rendering, num_threads=threads, return_retries=True
        )
        np.testing.assert_array_equal(images, expected)
        np.testing.assert_array_equal(again, retries)
    order = rng.permutation(256)
    shuffled = render(ifs, categories[order], indices[order], rendering=rendering)
    np.testing.assert_array_equal(shuffled, expected[order])
    for size in (1, 2, 7, 64):
        batches = [
            render(ifs, categories[at : at + size], indices[at : at + size], rendering=rendering)
            for at in range(0, 64, size)
        ]
        np.testing.assert_array_equal(np.concatenate(batches)[:64], expected[:64])


def test_a_large_batch_equals_its_parts(ifs):
    """The core checks for Ctrl-C every 1,024 images."""
    rendering = Rendering(size=16, num_points=50, margin=2)
    indices = np.arange(3000)
    whole, retries = render(ifs, indices % 5, indices, rendering=rendering, return_retries=True)
    for part in (slice(0, 1000), slice(1000, 2049), slice(2049, 3000)):
        images, again = render(
            ifs, indices[part] % 5, indices[part], rendering=rendering, return_retries=True
        )
        np.testing.assert_array_equal(images, whole[part])
        np.testing.assert_array_equal(again, retries[part])


@every_mode
def test_every_simd_path_renders_the_same_images(ifs, rendering):
    indices = np.arange(0, 1000, 9)
    expected = render(ifs, indices % 5, indices, 3, rendering, return_retries=True)
    for simd in _core.simd_paths():
        pixels, retries = on(simd, ifs, indices % 5, indices, rendering, seed=3)
        np.testing.assert_array_equal(pixels, expected[0])
        np.testing.assert_array_equal(retries, expected[1])


@pytest.mark.parametrize("bad", BAD)
def test_every_simd_path_renders_bad_systems_the_same(bad):
    maps, probabilities = BAD[bad]
    ifs = IFS([maps], [probabilities])
    indices = np.arange(0, 1000, 23)
    for points in (1, 63, 64, 65, 1000):
        rendering = Rendering(size=32, num_points=points)
        pixels, retries = on("plain", ifs, indices * 0, indices, rendering)
        for simd in _core.simd_paths():
            for got, want in zip(
                on(simd, ifs, indices * 0, indices, rendering), (pixels, retries), strict=True
            ):
                np.testing.assert_array_equal(got, want)


PROGRAM = """
import hashlib, numpy, fdsl
ifs = fdsl.IFS.search(categories=5, fill_rate=0.05, seed=1, size=64, num_points=2000)
images = fdsl.render(ifs, numpy.arange(100) % 5, numpy.arange(0, 1000, 10), 1,
                       fdsl.Rendering(size=48, num_points=1500, color=True))
print(ifs.digest(), hashlib.sha256(images.tobytes()).hexdigest())
"""


def in_another_process(simd):
    return subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=os.environ | {"FDSL_SIMD": simd},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("simd", ["", *_core.simd_paths()])
def test_the_simd_path_of_the_environment_gives_the_same_categories_and_images(ifs, simd):
    rendering = dataclasses.replace(SMALL, color=True)
    images = render(ifs, np.arange(100) % 5, np.arange(0, 1000, 10), 1, rendering)
    done = in_another_process(simd)
    digest = hashlib.sha256(images.tobytes()).hexdigest()
    assert (done.stdout.split(), done.stderr) == ([ifs.digest(), digest], "")


def test_an_unknown_simd_path_is_refused_in_a_sentence(ifs):
    last = in_another_process("nonsense").stderr.strip().splitlines()[-1]
    assert last.startswith("ValueError: FDSL_SIMD must be 'plain'")
    assert "nonsense" in last
    with pytest.raises(ValueError, match=r"simd must be 'plain'.*got .sse"):
        on("sse", ifs, [0], [0], SMALL)


@every_mode
def test_seed_category_and_index_each_change_the_image(ifs, rendering):
    addresses = [(s, c, i) for s in (0, 1, 2**64 - 1) for c in range(5) for i in (0, 4, 8, 1000)]
    images = {render(ifs, c, i, s, rendering).tobytes() for s, c, i in addresses}
    assert len(images) == len(addresses)


@pytest.mark.parametrize("values", [[0, 2**64 - 1], [2**64 - 1, 2**64 - 1], 2**64 - 1])
def test_very_large_integers_in_lists_are_exact(ifs, values):
    together = render(ifs, 0, values, rendering=SMALL)
    together = together.reshape(-1, 48, 48)
    for index, image in zip(np.atleast_1d(np.array(values, object)), together, strict=True):
        np.testing.assert_array_equal(render(ifs, 0, int(index), rendering=SMALL), image)
    for beyond in (2**64, [0, 2**64], [-1, 2**63]):
        with pytest.raises(IndexError, match=r"less than 2\*\*64|0 or more"):
            render(ifs, 0, beyond, rendering=SMALL)


def test_the_largest_address_can_be_rendered(ifs):
    last = np.array([2**64 - 1], np.uint64)
    image = render(ifs, 4, last, 2**64 - 1, SMALL)
    assert image.any()
    assert (image != render(ifs, 4, last - np.uint64(4), 2**64 - 1, SMALL)).any()


# Instances


@pytest.mark.parametrize("rendering", [r for r in MODES.values() if r.crop is None])
def test_indices_0_to_3_are_flips_of_one_image(ifs, rendering):
    for first in (0, 4, 396, 1000):
        images = render(ifs, 2, np.arange(first, first + 4), 5, rendering)
        np.testing.assert_array_equal(images[1], images[0][::-1])
        np.testing.assert_array_equal(images[2], images[0][:, ::-1])
        np.testing.assert_array_equal(images[3], images[0][::-1, ::-1])
        assert len({image.tobytes() for image in images}) == 4


def test_a_center_crop_is_flipped_too(ifs):
    rendering = Rendering(size=48, crop=(20, 32), crop_position="center", num_points=1500)
    images = render(ifs, 2, np.arange(4), 5, rendering)
    np.testing.assert_array_equal(images[3], images[0][::-1, ::-1])
    whole = render(ifs, 2, np.arange(4), 5, dataclasses.replace(rendering, crop=None))
    np.testing.assert_array_equal(images, whole[:, 14:34, 8:40])


def test_a_random_crop_is_a_window_of_the_whole_image(ifs):
    rendering = Rendering(size=48, crop=(30, 40), variation=None, num_points=1500)
    images = render(ifs, 2, np.arange(0, 64), 5, rendering)
    whole = render(ifs, 2, np.arange(0, 64), 5, dataclasses.replace(rendering, crop=None))
    positions = set()
    for image, around in zip(images, whole, strict=True):
        windows = np.lib.stride_tricks.sliding_window_view(around, (30, 40))
        found = np.argwhere((windows == image).all(axis=(2, 3)))
        assert len(found) >= 1
        positions.add(tuple(found[0]))
    assert len(positions) > 30


def test_without_flips_neighboring_indices_are_different_instances(ifs):
    rendering = dataclasses.replace(SMALL, flips=False)
    images = render(ifs, 2, np.arange(4), rendering=rendering)
    np.testing.assert_array_equal(images[0], render(ifs, 2, 0, rendering=SMALL))
    flipped = {
        turned.tobytes() for p in images for turned in (p, p[::-1], p[:, ::-1], p[::-1, ::-1])
    }
    assert len(flipped) == 16


@pytest.mark.parametrize("w", [0.4, 0.2, 0.5])
def test_the_grid_scales_one_parameter_of_every_map_as_in_the_paper(full, w):
    """Row 2 is the category itself; rows 0 1 3 4 scale a, the next four b, and so on."""
    factors = [1 - 2 * w, 1 - w, 1 + w, 1 + 2 * w]
    scalings = [(letter, factor or 0.01) for letter in range(6) for factor in factors]
    scalings.insert(2, (0, 1.0))
    rendering = dataclasses.replace(SMALL, resample_degenerate=False, variation=w)
    plain = dataclasses.replace(rendering, variation=None)
    for weight, (letter, factor) in enumerate(scalings):
        index = weight * 40 + 17
        maps = [category.maps.copy() for category in full]
        for rows in maps:
            rows[:, letter] *= factor
        scaled = IFS(maps, [category.probabilities for category in full])
        np.testing.assert_array_equal(
            render(full, range(5), index, 1, rendering), render(scaled, range(5), index, 1, plain)
        )


def test_instances_without_variation_differ_in_bytes_but_not_in_shape(full):
    rendering = dataclasses.replace(POINT, num_points=5000, variation=None)

    def shapes(indices):
        images = render(full, np.repeat(range(5), len(indices)), indices * 5, 1, rendering)
        share = (images.reshape(5, -1, 8, 6, 8, 6) > 0).mean(axis=(3, 5))
        return images.reshape(5, -1, 48 * 48), share[:, 0]

    (first, a), (other, b) = shapes([0]), shapes([500])
    assert (first != other).any(axis=2).all()
    # apart[i, j]: the distance of category i at index 0 from category j at index 500.
    apart = np.abs(a[:, None] - b[None]).mean(axis=(2, 3))
    np.testing.assert_array_equal(apart.argmin(axis=0), range(5))
    np.testing.assert_array_equal(apart.argmin(axis=1), range(5))


def test_continuous_variation_is_not_the_grid(full):
    continuous = dataclasses.replace(SMALL, variation_kind="continuous")
    indices = np.arange(80, 120)  # the row of the grid that scales nothing
    grid = render(full, 0, indices, 1, SMALL)
    np.testing.assert_array_equal(
        grid, render(full, 0, indices, 1, dataclasses.replace(SMALL, variation=None))
    )
    assert (grid != render(full, 0, indices, 1, continuous)).any(axis=(1, 2)).all()


# Points and patches


@pytest.mark.parametrize("points", [1, 2, 63, 65, 300])
def test_an_image_has_at_most_as_many_lit_pixels_as_points(ifs, points):
    rendering = dataclasses.replace(POINT, num_points=points)
    counts = (render(ifs, np.arange(100) % 5, np.arange(100), rendering=rendering) > 0).sum((1, 2))
    assert counts.min() >= 1 and counts.max() <= points
    assert counts.max() > 0.6 * points
    patches = dataclasses.replace(SMALL, num_points=points)
    counts = (render(ifs, np.arange(100) % 5, np.arange(100), rendering=patches) > 0).sum((1, 2))
    assert counts.min() >= 1 and points < counts.max() <= 9 * points


@pytest.mark.parametrize("color", [False, True])
@pytest.mark.parametrize(
    "size, pad", [(48, 6), (48, 0), (48, 1), (48, 23), ((40, 61), 10), ((33, 17), 7)]
)
def test_points_fill_the_frame_and_patches_reach_one_pixel_further(ifs, size, pad, color):
    rendering = Rendering(size=size, margin=pad, color=color, num_points=2000, draw="point")
    indices = np.arange(0, 1000, 20)  # none of them is flipped
    images = render(ifs, indices % 5, indices, 1, rendering)
    assert outside(images, rendering, reach=0) == 0
    canvas = lit(images, rendering)[:, ::-1]
    for axis, side in ((2, rendering.output_size[0]), (1, rendering.output_size[1])):
        seen = canvas.any(axis=axis)
        assert seen[:, pad].all()  # the smallest
        last = min(side - pad, side - 1)
        assert seen[:, last - 1 : last + 1].any(axis=1).all()  # the largest, up to rounding
    patches = dataclasses.replace(rendering, draw="patch")
    images = render(ifs, indices % 5, indices, 1, patches)
    assert outside(images, patches, reach=1) == 0
    if pad > 0:
        assert outside(images, patches, reach=0) > 0


def test_a_fixed_patch_is_the_same_within_an_image_and_differs_between_images():
    """A single point shows the mask of its image; two points far apart show it twice."""
    two = IFS([[[0, 0, 0, 0, -1, -1], [0, 0, 0, 0, 1, 1]]], [[0.5, 0.5]])
    rendering = Rendering(size=32, num_points=200, patch="fixed", variation=None)
    indices = np.arange(0, 400, 4)
    images = render(two, 0, indices, 1, rendering)[:, ::-1]
    low, high = images[:, 5:8, 5:8], images[:, 25:28, 25:28]
    np.testing.assert_array_equal(low, high)
    assert len({mask.tobytes() for mask in low}) > 50
    random = render(two, 0, indices, 1, dataclasses.replace(rendering, patch="random"))[:, ::-1]
    differ = (random[:, 5:8, 5:8] != random[:, 25:28, 25:28]).any(axis=(1, 2))
    assert differ.mean() > 0.9


@pytest.mark.parametrize(
    ("compat", "moved"), [(None, (0, 0)), ("released", (-2, 2))], ids=["ours", "released"]
)
def test_a_solid_patch_lights_all_pixels_around_its_point(full, compat, moved):
    """The released code puts a patch beside its point."""
    points = Rendering(
        size=64, num_points=3000, draw="point", compat=compat, resample_degenerate=False
    )
    solid = dataclasses.replace(points, draw="patch", patch="solid")
    for point, patch in zip(
        render(full, range(5), 500, rendering=points),
        render(full, range(5), 500, rendering=solid),
        strict=True,
    ):
        windows = np.lib.stride_tricks.sliding_window_view(np.pad(point, 1), (3, 3))
        np.testing.assert_array_equal(np.roll(windows.max((2, 3)), moved, (0, 1)), patch)


# Degenerate images are re-rendered


def test_degenerate_instances_are_re_rendered_and_the_categories_themselves_never_are(full):
    indices = np.arange(1000)
    none = dataclasses.replace(SMALL, variation=None)
    _, retries = render(full, indices % 5, indices, rendering=none, return_retries=True)
    assert retries.dtype == np.uint8 and retries.shape == (1000,)
    assert not retries.any()
    _, retries = render(full, indices % 5, indices, rendering=SMALL, return_retries=True)
    assert 0 < (retries > 0).sum() < 500
    assert retries.max() <= 10


def test_only_degenerate_images_are_re_rendered(full):
    indices = np.arange(1000)
    images, retries = render(full, indices % 5, indices, 1, SMALL, return_retries=True)
    kept, none = render(
        full,
        indices % 5,
        indices,
        1,
        dataclasses.replace(SMALL, resample_degenerate=False),
        return_retries=True,
    )
    assert not none.any()
    differ = (images != kept).any(axis=(1, 2))
    np.testing.assert_array_equal(differ, retries > 0)
    shares = (images > 0).sum(axis=(1, 2)) / SMALL.num_points
    assert shares[retries <= 8].min() >= 0.01
    # The re-rendered images had diverged (and were confined) or were nearly black.
    assert ((kept > 0).sum(axis=(1, 2)) / SMALL.num_points < 0.01)[~differ].sum() == 0


@pytest.mark.parametrize("crop", [None, 1, (5, 31), 32])
@pytest.mark.parametrize("color", [False, True])
@pytest.mark.parametrize("draw", ["patch", "point"])
@pytest.mark.parametrize("bad", BAD)
def test_no_image_is_blank_however_bad_its_system(bad, draw, color, crop):
    maps, probabilities = BAD[bad]
    ifs = IFS([maps], [probabilities])
    indices = np.arange(0, 1000, 19)
    for changes in ({}, {"variation": None}, {"variation_kind": "continuous", "patch": "fixed"}):
        for points in (1, 200):
            rendering = Rendering(
                size=32, draw=draw, color=color, crop=crop, num_points=points, **changes
            )
            images = render(ifs, 0, indices, 1, rendering)
            assert lit(images, rendering).any(axis=(1, 2)).all()


numbers = st.floats(-3, 3) | st.sampled_from([0.0, -0.0, 1e-300, 5e-324, 1e300, -1e300, 1e6])
systems = st.lists(
    st.tuples(st.lists(numbers, min_size=6, max_size=6), st.integers(0, 9)),
    min_size=1,
    max_size=12,
)


@settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
@given(systems, renderings(), st.integers(0, 2**64 - 1), st.integers(0, 2**62 - 2))
def test_any_system_is_rendered_in_frame_not_blank_and_deterministically(
    system, rendering, seed, start
):
    maps = [parameters for parameters, _ in system]
    shares = np.array([share for _, share in system], float)
    shares = shares / shares.sum() if shares.any() else np.full(len(shares), 1 / len(shares))
    ifs = IFS([maps], [shares])
    indices = np.arange(8, dtype=np.uint64) + np.uint64(4 * start)
    images = render(ifs, 0, indices, seed, rendering, num_threads=1)
    assert lit(images, rendering).any(axis=(1, 2)).all()
    np.testing.assert_array_equal(images, render(ifs, 0, indices, seed, rendering, num_threads=2))
    for simd in _core.simd_paths():
        pixels, _ = on(simd, ifs, indices * 0, indices, rendering, seed)
        np.testing.assert_array_equal(pixels, images)
    if rendering.crop is None:
        reach = 0 if rendering.draw == "point" else 1
        unflipped = images[:: 4 if rendering.flips else 1]
        assert outside(unflipped, rendering, reach) == 0
    as_they_are = dataclasses.replace(rendering, resample_degenerate=False)
    again = render(ifs, 0, indices, seed, as_they_are)
    np.testing.assert_array_equal(again, render(ifs, 0, indices, seed, as_they_are))


# Settings


FULL = Rendering(
    size=(40, 50),
    num_points=123,
    draw="point",
    patch="fixed",
    color=True,
    variation=0.3,
    margin=2,
    crop=(20, 30),
    crop_position="center",
    variation_kind="continuous",
    flips=False,
    resample_degenerate=False,
    compat="released",
    mask_seed=2**64 - 1,
)


def test_a_rendering_is_immutable_and_can_be_replaced():
    for name in ("size", "variation", "settings", "novelty"):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(FULL, name, 64)
    other = dataclasses.replace(FULL, size=64)
    assert (other.size, FULL.size) == (64, (40, 50))
    assert other.num_points == 123
    with pytest.raises(ValueError, match="got 8"):
        dataclasses.replace(FULL, size=8)
    with pytest.raises(TypeError):
        Rendering(64)


def test_renderings_are_equal_if_all_settings_are():
    assert Rendering() == Rendering(size=256)
    assert hash(Rendering()) == hash(Rendering(size=256))
    assert Rendering(size=[40, 50]) == Rendering(size=(40, 50))
    assert len({Rendering(), FULL, dataclasses.replace(FULL), Rendering(variation=None)}) == 3
    for field in dataclasses.fields(Rendering):
        if field.init:
            default = {field.name: getattr(Rendering(), field.name)}
            if field.name == "compat":  # mask_seed needs compat
                default["mask_seed"] = None
            full = (
                FULL if default != {field.name: getattr(FULL, field.name)} else Rendering.wacv22()
            )
            changed = dataclasses.replace(full, **default)
            assert changed != full, field.name


@pytest.mark.parametrize(
    "rendering", [Rendering(), Rendering.paper(), Rendering.released(), FULL, Rendering(size=64)]
)
def test_a_rendering_survives_json_pickle_copy_and_repr(ifs, rendering):
    image = render(ifs, 0, 5, rendering=dataclasses.replace(rendering, num_points=100))
    for back in (
        Rendering.from_dict(rendering.to_dict()),
        Rendering.from_dict(json.loads(json.dumps(rendering.to_dict()))),
        pickle.loads(pickle.dumps(rendering)),
        copy.deepcopy(rendering),
        eval(repr(rendering), {"Rendering": Rendering}),
    ):
        assert back == rendering
        assert hash(back) == hash(rendering)
        back = dataclasses.replace(back, num_points=100)
        np.testing.assert_array_equal(render(ifs, 0, 5, rendering=back), image)


@pytest.mark.parametrize(
    "given",
    [
        {"size": np.int64(64)},
        {"size": (np.int32(64), 32)},
        {"crop": np.uint8(64)},
        {"num_points": np.int64(500)},
        {"margin": np.int32(3)},
        {"variation": np.float32(0.5)},
        {"variation": 1},
        {"color": np.bool_(True)},
        {"resample_degenerate": np.bool_(False)},
    ],
    ids=lambda given: "-".join(f"{k}:{type(v).__name__}" for k, v in given.items()),
)
def test_numpy_numbers_become_settings_that_json_can_hold(given):
    rendering = Rendering(**given)
    assert Rendering.from_dict(json.loads(json.dumps(rendering.to_dict()))) == rendering
    assert eval(repr(rendering), {"Rendering": Rendering}) == rendering


def test_the_presets_are_those_of_the_paper_and_of_the_script():
    paper = Rendering.paper()
    assert (paper.size, paper.crop, paper.output_size) == (256, 224, (224, 224))
    assert (paper.patch, paper.variation, paper.resample_degenerate) == ("fixed", 0.4, True)
    released = Rendering.released()
    assert (released.output_size, released.patch) == ((362, 362), "random")
    assert (released.variation, released.resample_degenerate) == (0.4, False)
    assert (released.compat, paper.compat) == ("released", None)
    assert Rendering.paper(num_points=5, crop=None) == Rendering(patch="fixed", num_points=5)
    assert Rendering.released(size=64).size == 64


def test_an_unknown_setting_is_refused_with_a_list_of_the_known_ones():
    with pytest.raises(ValueError, match="no setting 'colour'; it has size, crop"):
        Rendering.from_dict({"colour": True})
    with pytest.raises(ValueError, match="no setting '_core'"):
        Rendering.from_dict({"_core": None})
    with pytest.raises(TypeError, match="colour"):
        Rendering.paper(colour=True)


@pytest.mark.parametrize(
    "wrong, kind, said",
    [
        ({"size": 8}, ValueError, "8×8"),
        ({"size": 5000}, ValueError, "5000×5000"),
        ({"size": 2**70}, ValueError, str(2**70)),
        ({"size": (64, 15)}, ValueError, "64×15"),
        ({"size": "x"}, TypeError, "'x'"),
        ({"size": (64, "x")}, TypeError, "'x'"),
        ({"size": 64.0}, TypeError, "64.0"),
        ({"size": None}, TypeError, "None"),
        ({"size": (64,)}, ValueError, "(64,)"),
        ({"size": (64, 64, 3)}, ValueError, "(64, 64, 3)"),
        ({"size": -64}, ValueError, "-64"),
        ({"size": 64, "margin": 40}, ValueError, "margin=40"),
        ({"size": (64, 20), "margin": 10}, ValueError, "margin=10"),
        ({"margin": -1}, ValueError, "-1"),
        ({"margin": 1.0}, TypeError, "1.0"),
        ({"margin": 2**70}, ValueError, str(2**70)),
        ({"num_points": 0}, ValueError, "got 0"),
        ({"num_points": -5}, ValueError, "-5"),
        ({"num_points": 2**25}, ValueError, str(2**25)),
        ({"num_points": 2**70}, ValueError, str(2**70)),
        ({"num_points": 1.5}, TypeError, "1.5"),
        ({"num_points": "many"}, TypeError, "'many'"),
        ({"draw": "dots"}, ValueError, "dots"),
        ({"draw": None}, TypeError, "None"),
        ({"patch": "none"}, ValueError, "none"),
        ({"patch": 3}, TypeError, "3"),
        ({"variation": -1}, ValueError, "got -1"),
        ({"variation": float("nan")}, ValueError, "got nan"),
        ({"variation": float("inf")}, ValueError, "got inf"),
        ({"variation": 2}, ValueError, "got 2"),
        ({"variation": "a"}, TypeError, "'a'"),
        ({"variation": True}, TypeError, "True"),
        ({"variation_kind": "continuous", "variation": -1}, ValueError, "got -1"),
        ({"crop": 0}, ValueError, "0×0"),
        ({"crop": 257}, ValueError, "257×257"),
        ({"crop": (300, 10)}, ValueError, "300×10"),
        ({"crop": "x"}, TypeError, "'x'"),
        ({"crop": 2**70}, ValueError, str(2**70)),
        ({"crop": (1, 2, 3)}, ValueError, "(1, 2, 3)"),
        ({"crop_position": "left"}, ValueError, "left"),
        ({"crop_position": 0}, TypeError, "got 0"),
        ({"variation_kind": "wild"}, ValueError, "wild"),
        ({"color": "yes"}, TypeError, "'yes'"),
        ({"color": 1}, TypeError, "got 1"),
        ({"flips": None}, TypeError, "None"),
        ({"resample_degenerate": "no"}, TypeError, "'no'"),
    ],
    ids=lambda value: str(value)[:40] if isinstance(value, dict) else "",
)
def test_an_invalid_setting_is_refused_with_its_name_and_value(wrong, kind, said):
    with pytest.raises(kind, match=re.escape(said)) as error:
        Rendering(**wrong)
    assert list(wrong)[-1] in str(error.value)


# Addresses


@pytest.mark.parametrize(
    "categories, indices, kind, said",
    [
        (5, 0, IndexError, "category 5 is out of range: there are 5"),
        ([0, 99], 0, IndexError, "category 99 is out of range: there are 5"),
        (np.array([2**64 - 1], np.uint64), 0, IndexError, str(2**64 - 1)),
        (-1, 0, IndexError, "categories must be 0 or more, got -1"),
        (0, [0, -7], IndexError, "indices must be 0 or more, got -7"),
        (0.0, 0, TypeError, "categories must be integers, got float64"),
        ([0], [1.5], TypeError, "indices must be integers, got float64"),
        ("a", 0, TypeError, "categories must be integers"),
        (None, 0, TypeError, "categories must be integers"),
        ([True], 0, TypeError, "categories must be integers, got bool"),
        (0, 2**64, IndexError, "indices must be less than 2**64"),
        ([[0, 1]], 0, ValueError, "categories must be one integer or an array"),
        (0, np.zeros((1, 1), int), ValueError, "shape (1, 1)"),
        ([0, 1], [0, 1, 2], ValueError, "must match in length, got 2 and 3"),
        ([], [0, 1], ValueError, "must match in length, got 0 and 2"),
    ],
)
def test_an_invalid_address_is_refused(ifs, categories, indices, kind, said):
    with pytest.raises(kind, match=re.escape(said)):
        render(ifs, categories, indices, rendering=SMALL)


@pytest.mark.parametrize(
    "wrong, kind, said",
    [
        ({"seed": -1}, ValueError, "-1"),
        ({"seed": 2**64}, ValueError, str(2**64)),
        ({"seed": 1.0}, TypeError, "1.0"),
        ({"num_threads": 0}, ValueError, "got 0"),
        ({"num_threads": -2}, ValueError, "-2"),
        ({"num_threads": 5000}, ValueError, "5000"),
        ({"num_threads": 2.0}, TypeError, "2.0"),
        ({"rendering": {"size": 64}}, TypeError, "rendering must be Frame"),
    ],
)
def test_invalid_arguments_are_refused_with_their_names(ifs, wrong, kind, said):
    with pytest.raises(kind, match=re.escape(said)) as error:
        render(ifs, 0, 0, **{"rendering": SMALL, **wrong})
    assert next(iter(wrong)) in str(error.value)


def test_an_invalid_category_at_the_end_of_a_long_batch_is_found(ifs):
    categories = np.zeros(1500, int)
    categories[-1] = 5
    with pytest.raises(IndexError, match="category 5"):
        render(ifs, categories, 0, rendering=Rendering(size=16, num_points=1, margin=0))


def test_render_writes_into_memory_that_is_given(ifs):
    out = np.empty((3, 48, 48), np.uint8)
    images = fdsl.render(ifs, [0, 1, 2], 0, rendering=SMALL, out=out)
    assert images is out
    assert np.array_equal(out, fdsl.render(ifs, [0, 1, 2], 0, rendering=SMALL))
    for bad, error, message in [
        (np.empty((3, 48, 48)), TypeError, "out must be uint8, got float64"),
        (np.empty((2, 48, 48), np.uint8), ValueError, r"of shape \(3, 48, 48\).*\(2, 48, 48\)"),
        (np.empty((3, 48, 96), np.uint8)[:, :, ::2], ValueError, "not C-contiguous"),
        ([0], TypeError, "out must be"),
    ]:
        with pytest.raises(error, match=message):
            fdsl.render(ifs, [0, 1, 2], 0, rendering=SMALL, out=bad)
    out.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        fdsl.render(ifs, [0, 1, 2], 0, rendering=SMALL, out=out)


# Contact sheets


def cells(sheet, rows, columns, side, top=0, left=0, gap=2):
    return np.array(
        [
            sheet[top + r * (side + gap) :, left + c * (side + gap) :][:side, :side]
            for r in range(rows)
            for c in range(columns)
        ]
    )


def test_a_sheet_of_nothing_is_refused(monkeypatch):
    with pytest.raises(TypeError, match="family must be Family, got 'fractaldb-10'"):
        contact_sheet("fractaldb-10")
    with pytest.raises(ValueError, match="at least one category and one index"):
        fdsl.show(fdsl.Bezier(4), 0, [])
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match="labels are written with Pillow"):
        contact_sheet(fdsl.Bezier(4), progress=lambda *_: pytest.fail("rendered in vain"))


@pytest.mark.parametrize("color", [False, True])
def test_a_contact_sheet_shows_the_chosen_images(ifs, color):
    rendering = dataclasses.replace(SMALL, color=color)
    categories, instances = [3, 0], [0, 7, 999]
    sheet = contact_sheet(ifs, categories, instances, rendering=rendering, seed=6, label=False)
    assert sheet.shape == (100, 150) + ((3,) if color else ())
    assert sheet.dtype == np.uint8
    expected = render(ifs, np.repeat(categories, 3), instances * 2, 6, rendering)
    np.testing.assert_array_equal(cells(sheet, 2, 3, 48), expected)


@pytest.mark.parametrize("color", [False, True])
def test_labels_do_not_cover_the_images(ifs, color):
    pytest.importorskip("PIL")
    rendering = dataclasses.replace(SMALL, color=color)
    labeled = contact_sheet(ifs, 2, 4, rendering=rendering)
    plain = contact_sheet(ifs, 2, 4, rendering=rendering, label=False)
    assert labeled.shape == (16 + plain.shape[0], 48 + plain.shape[1], *plain.shape[2:])
    np.testing.assert_array_equal(labeled[16:, 48:], plain)
    for number in range(2):
        assert labeled[16 + 50 * number :, :48][:48].any()
    for number in range(4):
        assert labeled[:16, 48 + 50 * number :][:, :48].any()
    assert labeled.flags.writeable and plain.flags.writeable


def test_a_contact_sheet_takes_the_first_categories_and_spreads_instances(ifs):
    sheet = contact_sheet(ifs, 3, 4, rendering=SMALL, label=False)
    shown = [0, 247, 494, 741]  # of four flips, one each
    expected = render(ifs, np.repeat(range(3), 4), shown * 3, rendering=SMALL)
    np.testing.assert_array_equal(cells(sheet, 3, 4, 48), expected)
    # More than there are means all.
    assert contact_sheet(ifs, 99, 1, rendering=SMALL, label=False).shape == (250, 50)


def test_a_contact_sheet_can_have_wide_crops_or_default_settings(ifs):
    rendering = Rendering(size=40, crop=(20, 30), num_points=500)
    sheet = contact_sheet(ifs, [1], [2, 3], rendering=rendering, label=False)
    assert sheet.shape == (22, 64)
    assert contact_sheet(ifs, 1, 1, label=False).shape == (258, 258)


@pytest.mark.parametrize(
    "categories, instances, kind, said",
    [
        (0, 8, ValueError, "categories must be at least 1, got 0"),
        (8, -1, ValueError, "instances must be at least 1, got -1"),
        ([], 8, ValueError, "categories"),
        (8, [], ValueError, "instances"),
        ([5], 8, IndexError, "category 5 is out of range"),
        ([-1], 8, ValueError, "categories must be 0 or more, got -1"),
        (["a"], 8, TypeError, "categories must be an integer, got 'a'"),
    ],
)
def test_invalid_categories_and_instances_of_a_sheet_are_refused(
    ifs, categories, instances, kind, said
):
    with pytest.raises(kind, match=said):
        contact_sheet(ifs, categories, instances, rendering=SMALL)


def test_a_contact_sheet_takes_numpy_numbers(ifs):
    plain = contact_sheet(ifs, 2, 3, rendering=SMALL, label=False)
    counted = contact_sheet(ifs, np.int64(2), np.int64(3), rendering=SMALL, label=False)
    listed = contact_sheet(ifs, np.arange(2), np.array([0, 331, 662]), rendering=SMALL, label=False)
    np.testing.assert_array_equal(counted, plain)
    np.testing.assert_array_equal(listed, plain)


def test_all_public_names_are_listed():
    public = {
        name
        for name, value in vars(fdsl).items()
        if not name.startswith("_") and not inspect.ismodule(value)
    }
    assert set(fdsl.__all__) == {*public, "__version__"}


def test_a_setting_out_of_range_is_one_sentence() -> None:
    with pytest.raises(ValueError) as refusal:
        fdsl.Rendering(size=32, crop=224)
    words = "crop must be between 1 and the size 32×32 on each side, got 224×224"
    assert str(refusal.value) == words


def test_images_smaller_than_the_papers_crop_are_whole() -> None:
    assert fdsl.Frame.paper(size=64).output_size == (64, 64)
    assert fdsl.Rendering.paper(size=(300, 200)).output_size == (300, 200)
    assert fdsl.Rendering.paper(size=224).output_size == (224, 224)
    assert fdsl.Rendering.paper(size=300).output_size == (224, 224)
    with pytest.raises(ValueError, match="crop must be between 1 and the size 64×64"):
        fdsl.Rendering.paper(size=64, crop=224)


def test_points_that_escape_before_the_warm_up_ends_are_a_fallback() -> None:
    maps = [[0, 0, 0, 0, 0.5, 0.9], [0, 3e38, 0, 0, 0, 0], [0, -3e38, 0, 0, 0, 0]]
    ifs = fdsl.IFS([maps], [[0.6, 0.2, 0.2]])
    few = fdsl.Rendering(size=32, num_points=33, shading="density", variation=None)
    images = fdsl.render(ifs, 0, range(6), rendering=few)
    assert images.any((1, 2)).all()
