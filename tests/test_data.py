"""The images that the examples fine-tune on, from small files laid out as the real ones."""

import gzip
import pickle
from pathlib import Path

import numpy as np
import pytest
from scripts import need

need()

import data
import finetune
import torch
import torchvision
from PIL import Image


def load(name, root, size=16, **more):
    return data.load(name, root, size, **more)


def image(path, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (20, 24, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def folders(tmp_path):
    """A set of class folders called pets, inside a data root."""
    for part, count in (("train", 3), ("val", 2)):
        for name in ("cats", "dogs", "fish"):
            for i in range(count):
                image(tmp_path / "pets" / part / name / f"{i}.png", i)
    return tmp_path


def test_a_folder_is_found_by_its_path_or_inside_the_root(folders):
    for name, root in (("pets", folders), (str(folders / "pets"), Path("nowhere"))):
        train, val = load(name, root)
        assert train.classes == val.classes == ["cats", "dogs", "fish"]
        assert train.labels.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
        assert val.labels.tolist() == [0, 0, 1, 1, 2, 2]


def test_a_damaged_image_is_named(folders):
    damaged = folders / "pets" / "train" / "cats" / "0.jpg"
    image(damaged)
    damaged.write_bytes(damaged.read_bytes()[:400])
    train, _ = load("pets", folders)
    with pytest.raises(OSError, match=r"0\.jpg"):
        for position in range(len(train)):
            train[position]


@pytest.mark.parametrize("damage", ["length", "bomb"])
def test_an_image_that_pillow_refuses_is_named(folders, monkeypatch, damage):
    file = folders / "pets" / "train" / "cats" / "0.png"
    if damage == "length":
        content = bytearray(file.read_bytes())
        content[33:37] = (100).to_bytes(4, "big")  # the length of the pixels, which is more
        file.write_bytes(content)
    else:
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 20)
    train, _ = load("pets", folders)
    with pytest.raises(OSError, match=r"cannot read .*0\.png: "):
        train[0]


def test_a_list_keeps_its_classes_alone(folders):
    names = folders / "two.txt"
    names.write_text("fish\n\ncats\n")
    train, val = load("pets", folders, classes=names)
    assert train.classes == ["cats", "fish"] and val.labels.tolist() == [0, 0, 1, 1]
    whole, _ = load("pets", folders)
    assert torch.equal(train[3][0], whole[6][0])


@pytest.mark.parametrize(
    "words, sentence",
    [
        ("cats\nunicorns\n", "there is no class 'unicorns'; there are cats"),
        ("cats\n", "must name two or more"),
        ("cats\nkälber\n", r"cannot read .*list\.txt: 'utf-8' codec can't decode byte 0xe4"),
    ],
)
def test_a_list_that_cannot_be_is_refused(folders, words, sentence):
    names = folders / "list.txt"
    names.write_text(words, encoding="latin-1")
    with pytest.raises(ValueError, match=sentence):
        load("pets", folders, classes=names)
    with pytest.raises(FileNotFoundError, match=r"nowhere\.txt"):
        load("pets", folders, classes=Path("nowhere.txt"))


@pytest.mark.parametrize("name", ["cifar10", "imagenet"])
def test_cifar_and_imagenet_may_lie_as_class_folders(folders, name):
    (folders / "pets").rename(folders / name)
    train, _ = load(name, folders)
    assert train.classes == ["cats", "dogs", "fish"]


@pytest.mark.parametrize(
    "name, needs",
    [
        ("fashion-mnist", "train-images-idx3-ubyte.gz"),
        ("cifar100", "cifar-100-python/"),
        ("imagenet", "ILSVRC2012_img_train.tar"),
        ("places365", "categories_places365.txt"),
        ("voc2012", "VOCdevkit/VOC2012/"),
        ("omniglot", "images_background/"),
        ("imagenet-100", "train/ and val/"),
    ],
)
def test_a_missing_set_says_where_it_was_looked_for_and_what_belongs_there(tmp_path, name, needs):
    with pytest.raises(FileNotFoundError) as error:
        load(name, tmp_path)
    assert needs in str(error.value)
    assert str(tmp_path) in str(error.value)


def test_places365_are_read_from_its_lists(tmp_path, monkeypatch):
    (tmp_path / "categories_places365.txt").write_text("/a/airfield 0\n/a/attic 1\n")
    lists = {"train_standard": "/a/airfield/1.jpg 0\n/a/attic/2.jpg 1\n", "val": "3.jpg 1\n"}
    for part, words in lists.items():
        (tmp_path / f"places365_{part}.txt").write_text(words)
    for name in ("data_256_standard/a/airfield/1", "data_256_standard/a/attic/2", "val_256/3"):
        image(tmp_path / f"{name}.jpg")
    # torchvision knows the real lists by their digests.
    monkeypatch.setattr(torchvision.datasets.places365, "check_integrity", lambda *_, **__: True)
    train, val = load("places365", tmp_path)
    assert train.classes == ["/a/airfield", "/a/attic"]
    assert train.labels.tolist() == [0, 1] and val.labels.tolist() == [1]


@pytest.fixture
def voc(tmp_path):
    """Pascal VOC 2012 with three images to train on and two to validate on."""
    base = tmp_path / "VOCdevkit/VOC2012"
    shown = {
        "a": [("dog", 0), ("dog", 1)],
        "b": [("cat", 1), ("person", 0)],
        "c": [("person", 1), ("person", 0)],
        "d": [("dog", 0)],
        "e": [("cat", 0), ("dog", 1)],
    }
    for name, things in shown.items():
        image(base / f"JPEGImages/{name}.jpg")
        words = "".join(
            f"<object><name>{thing}</name><difficult>{hard}</difficult></object>"
            for thing, hard in things
        )
        (base / "Annotations").mkdir(exist_ok=True)
        (base / f"Annotations/{name}.xml").write_text(f"<annotation>{words}</annotation>")
    lists = base / "ImageSets/Main"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("a\nb\nc\n")
    (lists / "val.txt").write_text("d\ne\n")
    return tmp_path


def test_voc_has_many_labels_and_difficult_ones_do_not_count(voc):
    train, val = load("voc2012", voc)
    assert len(train.classes) == 20
    cat, dog, person = (train.classes.index(name) for name in ("cat", "dog", "person"))
    assert train.labels[:, [cat, dog, person]].tolist() == [[0, 1, 0], [-1, 0, 1], [0, 0, 1]]
    assert val.labels[:, [cat, dog]].tolist() == [[0, 1], [1, -1]]
    _, labels = next(iter(train.batches([np.array([1])])))
    assert labels.shape == (1, 20) and labels[0, cat] == -1


@pytest.mark.parametrize(
    "words, sentence",
    [
        ("<annotation><object>", "no element found"),
        (
            "<annotation><object><name>unicorn</name></object></annotation>",
            "'unicorn' is missing or",
        ),
        ("<annotation><object/></annotation>", "'' is missing or unknown"),
    ],
)
def test_an_annotation_that_cannot_be_read_is_named(voc, words, sentence):
    (voc / "VOCdevkit/VOC2012/Annotations/b.xml").write_text(words)
    with pytest.raises(ValueError, match=rf"cannot read .*b\.xml: {sentence}"):
        load("voc2012", voc)


def test_many_labels_are_learned_and_judged_by_average_precision(voc, tmp_path, capsys):
    run = ["--data", "voc2012", "--data-root", str(voc), "--from", "scratch", "--size", "32"]
    run += ["--model", "resnet10s", "--batch-size", "2", "--epochs", "1", "--device", "cpu"]
    assert finetune.main([*run, "--workers", "0", "--out", str(tmp_path / "out")]) == 0
    assert '"measure": "mAP"' in (tmp_path / "out/result.json").read_text()
    assert finetune.main([*run, "--per-class", "1", "--out", str(tmp_path / "two")]) == 2
    assert finetune.main([*run, "--probe", "--out", str(tmp_path / "three")]) == 2
    assert finetune.main([*run, "--mixup", "1", "--out", str(tmp_path / "four")]) == 2
    assert "mixup and CutMix need one label per image, (B,), got" in capsys.readouterr().err


def test_the_loss_of_many_labels_leaves_out_what_does_not_count():
    logits, labels = torch.tensor([[0.0, 9.0]]), torch.tensor([[1, -1]])
    assert finetune.compute_loss(logits, labels).item() == pytest.approx(np.log(2))


def test_omniglot_is_divided_by_who_drew(tmp_path):
    base = tmp_path / "omniglot-py"
    for part, letters in (("images_background", "Greek"), ("images_evaluation", "Elvish")):
        for character in ("character01", "character02"):
            for person in (1, 15, 16, 20):
                image(base / part / letters / character / f"0007_{person:02}.png", person)
    image(base / "images_background/Greek/character01/copy.png")  # no drawing of the set
    train, val = load("omniglot", tmp_path)
    assert train.classes[0] == "Elvish/character01" and len(train.classes) == 4
    assert train.labels.tolist() == val.labels.tolist()
    assert np.bincount(train.labels).tolist() == [2, 2, 2, 2]
    assert {Path(file).stem for file in train.source} == {"0007_01", "0007_15"}
    assert {Path(file).stem for file in val.source} == {"0007_16", "0007_20"}


def idx(*shape):
    """The header of an idx file of uint8."""
    return bytes((0, 0, 8, len(shape))) + b"".join(one.to_bytes(4, "big") for one in shape)


@pytest.fixture
def fashion(tmp_path):
    """Fashion-MNIST with five images to train on and three to validate on."""
    for part, count in (("train", 5), ("t10k", 3)):
        pixels = np.arange(count * 784, dtype=np.uint8).tobytes()
        with gzip.open(tmp_path / f"{part}-images-idx3-ubyte.gz", "wb") as file:
            file.write(idx(count, 28, 28) + pixels)
        labels = idx(count) + bytes(range(count))
        (tmp_path / f"{part}-labels-idx1-ubyte").write_bytes(labels)
    return tmp_path


def test_fashion_mnist_is_read_from_plain_files(fashion):
    train, val = load("fashion-mnist", fashion, size=28)
    assert train.labels.tolist() == [0, 1, 2, 3, 4] and val.labels.tolist() == [0, 1, 2]
    images, labels = next(iter(train.batches([np.array([3, 1])])))
    assert images.shape == (2, 3, 28, 28) and labels.tolist() == [3, 1]
    assert images[1].flatten()[:3].tolist() == [784 % 256, 785 % 256, 786 % 256]


def test_a_damaged_file_of_fashion_mnist_is_named(fashion):
    packed = fashion / "train-images-idx3-ubyte.gz"
    content = bytearray(packed.read_bytes())
    content[len(content) // 2] ^= 1
    packed.write_bytes(content)
    with pytest.raises(ValueError, match=r"cannot read .*train-images-idx3-ubyte\.gz: "):
        load("fashion-mnist", fashion)
    packed.write_bytes(gzip.compress(idx(5, 28, 28) + bytes(9)))
    with pytest.raises(ValueError, match=r"ubyte\.gz: it must hold 3,920 values, .*, got 9"):
        load("fashion-mnist", fashion)


def test_cifar10_is_read_as_torchvision_keeps_it(tmp_path, monkeypatch):
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (2, 3072), dtype=np.uint8)
    for name in [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]:
        with (folder / name).open("wb") as file:
            pickle.dump({"data": pixels, "labels": [3, 9]}, file)
    with (folder / "batches.meta").open("wb") as file:
        pickle.dump({"label_names": [f"class {i}" for i in range(10)]}, file)
    # torchvision knows the real files by their digests.
    monkeypatch.setattr(torchvision.datasets.cifar, "check_integrity", lambda *_, **__: True)
    train, val = load("cifar10", tmp_path, size=32)
    assert train.labels.tolist() == [3, 9] * 5 and val.labels.tolist() == [3, 9]
    assert torch.equal(val[1][0], torch.from_numpy(pixels[1].reshape(3, 32, 32)))
