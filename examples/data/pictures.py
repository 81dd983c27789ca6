"""Labelled sets of pictures, in memory or on disk, as uint8 batches."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
import torchvision
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm
from world import ignore_signals

Positions = npt.NDArray[np.int64]
#: (N,), the class of each picture; or (N, classes): 1 has it, 0 has it not, -1 does not count.
Labels = npt.NDArray[np.int64]


class Pictures(Protocol):
    """A labelled set of pictures."""

    classes: list[str]
    labels: Labels

    def batches(self, parts: Sequence[Positions]) -> Iterator[tuple[Tensor, Tensor]]:
        """For each list of positions, uint8 pictures (B, 1 or 3, H, W) and labels."""
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

    def only(self, positions: Positions, labels: Labels, classes: list[str]) -> "InMemory":
        chosen = torch.from_numpy(positions).to(self.answers.device)
        return InMemory(self.pictures[chosen], labels, classes, self.answers.device)


class OnDisk(Dataset[tuple[Tensor, Tensor]]):
    """Files of pictures, decoded by worker processes."""

    #: Bytes of decoded pictures that are held in memory rather than decoded every epoch.
    HELD = 2**30

    def __init__(
        self,
        files: Sequence[Path | str],
        labels: npt.ArrayLike,
        classes: list[str],
        *,
        canvas: int,
        workers: int,
    ) -> None:
        self.files, self.classes, self.canvas, self.workers = files, classes, canvas, workers
        self.labels = np.asarray(labels, dtype=np.int64)
        # Only what is the same each time: what is random happens later, on the device.
        self.fit = torchvision.transforms.Compose(
            [torchvision.transforms.Resize(canvas), torchvision.transforms.CenterCrop(canvas)]
        )

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, position: int) -> tuple[Tensor, Tensor]:
        with Image.open(self.files[position]) as file:
            pixels = np.array(self.fit(file.convert("RGB")))
        return torch.from_numpy(pixels).permute(2, 0, 1), torch.as_tensor(self.labels[position])

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

    def only(self, positions: Positions, labels: Labels, classes: list[str]) -> "OnDisk":
        files = [self.files[i] for i in positions]
        return OnDisk(files, labels, classes, canvas=self.canvas, workers=self.workers)

    def held(self, device: torch.device) -> Pictures:
        """The same pictures in memory, decoded once, if they are small enough for it."""
        size = 3 * self.canvas**2 * len(self)
        if size > self.HELD:
            return self
        pictures = torch.empty((len(self), 3, self.canvas, self.canvas), dtype=torch.uint8)
        parts = np.array_split(np.arange(len(self)), max(1, -(-len(self) // 256)))
        decoded = tqdm(self.batches(parts), "pictures", len(parts), disable=None, delay=1)
        for part, (images, _) in zip(parts, decoded, strict=True):
            pictures[part[0] : part[0] + len(part)] = images
        return InMemory(pictures, self.labels, self.classes, device)


def choose(labels: Labels, *, per_class: int | None, fraction: float, seed: int) -> Positions:
    """The positions of the labels to use: so many of each class, or a share of each, at least one;
    where a picture may have several labels, a share of all pictures.

    A larger choice with the same seed holds the smaller one.
    """
    if labels.ndim == 2:
        if per_class is not None:
            raise ValueError("--per-class needs one label a picture: give --label-fraction")
        labels = np.zeros(len(labels), dtype=np.int64)
    kept = []
    for label in np.unique(labels):
        own = np.random.default_rng((seed, label)).permutation(np.flatnonzero(labels == label))
        count = max(1, round(fraction * len(own))) if per_class is None else per_class
        if count > len(own):
            raise ValueError(f"--per-class {count}: class {label} has only {len(own)} pictures")
        kept.append(own[:count])
    return np.sort(np.concatenate(kept))
