"""The images to fine-tune on, as uint8 batches: sets by name, or folders with train/ and val/."""

import functools
import gzip
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
import torchvision.datasets as sets
from PIL import Image
from run import ignore_signals
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import CenterCrop, Compose, Resize
from tqdm import tqdm

Positions = npt.NDArray[np.int64]
#: Files, or a uint8 tensor; labels; the names of the classes.
Part = tuple[Any, Any, list[str]]
#: What a set that has a name needs in --data-root.
NEEDS = {
    "fashion-mnist": "put train-images-idx3-ubyte.gz and the three other files there",
    "cifar10": "put cifar-10-batches-py/ there, or cifar10/ with train/ and val/",
    "cifar100": "put cifar-100-python/ there, or cifar100/ with train/ and val/",
    "imagenet": "put ILSVRC2012_devkit_t12.tar.gz, ILSVRC2012_img_train.tar and "
    "ILSVRC2012_img_val.tar there (image-net.org gives them to researchers who ask), or imagenet/",
    "places365": "put categories_places365.txt, places365_train_standard.txt, places365_val.txt, "
    "data_256_standard/ and val_256/ there (24 GB)",
    "voc2012": "put VOCdevkit/VOC2012/ there (2 GB)",
    "omniglot": "put omniglot-py/ with images_background/ and images_evaluation/ there",
}
VOC = "aeroplane bicycle bird boat bottle bus car cat chair cow diningtable dog horse motorbike "
VOC += "person pottedplant sheep sofa train tvmonitor"
HELD = 2**30  # bytes of decoded images that are kept in memory rather than decoded every epoch


def read(name: str, root: Path, download: bool) -> Sequence[Part]:
    """What to train and to validate on. Raises RuntimeError or OSError if it is not there."""
    both, where = (True, False), str(root)
    folders = [root / name] if name in NEEDS else [Path(name), root / name]
    folder = next((one for one in folders if (one / "train").is_dir()), None)
    if name == "digits":
        from sklearn.datasets import load_digits
        from sklearn.model_selection import train_test_split

        digits = load_digits()
        images = torch.from_numpy(np.round(digits.images * (255 / 16)).astype(np.uint8))[:, None]
        # Always the same 500 to validate on, whatever --seed.
        parts = train_test_split(
            np.arange(len(images)), test_size=500, stratify=digits.target, random_state=0
        )
        return [(images[part], digits.target[part], [*"0123456789"]) for part in parts]
    if folder or name not in NEEDS:
        held = next((part for part in ("val", "test") if folder and (folder / part).is_dir()), None)
        if folder is None or held is None:
            what = "no such data set: neither " + " nor ".join(map(str, folders))
            needs = "holds train/ and val/ (or test/), each with a folder of images for each class"
            raise FileNotFoundError(f"{what} {needs}")
        found = [sets.ImageFolder(str(folder / part)) for part in ("train", held)]
        if odd := sorted({*found[0].classes} ^ {*found[1].classes}):
            raise ValueError(f"{folder}: class {odd[0]} is in only one of train/ and {held}/")
        return [([file for file, _ in one.samples], one.targets, one.classes) for one in found]
    if name == "fashion-mnist":
        if download:
            sets.FashionMNIST(where, download=True)
        # As torchvision keeps them, or plain files, as Debian does.
        kept = [root / "FashionMNIST/raw", root / "fashion-mnist", root]
        raw = next((place for place in kept if any(place.glob("t10k-labels-*"))), root)
        classes = list(sets.FashionMNIST.classes)
        return [
            (idx(raw, f"{part}-images", 16).reshape(-1, 1, 28, 28), idx(raw, f"{part}-labels", 8),
             classes)
            for part in ("train", "t10k")
        ]  # fmt: skip
    if name in ("cifar10", "cifar100"):
        kind = sets.CIFAR10 if name == "cifar10" else sets.CIFAR100
        found = [kind(where, train=train, download=download) for train in both]
        return [(torch.from_numpy(p.data).permute(0, 3, 1, 2), p.targets, p.classes) for p in found]
    if name == "imagenet":  # its classes by WordNet's names, which the lists of ImageNet-100 use
        found = [sets.ImageNet(where, split=split) for split in ("train", "val")]
        return [([file for file, _ in p.samples], p.targets, list(p.wnids)) for p in found]
    if name == "places365":
        splits = ("train-standard", "val")
        found = [sets.Places365(where, split=s, small=True, download=download) for s in splits]
        return [([file for file, _ in p.imgs], p.targets, list(p.classes)) for p in found]
    if name == "voc2012":
        found = [
            sets.VOCDetection(where, year="2012", image_set=part, download=download)
            for part in ("train", "val")
        ]
        return [(p.images, [shown(one) for one in p.annotations], VOC.split()) for p in found]
    if download:
        for background in both:
            sets.Omniglot(where, background=background, download=True)
    parts = [root / "omniglot-py" / part for part in ("images_background", "images_evaluation")]
    if not all(part.is_dir() for part in parts):
        raise FileNotFoundError
    files = sorted(file for part in parts for file in part.glob("*/*/*.png"))
    names = [f"{file.parent.parent.name}/{file.parent.name}" for file in files]
    number = {name: i for i, name in enumerate(sorted({*names}))}
    # The paper does not say how it was divided. 0965_07.png is by the seventh of 20 people: those
    # by the first 15 are trained on.
    early = np.array([int(file.stem.split("_")[1]) <= 15 for file in files])
    labels = np.array([number[name] for name in names])
    chosen = [np.flatnonzero(early == wanted) for wanted in both]
    return [([files[i] for i in part], labels[part], [*number]) for part in chosen]


def idx(folder: Path, name: str, header: int) -> Tensor:
    """Reads a file of MNIST's format, compressed or not."""
    file = next((file for file in sorted(folder.glob(f"{name}-idx*"))), None)
    if file is None:
        raise FileNotFoundError
    content = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
    return torch.from_numpy(np.frombuffer(content, np.uint8, offset=header).copy())


def shown(annotation: str) -> list[int]:
    """For each class of VOC: 1 if an image shows it, 0 if not, -1 if only "difficult" objects do,
    which do not count, as in its own evaluation."""
    labels = dict.fromkeys(VOC.split(), 0)
    for thing in ElementTree.parse(annotation).iter("object"):
        name = str(thing.findtext("name"))
        difficult = thing.findtext("difficult") == "1"
        labels[name] = max(labels[name], 1) if not difficult else labels[name] or -1
    return [*labels.values()]


class Images(Dataset[tuple[Tensor, Tensor]]):
    """Labelled images: a uint8 tensor on a device, or files that are decoded when asked for."""

    def __init__(self, source: Any, labels: Any, classes: list[str], canvas: int) -> None:
        self.source, self.classes, self.canvas = source, classes, canvas
        self.labels: Positions = np.asarray(labels, dtype=np.int64)
        # Only what is the same each time: what is random happens later, on the device.
        self.fit = Compose([Resize(canvas), CenterCrop(canvas)])

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, position: int) -> tuple[Tensor, Tensor]:
        with Image.open(self.source[position]) as file:
            pixels = np.array(self.fit(file.convert("RGB")))
        return torch.from_numpy(pixels).permute(2, 0, 1), torch.as_tensor(self.labels[position])

    def batches(
        self, parts: Sequence[Positions], workers: int = 0
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """For each list of positions uint8 images (B, C, H, W) and labels, (B,) or (B, classes)."""
        if isinstance(self.source, Tensor):
            for part in parts:
                yield self.source[torch.from_numpy(part)], torch.from_numpy(self.labels[part])
            return
        yield from DataLoader(
            self,
            batch_sampler=[part.tolist() for part in parts],
            num_workers=workers,
            worker_init_fn=ignore_signals,
            pin_memory=torch.cuda.is_available(),
            generator=torch.Generator(),  # its own, so that it draws nothing from the model's
        )

    def held(self, device: torch.device, workers: int) -> "Images":
        """The same images in memory, decoded once, if they are small enough for it."""
        source = self.source
        if not isinstance(source, Tensor):
            if 3 * self.canvas**2 * len(self) > HELD:
                return self
            source = torch.empty((len(self), 3, self.canvas, self.canvas), dtype=torch.uint8)
            parts = np.array_split(np.arange(len(self)), max(1, len(self) // 256))
            decoded = tqdm(
                self.batches(parts, workers), "images", len(parts), disable=None, delay=1
            )
            for part, (images, _) in zip(parts, decoded, strict=True):
                source[torch.from_numpy(part)] = images
        return Images(source.to(device), self.labels, self.classes, self.canvas)

    def only(self, names: Path) -> "Images":
        """The images of the classes that a file names, one a line."""
        if not names.is_file():
            raise FileNotFoundError(f"no list of classes at {names}")
        lines = names.read_text(encoding="utf-8").splitlines()
        wanted = sorted({line.strip() for line in lines} - {""})
        if len(wanted) < 2 or self.labels.ndim == 2:
            raise ValueError(f"{names} must name two classes or more, of a set with one label each")
        if unknown := [name for name in wanted if name not in self.classes]:
            known = ", ".join(self.classes[:3])
            raise ValueError(f"{names} names {unknown[0]!r}, which --data lacks; it has {known}, …")
        numbers = [self.classes.index(name) for name in wanted]
        kept = np.flatnonzero(np.isin(self.labels, numbers))
        labels = np.array([numbers.index(label) for label in self.labels[kept]])
        tensor = isinstance(self.source, Tensor)
        source = self.source[torch.from_numpy(kept)] if tensor else [self.source[i] for i in kept]
        return Images(source, labels, wanted, self.canvas)


@functools.lru_cache(maxsize=2)  # a study fine-tunes on the same images many times in one process
def load(
    name: str,
    *,
    root: Path,
    download: bool,
    canvas: int,
    workers: int,
    device: torch.device,
    classes: Path | None = None,
) -> tuple[Images, Images]:
    """The images to train on and those to validate on, of the classes that a file names.

    Raises FileNotFoundError that says what belongs where.
    """
    try:
        both = [Images(*part, canvas=canvas) for part in read(name, root, download)]
    except (RuntimeError, FileNotFoundError) as error:  # torchvision raises either
        if name not in NEEDS:
            raise
        why = f"no whole {name} in {root}: {NEEDS[name]}"
        raise FileNotFoundError(f"{why}, name another --data-root, or add --download") from error
    train, val = (one.only(classes) if classes else one for one in both)
    return train.held(device, workers), val.held(device, workers)


def choose(labels: Positions, *, per_class: int | None, fraction: float, seed: int) -> Positions:
    """The positions of the labels to use: a number of each class, or a share of each, at least one;
    where an image may have several labels, a share of all images.

    A larger choice with the same seed holds the smaller one.
    """
    if labels.ndim == 2 and per_class is not None:
        raise ValueError("--per-class needs one label per image: give --label-fraction")
    labels, kept = labels if labels.ndim == 1 else np.zeros(len(labels), dtype=np.int64), []
    for label in np.unique(labels):
        own = np.random.default_rng((seed, label)).permutation(np.flatnonzero(labels == label))
        count = max(1, round(fraction * len(own))) if per_class is None else per_class
        if count > len(own):
            raise ValueError(f"--per-class {count}: class {label} has only {len(own)} images")
        kept.append(own[:count])
    return np.sort(np.concatenate(kept))


def fit(images: Tensor, canvas: int) -> Tensor:
    """Resizes uint8 images to canvas x canvas."""
    if images.shape[-2:] == (canvas, canvas):
        return images
    sized = F.interpolate(images.float(), (canvas, canvas), mode="bilinear", antialias=True)
    return sized.round().clamp(0, 255).to(torch.uint8)
