"""The replay of the authors' released code, compared byte for byte."""

import dataclasses
import hashlib
import json
import warnings
from pathlib import Path

import fdsl
import numpy as np
import pytest
import reference
from fdsl import IFS, Rendering, _core
from fdsl.families.fractaldb import DIGESTS

RENDERS = json.loads((Path(__file__).parent / "released_renders.json").read_text())


@pytest.fixture(scope="session")
def first() -> IFS:
    return fdsl.fractaldb(10)


def rgb(image):
    return image if image.ndim == 3 else np.repeat(image[..., None], 3, axis=2)


# Categories


def test_the_categories_in_the_package_are_the_published_ones():
    everything = fdsl.fractaldb(10_000)
    for number, digest in DIGESTS.items():
        assert fdsl.fractaldb(number).digest() == everything[:number].digest() == digest
    sizes = [len(maps) for maps, _ in everything[:1000]]
    assert [sizes.count(n) for n in range(2, 8)] == [231, 294, 218, 146, 77, 34]
    assert sizes[:10] == [5, 3, 2, 5, 4, 3, 2, 4, 3, 5]
    assert everything[0].maps[0, :3].tolist() == [
        0.17242232431712345,
        -0.731175606078728,
        -0.29667280350919323,
    ]


def test_fewer_published_categories_are_a_prefix_of_more():
    everything = fdsl.fractaldb(10_000)
    for number in (1, 3, 999, 4321):
        assert fdsl.fractaldb(number) == everything[:number]
    assert fdsl.fractaldb() == everything[:1000]
    for wrong, said in ((0, "must be at least 1, got 0"), (10_001, "at most 10,000.*got 10001")):
        with pytest.raises(ValueError, match=said):
            fdsl.fractaldb(wrong)
    with pytest.raises(ValueError, match=r'IFS.search\(10001, 0.2, seed=1, sampler="released"\)'):
        fdsl.fractaldb(10_001)


def test_the_published_categories_have_names():
    assert fdsl.load("fractaldb-1k") == fdsl.load("fractaldb-1000") == fdsl.fractaldb(1000)
    assert fdsl.load("fractaldb-10k") == fdsl.load("fractaldb-10000") == fdsl.fractaldb(10_000)
    assert len(fdsl.load("fractaldb-37")) == 37
    assert fdsl.load("fractaldb-2000") == fdsl.fractaldb(2000)
    for name in ("fractaldb-1.5k", "fractaldb-10K", "fractaldb-k"):
        with pytest.raises(FileNotFoundError, match=f"no categories at {name}"):
            fdsl.load(name)


def csv_files(folder, *names):
    for name in names:
        (folder / name).write_text("0.5,0,0,0.5,0,0,1\n")
    return folder


@pytest.mark.parametrize(
    ("names", "missing"),
    [
        (["00000.csv", "00001.csv", "00003.csv"], "00002.csv"),
        (["00001.csv", "00002.csv"], "00000.csv"),
        (["0.csv", "2.csv"], "00001.csv"),
    ],
)
def test_a_missing_category_file_is_named(tmp_path, names, missing):
    with pytest.warns(UserWarning, match=rf"{len(names)} numbered files but no {missing}, so the"):
        assert len(IFS.from_csv(csv_files(tmp_path, *names))) == len(names)


def test_two_category_files_of_one_number_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"two files for category 00000: .*0\.csv, .*00000\.csv"):
        IFS.from_csv(csv_files(tmp_path, "0.csv", "00000.csv", "00001.csv"))


def test_category_files_without_numbers_can_be_any(tmp_path):
    assert len(IFS.from_csv(csv_files(tmp_path, "fern.csv", "tree.csv", "00007.csv"))) == 3


@pytest.mark.slow
def test_a_search_finds_the_thousand_published_categories_bit_for_bit():
    found = IFS.search(1000, 0.2, seed=1, sampler="released")
    assert found == fdsl.fractaldb(1000)
    assert found.candidates_tried == 42_655


@pytest.mark.parametrize("threads", range(1, 9))
def test_any_number_of_threads_finds_the_published_categories(threads):
    found = IFS.search(10, 0.2, seed=1, sampler="released", num_threads=threads)
    assert found == fdsl.fractaldb(10)
    assert found.candidates_tried == 304


@pytest.mark.parametrize(
    "seed, fill_rate, size, points",
    [(1, 0.1, 64, 3000), pytest.param(7, 0.3, 48, 9000, marks=pytest.mark.slow)],
)
def test_a_search_matches_numpy_for_any_seed_and_settings(seed, fill_rate, size, points):
    """Repeats the whole search in NumPy, with one legacy random stream."""
    stream = np.random.RandomState(seed)
    accepted, tried = [], 0
    while len(accepted) < 3:
        tried += 1
        maps, weights = [], []
        for _ in range(stream.randint(2, 8)):
            a, b, c, d, e, f = row = stream.uniform(-1, 1, 6).tolist()
            maps.append(row)
            weights.append(abs(a * d - b * c))
        total = np.cumsum(weights)[-1]  # sum() rounds differently since Python 3.12
        chances = [weight / total for weight in weights]
        xs, ys = [0.0], [0.0]
        cumulative = np.cumsum(chances)
        for draw in stream.random_sample(points)[: points - 1]:
            x, y = xs[-1], ys[-1]
            map_number = int(np.sum(cumulative < draw))
            if map_number < len(maps):
                a, b, c, d, e, f = maps[map_number]
                x, y = x * a + y * b + e, x * c + y * d + f
            xs.append(x)
            ys.append(y)
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            rows, columns = reference.released_cells(np.array(xs), np.array(ys), size, size, 6)
        if len(set(zip(rows.tolist(), columns.tolist(), strict=True))) / size**2 >= fill_rate:
            accepted.append([[*row, p] for row, p in zip(maps, chances, strict=True)])
    found = IFS.search(3, fill_rate, seed, sampler="released", size=size, num_points=points)
    assert found.candidates_tried == tried
    for (maps, chances), expected in zip(found, accepted, strict=True):
        np.testing.assert_array_equal(np.column_stack([maps, chances]), expected)


def test_the_released_sampler_takes_a_seed_of_32_bits():
    with pytest.raises(ValueError, match=r"seed between 0 and 2\*\*32 - 1, got 4294967296"):
        IFS.search(1, seed=2**32, sampler="released")
    with pytest.raises(ValueError, match=r"sampler must be 'fdsl' or 'released', got .paper"):
        IFS.search(1, sampler="paper")


# Images


@pytest.mark.parametrize("simd", _core.simd_paths())
@pytest.mark.parametrize("flip", range(4))
@pytest.mark.parametrize(
    "made", RENDERS, ids=lambda m: f"{m['category']}-{m['weight_row']}-{m['draw_type']}"
)
def test_images_match_those_of_the_program(first, made, flip, simd):
    draw, shade = made["draw_type"].split("_")
    rendering = Rendering.released(
        size=made["size"],
        num_points=20_000,
        draw=draw,
        color=shade == "color",
        mask_seed=made["python_random_seed"],
    )
    index = made["weight_row"] * 40 + flip
    image = fdsl.render(first, made["category"], index, rendering=rendering, simd=simd)
    assert hashlib.sha256(rgb(image).tobytes()).hexdigest() == made["sha256_flip"][flip]


def expanding(rng):
    """Draws maps whose orbit diverges, sooner or later, some of them in one direction only."""
    maps = rng.uniform(-1, 1, (rng.integers(1, 5), 6)) * rng.choice([1.2, 2, 40, 1e3])
    return np.abs(maps) if rng.random() < 0.3 else maps


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_systems_that_diverge_match_the_reference():
    rng = np.random.default_rng(0)
    diverged = 0
    for number in range(60):
        ifs = IFS([expanding(rng)])
        maps, chances = ifs[0]
        points = int(rng.integers(300, 1500))
        xs, ys = reference.released_orbit(maps, chances, points)
        diverged += not np.isfinite([xs, ys]).all()
        color = number % 2 == 0
        rendering = Rendering.released(
            size=40, num_points=points, variation=None, color=color, mask_seed=number
        )
        color_of = reference.rainbow if color else reference.gray
        expected = reference.released_image(maps, chances, points, 40, 6, number, color_of)
        np.testing.assert_array_equal(rgb(fdsl.render(ifs, 0, 80, rendering=rendering)), expected)
    assert 20 < diverged < 50


def test_without_a_mask_seed_the_masks_depend_on_the_address(first):
    rendering = Rendering.released(size=64, num_points=5000)
    a, b, other_patch = fdsl.render(first, 3, [80, 80, 84], rendering=rendering)
    assert (a == b).all()
    assert (a != other_patch).any()
    assert (a != fdsl.render(first, 3, 80, seed=1, rendering=rendering)).any()
    # The patch seeds of a weight row share their points and differ only in their masks.
    point = dataclasses.replace(rendering, draw="point")
    points = fdsl.render(first, 3, [80, 84, 88], seed=5, rendering=point)
    assert (points[0] == points[1]).all() and (points[1] == points[2]).all()


def test_a_fixed_patch_has_the_first_mask_that_python_draws(first):
    """As in a line of the released code that is commented out."""
    import random

    rendering = Rendering.released(size=64, num_points=500, patch="fixed", mask_seed=5)
    maps, chances = first[0]
    rows, columns = reference.released_cells(
        *reference.released_orbit(maps, chances, 500), 64, 64, 6
    )
    mask = random.Random(5).randrange(1, 512)
    expected = reference.patch_image(rows + 2, columns + 2, 64, 64, lambda _: mask, reference.gray)
    np.testing.assert_array_equal(rgb(fdsl.render(first, 0, 80, rendering=rendering)), expected)


def test_degenerate_images_are_kept_or_re_rendered_as_requested(first):
    """At a large variation, many images are nearly black."""
    settings = {"size": 64, "num_points": 4000, "variation": 0.9}
    every_row = np.arange(0, 1000, 40)
    kept = Rendering.released(**settings)
    again = Rendering.released(**settings, resample_degenerate=True)
    categories = np.repeat(np.arange(10), 25)
    indices = np.tile(every_row, 10)
    before = fdsl.render(first, categories, indices, rendering=kept)
    after, retries = fdsl.render(first, categories, indices, rendering=again, return_retries=True)
    nearly_black = (before != 0).mean(axis=(1, 2)) < 0.01 * 4000 / 64**2
    assert (retries > 0).tolist() == nearly_black.tolist()
    assert nearly_black.any()
    assert ((after != 0).mean(axis=(1, 2)) >= 0.01 * 4000 / 64**2).all()


def test_images_do_not_depend_on_what_was_rendered_before(first):
    """The points and masks of the last image are cached."""
    small = Rendering.released(size=48, num_points=900)
    others = [
        small,
        Rendering.released(size=48, num_points=900, mask_seed=3),
        Rendering.released(size=48, num_points=700, mask_seed=3),
        Rendering.released(size=(48, 64), num_points=900, margin=4),
        Rendering.released(size=48, num_points=900, patch="fixed"),
        Rendering.released(size=48, num_points=900, draw="point"),
        Rendering.released(size=48, num_points=900, variation=None),
    ]
    addresses = [(c, i) for c in (0, 1) for i in (0, 1, 4, 40, 41, 80, 200)]
    requests = [(rendering, *address) for rendering in others for address in addresses]
    expected = []
    for rendering, category, index in requests:  # each after an image that clears the cache
        fdsl.render(
            first, 2, 0, rendering=Rendering.released(size=16, num_points=50), num_threads=1
        )
        expected.append(fdsl.render(first, category, index, 0, rendering, 1))
    order = np.random.default_rng(0).permutation(4 * len(requests)) % len(requests)
    for number in [*range(len(requests)), *order]:
        rendering, category, index = requests[number]
        found = fdsl.render(first, category, index, 0, rendering, 1)
        np.testing.assert_array_equal(found, expected[number])
        if number % 7 == 0:
            IFS.search(1, 0.01, 1, sampler="released", size=32, num_points=900, num_threads=1)


def test_a_mask_seed_is_accepted_only_for_the_released_program():
    with pytest.raises(ValueError, match="mask_seed works only with compat='released', got 3"):
        Rendering(mask_seed=3)
    with pytest.raises(ValueError, match="mask_seed must be 0 or more, got -1"):
        Rendering.released(mask_seed=-1)


@pytest.mark.parametrize("workers", [0, 2])
def test_released_images_stream(first, workers):
    torch = pytest.importorskip("torch")
    from fdsl.torch import Stream

    rendering = Rendering.released(size=64, num_points=1000, crop=48)
    stream = Stream(first, rendering=rendering, batch_size=5, seed=3, steps_per_epoch=4)
    loader = torch.utils.data.DataLoader(stream, batch_size=None, num_workers=workers)
    images, labels = zip(*loader, strict=True)
    numbers = np.arange(20, dtype=np.uint64)
    categories, indices = _core.stream_order(numbers, 10, None, 1000, 3)
    expected = fdsl.render(first, categories, indices, 3, rendering)
    np.testing.assert_array_equal(torch.cat(images)[:, 0].numpy(), expected)
    assert torch.cat(labels).tolist() == categories.tolist()
