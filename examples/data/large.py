"""Sets read from their files: ImageNet, Places365, Pascal VOC 2012, Omniglot, any folder.

Each reader gives, to train and to validate, the files, their labels and the names of the classes.
"""

import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torchvision

Part = tuple[list[str], Any, list[str]]
Parts = tuple[Part, Part]

#: Pascal VOC's classes, in the order of its own tables.
VOC = [
    "aeroplane",
    "bicycle",
    "bird",
    "boat",
    "bottle",
    "bus",
    "car",
    "cat",
    "chair",
    "cow",
    "diningtable",
    "dog",
    "horse",
    "motorbike",
    "person",
    "pottedplant",
    "sheep",
    "sofa",
    "train",
    "tvmonitor",
]
#: Of the 20 drawings of each character, those of the first so many people are trained on.
OMNIGLOT_TRAIN = 15


def folder(path: Path | None, looked: Sequence[Path] = ()) -> Parts:
    """PATH/train and PATH/val (or test), each with a folder of pictures for each class."""
    if path is None:
        raise FileNotFoundError(
            f"no such data set: neither {' nor '.join(map(str, looked))} is a folder; it must hold "
            "train/ and val/ (or test/), each with a folder of pictures for each class"
        )
    held = next((path / n for n in ("val", "test") if (path / n).is_dir()), None)
    if held is None or not (path / "train").is_dir():
        raise FileNotFoundError(
            f"{path} is no data set: it must hold train/ and val/ (or test/), "
            "each with a folder of pictures for each class"
        )
    train, val = (_class_folders(part) for part in (path / "train", held))
    if train[2] != val[2]:
        odd = sorted({*train[2]} ^ {*val[2]})[0]
        raise ValueError(f"{path}: class {odd} is in only one of train/ and {held.name}/")
    return train, val


def _class_folders(path: Path) -> Part:
    try:
        found = torchvision.datasets.ImageFolder(str(path))
    except FileNotFoundError as error:  # no class folders, or one without pictures
        raise FileNotFoundError(f"{path} must hold a folder of pictures for each class") from error
    return [file for file, _ in found.samples], found.targets, found.classes


def imagenet(root: Path, download: bool) -> Parts:
    """ILSVRC 2012, its classes by WordNet's names (n01440764), which the lists of ImageNet-100
    use: class folders in ROOT/imagenet/train and val, or the archives as torchvision unpacks them.
    """
    if (root / "imagenet" / "train").is_dir():
        return folder(root / "imagenet")
    needs = (
        "put ILSVRC2012_devkit_t12.tar.gz, ILSVRC2012_img_train.tar and ILSVRC2012_img_val.tar "
        "there, or class folders into imagenet/train/ and imagenet/val/; image-net.org gives them "
        "to researchers who ask"
    )
    parts = [
        _found("imagenet", root, needs, torchvision.datasets.ImageNet, split=split)
        for split in ("train", "val")
    ]
    train, val = (([f for f, _ in p.samples], p.targets, list(p.wnids)) for p in parts)
    return train, val


def places365(root: Path, download: bool) -> Parts:
    """Places365-Standard at 256 x 256."""
    needs = (
        "put categories_places365.txt, places365_train_standard.txt, places365_val.txt, "
        "data_256_standard/ and val_256/ there, or add --download (24 GB)"
    )
    parts = [
        _found(
            "places365",
            root,
            needs,
            torchvision.datasets.Places365,
            split=split,
            small=True,
            download=download,
        )
        for split in ("train-standard", "val")
    ]
    train, val = (([f for f, _ in p.imgs], p.targets, list(p.classes)) for p in parts)
    return train, val


def voc2012(root: Path, download: bool) -> Parts:
    """Pascal VOC 2012 classification, where a picture may show several classes.

    A class that only "difficult" objects show does not count, as in its own evaluation.
    """
    needs = "put VOCdevkit/VOC2012/ there, or add --download (2 GB)"
    parts = [
        _found(
            "voc2012",
            root,
            needs,
            torchvision.datasets.VOCDetection,
            year="2012",
            image_set=part,
            download=download,
        )
        for part in ("train", "val")
    ]
    train, val = ((p.images, _shown(p.annotations), VOC) for p in parts)
    return train, val


def _shown(annotations: list[str]) -> Any:
    """What each picture shows: (N, 20) of 1, 0 and -1."""
    labels = np.zeros((len(annotations), len(VOC)), dtype=np.int64)
    for row, annotation in zip(labels, annotations, strict=True):
        for thing in ElementTree.parse(annotation).iter("object"):
            column = VOC.index(str(thing.findtext("name")))
            difficult = thing.findtext("difficult") == "1"
            row[column] = max(row[column], 1) if not difficult else row[column] or -1
    return labels


def omniglot(root: Path, download: bool) -> Parts:
    """All 1,623 characters of Omniglot; 15 people's drawings to train on, 5 people's to validate.

    The paper does not say how it divided them.
    """
    if download:
        for background in (True, False):
            torchvision.datasets.Omniglot(str(root), background=background, download=True)
    folders = [root / "omniglot-py" / part for part in ("images_background", "images_evaluation")]
    if not all(folder.is_dir() for folder in folders):
        raise FileNotFoundError(
            f"no whole omniglot in {root}: put omniglot-py/ with images_background/ and "
            "images_evaluation/ there, or add --download"
        )
    files = sorted(file for folder in folders for file in folder.glob("*/*/*.png"))
    names = [f"{file.parent.parent.name}/{file.parent.name}" for file in files]
    classes = sorted({*names})
    number = {name: i for i, name in enumerate(classes)}
    # A file is called 0965_07.png: drawn by the seventh.
    train = [int(file.stem.split("_")[1]) <= OMNIGLOT_TRAIN for file in files]
    first, second = (
        (
            [str(file) for file, mine in zip(files, train, strict=True) if mine == wanted],
            [number[name] for name, mine in zip(names, train, strict=True) if mine == wanted],
            classes,
        )
        for wanted in (True, False)
    )
    return first, second


def _found(name: str, root: Path, needs: str, kind: Callable[..., Any], **options: Any) -> Any:
    """What torchvision reads. Raises FileNotFoundError with a sentence where it cannot."""
    try:
        return kind(str(root), **options)
    except (RuntimeError, FileNotFoundError) as error:  # torchvision raises either
        raise FileNotFoundError(f"no whole {name} in {root}: {needs}") from error
