"""Sets small enough for memory: scikit-learn's digits, Fashion-MNIST, CIFAR-10 and CIFAR-100."""

import gzip
from pathlib import Path

import numpy as np
import torch
import torchvision
from torch import Tensor

from data.pictures import InMemory


def digits(device: torch.device) -> tuple[InMemory, InMemory]:
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    digits = load_digits()
    pictures = torch.from_numpy(np.round(digits.images * (255 / 16)).astype(np.uint8))[:, None]
    # Always the same 500 to validate on, whatever --seed.
    train, val = train_test_split(
        np.arange(len(pictures)), test_size=500, stratify=digits.target, random_state=0
    )
    classes = [str(name) for name in digits.target_names]
    first, second = (
        InMemory(pictures[part], digits.target[part], classes, device) for part in (train, val)
    )
    return first, second


def fashion(root: Path, download: bool, device: torch.device) -> tuple[InMemory, InMemory]:
    if download:
        torchvision.datasets.FashionMNIST(str(root), download=True)
    # As torchvision keeps them, or plain files, as in Debian's /usr/share/datasets/fashion-mnist.
    places = (root / "FashionMNIST/raw", root / "fashion-mnist", root)
    folder = next((f for f in places if _idx_files(f, "train")), None)
    if folder is None:
        raise FileNotFoundError(
            f"no Fashion-MNIST in {root}: put train-images-idx3-ubyte.gz and the three other files "
            "there, name their folder with --data-root, or add --download"
        )
    classes = torchvision.datasets.FashionMNIST.classes
    first, second = (
        InMemory(
            _read_idx(images, header=16).reshape(-1, 1, 28, 28),
            _read_idx(labels, header=8),
            classes,
            device,
        )
        for images, labels in (_idx_files(folder, "train"), _idx_files(folder, "t10k"))
    )
    return first, second


def _idx_files(folder: Path, part: str) -> list[Path]:
    """The files of pictures and of labels; empty unless both are there."""
    names = (f"{part}-images-idx3-ubyte", f"{part}-labels-idx1-ubyte")
    found = [p for n in names for p in (folder / n, folder / f"{n}.gz") if p.is_file()]
    return found if len(found) == 2 else []


def _read_idx(path: Path, *, header: int) -> Tensor:
    data = path.read_bytes()
    if path.suffix == ".gz":
        data = gzip.decompress(data)
    return torch.from_numpy(np.frombuffer(data, np.uint8, offset=header).copy())


def cifar(name: str, root: Path, download: bool, device: torch.device) -> tuple[InMemory, InMemory]:
    kind = torchvision.datasets.CIFAR10 if name == "cifar10" else torchvision.datasets.CIFAR100
    try:
        parts = [kind(str(root), train=train, download=download) for train in (True, False)]
    except RuntimeError as error:  # "not found or corrupted"
        raise FileNotFoundError(
            f"no whole {name} in {root}: put {kind.base_folder}/ there, or {name}/ with train/ and "
            "val/ folders of pictures, name its parent with --data-root, or add --download"
        ) from error
    first, second = (
        InMemory(torch.from_numpy(p.data).permute(0, 3, 1, 2), p.targets, p.classes, device)
        for p in parts
    )
    return first, second
