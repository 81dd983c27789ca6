"""Scenes: masks and boxes are exact, whatever the parts, the crop and the flip."""

import copy
import dataclasses
import decimal
import pickle
import re
from pathlib import Path

import fdsl
import fdsl.export
import numpy as np
import pytest
from families_in_python import Blobs
from fdsl import Bezier, Perlin, Scene, Scenes
from fdsl.families.compose import compose
from fdsl.job import Job

ROOT = Path(__file__).parents[1]
FRACTALS = Scene(12)
MIXED = Scene([Bezier(9), fdsl.RCDB(5), Perlin(4), fdsl.IFS.sample(3)])
DENSITIES = Scene(fdsl.IFS.sample(12), styles=[Scene.multi_fractal(1).style_of(0)])
IN_PYTHON = Scene([Bezier(9), Blobs(4, radius=9.0), fdsl.RCDB(5), Perlin(4)])
SCENES = {
    "fractals": FRACTALS,
    "mixed": MIXED,
    "densities": DENSITIES,
    "in Python": IN_PYTHON,
}
MANY = {"size": 64, "min_objects": 2, "max_objects": 7}

each_scene = pytest.mark.parametrize("scene", SCENES.values(), ids=SCENES)


def samples(scene, count=24, **settings):
    frame = Scenes(**{**MANY, **settings})
    return [scene.sample(i % len(scene), i, 3, frame) for i in range(count)]


@each_scene
@pytest.mark.parametrize("color", [False, True])
@pytest.mark.parametrize("object_color", ["own", "random"])
@pytest.mark.parametrize("scale", [None, 0.3])
def test_every_lit_pixel_belongs_to_an_object_and_every_other_to_none(
    scene, color, object_color, scale
):
    for sample in samples(scene, color=color, object_color=object_color, render_scale=scale):
        lit = sample.image.any(-1) if color else sample.image != 0
        # Noise alone has black pixels of its own.
        noise = [n for n, c in enumerate(sample.categories, 1) if is_noise(scene, c)]
        noisy = np.isin(sample.objects, noise)
        np.testing.assert_array_equal(lit[~noisy], (sample.objects != 0)[~noisy])
        assert (sample.objects == 1).any()  # the object of the scene's category


def is_noise(scene, category):
    return isinstance(scene.parts[scene.part_of(category)[0]], Perlin)


def speck(kind):
    """A scene of fractals of one point each, composed by the core or in Python."""
    point = fdsl.IFS([[[0.0, 0, 0, 0, 0.1, 0.1]]], [[1.0]])
    return Scene(point) if kind == "core" else Scene([point, Blank(1)])


class Blank(fdsl.Family):
    """Images that show nothing."""

    name = "blank"

    def draw(self, category, rng, frame):
        return np.zeros((frame.height, frame.width), np.uint8)


@pytest.mark.parametrize("kind", ["core", "python"])
@pytest.mark.parametrize("crop", [None, 64])
def test_an_object_of_one_pixel_is_shown_even_if_it_is_resized(kind, crop):
    one = {"min_objects": 1, "max_objects": 1, "min_scale": 0.152, "max_scale": 0.152}
    frame = Scenes(**one, size=224, render_scale=1.0, crop=crop)
    for index in range(8):
        sample = speck(kind).sample(0, index, 0, frame)
        assert sample.image.any() and (sample.objects == 1).any()


def test_a_part_that_shows_nothing_leaves_the_background():
    sample = Scene([Blank(1), fdsl.Perlin(4)]).sample(
        0, 0, 0, Scenes(size=64, crop=32, max_objects=1)
    )
    assert not sample.image.any() and not sample.objects.any()


@each_scene
def test_objects_are_the_same_on_every_backdrop(scene):
    settings = {"color": True, "crop": (50, 40)}
    plain = samples(scene, **settings)
    for backdrop in ("white", "gray", "noise"):
        for one, other in zip(plain, samples(scene, backdrop=backdrop, **settings), strict=True):
            np.testing.assert_array_equal(one.objects, other.objects)
            shown = one.objects != 0
            np.testing.assert_array_equal(one.image[shown], other.image[shown])
            assert one.categories == other.categories
            assert (one.image[~shown] != other.image[~shown]).any(-1).mean() > 0.9 or shown.all()


def test_a_scene_in_python_does_not_depend_on_the_context_of_decimal():
    blurred = Scenes(size=48, blur=1.0)
    before = fdsl.render(IN_PYTHON, 0, range(16), rendering=blurred)
    with decimal.localcontext() as context:
        context.prec, context.traps[decimal.Inexact] = 3, True
        again = fdsl.render(IN_PYTHON, 0, range(16), rendering=blurred)
    np.testing.assert_array_equal(again, before)


@each_scene
def test_objects_asked_for_are_visible_or_covered(scene):
    least = {"min_objects": 9, "max_objects": 9, "min_scale": 0.5, "order": "random"}
    lost = {}
    for most in (0.0, 0.5, 1.0):
        lost[most] = 0
        for sample in samples(scene, max_covered=most, **least):
            visible = set(np.unique(sample.objects).tolist()) - {0}
            assert len(sample.categories) == 9
            assert visible | set(sample.covered) == set(range(1, 10))
            assert not visible & set(sample.covered) and 1 in visible
            lost[most] += len(sample.covered)
    assert lost[0.0] > lost[0.5] > lost[1.0]
    assert lost[0.0] > 24


def resized(image, side):
    """Interpolates linearly between the centers of pixels, along rows and then along columns."""
    for _ in range(2):
        last = len(image) - 1
        centers = ((np.arange(side) + 0.5) * len(image) / side - 0.5).clip(0, last)
        before = centers.astype(int)
        share = (centers - before).reshape(-1, *[1] * (image.ndim - 1))
        image = (1 - share) * image[before] + share * image[np.minimum(before + 1, last)]
        image = image.swapaxes(0, 1)
    return image


@pytest.mark.parametrize("scene", [Scene(Perlin(4)), Scene([Perlin(4), Blobs(1)])])
@pytest.mark.parametrize("color", [False, True])
def test_objects_are_resized_from_the_size_at_which_they_are_rendered(scene, color):
    # Noise fills its square, and without overhang all of it is inside.
    one = {"max_objects": 1, "overhang": 0.0, "size": 100, "color": color}

    def cut_out(index, **settings):
        sample = scene.sample(2, index, 3, Scenes(**one, **settings))
        rows, columns = np.nonzero(sample.objects)
        return sample.image[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]

    for index, scale in enumerate([0.2, 0.37, 0.4, 0.9]):
        rendered = cut_out(index, min_scale=0.4, max_scale=0.4)
        found = cut_out(index, min_scale=scale, max_scale=scale, render_scale=0.4)
        assert found.shape[:2] == (round(100 * scale),) * 2
        wanted = resized(rendered, len(found))
        assert (np.abs(found - wanted) <= 0.6).all()
        if scale == 0.4:
            np.testing.assert_array_equal(found, rendered)


def softened(image, sigma):
    """Blurs an image by OpenCV's 3×3 Gaussian kernel."""
    weights = np.exp(-(np.arange(-1, 2) ** 2) / (2 * sigma**2))
    weights /= weights.sum()
    for axis in (0, 1):
        around = [(int(axis == n),) * 2 for n in range(image.ndim)]
        wide = np.pad(image.astype(float), around, mode="reflect")
        ends = (np.take(wide, range(n, n + image.shape[axis]), axis) for n in range(3))
        image = sum(weight * end for weight, end in zip(weights, ends, strict=True))
    return image


@each_scene
@pytest.mark.parametrize("color", [False, True])
def test_a_blur_softens_the_image_and_leaves_the_objects(scene, color):
    settings = {"color": color, "backdrop": "gray"}
    sigmas = []
    for sharp, soft in zip(
        samples(scene, **settings), samples(scene, blur=1, **settings), strict=True
    ):
        np.testing.assert_array_equal(soft.objects, sharp.objects)
        tried = np.linspace(0.5, 1, 51)
        off = [np.abs(softened(sharp.image, sigma) - soft.image).max() for sigma in tried]
        assert min(off) < 2.5
        sigmas.append(tried[np.argmin(off)])
    assert min(sigmas) < 0.65 and max(sigmas) > 0.85
    half = samples(scene, 40, blur=0.5, **settings)
    same = [
        np.array_equal(sharp.image, soft.image)
        for sharp, soft in zip(samples(scene, 40, **settings), half, strict=True)
    ]
    assert 0.2 < np.mean(same) < 0.8


def test_an_object_that_may_not_be_covered_shows_all_of_itself():
    def areas(sample):
        return np.bincount(sample.objects.ravel(), minlength=8)[1:]

    # Noise fills its square, and without overhang all of it is inside.
    noise = Scene(Perlin(4))
    whole = {"overhang": 0.0, "min_scale": 0.3, "max_scale": 0.3, "order": "random"}
    for sample in samples(noise, max_covered=0.0, **whole):
        assert set(areas(sample)[1:]) <= {0, 19**2}
    partly = np.concatenate([areas(one)[1:] for one in samples(noise, max_covered=0.5, **whole)])
    assert ((partly == 0) | (partly >= 19**2 / 2)).all() and (partly % 19**2).any()


@each_scene
def test_boxes_are_tight_around_the_masks(scene):
    data = fdsl.Dataset(scene, 3, rendering=Scenes(**MANY, crop=40), target="boxes", seed=3)
    found = 0
    for _, target in (data[i] for i in range(0, len(data), 2)):
        for (left, top, right, bottom), mask in zip(target["boxes"], target["masks"], strict=True):
            rows, columns = np.nonzero(mask)
            assert (left, top) == (columns.min(), rows.min())
            assert (right, bottom) == (columns.max() + 1, rows.max() + 1)
            found += 1
    assert found > 20


@each_scene
def test_flips_and_crops_move_every_target_with_the_image(scene):
    frame = Scenes(**MANY)
    for category in range(0, len(scene), 3):
        whole = scene.sample(category, 8, 3, frame)
        for flip in range(4):
            down, across = (-1 if flip & 1 else 1), (-1 if flip & 2 else 1)
            sample = scene.sample(category, 8 + flip, 3, frame)
            np.testing.assert_array_equal(sample.image, whole.image[::down, ::across])
            np.testing.assert_array_equal(sample.objects, whole.objects[::down, ::across])
        middle = scene.sample(category, 8, 3, Scenes(**MANY, crop=40, crop_position="center"))
        if (whole.objects[12:52, 12:52] == 1).any():  # else it is another attempt
            np.testing.assert_array_equal(middle.image, whole.image[12:52, 12:52])
            np.testing.assert_array_equal(middle.objects, whole.objects[12:52, 12:52])


@each_scene
@pytest.mark.parametrize("order", ["own_in_front", "random", "small_in_front"])
def test_small_crops_still_show_the_object_of_the_label(scene, order):
    found = samples(scene, 60, size=(64, 80), crop=(5, 7), order=order)
    for number, sample in enumerate(found):
        assert (sample.objects == 1).any()
        assert sample.categories[0] == number % len(scene)


@pytest.mark.parametrize(
    "scene", [FRACTALS, MIXED, DENSITIES], ids=["fractals", "mixed", "densities"]
)
def test_bytes_do_not_depend_on_the_processor_or_the_threads(scene):
    frame = Scenes(
        **MANY, crop=50, color=True, backdrop="noise", render_scale=0.4, blur=0.5, overhang=0.7
    )
    categories = np.arange(48) % len(scene)
    expected = fdsl.render(scene, categories, range(48), 3, frame, num_threads=1, simd="plain")
    for threads in (1, 8):
        for simd in fdsl._core.simd_paths():
            other = fdsl.render(scene, categories, range(48), 3, frame, threads, simd=simd)
            np.testing.assert_array_equal(other, expected)
    reverse = fdsl.render(scene, categories[::-1], range(47, -1, -1), 3, frame)
    np.testing.assert_array_equal(reverse[::-1], expected)


@pytest.mark.parametrize(
    "settings",
    [
        {"order": "own_in_front"},
        {"order": "random", "render_scale": 0.5},
        {"order": "small_in_front", "blur": 0.6},
    ],
)
def test_scenes_in_python_follow_the_same_rules(settings):
    frame = Scenes(size=64, min_objects=1, max_objects=6, max_covered=0.5, **settings)
    scene, count = Scene([Bezier(9), fdsl.RCDB(5)]), 400
    addresses = np.arange(count, dtype=np.uint64) % len(scene), np.arange(count, dtype=np.uint64)
    found = []
    for render in (Scene.render_into, compose):
        images, objects = np.empty((count, 64, 64), np.uint8), np.empty((count, 64, 64), np.uint16)
        categories = render(scene, Job(frame, 3), addresses, images, objects).objects
        made = [fdsl.Sample(*one) for one in zip(images, objects, categories, strict=True)]
        numbers = [
            [
                len(one.categories),
                len(one.covered),
                (one.objects != 0).mean(),
                (one.objects == 1).mean(),
                (one.objects[0] != 0).mean(),  # of those that hang over the border
                one.image.mean(),
                np.abs(np.diff(one.image.astype(float))).mean(),
                np.mean(one.categories),
            ]
            for one in made
        ]
        found.append(np.array(numbers))
    spread = np.sqrt((found[0].var(0) + found[1].var(0)) / count)
    assert (np.abs(found[0].mean(0) - found[1].mean(0)) < 4.5 * spread).all()
    assert (found[0].mean(0) > 0).all()


def test_the_backdrop_may_be_any_family():
    plain = Scene([Bezier(9)])
    for behind in (Perlin(4), Blobs(4)):
        scene = Scene([Bezier(9)], backdrop=behind)
        for color in (False, True):
            frame = Scenes(**MANY, color=color)
            images = fdsl.render(scene, 3, range(0, 32, 4), 3, frame)
            assert images[:, :4].any()  # the corner of most images has no curve
            assert len({image.tobytes() for image in images}) == 8
        forced = fdsl.render(scene, 3, 5, 3, Scenes(**MANY, backdrop="white"))
        if isinstance(behind, Perlin):  # in the core
            same = fdsl.render(plain, 3, 5, 3, Scenes(**MANY, backdrop="white"))
            np.testing.assert_array_equal(forced, same)


@each_scene
def test_a_scene_is_saved_copied_and_sliced_with_its_parts(scene, tmp_path):
    frame = Scenes(**MANY)
    expected = fdsl.render(scene, range(9), 5, 3, frame)
    scene.save(tmp_path / "scene.npz")
    for other in (fdsl.load(tmp_path / "scene.npz"), pickle.loads(pickle.dumps(scene))):
        assert other == scene and other.key() == scene.key() and repr(other) == repr(scene)
        np.testing.assert_array_equal(fdsl.render(other, range(9), 5, 3, frame), expected)
    assert [str(one) for one in scene[2:11:3]] == [str(scene[n]) for n in (2, 5, 8)]
    assert [str(one) for one in scene[::-1]] == [str(scene[n]) for n in range(len(scene))][::-1]
    chosen = [10, 0, 1, 9, 2, 10]
    assert [str(one) for one in scene[chosen]] == [str(scene[n]) for n in chosen]
    if len(scene.parts) > 1:
        with pytest.raises(ValueError, match="alternate between the parts of the scene 100 times"):
            scene[[0, len(scene) - 1] * 50]
    assert scene != scene[1:] and scene.parameters(10)["family"]
    with pytest.raises(IndexError, match="category 99 is out of range"):
        fdsl.render(scene, 99, 0)


def test_styles_of_parts_are_theirs():
    thin = fdsl.Strokes(draw="point")
    lit = {}
    for style in (None, thin, fdsl.Strokes(draw="point", size=64)):
        scene = Scene(Bezier(9), styles=[style])
        lit[style] = np.mean([(one.objects != 0).mean() for one in samples(scene)])
    assert lit[thin] < 0.6 * lit[None]
    assert Scene(Bezier(9), styles=[thin]) != Scene(Bezier(9))
    assert Scene(Bezier(9), styles=[thin]).style_of(0) == thin


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Scene([]), "between 1 and 64 families, got 0"),
        (lambda: Scene([3, 4]), "a part of a scene must be Family, got 3"),
        (lambda: Scene(3.5), "families must be a family, a list of families or a number, got 3.5"),
        (lambda: Scene(FRACTALS), "cannot be a scene itself, got <Scene"),
        (lambda: Scene(Bezier(4), styles=fdsl.Frame()), "a list, one for each family, got Frame"),
        (lambda: Scene([Bezier(4)], styles=[]), "one for each of 1 families, got 0"),
        (lambda: Scene(Bezier(4), styles=[fdsl.Contours()]), "Contours"),
        (lambda: Scene(Bezier(4), styles=[fdsl.Strokes(crop=30)]), "crop of a part must be None"),
        (lambda: Scene(fdsl.IFS.sample(2), styles=[fdsl.Rendering.released()]), "compat of a part"),
        (
            lambda: Scene(4, backdrop_style=fdsl.Frame()),
            "backdrop_style needs a backdrop, got None",
        ),
        (lambda: Scenes(min_objects=0), "min_objects must be between 1 and 1000, got 0"),
        (lambda: Scenes(max_objects=0), "max_objects must be between min_objects and 1000, got 0"),
        (lambda: Scenes(max_scale=0.1), "max_scale must be between min_scale and 1, got 0.1"),
        (lambda: Scenes(overhang=1), "overhang must be between 0 and 0.95, got 1"),
        (lambda: Scenes(max_covered=-0.5), "max_covered must be between 0 and 1, got -0.5"),
        (lambda: Scenes(render_scale=0), "render_scale must be above 0 and at most 1, got 0"),
        (lambda: Scenes(blur=1.5), "blur must be between 0 and 1, got 1.5"),
        (lambda: Scenes(backdrop="sky"), "backdrop must be 'black' or 'white' or 'gray'"),
    ],
)
def test_a_scene_that_cannot_be_made_is_refused(make, said):
    with pytest.raises((TypeError, ValueError), match=said):
        make()


# Training and files


@pytest.mark.parametrize("scene", [MIXED, IN_PYTHON], ids=["mixed", "in Python"])
@pytest.mark.parametrize("target", ["label", "labels", "mask", "boxes"])
def test_streams_loaders_and_data_sets_have_the_same_targets(scene, target):
    torch = pytest.importorskip("torch")
    from fdsl.torch import Dataset, Loader, Stream

    def stream():
        frame = Scenes(**MANY)
        return Stream(scene, rendering=frame, target=target, batch_size=4, steps_per_epoch=3)

    here = list(stream())
    loader = torch.utils.data.DataLoader(stream(), batch_size=None, num_workers=2)
    with Loader(stream()) as ours:
        for batches in (list(loader), list(ours)):
            for (images, found), (expected, wanted) in zip(batches, here, strict=True):
                assert torch.equal(images, expected)
                same(found, wanted)
    data = Dataset(scene, 2, rendering=Scenes(**MANY), target=target)
    image, found = data[2 * 7 + 1]
    sample = scene.sample(7, 1, rendering=Scenes(**MANY))
    np.testing.assert_array_equal(image[0], sample.image)
    if target == "mask":
        kinds = np.array([-1, *sample.categories])
        np.testing.assert_array_equal(found, kinds[sample.objects] + 1)
    if target == "labels":
        visible = set(np.unique(sample.objects).tolist()) - {0}
        assert set(np.flatnonzero(found)) == {sample.categories[n - 1] for n in visible}
    if target == "label":
        assert found == 7


def same(found, wanted):
    if isinstance(found, list):
        for one, other in zip(found, wanted, strict=True):
            assert one.keys() == other.keys()
            for name in one:
                np.testing.assert_array_equal(one[name], other[name])
    else:
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("target", ["mask", "boxes"])
@pytest.mark.parametrize("scene", [MIXED, IN_PYTHON], ids=["mixed", "in Python"])
def test_files_hold_the_targets(scene, target, tmp_path):
    pytest.importorskip("PIL")
    frame = Scenes(**MANY, color=True, object_color="random")
    fdsl.export.shards(scene, tmp_path, instances=2, rendering=frame, target=target, seed=3)
    metadata = fdsl.export.finalize(tmp_path)  # renders a sample of them again
    assert metadata["images"] == 2 * len(scene) and metadata["target"] == target
    assert fdsl.load(tmp_path) == scene


def test_commands_take_a_saved_scene(tmp_path, capsys):
    from fdsl.cli import main

    MIXED.save(tmp_path / "scene.npz")
    source = str(tmp_path / "scene.npz")
    small = ["--size", "48", "--min-objects", "3", "--backdrop", "noise"]
    main(["preview", source, "--categories", "3", "--instances", "2", *small,
          "--out", str(tmp_path / "sheet.png")])  # fmt: skip
    main(["render", source, "--category", "3", *small, "--out", str(tmp_path / "image.png")])
    main(["export", source, str(tmp_path / "out"), "--instances", "1", "--target", "boxes", *small])
    assert (tmp_path / "sheet.png").exists() and (tmp_path / "image.png").exists()
    main(["finalize", str(tmp_path / "out")])
    main(["info", "scene-20", "--images", "10", "--size", "48"])
    assert "20 of Scene" in capsys.readouterr().out


# Presets


def test_instances_are_not_cut_off_within_the_image():
    scene = Scene.instances(30)
    lit = fdsl.render(scene.parts[0], range(30), 3, rendering=scene.style_of(0)) != 0
    border = lit[:, [0, -1]].any(-1).any(-1) | lit[:, :, [0, -1]].any(-1).any(-1)
    assert border.mean() < 0.1 and lit.mean() > 0.05
    frame = Scenes.instances(size=96)
    for index in range(30):
        sample = scene.sample(index, index, 0, frame)
        assert 2 <= len(sample.categories) <= 10


def test_multi_fractal_has_the_programs_fractals_and_backgrounds():
    scene = Scene.multi_fractal(20, seed=4)
    assert scene.parts == (fdsl.IFS.sample(20, seed=4),)
    preset = fdsl.Rendering.wacv22(size=112, zoom=1, shift=0, background=None, blur=0)
    for name in ("size", "num_points", "patch", "shading", "margin", "zoom", "transpose", "blur"):
        assert getattr(scene.style_of(0), name) == getattr(preset, name)
    assert isinstance(scene.backdrop, fdsl.DiamondSquare)
    decays = [one.decay for one in scene.backdrop]
    assert 0.4 < min(decays) < 0.41 and 0.79 < max(decays) < 0.8
    assert Scene.multi_fractal(20, backdrop=Perlin(4)).backdrop == Perlin(4)
    preset = Scenes.wacv22()
    assert preset == Scenes.paper() and preset.image_shape == (224, 224, 3)
    assert Scenes.wacv22(size=64, blur=0) == dataclasses.replace(preset, size=64, blur=0)
    counts = [len(scene.sample(0, index, 0, preset).categories) for index in range(60)]
    assert set(counts) == {1, 2, 3, 4, 5}


def composed(family, rng):
    """Returns an image by the original rules (MultiGenerator of catalys1/fractal-pretraining)
    and where it shows fractals. Fractals and backgrounds are those that test_density.py compares
    with the original's."""
    frame = fdsl.Frame(size=224, color=True)
    noise = fdsl.DiamondSquare([rng.uniform(0.4, 0.8)])
    behind = fdsl.render(noise, 0, rng.integers(2**40), 1, frame, num_threads=1)
    # Room for what lies beyond the border.
    image = np.pad(behind, [(134, 134), (134, 134), (0, 0)])
    covered = np.zeros(image.shape[:2], bool)
    one_fractal = fdsl.Rendering.wacv22(
        size=112, variation=None, zoom=1, shift=0, background=None, blur=0
    )
    for _ in range(rng.integers(1, 6)):
        # Flipped, transposed and colored at random.
        category, index = rng.integers(len(family)), rng.integers(2**40)
        fractal = fdsl.render(family, category, index, 1, one_fractal, num_threads=1)
        side = int(rng.uniform(0.15, 0.6) * 224)
        fractal = np.rint(resized(fractal, side)).astype(np.uint8)
        top, left = rng.integers(-(side // 2), 224 - side // 2, 2)
        where = np.s_[134 + top : 134 + top + side, 134 + left : 134 + left + side]
        shown = fractal.any(-1)
        image[where][shown], covered[where][shown] = fractal[shown], True
    image, covered = image[134:-134, 134:-134], covered[134:-134, 134:-134]
    if rng.random() > 0.5:
        image = np.rint(softened(image, rng.uniform(0.5, 1)))
    return image.astype(float), covered


@pytest.mark.slow
def test_scenes_of_multi_fractal_are_distributed_as_the_programs():
    scene, count = Scene.multi_fractal(50, seed=3), 250
    rng = np.random.default_rng(5)
    categories, indices = rng.integers(50, size=count), rng.integers(2**40, size=count)
    sampled = [
        scene.sample(category, index, 1, Scenes.wacv22())
        for category, index in zip(categories.tolist(), indices.tolist(), strict=True)
    ]
    ours = [(one.image.astype(float), one.objects != 0) for one in sampled]
    theirs = [composed(scene.parts[0], rng) for _ in range(count)]

    def measured(image, covered):
        rows, columns = np.nonzero(covered)
        shown = image[covered] if covered.any() else image[:1, :1].reshape(1, 3)
        steps = np.abs(np.diff(image, axis=1)).mean(-1)
        largest = image.max(-1)
        return [
            covered.mean(),
            covered[:, [0, -1]].mean(),  # of those that hang over the border
            rows.mean() if len(rows) else 111.5,
            columns.mean() if len(rows) else 111.5,
            image.mean(),
            image.std(),
            largest.mean(),
            (largest - image.min(-1)).mean(),
            shown.mean(),
            (shown.max(-1) < 60).mean(),  # the dark outline that resizing leaves
            steps.mean(),
            (steps > 60).mean(),
            (image.argmax(-1) == 0).mean(),
            (image.argmax(-1) == 2).mean(),
        ]

    ours, theirs = (np.array([measured(*one) for one in made]) for made in (ours, theirs))
    z = (ours.mean(0) - theirs.mean(0)) / np.sqrt((ours.var(0) + theirs.var(0)) / count)
    assert np.abs(z).max() < 4, z


def test_objects_have_the_sizes_and_positions_that_were_asked_for():
    # Noise fills its whole square.
    noise = Scene(Perlin(4))
    frame = Scenes(size=200, min_scale=0.2, max_scale=0.5, overhang=0.4, min_objects=1,
                   max_objects=1)  # fmt: skip
    inside, corners = [], []
    for index in range(0, 2400, 4):
        rows, columns = np.nonzero(noise.sample(0, index, 0, frame).objects)
        top, left, bottom, right = rows.min(), columns.min(), rows.max() + 1, columns.max() + 1
        if top > 0 and bottom < 200 and left > 0 and right < 200:
            assert bottom - top == right - left
            inside.append(bottom - top)
        corners.append([top == 0, bottom == 200, left == 0, right == 200])
    assert 40 <= min(inside) < 50 and 85 < max(inside) < 100
    # Of 200 − s + 0.8·s + 1 corners, 0.4·s lie outside on each side: 16% for s = 70.
    np.testing.assert_allclose(np.mean(corners, 0), 0.15, atol=0.05)


def test_the_page_shows_what_its_script_draws(tmp_path, monkeypatch):
    Image = pytest.importorskip("PIL.Image")
    monkeypatch.chdir(tmp_path)
    page = ROOT / "docs/scenes.md"
    script = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.S)
    exec(compile("\n".join(script), page, "exec"), {})
    ours, theirs = (np.array(Image.open(at)) for at in ("scenes.png", ROOT / "docs/scenes.png"))
    np.testing.assert_array_equal(ours, theirs)


def test_the_seed_of_instances_decides_their_shapes():
    first, same, other = (Scene.instances(5, seed=seed) for seed in (0, 0, 1))
    assert first == same != other


class Coarse(fdsl.Scene):
    """Scenes with two labels."""

    def __init__(self, count):
        super().__init__(fdsl.Perlin(count))

    def labels(self, addresses, seed, label_noise):
        return super().labels(addresses, seed, label_noise) % 2


def test_a_subclass_keeps_its_class_in_copies_and_other_processes():
    scene = Coarse(4)
    for same in (copy.copy(scene), pickle.loads(pickle.dumps(scene))):
        assert type(same) is Coarse and same == scene
