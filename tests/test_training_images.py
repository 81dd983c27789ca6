"""Images and labels to fine-tune on."""

import gzip
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from packages import TRAINING, need

need(*TRAINING)

import torch
from fdsl.torch import Normalize
from fdsl.torch.training import Augmentation, LabeledImages, Validation, choose_labels, read_idx
from PIL import Image

#: Two black images.
EMPTY = np.zeros((2, 8, 8), np.uint8)


@pytest.mark.parametrize("mode", ["I;16", "I"])
def test_an_image_of_sixteen_bits_keeps_its_upper_eight(tmp_path: Path, mode: str) -> None:
    shades = np.arange(0, 2**16, 256, dtype=np.uint16).reshape(16, 16) + 3
    stored = shades if mode == "I;16" else shades.astype(np.int32)
    Image.fromarray(stored).save(tmp_path / "one.tif")
    assert Image.open(tmp_path / "one.tif").mode == mode
    decoded, _ = LabeledImages([tmp_path / "one.tif"], [0], ["chest"], 16)[0]
    np.testing.assert_array_equal(decoded, np.broadcast_to(shades >> 8, (3, 16, 16)))
    Image.fromarray(np.int32([[255, 0], [7, 9]])).save(tmp_path / "few.tif")  # 8 bits in 32
    few, _ = LabeledImages([tmp_path / "few.tif"], [0], ["chest"], 2)[0]
    assert few[0].tolist() == [[255, 0], [7, 9]]


@pytest.mark.parametrize(
    "pixels, found",
    [
        (np.float32([[0, 0.5]]), "0.0 to 0.5 in Pillow's mode F"),
        (np.int32([[7, 65536]]), "7 to 65536 in Pillow's mode I"),
        (np.int32([[-1, 7]]), "-1 to 7 in Pillow's mode I"),
    ],
)
def test_an_image_of_other_numbers_is_refused(tmp_path: Path, pixels: Any, found: str) -> None:
    file = tmp_path / "one.tif"
    Image.fromarray(pixels).save(file)
    says = f"{file} must hold integers between 0 and 65535, got {found}"
    with pytest.raises(ValueError, match=re.escape(says)):
        LabeledImages([file], [0], ["chest"], 16)[0]


def test_images_kept_in_memory_are_those_decoded_from_disk(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    files = [tmp_path / f"{i}.png" for i in range(5)]
    arrays = [rng.integers(0, 256, (20, 24, 3), dtype=np.uint8) for _ in files]
    for file, pixels in zip(files, arrays, strict=True):
        Image.fromarray(pixels).save(file)
    labels, classes = [0, 1, 2, 1, 0], ["a", "b", "c"]
    disk = LabeledImages(files, labels, classes, 16, cache_bytes=0)
    kept = LabeledImages(files, labels, classes, 16)
    memory = LabeledImages(arrays, labels, classes, 16)
    assert kept.cached and not disk.cached
    assert not any(part.cached for part in disk.held_out(0.4)) and not disk.only(["b", "c"]).cached
    parts = [np.array([4, 0]), np.array([2])]
    expected = [(x, y) for x, y in disk.batches(parts, num_workers=1)]
    assert [tuple(x.shape) for x, _ in expected] == [(2, 3, 16, 16), (1, 3, 16, 16)]
    assert [y.tolist() for _, y in expected] == [[0, 0], [2]]
    for images in (kept, memory):
        for mine, theirs in zip(images.batches(parts), expected, strict=True):
            assert torch.equal(mine[0], theirs[0]) and torch.equal(mine[1], theirs[1])
    for file in files:
        file.unlink()
    assert torch.equal(kept[4][0], expected[0][0][0])  # decoded once
    with pytest.raises(FileNotFoundError):
        disk[4]


def test_some_classes_may_be_chosen() -> None:
    arrays = np.arange(4, dtype=np.uint8)[:, None, None] * np.ones((1, 8, 8), np.uint8)
    images = LabeledImages(arrays, [2, 0, 1, 2], ["ant", "bee", "cat"], 8)
    some = images.only(["cat", "ant"])
    assert some.classes == ["ant", "cat"] and some.labels.tolist() == [1, 0, 1]
    assert [int(some[i][0].max()) for i in range(3)] == [0, 1, 3]
    with pytest.raises(ValueError, match="there is no class 'dog'; there are ant, bee, cat, …"):
        images.only(["ant", "dog"])
    with pytest.raises(ValueError, match="must name two or more"):
        images.only(["ant"])


def test_images_held_out_are_not_trained_on() -> None:
    numbers = np.arange(40, dtype=np.uint8)
    source = np.broadcast_to(numbers[:, None, None], (40, 8, 8))
    images = LabeledImages(source, numbers % 2, ["even", "odd"], 8)
    parts = images.held_out(0.25, seed=3)
    assert [len(part) for part in parts] == [30, 10]
    shown = [{int(image[0, 0, 0]) for image, _ in part} for part in parts]
    assert shown[0] | shown[1] == {*range(40)}
    for part in parts:
        assert all(int(image[0, 0, 0]) % 2 == int(label) for image, label in part)
    again, other = images.held_out(0.25, seed=3)[1], images.held_out(0.25, seed=4)[1]
    assert [*again.labels] == [*parts[1].labels]
    assert {int(image[0, 0, 0]) for image, _ in other} != shown[1]
    with pytest.raises(ValueError, match=r"a share of 0\.01 of 40 images leaves one part empty"):
        images.held_out(0.01)


def test_fewer_labels_are_a_part_of_more() -> None:
    labels = np.repeat(np.arange(3), 20)
    few = choose_labels(labels, per_class=2, seed=5)
    more = choose_labels(labels, share=0.5, seed=5)
    assert np.bincount(labels[few]).tolist() == [2, 2, 2] and len(more) == 30
    assert {*few} < {*more}
    assert choose_labels(labels, per_class=2, seed=6).tolist() != few.tolist()
    rare = np.repeat(np.arange(3), (20, 4, 1))
    assert np.bincount(rare[choose_labels(rare, share=0.05)]).tolist() == [1, 1, 1]
    with pytest.raises(ValueError, match="21 images per class: class 0 has only 20"):
        choose_labels(labels, per_class=21)
    with pytest.raises(ValueError, match=r"share must be above 0 and at most 1, got 1\.5"):
        choose_labels(labels, share=1.5)
    several = np.zeros((10, 4), dtype=np.int64)
    assert len(choose_labels(several, share=0.3)) == 3
    with pytest.raises(ValueError, match="needs one label per image"):
        choose_labels(several, per_class=1)


@pytest.mark.parametrize(
    "make, error, says",
    [
        (lambda: Augmentation(4)(torch.rand(2, 3, 8, 8)), ValueError, "uint8 .*torch.float32"),
        (lambda: LabeledImages(np.ones((1, 8, 8)), [0], ["a"], 8), TypeError, "got an array of fl"),
        (lambda: LabeledImages(EMPTY, [0], ["a"], 8), ValueError, "got 2 images, but 1 labels"),
        (lambda: LabeledImages(EMPTY, [0.9, 0.2], ["a"], 8), TypeError, "integers, got float64"),
        (lambda: LabeledImages(EMPTY, [0, 1], ["a"], 8), ValueError, "0 and 0, got 1"),
        (lambda: LabeledImages(EMPTY, [0, -1], ["a"], 8), ValueError, "0 and 0, got -1"),
        (
            lambda: LabeledImages(EMPTY, [[0] * 3] * 2, ["a"], 8),
            ValueError,
            r"\(2, 1\), got \(2, 3\)",
        ),
        (lambda: LabeledImages([np.ones((8, 8))], [0], ["a"], 8), TypeError, "got an array of fl"),
        (lambda: LabeledImages([5], [0], ["a"], 8), TypeError, "file or a uint8 array, got 5"),
        (lambda: LabeledImages([None], [0], ["a"], 8), TypeError, "a uint8 array, got None"),
        (lambda: Validation(2).compute(), RuntimeError, "nothing to score"),
        (lambda: choose_labels(np.arange(3), per_class=0), ValueError, "at least 1, got 0"),
        (lambda: Normalize(dtype=torch.int64), TypeError, "floating-point dtype .*torch.int64"),
    ],
)
def test_a_wrong_array_is_one_sentence(make: Any, error: Any, says: str) -> None:
    with pytest.raises(error, match=says):
        make()


@pytest.mark.parametrize("shape", [(3, 8, 8), (8, 8, 1), (8, 8, 2), (8, 8, 4), (0, 8), (8,)])
def test_images_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    says = re.escape(f"an image must have pixels, (H, W) or (H, W, 3), got shape {shape}")
    for images in (np.zeros((1, *shape), np.uint8), [torch.zeros(shape).byte()]):
        with pytest.raises(ValueError, match=says):
            LabeledImages(images, [0], ["a"], 8)


def test_images_may_be_a_tensor() -> None:
    images = torch.arange(2 * 8 * 8, dtype=torch.uint8).reshape(2, 8, 8)
    for source in (images, list(images)):
        assert torch.equal(LabeledImages(source, [0, 1], ["a", "b"], 8)[1][0][0], images[1])


SHORT_GZIP = gzip.compress(b"\0\0\x08\x01\0\0\0\x63" + bytes(99), mtime=0)[:-9]


@pytest.mark.parametrize(
    "name, content, says",
    [
        ("a", b"\0\0\x08\x01\0\0\0\x03\1\2", "it must hold 3 values, [3], got 2"),
        ("a", b"\0\0\x08\x01\0\0", "it ends within its header, after 6 of 8 bytes"),
        (
            "a",
            b"\0\0\x0d\x01" + bytes(12),
            "it must begin with 00 00 08 01, got 00 00 ",
        ),
        ("a", b"", "it must begin with 00 00 08 01, got "),
        ("a.gz", SHORT_GZIP, "Compressed file ended before"),
        ("a.gz", b"plain", "Not a gzipped file"),
        ("a", b"\0\0\x08\x01\0\0\0\x03" + bytes(9), "it must hold 3 values, [3], got more"),
    ],
)
def test_a_damaged_idx_file_is_named(tmp_path: Path, name: str, content: bytes, says: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=re.escape(f"cannot read {tmp_path / name}: {says}")):
        read_idx(tmp_path / name, 1)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        read_idx(tmp_path / "nowhere", 1)


def test_labeled_images_may_be_written_to() -> None:
    images = LabeledImages(np.full((1, 8, 8), 7, np.uint8), [0], ["a", "b"], 8)
    images[0][0].zero_()
    assert images[0][0].max() == 7
    several = LabeledImages(np.zeros((1, 8, 8), np.uint8), [[1, 0]], ["a", "b"], 8)
    several[0][1].zero_()
    assert several[0][1].tolist() == [1, 0]
