"""SegRCDB: the released code replayed, and scenes of our own with exact masks."""

import hashlib

import fdsl
import numpy as np
import pytest
from fdsl import RingScenes, SegRCDB
from fdsl.job import Job
from published import agreement, reference

LAYERS = ["image", "strokes", "between", "filled"]
#: SHA-256 of the original classes, rows n λ w r L ox oy.
CLASSES = "a2f0326b81557ddf8c812ace227142bea7d98a2b1386cae548f29d3db3160503"
SMALL = {"size": (64, 96), "objects": 6}


def rendered(family, frame, category, index, seed=0):
    """Returns the image, the map of objects, and their categories."""
    image = np.empty((1, *frame.image_shape), np.uint8)
    objects = np.empty((1, *frame.output_size), np.uint16)
    address = np.array([category], np.uint64), np.array([index], np.uint64)
    found = family.render_into(Job(frame, seed), address, image, objects).objects
    return image[0], objects[0], found[0]


def test_the_classes_are_the_programs():
    rows = SegRCDB()._arrays()["classes"][:, [0, 2, 3, 4, 1, 5, 6]]
    assert hashlib.sha256(np.ascontiguousarray(rows, "<f8").tobytes()).hexdigest() == CLASSES
    assert len(SegRCDB()) == 254 and fdsl.Scene.segrcdb() == fdsl.load("segrcdb-254") == SegRCDB()
    assert SegRCDB(300)[:254] == SegRCDB()
    first = SegRCDB()[0]
    assert (first.vertices, first.rings, first.radius) == (186, 49, 32)
    assert first.noise == 3.560975683348524 and first.oval[1] == 1.9182343317851318


@pytest.mark.parametrize("mask", LAYERS[1:])
def test_images_and_masks_are_the_programs(mask):
    told, arrays = reference("segrcdb")
    for made, layers in zip(told["pictures"], arrays["pictures"], strict=True):
        number = 500 * (made["seed"] - 1)  # the first image of its process
        frame = RingScenes.released(mask=mask)
        image, objects, found = rendered(SegRCDB(), frame, number % 254, number // 254)
        np.testing.assert_array_equal(image, layers[0])
        assert agreement(image, layers[0]) == 1
        assert [one + 1 for one in found] == [one["category"] for one in made["objects"]]
        ours, theirs = (
            np.array([0, *(one + 1 for one in found)])[objects],
            layers[LAYERS.index(mask)],
        )
        labeled = (ours != 0) | (theirs != 0)
        equal = (ours == theirs)[labeled].mean()
        assert equal == 1 if mask == "strokes" else equal >= 0.99


def test_replayed_images_do_not_depend_on_the_order_of_rendering():
    family, frame = SegRCDB(), RingScenes.released(size=64)
    numbers = np.array([3, 1, 2, 501, 0, 2, 500, 3, 7])
    together = fdsl.render(family, numbers % 254, numbers // 254, rendering=frame, num_threads=1)
    for number, image in zip(numbers, together, strict=True):
        others = RingScenes.released(size=64, objects=3)
        fdsl.render(family, 5, 0, rendering=others, num_threads=1)  # in the same thread
        alone = fdsl.render(family, number % 254, number // 254, rendering=frame, num_threads=1)
        np.testing.assert_array_equal(alone, image)
    with pytest.raises(ValueError, match="needs the 254 classes of the released code"):
        fdsl.render(SegRCDB(9), 0, 0, rendering=frame)


@pytest.mark.parametrize("mask", LAYERS[1:])
def test_lit_pixels_belong_to_objects(mask):
    frame = RingScenes(**SMALL, mask=mask)
    family, inside = SegRCDB(40), 0
    for index in range(0, 80, 4):
        image, objects, categories = rendered(family, frame, index % 40, index)
        assert len(categories) == 6 and categories[-1] == index % 40
        lit, marked = image != 0, objects != 0
        if mask == "strokes":
            assert not (lit & ~marked).any()
            assert (marked & ~lit).mean() < 0.02  # of rings whose gray is 0
        inside += (marked & ~lit).mean()
        assert lit.any() and marked.any()
    assert inside > 0.1 or mask == "strokes"


@pytest.mark.parametrize("mask", LAYERS[1:])
def test_flips_and_crops_move_masks_with_the_image(mask):
    family, frame = SegRCDB(40), RingScenes(**SMALL, mask=mask)
    cut = RingScenes(**SMALL, mask=mask, crop=(32, 48), crop_position="center")
    image, objects, _ = rendered(family, frame, 7, 8)
    for flip in range(4):
        down, across = (-1 if flip & 1 else 1), (-1 if flip & 2 else 1)
        other = rendered(family, frame, 7, 8 + flip)
        np.testing.assert_array_equal(other[0], image[::down, ::across])
        np.testing.assert_array_equal(other[1], objects[::down, ::across])
    compared = 0
    for category in range(40):
        if fdsl.render(family, category, 8, 0, cut, return_retries=True)[1] == 0:
            image, objects, _ = rendered(family, frame, category, 8)
            part = rendered(family, cut, category, 8)
            np.testing.assert_array_equal(part[0], image[16:48, 24:72])
            np.testing.assert_array_equal(part[1], objects[16:48, 24:72])
            compared += 1
    assert compared > 10


def test_small_crops_are_not_blank_and_bytes_do_not_depend_on_the_processor():
    family, frame = SegRCDB(40), RingScenes(size=64, objects=2, crop=6, color=True)
    arguments = (family, np.arange(40), np.arange(40) * 3, 1, frame)
    expected, retries = fdsl.render(*arguments, 1, simd="plain", return_retries=True)
    assert expected.reshape(40, -1).any(1).all() and retries.max() > 0
    for simd in fdsl._core.simd_paths():
        np.testing.assert_array_equal(fdsl.render(*arguments, 8, simd=simd), expected)


@pytest.mark.parametrize("target", ["labels", "mask", "boxes"])
def test_a_stream_and_files_have_the_targets(target, tmp_path):
    pytest.importorskip("PIL")
    torch = pytest.importorskip("torch")
    import fdsl.export
    from fdsl.torch import Stream

    def stream():
        frame = RingScenes(**SMALL)
        return Stream(SegRCDB(9), rendering=frame, target=target, batch_size=4, steps_per_epoch=2)

    here = list(stream())
    loader = torch.utils.data.DataLoader(stream(), batch_size=None, num_workers=2)
    for (images, _), (expected, _) in zip(loader, here, strict=True):
        assert torch.equal(images, expected)
    settings = {"instances": 2, "rendering": RingScenes(**SMALL), "target": target}
    fdsl.export.shards(SegRCDB(9), tmp_path, **settings)
    assert fdsl.export.finalize(tmp_path)["images"] == 18
    SegRCDB(9)[2:5].save(tmp_path / "some.npz")
    assert fdsl.load(tmp_path / "some.npz") == SegRCDB(9)[2:5]


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: SegRCDB(0), "categories must lie between 1 and 16,777,216, got 0"),
        (lambda: SegRCDB([[2, 1, 0, 0, 5, 1, 1]]), "vertices must be a whole number between 3"),
        (lambda: SegRCDB([[3, 1, 0, 0, 500, 1, 1]]), "radius must be between 0 and 256, got 500"),
        (lambda: RingScenes(objects=256), "objects must be between 1 and 255, got 256"),
        (lambda: RingScenes(mask="M1"), "mask must be 'strokes' or 'between' or 'filled'"),
    ],
)
def test_what_it_cannot_be_is_refused(make, said):
    with pytest.raises(ValueError, match=said):
        make()
