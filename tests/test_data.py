"""The images that the examples fine-tune on, from small files laid out as the real ones."""

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
from run import Run


def load(name, root, **more):
    options = {"download": False, "canvas": 16, "workers": 0, "device": torch.device("cpu")}
    return data.load(name, root=root, **{**options, **more})


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


def test_images_held_in_memory_are_those_decoded_from_disk(folders, monkeypatch):
    held, _ = load("pets", folders)
    assert isinstance(held.source, torch.Tensor)
    monkeypatch.setattr(data, "HELD", 0)
    disk, _ = load("pets", folders, workers=1)
    assert isinstance(disk.source, list)
    parts = [np.array([4, 0]), np.array([8])]
    for mine, theirs in zip(held.batches(parts), disk.batches(parts), strict=True):
        assert torch.equal(mine[0], theirs[0]) and torch.equal(mine[1], theirs[1])
        assert mine[0].shape[1:] == (3, 16, 16)


@pytest.mark.parametrize("held", [0, 2**30])
def test_a_list_keeps_its_classes_alone(folders, monkeypatch, held):
    monkeypatch.setattr(data, "HELD", held)
    names = folders / "two.txt"
    names.write_text("fish\n\ncats\n")
    train, val = load("pets", folders, classes=names)
    assert train.classes == ["cats", "fish"] and val.labels.tolist() == [0, 0, 1, 1]
    whole, _ = load("pets", folders)
    mine, theirs = (next(one.batches([np.array([at])]))[0] for one, at in ((train, 3), (whole, 6)))
    assert torch.equal(mine, theirs)


@pytest.mark.parametrize(
    "words, sentence",
    [
        ("cats\nunicorns\n", "names 'unicorns', which --data lacks; it has cats"),
        ("cats\n", "must name two classes or more"),
    ],
)
def test_a_list_that_cannot_be_is_refused(folders, words, sentence):
    names = folders / "list.txt"
    names.write_text(words)
    with pytest.raises(ValueError, match=sentence):
        load("pets", folders, classes=names)
    with pytest.raises(FileNotFoundError, match="no list of classes at nowhere"):
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
    _, labels = next(train.batches([np.array([1])]))
    assert labels.shape == (1, 20) and labels[0, cat] == -1


def test_many_labels_are_learned_and_judged_by_average_precision(voc, tmp_path):
    run = ["--data", "voc2012", "--data-root", str(voc), "--from", "scratch", "--size", "32"]
    run += ["--model", "resnet10s", "--batch-size", "2", "--epochs", "1", "--device", "cpu"]
    assert finetune.main([*run, "--workers", "0", "--out", str(tmp_path / "out")]) == 0
    assert '"measure": "mAP"' in (tmp_path / "out/result.json").read_text()
    assert finetune.main([*run, "--per-class", "1", "--out", str(tmp_path / "two")]) == 2
    assert finetune.main([*run, "--probe", "--out", str(tmp_path / "three")]) == 2


def test_average_precision_leaves_out_what_does_not_count(tmp_path):
    # The first class: right, wrong, right in the order of the answers: (1 + 2/3) / 2.
    images = torch.tensor([[3.0, 0], [2, 1], [1, 2]])
    labels = [[1, 0], [0, 1], [1, -1]]
    val = data.Images(images, labels, ["cat", "dog"], 8)
    s = finetune.Settings(
        from_="scratch",
        data="voc2012",
        out=tmp_path,
        device="cpu",
        channels_last=False,
    )
    with Run(s) as run:
        run.model = torch.nn.Identity()
        scores = finetune.validate(s, run, val, lambda batch: batch)
    assert scores.each == pytest.approx([5 / 6, 1.0]) and scores.counts == [2, 1]
    assert scores.accuracy == pytest.approx((5 / 6 + 1) / 2)


def test_the_loss_of_many_labels_leaves_out_what_does_not_count():
    logits, labels = torch.tensor([[0.0, 9.0]]), torch.tensor([[1, -1]])
    assert finetune.loss_of(logits, labels).item() == pytest.approx(np.log(2))


def test_omniglot_is_divided_by_who_drew(tmp_path, monkeypatch):
    base = tmp_path / "omniglot-py"
    for part, letters in (("images_background", "Greek"), ("images_evaluation", "Elvish")):
        for character in ("character01", "character02"):
            for person in (1, 15, 16, 20):
                image(base / part / letters / character / f"0007_{person:02}.png", person)
    train, val = load("omniglot", tmp_path)
    assert train.classes[0] == "Elvish/character01" and len(train.classes) == 4
    assert train.labels.tolist() == val.labels.tolist()
    assert np.bincount(train.labels).tolist() == [2, 2, 2, 2]
    monkeypatch.setattr(data, "HELD", 0)
    disk, held = load("omniglot", tmp_path, canvas=17)  # another canvas: not from the cache
    assert {Path(file).stem for file in disk.source} == {"0007_01", "0007_15"}
    assert {Path(file).stem for file in held.source} == {"0007_16", "0007_20"}
