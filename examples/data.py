"""The images to fine-tune on: named data sets, or a folder with train/ and val/."""

import functools
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torchvision.datasets as sets
from fdsl.torch.training import LabeledImages, read_idx, reading_file

#: Files or uint8 arrays, (H, W) or (H, W, 3); a label or a row of labels for each; the classes.
Part = tuple[Any, Any, list[str]]
VOC = "aeroplane bicycle bird boat bottle bus car cat chair cow diningtable dog horse motorbike "
VOC += "person pottedplant sheep sofa train tvmonitor"
SPLITS = {True: "train", False: "val"}


def digits(_: Path, train: bool, download: bool) -> Part:
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    found = load_digits()
    images, labels = np.round(found.images * (255 / 16)).astype(np.uint8), found.target
    # Always the same 500 to validate on, whatever --seed.
    parts = train_test_split(np.arange(len(labels)), test_size=500, stratify=labels, random_state=0)
    own = parts[0 if train else 1]
    return images[own], labels[own], [*"0123456789"]


def fashion_mnist(root: Path, train: bool, download: bool) -> Part:
    if download:
        sets.FashionMNIST(root, download=True)
    # As torchvision keeps them, or plain files, as Debian does.
    kept = (root / "FashionMNIST/raw", root / "fashion-mnist", root)
    raw = next((folder for folder in kept if any(folder.glob("t10k-labels-*"))), root)
    both = []
    for name, axes in (("images", 3), ("labels", 1)):
        pattern = f"{'train' if train else 't10k'}-{name}-idx*"
        both.append(read_idx(min(raw.glob(pattern), default=raw / pattern), axes))
    return both[0], both[1], list(sets.FashionMNIST.classes)


def voc2012(root: Path, train: bool, download: bool) -> Part:
    """Labels are 1 if an image shows the class, 0 if not, and -1 if only objects marked "difficult"
    do; those are ignored, as in VOC's own evaluation."""
    split, classes = SPLITS[train], {name: label for label, name in enumerate(VOC.split())}
    found = sets.VOCDetection(root, year="2012", image_set=split, download=download)
    labels = np.zeros((len(found.images), len(classes)), dtype=np.int64)
    for row, annotation in zip(labels, found.annotations, strict=True):
        with reading_file(annotation):
            for thing in ElementTree.parse(annotation).iter("object"):
                label = classes[thing.findtext("name", "")]
                row[label] = 1 if thing.findtext("difficult") != "1" else row[label] or -1
    return found.images, labels, list(classes)


def omniglot(root: Path, train: bool, download: bool) -> Part:
    """The paper does not give its split. 0965_07.png is by the seventh of 20 people; the images by
    the first 15 people are for training. Files with other names are ignored."""
    for background in (True, False) if download else ():
        sets.Omniglot(root, background=background, download=True)
    pattern = f"images_*/*/*/{'[0-9]' * 4}_{'[0-9]' * 2}.png"
    files = sorted((root / "omniglot-py").glob(pattern))
    if len({file.parents[2] for file in files}) < 2:
        raise FileNotFoundError
    classes = sorted({"/".join(file.parts[-3:-1]) for file in files})
    own = [file for file in files if (int(file.stem.split("_")[1]) <= 15) == train]
    return own, [classes.index("/".join(file.parts[-3:-1])) for file in own], classes


def class_folders(folder: Path, _: Path, train: bool, __: bool) -> Part:
    held = "val" if (folder / "val").is_dir() else "test"
    return of_torchvision(sets.ImageFolder(str(folder / ("train" if train else held))))


def of_torchvision(found: Any) -> Part:
    images = found.data if hasattr(found, "data") else [file for file, _ in found.imgs]
    # ImageNet's classes by their WordNet IDs, which the lists of ImageNet-100 use.
    return images, found.targets, list(getattr(found, "wnids", found.classes))


#: Reads a part of a named data set, given the root, whether it is for training, and whether to
#: download.
READERS: dict[str, Callable[[Path, bool, bool], Part]] = {
    "digits": digits,
    "fashion-mnist": fashion_mnist,
    "cifar10": lambda root, train, get: of_torchvision(sets.CIFAR10(root, train, download=get)),
    "cifar100": lambda root, train, get: of_torchvision(sets.CIFAR100(root, train, download=get)),
    "imagenet": lambda root, train, _: of_torchvision(sets.ImageNet(root, SPLITS[train])),
    "places365": lambda root, train, get: of_torchvision(
        sets.Places365(root, "train-standard" if train else "val", small=True, download=get)
    ),
    "voc2012": voc2012,
    "omniglot": omniglot,
}
#: What belongs in --data-root.
NEEDS = {
    "fashion-mnist": "train-images-idx3-ubyte.gz and the three other files",
    "cifar10": "cifar-10-batches-py/",
    "cifar100": "cifar-100-python/",
    "imagenet": "ILSVRC2012_devkit_t12.tar.gz, ILSVRC2012_img_train.tar, ILSVRC2012_img_val.tar",
    "places365": "categories_places365.txt, places365_train_standard.txt, places365_val.txt, "
    "data_256_standard/ and val_256/",
    "voc2012": "VOCdevkit/VOC2012/",
    "omniglot": "omniglot-py/ with images_background/ and images_evaluation/",
}


@functools.lru_cache(maxsize=2)  # a study fine-tunes on the same images many times in one process
def load(
    name: str, root: Path, size: int, *, download: bool = False, classes: Path | None = None
) -> tuple[LabeledImages, LabeledImages]:
    """Reads the training and the validation images, of the classes that a file names.

    Raises FileNotFoundError with a message that says which files belong where.
    """
    folders = [root / name] if name in READERS else [Path(name), root / name]
    folder = next((one for one in folders if (one / "train").is_dir()), None)
    reader = READERS.get(name) if folder is None else functools.partial(class_folders, folder)
    if reader is None:
        what = f"no such data set: neither {folders[0]} nor {folders[1]} holds train/ and val/"
        raise FileNotFoundError(f"{what} (or test/), each with a folder of images for each class")
    try:
        train, val = (LabeledImages(*reader(root, part, download), size) for part in (True, False))
    except (RuntimeError, FileNotFoundError) as error:  # torchvision raises either
        if name not in NEEDS:
            raise
        why = f"no complete {name} in {root}: put {NEEDS[name]} there, or {name}/{{train,val}}/"
        raise FileNotFoundError(f"{why}; or name another --data-root, or --download") from error
    if odd := sorted({*train.classes} ^ {*val.classes}):
        why = "; if unpacking it was interrupted, remove both" if folder is None else ""
        raise ValueError(f"{folder or root}: {odd[0]} is in only one of train/ and val/{why}")
    if classes:
        with reading_file(classes):
            names = [line for line in classes.read_text(encoding="utf-8").splitlines() if line]
        train, val = train.only(names), val.only(names)
    return train, val
