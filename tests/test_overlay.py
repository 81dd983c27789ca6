"""Masks and boxes beside their images: ``fdsl.show``, contact sheets and ``fdsl preview``."""

import colorsys
import dataclasses

import fdsl
import numpy as np
import pytest
from families_in_python import Scenes
from fdsl.cli import main
from fdsl.preview import contact_sheet

SCENE = fdsl.Scene([fdsl.Bezier(4), fdsl.Perlin(9)])
GRAY = fdsl.Scenes(size=(48, 64), crop=(40, 56), min_objects=3, max_objects=9, backdrop="gray")
COLOR = dataclasses.replace(GRAY, color=True, object_color="random", backdrop="noise")
FRAME = fdsl.Frame(size=(40, 56), crop=(32, 30))
CASES = [(SCENE, GRAY), (SCENE, COLOR), (Scenes(7), FRAME), (fdsl.SegRCDB(), None)]
NAMES = ["gray", "color", "in Python", "SegRCDB"]


def color(number):
    hue = number * 0.3819660112501051 % 1
    return [int(255 * channel) for channel in colorsys.hsv_to_rgb(hue, 0.6, 1)]


def outline(box):
    """The y and x of the pixels on the border of a box."""
    left, top, right, bottom = map(int, box)
    return [
        (y, x)
        for y in range(top, bottom)
        for x in range(left, right)
        if y in (top, bottom - 1) or x in (left, right - 1)
    ]


def expected(image, target):
    """Computes the overlay with slow loops."""
    height, width = image.shape[:2]
    over = (np.broadcast_to(image.reshape(height, width, -1), (height, width, 3)) // 4).copy()
    boxes = isinstance(target, dict)
    masks = target["masks"] if boxes else [target == n for n in range(1, target.max() + 1)]
    for number, mask in enumerate(masks):
        for y, x in np.argwhere(mask):
            over[y, x] = color(number)
    for number, box in enumerate(target["boxes"] if boxes else ()):
        for y, x in outline(box):
            over[y, x] = color(number)
    return over


@pytest.mark.parametrize("target", ["mask", "boxes"])
@pytest.mark.parametrize(("family", "rendering"), CASES, ids=NAMES)
def test_a_target_is_shown_to_the_right_of_its_image(family, rendering, target):
    data = fdsl.Dataset(family, 5, rendering=rendering, target=target, seed=3)
    numbers = set()
    for item in (4, 11, 23, 32):
        shown = fdsl.show(family, *divmod(item, 5), seed=3, rendering=rendering, target=target)
        image, wanted = data[item]
        height, width = image.shape[:2]
        assert shown.pixels.shape == (height, 2 * width, 3) and shown.pixels.dtype == np.uint8
        left, right = shown.pixels[:, :width], shown.pixels[:, width:]
        plain = fdsl.render(family, *divmod(item, 5), 3, rendering)
        np.testing.assert_array_equal(
            left, plain if plain.ndim == 3 else plain[..., None] + [0] * 3
        )
        np.testing.assert_array_equal(right, expected(image, wanted))
        numbers |= set(np.unique(wanted["labels"] if target == "boxes" else wanted)) - {0}
    assert len(numbers) > 2


def test_a_category_has_the_same_color_in_every_mask_and_objects_have_their_own_in_boxes():
    one = fdsl.Scene([fdsl.Bezier(4)])[2:3]  # a single category
    rendering = fdsl.Scenes(size=64, min_objects=4, max_objects=4)
    for target, of_most in (("mask", 1), ("boxes", 4)):
        pixels = fdsl.show(one, 0, 1, rendering=rendering, target=target).pixels[:, 64:]
        colors = {tuple(pixel) for pixel in pixels.reshape(-1, 3).tolist() if max(pixel) == 255}
        assert len(colors) == of_most


@pytest.mark.parametrize("target", ["mask", "boxes"])
def test_a_sheet_shows_the_target_of_every_image(target):
    categories, instances = [12, 0], [0, 7, 2**64 - 1]
    sheet = contact_sheet(
        SCENE, categories, instances, rendering=GRAY, seed=3, label=False, target=target
    )
    assert sheet.shape == (2 * 42, 3 * 114, 3)
    row = fdsl.show(SCENE, categories, instances, seed=3, rendering=GRAY, target=target)
    np.testing.assert_array_equal(row.pixels, sheet)
    for r, category in enumerate(categories):
        for c, index in enumerate(instances):
            cell = sheet[42 * r : 42 * r + 40, 114 * c : 114 * c + 112]
            alone = fdsl.show(SCENE, category, index, seed=3, rendering=GRAY, target=target)
            np.testing.assert_array_equal(cell, alone.pixels)


def test_labels_stand_above_the_images_and_do_not_cover_their_targets():
    pytest.importorskip("PIL")
    plain = contact_sheet(SCENE, 2, 4, rendering=GRAY, target="mask", label=False)
    labeled = contact_sheet(SCENE, 2, 4, rendering=GRAY, target="mask")
    np.testing.assert_array_equal(labeled[16:, 48:], plain)
    for number in range(4):
        assert labeled[:16, 48 + 114 * number :][:, :56].any()


def test_labels_are_written_by_an_old_pillow_too(monkeypatch):
    font = pytest.importorskip("PIL.ImageFont")
    only_size = font.load_default()
    plain = contact_sheet(SCENE, 2, 4, rendering=GRAY, label=False)
    monkeypatch.setattr(font, "load_default", lambda: only_size)  # before 10.1
    assert contact_sheet(SCENE, 2, 4, rendering=GRAY).sum() > plain.sum()


@pytest.mark.parametrize("rendering", [GRAY, COLOR], ids=["gray", "color"])
def test_a_label_shows_nothing_but_the_image(rendering):
    sheet = {"rendering": rendering, "label": False}
    for target in ({}, {"target": None}, {"target": "label"}):
        alone = fdsl.show(SCENE, 3, 2, seed=5, rendering=rendering, **target).pixels
        np.testing.assert_array_equal(alone, fdsl.render(SCENE, 3, 2, 5, rendering))
        images = contact_sheet(SCENE, [3], [2, 4], **sheet, **target)
        assert images.shape == (42, 2 * 58, *alone.shape[2:])
        np.testing.assert_array_equal(images[:40, :56], fdsl.render(SCENE, 3, 2, 0, rendering))


def test_targets_that_a_family_does_not_offer_are_refused_as_a_dataset_refuses_them():
    for family, target in (
        (fdsl.Bezier(4), "mask"),
        (fdsl.fractaldb(4), "labels"),
        (SCENE, "depth"),
    ):
        with pytest.raises(ValueError) as refusal:
            fdsl.Dataset(family, target=target)
        for show in (fdsl.show, contact_sheet):
            with pytest.raises(ValueError) as same:
                show(family, target=target)
            assert str(same.value) == str(refusal.value)


@pytest.mark.parametrize("show", [fdsl.show, contact_sheet])
def test_labels_of_objects_cannot_be_shown(show):
    with pytest.raises(ValueError, match="must be 'mask' or 'boxes' to be shown, got 'labels'"):
        show(SCENE, target="labels")


@pytest.mark.parametrize("target", [None, "boxes"])
def test_addresses_out_of_range_are_refused_with_a_target_too(target):
    for category, index in ((13, 0), (2**64, 0), (0, 2**64), ([0, 2**64], 0)):
        with pytest.raises(IndexError):
            fdsl.show(SCENE, category, index, rendering=GRAY, target=target)
    with pytest.raises(IndexError):
        contact_sheet(SCENE, [13], 1, rendering=GRAY, target=target, label=False)


def test_images_with_targets_count_twice_for_the_size_of_a_sheet():
    large = fdsl.Scenes(size=4096)
    with pytest.raises(ValueError, match="1×9 images of 4096×8192: 301,989,888"):
        contact_sheet(SCENE, 1, 9, rendering=large, target="mask", label=False)


@pytest.mark.parametrize("target", ["mask", "boxes"])
def test_preview_writes_targets(target, tmp_path, capsys):
    Image = pytest.importorskip("PIL.Image")
    SCENE.save(tmp_path / "scene.npz")
    out = tmp_path / "sheet.png"
    words = f"--category 3,12 --index 0-2 --size 48 --seed 4 --no-labels --target {target}".split()
    assert main(["preview", str(tmp_path / "scene.npz"), *words, "--out", str(out)]) == 0
    wanted = fdsl.show(SCENE, [3, 12], range(3), seed=4, size=48, target=target)
    np.testing.assert_array_equal(np.array(Image.open(out).convert("RGB")), wanted.pixels)


def test_preview_refuses_targets_in_a_sentence(tmp_path, capsys):
    out = tmp_path / "x.png"
    with pytest.raises(SystemExit, match="2"):
        main(["preview", "bezier-4", "--target", "labels", "--out", str(out)])
    assert "invalid choice: 'labels'" in capsys.readouterr().err
    assert main(["preview", "bezier-4", "--target", "mask", "--out", str(out)]) == 2
    assert "Bezier has no target 'mask'; it has 'label'" in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.parametrize(
    ("pixels", "error", "says"),
    [
        (np.zeros((4, 4)), TypeError, "pixels must be a uint8 array, got float64"),
        ([[1, 2]], TypeError, "pixels must be a uint8 array, got list"),
        (np.zeros((3, 4, 4), np.uint8), ValueError, r"\(H, W\) or \(H, W, 3\), got \(3, 4, 4\)"),
        (np.zeros((0, 4), np.uint8), ValueError, r"got \(0, 4\)"),
    ],
)
def test_what_is_no_image_is_refused(pixels, error, says):
    with pytest.raises(error, match=says):
        fdsl.Image(pixels)
