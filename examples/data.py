"""Pictures to fine-tune on: scikit-learn's digits, Fashion-MNIST, CIFAR, or a folder of folders.

Every kind gives uint8 batches for lists of positions; cropping and flipping happen on the device.
"""

import gzip
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from world import ignore_signals

Positions = npt.NDArray[np.int64]


class Pictures(Protocol):
    """A labelled set of pictures."""

    classes: list[str]
    labels: Positions

    def batches(self, parts: Sequence[Positions]) -> Iterator[tuple[Tensor, Tensor]]:
        """For each list of positions, uint8 pictures (B, 1 or 3, H, W) and labels (B,)."""
        ...


class InMemory:
    """Pictures small enough to be held whole, on the device."""

    def __init__(
        self, pictures: Tensor, labels: npt.ArrayLike, classes: list[str], device: torch.device
    ) -> None:
        self.labels = np.asarray(labels, dtype=np.int64)
        self.classes, self.pictures = classes, pictures.to(device)
        self.answers = torch.from_numpy(self.labels).to(device)

    def batches(self, parts: Sequence[Positions]) -> Iterator[tuple[Tensor, Tensor]]:
        for part in parts:
            chosen = torch.from_numpy(part).to(self.answers.device)
            yield self.pictures[chosen], self.answers[chosen]


class OnDisk(Dataset[tuple[Tensor, int]]):
    """A folder with a folder of pictures for each class, decoded by worker processes."""

    def __init__(self, folder: Path, *, canvas: int, workers: int) -> None:
        try:
            self.files = torchvision.datasets.ImageFolder(str(folder))
        except FileNotFoundError as error:  # no class folders, or one without pictures
            raise FileNotFoundError(
                f"{folder} must hold a folder of pictures for each class"
            ) from error
        self.classes = self.files.classes
        self.labels = np.asarray(self.files.targets, dtype=np.int64)
        self.workers = workers
        # Only what is the same each time: what is random happens later, on the device.
        self.fit = torchvision.transforms.Compose(
            [torchvision.transforms.Resize(canvas), torchvision.transforms.CenterCrop(canvas)]
        )

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, position: int) -> tuple[Tensor, int]:
        picture, label = self.files[position]
        pixels = np.array(self.fit(picture.convert("RGB")))
        return torch.from_numpy(pixels).permute(2, 0, 1), label

    def batches(self, parts: Sequence[Positions]) -> Iterator[tuple[Tensor, Tensor]]:
        loader: DataLoader[Any] = DataLoader(
            self,
            batch_sampler=[part.tolist() for part in parts],
            num_workers=self.workers,
            worker_init_fn=ignore_signals,
            pin_memory=torch.cuda.is_available(),
            generator=torch.Generator(),  # its own, so that it draws nothing from the model's
        )
        yield from loader


def load(
    name: str, *, root: Path, download: bool, canvas: int, workers: int, device: torch.device
) -> tuple[Pictures, Pictures]:
    """The pictures to train on, and those to validate on.

    Raises FileNotFoundError that says where it looked, and what belongs there.
    """
    if name == "digits":
        return _digits(device)
    if name == "fashion-mnist":
        return _fashion(root, download, device)
    if name in ("cifar10", "cifar100"):
        return _cifar(name, root, download, device)
    return _folder(Path(name), canvas, workers)


def choose(labels: Positions, *, per_class: int | None, fraction: float, seed: int) -> Positions:
    """The positions of the labels to use: so many of each class, or a share of each, at least one.

    A larger choice with the same seed holds the smaller one.
    """
    kept = []
    for label in np.unique(labels):
        own = np.random.default_rng((seed, label)).permutation(np.flatnonzero(labels == label))
        count = max(1, round(fraction * len(own))) if per_class is None else per_class
        if count > len(own):
            raise ValueError(f"--per-class {count}: class {label} has only {len(own)} pictures")
        kept.append(own[:count])
    return np.sort(np.concatenate(kept))


def fit(images: Tensor, canvas: int) -> Tensor:
    """Resizes uint8 pictures to canvas x canvas."""
    if images.shape[-2:] == (canvas, canvas):
        return images
    sized = F.interpolate(images.float(), (canvas, canvas), mode="bilinear", antialias=True)
    return sized.round().clamp(0, 255).to(torch.uint8)


def crop(images: Tensor, size: int, *, tops: Tensor, lefts: Tensor, flips: Tensor) -> Tensor:
    """Cuts size x size out of each picture, at its own place, and mirrors those of `flips`."""
    steps = torch.arange(size, device=images.device)
    columns = torch.where(flips[:, None], steps.flip(0), steps) + lefts[:, None]
    rows = steps + tops[:, None]
    picture = torch.arange(len(images), device=images.device)[:, None, None]
    # The channels end up last in this indexing.
    return images[picture, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def _digits(device: torch.device) -> tuple[Pictures, Pictures]:
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


def _fashion(root: Path, download: bool, device: torch.device) -> tuple[Pictures, Pictures]:
    if download:
        torchvision.datasets.FashionMNIST(str(root), download=True)
    # As torchvision keeps them, or plain files, as in Debian's /usr/share/datasets/fashion-mnist.
    folder = next((f for f in (root / "FashionMNIST/raw", root) if _idx_files(f, "train")), None)
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


def _cifar(
    name: str, root: Path, download: bool, device: torch.device
) -> tuple[Pictures, Pictures]:
    kind = torchvision.datasets.CIFAR10 if name == "cifar10" else torchvision.datasets.CIFAR100
    try:
        parts = [kind(str(root), train=train, download=download) for train in (True, False)]
    except RuntimeError as error:  # "not found or corrupted"
        raise FileNotFoundError(
            f"no whole {name} in {root}: put {kind.base_folder}/ there, name its parent with "
            "--data-root, or add --download"
        ) from error
    first, second = (
        InMemory(torch.from_numpy(p.data).permute(0, 3, 1, 2), p.targets, p.classes, device)
        for p in parts
    )
    return first, second


def _folder(folder: Path, canvas: int, workers: int) -> tuple[Pictures, Pictures]:
    held = next((folder / n for n in ("val", "test") if (folder / n).is_dir()), None)
    if held is None or not (folder / "train").is_dir():
        raise FileNotFoundError(
            f"--data {folder}: no such data set; a folder must hold train/ and val/ (or test/), "
            "each with a folder of pictures for each class"
        )
    train, val = (OnDisk(f, canvas=canvas, workers=workers) for f in (folder / "train", held))
    if train.classes != val.classes:
        odd = sorted({*train.classes} ^ {*val.classes})[0]
        raise ValueError(f"{folder}: class {odd} is in only one of train/ and {held.name}/")
    return train, val
