"""Pictures to fine-tune on; `load` knows the sets by name.

Every kind gives uint8 batches for lists of positions; cropping and flipping happen on the device.
"""

import functools
from pathlib import Path

import numpy as np
import torch

from data import large, small
from data.augment import crop, fit
from data.pictures import InMemory, Labels, OnDisk, Pictures, Positions, choose

__all__ = [
    "InMemory",
    "Labels",
    "OnDisk",
    "Pictures",
    "Positions",
    "choose",
    "crop",
    "fit",
    "load",
]

READERS = {
    "imagenet": large.imagenet,
    "places365": large.places365,
    "voc2012": large.voc2012,
    "omniglot": large.omniglot,
}


# A study fine-tunes on the same pictures many times in one process.
@functools.lru_cache(maxsize=2)
def load(
    name: str,
    *,
    root: Path,
    download: bool,
    canvas: int,
    workers: int,
    device: torch.device,
    classes: Path | None = None,
) -> tuple[Pictures, Pictures]:
    """The pictures to train on, and those to validate on.

    A name that is not one of the sets' is a folder, or one inside `root`; CIFAR may lie there as
    folders of pictures too. `classes` is a text file that names the classes to keep, one a line.

    Raises FileNotFoundError that says where it looked, and what belongs there.
    """
    parts = _load(name, root, download, canvas, workers, device)
    if classes is not None:
        parts = _only(parts[0], classes), _only(parts[1], classes)
    first, second = (p.held(device) if isinstance(p, OnDisk) else p for p in parts)
    return first, second


def _load(
    name: str, root: Path, download: bool, canvas: int, workers: int, device: torch.device
) -> tuple[InMemory | OnDisk, InMemory | OnDisk]:
    if name == "digits":
        return small.digits(device)
    if name == "fashion-mnist":
        return small.fashion(root, download, device)
    if name in ("cifar10", "cifar100") and not (root / name / "train").is_dir():
        return small.cifar(name, root, download, device)
    if name in READERS:
        found = READERS[name](root, download)
    else:
        # Of a known set the one in the root, whatever folder the working directory has.
        places = (root / name,) if name.startswith("cifar") else (Path(name), root / name)
        found = large.folder(next((place for place in places if place.is_dir()), None), places)
    train, val = (OnDisk(*part, canvas=canvas, workers=workers) for part in found)
    return train, val


def _only(pictures: InMemory | OnDisk, file: Path) -> InMemory | OnDisk:
    """The pictures of the classes that a file names."""
    if not file.is_file():
        raise FileNotFoundError(f"no list of classes at {file}")
    if pictures.labels.ndim == 2:
        raise ValueError("--classes needs one label a picture")
    wanted = [line.strip() for line in file.read_text(encoding="utf-8").splitlines()]
    wanted = sorted({name for name in wanted if name})
    if unknown := [name for name in wanted if name not in pictures.classes]:
        raise ValueError(
            f"{file} names {unknown[0]!r}, which is not a class of --data; it has "
            f"{', '.join(pictures.classes[:3])}, …"
        )
    if len(wanted) < 2:
        raise ValueError(f"{file} must name two classes or more, one a line")
    numbers = [pictures.classes.index(name) for name in wanted]
    positions = np.flatnonzero(np.isin(pictures.labels, numbers))
    labels = np.array([numbers.index(label) for label in pictures.labels[positions]])
    return pictures.only(positions, labels, wanted)
