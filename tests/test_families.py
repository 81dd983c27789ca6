"""Properties of every family, and of noise and curves in particular."""

import json
import pickle
import re

import fdsl
import numpy as np
import pytest
from every_family import FAMILIES, draw, small
from fdsl import IFS, Bezier, Family, Frame, Perlin, Strokes, _core
from fdsl.families.core import CoreFamily
from fdsl.families.registry import imported, names
from fdsl.families.systems import Systems
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from strategies import rendered_families


@pytest.fixture(scope="module", params=FAMILIES)
def family(request) -> Family:
    return FAMILIES[request.param]()


def lit(images):
    return (images != 0).reshape(len(images), -1).mean(axis=1)


# Every family


def test_every_family_of_the_package_is_tested():
    ours = {kind for kind in imported() if kind.__module__.startswith("fdsl.families.")}
    assert {name: type(make()) for name, make in FAMILIES.items()} == {k.name: k for k in ours}
    assert all(len(make()) >= 6 for make in FAMILIES.values())


def test_arrays_may_lie_at_any_byte(family):
    def moved(array):
        if array.dtype.kind == "U":
            return array
        bytes_ = np.frombuffer(b"\0" + array.tobytes(), np.uint8)
        return bytes_[1:].view(array.dtype).reshape(array.shape)

    arrays = {name: moved(array) for name, array in family._arrays().items()}
    assert any(not array.flags.aligned for array in arrays.values())
    same = type(family)._from_arrays({**arrays, **family._notes()})
    assert same == family
    assert np.array_equal(draw(same, 5, 7), draw(family, 5, 7))


def test_an_incomplete_family_of_the_core_is_refused_when_it_is_defined():
    with pytest.raises(TypeError, match=r"must define __len__, _single, _arrays, _from_arrays, pa"):

        class Nothing(CoreFamily):
            name = "nothing"

    class Unchecked(Frame):
        pass

    with pytest.raises(TypeError, match=r"Unchecked\._checked_as must be a family of the core"):

        class Loose(Systems):
            name, style, parameters = "loose", Unchecked, IFS.parameters

    assert not {"nothing", "loose"} & set(names())


def test_a_family_without_objects_in_the_core_has_no_masks():
    class Masked(Bezier):
        targets = ("mask",)

    with pytest.raises(ValueError, match="images of bezier have no objects, so no masks, boxes"):
        fdsl.Dataset(Masked(4), 10, target="mask")[0]
    scene = fdsl.Scene([Masked(4)])  # a part may have targets of its own
    assert fdsl.render(scene, [0, 3], 0, rendering=small(scene)).any()
    with pytest.raises(ValueError, match="a part of a scene cannot be a scene itself"):
        fdsl.Scene([scene])


def test_format_and_period_are_those_of_the_core(family):
    core = family.core()
    assert (family.format, family.period, len(family)) == (core.format, core.period, len(core))
    released = fdsl.fractaldb(1).core(fdsl.Rendering.released())
    assert (IFS.format, IFS.period) == (released.format, released.period)


def test_every_family_accepts_a_frame(family):
    frame = Frame(size=40, crop=(30, 20), color=True)
    expected = fdsl.render(family, [0, 1], 5, rendering=family.style(**frame.to_dict()))
    np.testing.assert_array_equal(fdsl.render(family, [0, 1], 5, rendering=frame), expected)
    np.testing.assert_array_equal(
        fdsl.render(family, 1, 5), fdsl.render(family, 1, 5, rendering=family.style())
    )


@pytest.mark.parametrize("color", [False, True])
def test_a_single_category_and_index_give_one_image(family, color):
    frame = Frame(size=(20, 30), color=color)
    shape = (20, 30, 3) if color else (20, 30)
    out = np.empty(shape, np.uint8)
    image, retries = fdsl.render(family, 1, 5, 3, frame, out=out, return_retries=True)
    assert image is out and (retries.shape, retries.dtype) == ((), np.uint8)
    several, counts = fdsl.render(family, [1], 5, 3, frame, return_retries=True)
    assert several.shape == (1, *shape) and counts.shape == (1,)
    np.testing.assert_array_equal(several[0], image)
    assert fdsl.render(family, 1, [5, 6], 3, frame).shape == (2, *shape)
    with pytest.raises(ValueError, match=re.escape(f"C-contiguous array of shape {shape}")):
        fdsl.render(family, 1, 5, 3, frame, out=np.empty((1, *shape), np.uint8))


@pytest.mark.parametrize("color", [False, True])
@pytest.mark.parametrize("crop", [None, (20, 30)])
def test_images_have_the_shape_of_their_settings(family, color, crop):
    rendering = small(family, size=(40, 56), crop=crop, color=color)
    images = draw(family, [0, 1, 2], 5, rendering)
    assert images.shape == (3, *(crop or (40, 56)), *([3] if color else []))
    assert (lit(images) > 0).all()


def test_seed_category_and_index_each_change_the_image(family):
    one, category, index = draw(family, [1, 2, 1], [7, 7, 503])
    other = draw(family, 1, 7, seed=1)
    assert all((one != image).any() for image in (category, index, other))


@pytest.mark.parametrize("color", [False, True])
def test_indices_0_to_3_are_flips_of_one_image(family, color):
    rendering = small(family, color=color, flips=True)
    a, b, c, d = draw(family, 2, [8, 9, 10, 11], rendering)
    assert (b == a[::-1]).all() and (c == a[:, ::-1]).all() and (d == a[::-1, ::-1]).all()
    unmirrored = small(family, color=color, flips=False)
    e, f = draw(family, 2, [8, 9], unmirrored)
    assert (e != f).any()


def test_a_crop_is_a_window_of_the_whole_image(family):
    once = {"resample_degenerate": False}  # a window without the category would be another image's
    whole = draw(family, 3, [0, 1, 2, 3], small(family, **once))
    in_the_center = small(family, crop=24, crop_position="center", **once)
    centered = draw(family, 3, [0, 1, 2, 3], in_the_center)
    assert (centered == whole[:, 12:36, 12:36]).all()
    windows = [{whole[0][y : y + 40, x : x + 40].tobytes() for y in range(9) for x in range(9)}]
    random = draw(family, 3, 0, small(family, crop=40, **once))
    assert random.tobytes() in windows[0]


def test_images_do_not_depend_on_threads_or_on_the_rest_of_the_batch(family):
    categories, indices = np.arange(60) % len(family), np.arange(60) * 37
    together = draw(family, categories, indices, num_threads=1)
    for threads in (2, 5):
        assert (draw(family, categories, indices, num_threads=threads) == together).all()
    for at in (0, 31, 59):
        assert (draw(family, categories[at], indices[at]) == together[at]).all()


@pytest.mark.parametrize("color", [False, True])
def test_every_simd_path_renders_the_same_images(family, color):
    rendering = small(family, size=(33, 61), color=color, crop=(30, 41))
    categories, indices = np.arange(12) % len(family), np.arange(12) * 91
    found = [
        draw(family, categories, indices, rendering, num_threads=1, simd=simd).tobytes()
        for simd in _core.simd_paths()
    ]
    assert len(set(found)) == 1


def test_a_family_survives_a_file_and_a_pickle(family, tmp_path):
    family.save(tmp_path / "family.npz")
    for back in (
        type(family).load(tmp_path / "family.npz"),
        Family.load(tmp_path / "family.npz"),
        pickle.loads(pickle.dumps(family)),
    ):
        assert type(back) is type(family)
        assert back == family and hash(back) == hash(family)
        assert back.digest() == family.digest() and back.key() == family.key()
        assert (draw(back, 1, 5) == draw(family, 1, 5)).all()


def test_a_file_of_another_family_is_refused(family, tmp_path):
    family.save(tmp_path / "family.npz")
    for kind in (IFS, Perlin, Bezier):
        if not isinstance(family, kind):
            with pytest.raises(ValueError, match=f"holds categories of {type(family).__name__}"):
                kind.load(tmp_path / "family.npz")


def test_a_slice_of_a_family_is_a_family(family):
    part = family[2:5]
    assert type(part) is type(family) and len(part) == 3
    assert list(map(repr, part)) == [repr(family[number]) for number in (2, 3, 4)]
    assert part != family and part.digest() != family.digest() and part.key() != family.key()
    assert repr(family[-1]) == repr(family[len(family) - 1])
    for beyond in (len(family), -len(family) - 1):
        with pytest.raises(IndexError, match=f"category {beyond} is out of range"):
            family[beyond]
        with pytest.raises(IndexError, match="out of range"):
            family.parameters(beyond)


def test_categories_are_chosen_by_their_numbers_or_a_mask(family):
    numbers = [4, 0, -1, 4]
    expected = [family.parameters(number) for number in numbers]
    part = family[numbers]
    assert type(part) is type(family)
    assert [part.parameters(number) for number in range(4)] == expected
    assert part == family[np.array(numbers, np.int16)] == pickle.loads(pickle.dumps(part))
    mask = np.arange(len(family)) % 3 == 1
    assert family[mask] == family[mask.tolist()] == family[1::3] == family[range(1, len(family), 3)]
    settings = small(family)
    np.testing.assert_array_equal(
        fdsl.render(family[:3], range(3), 0, rendering=settings),
        fdsl.render(family[[0, 1, 2]], range(3), 0, rendering=settings),
    )


def test_categories_of_several_systems_make_a_family():
    own = fdsl.IFS([0.4 * np.eye(2, 6), 0.3 * np.eye(3, 6)], [[0.9, 0.1], [0.2, 0.3, 0.5]])
    joined = fdsl.IFS([*own, *fdsl.fractaldb(3)])
    assert joined[:2] == own and joined[2:] == fdsl.fractaldb(3)
    assert fdsl.IFS(own) == own and fdsl.IFS([own[1]])[0].probabilities.tolist() == [0.2, 0.3, 0.5]
    bodies = fdsl.IFS3D(3)
    assert fdsl.IFS3D([*bodies[1:], bodies[0]]) == bodies[[1, 2, 0]]
    for make, says in [
        (
            lambda: fdsl.IFS([own[0], 0.4 * np.eye(2, 6)]),
            "made of categories or of maps, got some of both",
        ),
        (lambda: fdsl.IFS([*own], [[0.5, 0.5]] * 2), "categories have their own probabilities"),
        (
            lambda: fdsl.IFS([*bodies]),
            "an IFS is made of its own categories, or of maps of 6 coeff",
        ),
        (lambda: fdsl.IFS3D([*own]), "an IFS3D is made of its own categories, or of maps of 12"),
        (lambda: fdsl.IFS([own, own]), r"not of families: IFS\(\[\*one, \*another\]\)"),
    ]:
        with pytest.raises(TypeError, match=says):
            make()


@pytest.mark.parametrize(
    ("key", "error", "says"),
    [
        ([0, 99], IndexError, "category 99 is out of range"),
        ([0, -99], IndexError, "category -99 is out of range"),
        ([True, False], IndexError, "a mask needs a value for each of .* categories, got 2"),
        ([0.5], TypeError, r"by integers \(N,\) or by a mask, bool \(C,\), got float64 \(1,\)"),
        (np.ones((2, 2), int), TypeError, r"got int64 \(2, 2\)"),
        ([], ValueError, "needs at least one category, got none"),
        (np.zeros(0, bool), IndexError, "a mask needs a value for each of .* categories, got 0"),
        (slice(3, 3), ValueError, "needs at least one category, got none"),
    ],
)
def test_a_wrong_choice_of_categories_is_one_sentence(family, key, error, says):
    with pytest.raises(error, match=says):
        family[key]


SEVERAL = [
    *(fdsl.IFS.sample(300), fdsl.IFS3D(6), fdsl.RCDB(300), fdsl.VisualAtom(300), fdsl.SegRCDB()),
    *(fdsl.Spectrum(9), fdsl.DiamondSquare(9), fdsl.DeadLeaves(9, texture=Perlin(4))),
    fdsl.load("visualatom-1k"),
]


@pytest.mark.parametrize("family", SEVERAL, ids=lambda family: type(family).__name__)
def test_every_family_chooses_categories(family):
    numbers = np.array([5, 0, 5, len(family) - 1])
    part = family[numbers]
    assert type(part) is type(family) and part == pickle.loads(pickle.dumps(part))
    expected = [family.parameters(int(number)) for number in numbers]
    assert [part.parameters(number) for number in range(4)] == expected
    few = np.array([-1, 1], np.int8)  # len(family) may be beyond its type
    assert family[few] == family[few.astype(np.int64)] == family[(len(family) - 1, 1)]
    assert family[few.astype(np.uint8)[1:]] == family[[1]] == family[1:2]


def test_the_largest_family_is_sliced_without_numbering_all_categories():
    many = Family(4096**2)
    assert len(many[3:5]) == 2 and many[-2:][1] == 4096**2 - 1


def test_parameters_can_be_held_by_json(family):
    everything = [family.parameters(category) for category in range(len(family))]
    assert json.loads(json.dumps(everything)) == everything
    assert len({json.dumps(parameters) for parameters in everything}) == len(family)


@pytest.mark.parametrize("workers", [0, 2])
def test_every_family_streams(family, workers):
    torch = pytest.importorskip("torch")
    from fdsl.torch import Dataset, Stream

    settings = small(family)
    stream = Stream(family, rendering=settings, batch_size=7, seed=3, steps_per_epoch=3)
    loader = torch.utils.data.DataLoader(stream, batch_size=None, num_workers=workers)
    images, labels = zip(*loader, strict=True)
    numbers = np.arange(21, dtype=np.uint64)
    categories, indices = _core.stream_order(numbers, len(family), None, family.period, 3)
    assert (torch.cat(images)[:, 0].numpy() == draw(family, categories, indices, seed=3)).all()
    assert torch.cat(labels).tolist() == categories.tolist()
    image, label = Dataset(family, 10, rendering=settings)[13]
    assert label == 1 and (image[0].numpy() == draw(family, 1, 3)).all()


@pytest.mark.slow
@pytest.mark.parametrize("family, share", [(Perlin(16), 0.7), (Bezier(16), 0.2)], ids=repr)
def test_a_small_classifier_distinguishes_categories(family, share):
    """Chance is 1 in 16; a tiny network on 32×32 pixels is far better within seconds."""
    torch = pytest.importorskip("torch")
    from fdsl.torch import Normalize, Stream
    from torch import nn

    torch.manual_seed(0)
    margin = {"margin": 2} if isinstance(family, Bezier) else {}
    rendering = small(family, size=32, **margin)
    layers = []
    for before, after in ((3, 16), (16, 32), (32, 64)):
        convolution = nn.Conv2d(before, after, 3, stride=2, padding=1)
        layers += [convolution, nn.BatchNorm2d(after), nn.ReLU()]
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 16)]
    net = nn.Sequential(Normalize(), *layers, *head)
    optimizer = torch.optim.AdamW(net.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=250)
    stream = Stream(family, rendering=rendering, batch_size=64, seed=0, steps_per_epoch=250)
    for images, labels in stream:
        loss = nn.functional.cross_entropy(net(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    net.eval()
    images, labels = next(iter(Stream(family, rendering=rendering, batch_size=800, seed=1)))
    with torch.no_grad():
        accuracy = (net(images).argmax(1) == labels).double().mean().item()
    assert accuracy > share


@settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
@given(rendered_families, st.integers(0, 2**64 - 1), st.integers(0, 2**62 - 2))
def test_any_category_of_any_family_is_rendered_deterministically_and_not_blank(given, seed, start):
    family, rendering = given
    categories = np.arange(8, dtype=np.uint64) % len(family)
    indices = np.arange(8, dtype=np.uint64) + np.uint64(4 * start)
    together = draw(family, categories, indices, rendering, seed, num_threads=1)
    assert (lit(together) > 0).all()
    if isinstance(family, IFS | Bezier) and not rendering.color:
        assert set(np.unique(together)) <= {0, 127}
    assert (together == draw(family, categories, indices, rendering, seed, num_threads=8)).all()
    for at in (0, 7):
        alone = draw(family, categories[at], indices[at], rendering, seed)
        assert (alone == together[at]).all()
    for simd in _core.simd_paths():
        by_path = draw(family, categories, indices, rendering, seed, num_threads=1, simd=simd)
        assert (by_path == together).all()
    if len(family) == 1 and rendering.flips and rendering.crop is None:
        a, b, c, d = together[:4]
        assert (b == a[::-1]).all() and (c == a[:, ::-1]).all() and (d == c[::-1]).all()


# Noise and curves


def test_the_data_sets_of_the_paper_are_grids():
    assert [tuple(Perlin(100)[i]) for i in (0, 1, 10, 99)] == [(1, 1), (1, 2), (2, 1), (10, 10)]
    assert len(Perlin(1296)) == 1296 and tuple(Perlin(1296)[-1]) == (36, 36)
    assert [tuple(Bezier(144)[i]) for i in (0, 1, 12, 143)] == [(2, 1), (2, 2), (3, 1), (13, 12)]
    assert len(Bezier(1024)) == 1024 and tuple(Bezier(1024)[-1]) == (33, 32)
    assert Perlin() == Perlin(100) and Bezier() == Bezier(144)


def test_given_parameters_are_used_unchanged():
    assert tuple(Perlin([(2.5, 3), (1, 40)])[0]) == (2.5, 3.0)
    assert tuple(Bezier(np.array([[4, 7], [64, 256]]))[1]) == (64, 256)


def test_a_family_is_immutable():
    noise = Perlin(4, octaves=2)
    for name in ("octaves", "persistence", "contrast"):
        with pytest.raises(AttributeError):
            setattr(noise, name, 1)
    assert (noise.octaves, noise.persistence, noise.contrast) == (2, 0.5, 1.0)


def crossings(images, axis):
    """How often neighboring pixels are on different sides of middle gray."""
    bright = images > 127
    return np.diff(bright, axis=axis).mean()


def test_frequencies_are_those_of_the_noise():
    grid = Perlin([(2, 2), (8, 2), (2, 8), (8, 8)])
    few, across, down, many = (
        draw(grid, number, np.arange(40) * 4, Frame(size=96)) for number in range(4)
    )
    for axis, fast, slow in ((2, across, down), (1, down, across)):
        assert crossings(fast, axis) > 2.5 * crossings(slow, axis)
        assert crossings(many, axis) > 2.5 * crossings(few, axis)


def test_noise_is_gray_on_average_and_reaches_dark_and_bright():
    images = draw(Perlin(36), np.arange(36), np.arange(36) * 4, Frame(size=64))
    assert abs(images.mean() - 127.5) < 4
    assert images.min() < 40 and images.max() > 215
    harsh = draw(Perlin(36, contrast=4), np.arange(36), np.arange(36) * 4, Frame(size=64))
    assert harsh.std() > 2 * images.std()


def test_octaves_add_detail():
    images = [draw(Perlin([(3, 3)], octaves=n), 0, np.arange(20) * 4) for n in (1, 3)]
    few, more = (np.abs(np.diff(p.astype(int))).mean() / p.std() for p in images)
    assert more > 1.2 * few


def test_noise_finer_than_the_pixels_fades_instead_of_aliasing():
    sizes = [draw(Perlin([(64, 64)]), 0, np.arange(16) * 4, Frame(size=s)) for s in (16, 32, 256)]
    spread = [images.std() for images in sizes]
    assert spread[0] < spread[1] < spread[2]
    assert draw(Perlin([(4096, 4096)]), 0, 0, Frame(size=16)).std() == 0


def test_a_larger_image_shows_the_same_noise():
    small, large = (draw(Perlin(16), 9, 4, Frame(size=s)) for s in (32, 128))
    shrunk = large.reshape(32, 4, 32, 4).mean(axis=(1, 3))
    assert np.abs(shrunk - small).max() < 3


def test_the_channels_of_color_noise_differ_and_the_first_is_the_gray_image():
    color = draw(Perlin(16), 9, 4, Frame(size=48, color=True))
    assert (color[..., 0] == draw(Perlin(16), 9, 4, Frame(size=48))).all()
    assert (color[..., 0] != color[..., 1]).mean() > 0.9


def parts(image):
    """The number of connected groups of lit pixels, including diagonal neighbors."""
    todo = set(zip(*map(np.ndarray.tolist, np.nonzero(image)), strict=True))
    count = 0
    while todo:
        count += 1
        stack = [todo.pop()]
        while stack:
            y, x = stack.pop()
            for near in [(y + i, x + j) for i in (-1, 0, 1) for j in (-1, 0, 1)]:
                if near in todo:
                    todo.remove(near)
                    stack.append(near)
    return count


@pytest.mark.parametrize("size", [48, 700])
def test_curves_have_no_gaps(size):
    one_curve = Bezier([(points, 1) for points in (2, 3, 4, 9, 33, 64)])
    line = Strokes(size=size, draw="point")
    for category in range(len(one_curve)):
        for image in draw(one_curve, category, [0, 4, 8], line):
            assert parts(image) == 1


def test_the_brush_widens_the_line_by_a_pixel_on_each_side():
    line, brush = (
        draw(Bezier(16), 9, 4, Strokes(size=48, draw=draw_as)) != 0
        for draw_as in ("point", "patch")
    )
    wide = np.zeros_like(line)
    for y, x in zip(*np.nonzero(line), strict=True):
        wide[y - 1 : y + 2, x - 1 : x + 2] = True
    assert (brush == wide).all()


def test_more_curves_fill_more_and_stay_inside_the_margin():
    curves = Bezier([(4, 1), (4, 4), (4, 16)])
    rates = [lit(draw(curves, number, np.arange(20) * 4)).mean() for number in range(3)]
    assert rates[0] < rates[1] < rates[2]
    images = draw(curves, 2, np.arange(40), Strokes(size=48, margin=10, draw="point"))
    rows, columns = np.nonzero(images.max(axis=0))
    assert min(rows.min(), columns.min()) >= 9 and max(rows.max(), columns.max()) <= 38


def test_curves_bend_and_those_of_two_points_are_straight():
    """The ends of a Bézier curve are control points, so a curve of two is a straight line."""
    straight = draw(Bezier([(2, 1)]), 0, np.arange(0, 200, 4), Strokes(size=64, draw="point"))
    for image in straight:
        rows, columns = np.nonzero(image)
        spread = np.cov(np.stack([rows, columns])) if len(rows) > 2 else np.zeros((2, 2))
        assert np.linalg.eigvalsh(spread)[0] < 0.2
    bent = draw(Bezier([(5, 1)]), 0, np.arange(0, 200, 4), Strokes(size=64, draw="point"))
    widths = [np.linalg.eigvalsh(np.cov(np.stack(np.nonzero(image))))[0] for image in bent]
    assert np.median(widths) > 1


def test_a_crop_of_curves_is_not_empty_unless_degenerate_images_are_kept():
    line = Bezier([(2, 1)])
    tiny = {"size": 128, "crop": 8}
    images, retries = draw(line, 0, np.arange(200), Strokes(**tiny), return_retries=True)
    assert (lit(images) > 0).all() and retries.max() > 2
    assert (
        lit(draw(line, 0, np.arange(200), Strokes(**tiny, resample_degenerate=False))) == 0
    ).any()


@pytest.mark.parametrize(
    "make, kind, said",
    [
        (lambda: Perlin(10), ValueError, "square number, such as 100, got 10"),
        (lambda: Perlin(0), ValueError, "got 0"),
        (lambda: Perlin(-4), ValueError, "got -4"),
        (lambda: Perlin(4097**2), ValueError, "at most 4096² = 16,777,216, got 16,785,409"),
        (lambda: Bezier(64**2), ValueError, "at most 63² = 3,969, got 4,096"),
        (lambda: Perlin(contrast=10**400), ValueError, "contrast must fit in a float, got 1"),
        (lambda: Perlin("many"), TypeError, "got 'many'"),
        (lambda: Perlin([1, 2, 3]), ValueError, "shape (C, 2), got (3,)"),
        (lambda: Perlin(np.empty((0, 2))), ValueError, "shape (C, 2), got (0, 2)"),
        (lambda: Perlin([(0, 1)]), ValueError, "frequency must be between 1/4096 and 4096, got 0"),
        (lambda: Perlin([(1, 5000)]), ValueError, "got 5000"),
        (lambda: Perlin([(1, float("nan"))]), ValueError, "got NaN"),
        (lambda: Perlin(octaves=0), ValueError, "octaves must be between 1 and 16, got 0"),
        (lambda: Perlin(octaves=1.5), TypeError, "octaves must be an integer, got 1.5"),
        (
            lambda: Perlin(persistence=0),
            ValueError,
            "persistence must be above 0 and at most 1, got 0",
        ),
        (
            lambda: Perlin(contrast=-1),
            ValueError,
            "contrast must be above 0 and at most 100, got -1",
        ),
        (lambda: Bezier(7), ValueError, "square number, such as 100, got 7"),
        (lambda: Bezier(True), TypeError, "categories must be an integer or pairs of numbers"),
        (lambda: Perlin(4, octaves=True), TypeError, "octaves must be an integer, got True"),
        (
            lambda: Bezier([(1, 1)]),
            ValueError,
            "control points of a curve must be between 2 and 64, got 1",
        ),
        (
            lambda: Bezier([(2, 0)]),
            ValueError,
            "curves of a category must be between 1 and 256, got 0",
        ),
        (lambda: Bezier([(2, -3)]), ValueError, "got -3"),
        (lambda: Bezier([(2.5, 1)]), TypeError, "must be integers, got float64"),
    ],
)
def test_invalid_parameters_of_a_family_are_refused(make, kind, said):
    with pytest.raises(kind, match=re.escape(said)):
        make()
