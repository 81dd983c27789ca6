"""Formula images in timm's ``train.py``. Importing this module registers two data sets with timm:

    python train.py --device-modules fdsl.timm --dataset torch/fdsl --data-dir fractaldb-1k

``--data-dir`` is anything that ``fdsl.load`` reads. Settings follow it as in a URL, in quotes:

    --data-dir 'fractaldb-1k?instances=100&preset=paper&num_points=100000'
    --dataset torch/fdsl-stream --data-dir 'fractaldb-1k?batch_size=256' --batch-size 256

``torch/fdsl`` has a fixed number of instances of each category, which timm shuffles.
``torch/fdsl-stream`` yields the batches of ``fdsl.torch.Stream`` in its order: new images in each
epoch. The validation split consists of other instances of the same categories, which training
does not reach.

| setting | meaning | default |
|---|---|---|
| ``instances`` | of each category; in a stream, how many before they repeat | 1000; endless |
| ``val_instances`` | of each category in the validation split | 50 |
| ``samples`` | of a stream: images per epoch, over all ranks | 1000 per category |
| ``batch_size`` | of a stream: what ``--batch-size`` says; required | |
| ``channels`` | 3, or 1 for a network made with ``--in-chans 1`` | 3 |
| ``preset`` | ``paper``, ``released``, ``wacv22`` or ``published`` | the family's defaults |
| ``seed``, ``label_noise`` | as in ``fdsl.torch.Dataset``; no noise in validation | 0 |
| any setting of the family's rendering | ``size``, ``crop``, ``color``, ``num_points``, … | |

Values are JSON (``0.4``, ``true``, ``null``, ``[256,320]``) or plain words.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, SupportsIndex
from urllib.parse import parse_qsl

try:
    import timm
    from timm.data import dataset_factory
except ModuleNotFoundError as error:
    if error.name not in ("timm", "torch", "torchvision"):
        raise
    raise ModuleNotFoundError(
        f"fdsl.timm needs timm, torch and torchvision (there is no {error.name}): pip install timm"
    ) from None

import numpy as np
import torch
from torch.utils.data import IterableDataset

from fdsl._checks import checked_positive, counted, shown
from fdsl.families import Family, load
from fdsl.families.published import preset, published
from fdsl.families.spread import stride
from fdsl.frame import Frame
from fdsl.torch.dataset import Dataset, pil_image
from fdsl.torch.ranks import ranks_of_distributed, ranks_of_launcher
from fdsl.torch.stream import Stream

__all__ = ["FormulaImages", "FormulaStream", "images", "stream"]

#: Version of timm that the tests ran with.
TESTED = "1.0.31"

#: Settings of a data set; all others are those of the rendering.
SETTINGS = (
    *("instances", "val_instances", "samples", "batch_size"),
    *("channels", "preset", "seed", "label_noise"),
)

#: Where the validation split of an endless stream begins: no training gets to this instance.
NEVER_REACHED = 2**32


def images(root: Any = None, train: bool = True, download: bool = False) -> FormulaImages:
    """Returns the data set ``torch/fdsl``.

    Args:
        root: a source of categories and settings, such as ``"fractaldb-1k?instances=100"``.
        train: the first ``instances`` of each category; otherwise ``val_instances`` after them.
        download: ignored; there is nothing to download.

    Raises:
        FileNotFoundError: there is no such source.
        TypeError, ValueError: there is no such setting, or its value is not accepted.
    """
    settings = _Settings("torch/fdsl", root, refused=("samples", "batch_size"))
    instances = settings.positive("instances", settings.published_instances or 1000)
    if train:
        return FormulaImages(settings, range(instances), settings.label_noise)
    return _validation(settings, instances)


def stream(
    root: Any = None, train: bool = True, download: bool = False
) -> FormulaStream | FormulaImages:
    """Returns the data set ``torch/fdsl-stream``; its validation split has a fixed size.

    Args:
        root: a source of categories and settings, such as ``"fractaldb-1k?batch_size=256"``.
        train: the stream; otherwise ``val_instances`` of each category that it does not contain.
        download: ignored; there is nothing to download.

    Raises:
        FileNotFoundError: there is no such source.
        TypeError, ValueError: there is no such setting, or its value is not accepted.
    """
    settings = _Settings("torch/fdsl-stream", root)
    instances = settings.values.get("instances", settings.published_instances)
    if train:
        return FormulaStream(settings, instances)
    if instances is None and settings.rendering.slow_out_of_order:
        raise ValueError(
            f"torch/fdsl-stream needs instances=N here: {settings.rendering.slow_out_of_order}"
        )
    first = NEVER_REACHED if instances is None else settings.positive("instances", instances)
    return _validation(settings, first)


def _validation(settings: _Settings, first: int) -> FormulaImages:
    """Returns a validation split with no instance before ``first``."""
    count = settings.positive("val_instances", 50)
    # Neighbors have the same variation, so take instances from a whole cycle of variations; but
    # where an instance is found by replaying those before it, take the next ones.
    step = 1 if settings.rendering.slow_out_of_order else stride(settings.family, count)
    return FormulaImages(settings, range(first, first + step * count, step))


class FormulaImages(torch.utils.data.Dataset[tuple[Any, int]]):
    """Some instances of each category as PIL images; ``images`` makes one."""

    def __init__(self, settings: _Settings, instances: range, label_noise: float = 0.0) -> None:
        self.instances = instances
        self.images = Dataset(
            settings.family,
            instances.stop,
            rendering=settings.rendering,
            as_pil=settings.mode,
            seed=settings.seed,
            label_noise=label_noise,
        )
        self.classes, self.class_to_idx = self.images.classes, self.images.class_to_idx

    @property
    def transform(self) -> Callable[[Any], Any] | None:
        """Called with each PIL image; timm sets it."""
        return self.images.transform

    @transform.setter
    def transform(self, transform: Callable[[Any], Any] | None) -> None:
        self.images.transform = transform

    @property
    def target_transform(self) -> Callable[[Any], Any] | None:
        """Called with each label."""
        return self.images.target_transform

    @target_transform.setter
    def target_transform(self, transform: Callable[[Any], Any] | None) -> None:
        self.images.target_transform = transform

    def __len__(self) -> int:
        return len(self.images.family) * len(self.instances)

    def __getitem__(self, item: SupportsIndex) -> tuple[Any, Any]:
        """Returns an image and its label, transformed."""
        return self.__getitems__([item])[0]

    def __getitems__(self, items: Sequence[SupportsIndex]) -> list[tuple[Any, Any]]:
        """Renders many items at once; a DataLoader calls this for each batch."""
        numbers = (divmod(range(len(self))[item], len(self.instances)) for item in items)
        return self.images.__getitems__(
            [
                category * self.images.instances + self.instances[number]
                for category, number in numbers
            ]
        )

    def __repr__(self) -> str:
        categories = counted(len(self.classes), "category", "categories")
        return f"<FormulaImages: {categories} of {len(self.instances):,}>"


class FormulaStream(IterableDataset[tuple[Any, int]]):
    """The batches of ``fdsl.torch.Stream`` as PIL images, one by one; ``stream`` makes one.

    A DataLoader with the same ``batch_size`` collates them into the batches of the stream, in its
    order, with any number of workers. ``set_epoch`` sets the epoch; ``train.py`` calls it.
    """

    def __init__(self, settings: _Settings, instances: int | None) -> None:
        self.batch_size = settings.batch_size
        samples = settings.positive("samples", 1000 * len(settings.family))
        _, world_size = ranks_of_distributed() or ranks_of_launcher() or (0, 1)
        if samples < self.batch_size * world_size:
            raise ValueError(
                f"samples must be at least one global batch, {self.batch_size} × {world_size} "
                f"ranks, got {samples}"
            )
        self.mode = settings.mode
        self.transform: Callable[[Any], Any] | None = None
        self.target_transform: Callable[[Any], Any] | None = None
        self.stream = Stream(
            settings.family,
            rendering=settings.rendering,
            batch_size=self.batch_size,
            steps_per_epoch=samples // (self.batch_size * world_size),
            instances=instances,
            seed=settings.seed,
            label_noise=settings.label_noise,
        )

    def set_epoch(self, epoch: int) -> None:
        """Sets the epoch of the next iteration."""
        self.stream.set_epoch(epoch)

    def __len__(self) -> int:
        """Samples per epoch and rank."""
        return len(self.stream) * self.batch_size

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        for images, labels in self.stream:
            arrays = np.ascontiguousarray(images.permute(0, 2, 3, 1).numpy())
            for array, label in zip(arrays, labels.tolist(), strict=True):
                image = pil_image(array[..., 0] if array.shape[-1] == 1 else array, self.mode)
                yield (
                    image if self.transform is None else self.transform(image),
                    label if self.target_transform is None else self.target_transform(label),
                )

    def __repr__(self) -> str:
        return f"<FormulaStream of {self.stream!r}>"


class _Settings:
    """A source of categories, and the settings that follow it."""

    def __init__(self, name: str, root: Any, refused: tuple[str, ...] = ()) -> None:
        self.root = root
        if root is None or not str(root):
            raise ValueError(
                f"{name} needs a source of categories: --data-dir fractaldb-1k, or anything else "
                "that fdsl.load reads"
            )
        source, query = str(root), ""
        if "?" in source and not Path(source).exists():
            source, _, query = source.rpartition("?")
        try:
            pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=True) if query else []
        except ValueError:
            raise ValueError(
                f"settings must be name=value, with & between them, got {shown(query)}"
            ) from None
        self.values = {key: _value(text) for key, text in pairs}
        self.source = source
        self.family: Family = load(source)
        style = self.family.checked_style(None)
        own = [key for key in SETTINGS if key not in refused]
        for key in self.values:
            if key not in (*own, *style.names()):
                raise ValueError(
                    f"{name} has no setting {shown(key)}; it has {', '.join(own)}, and those of "
                    f"{type(style).__name__}: {', '.join(style.names())}"
                )
        self.rendering = self._rendering(style)
        channels = self.values.get("channels", 3)
        if channels not in (1, 3):
            raise ValueError(f"channels must be 1 or 3, got {shown(channels)}")
        #: Of the PIL images.
        self.mode: Literal["L", "RGB"] = "L" if channels == 1 else "RGB"
        self.seed: int = self.values.get("seed", 0)
        #: Only for training: the labels of the validation split are true.
        self.label_noise: float = self.values.get("label_noise", 0.0)

    def positive(self, name: str, default: int) -> int:
        """Returns a setting that is a number of things."""
        return checked_positive(name, self.values.get(name, default))

    @property
    def published_instances(self) -> int | None:
        """The instances of a published data set with ``preset=published``, else ``None``."""
        whole = self.values.get("preset") == "published"
        return published(self.source).instances if whole else None

    @property
    def batch_size(self) -> int:
        """The batch size of a stream, which must be given."""
        if "batch_size" not in self.values:
            joined = f"{self.root}{'&' if '?' in str(self.root) else '?'}batch_size=N"
            raise ValueError(
                "torch/fdsl-stream must know timm's --batch-size N, or its batches would differ "
                f"from the stream's: --data-dir {joined!r}"
            )
        return self.positive("batch_size", 1)

    def _rendering(self, default: Frame) -> Frame:
        changes = {key: value for key, value in self.values.items() if key not in SETTINGS}
        name = self.values.get("preset")
        if name is None:
            return dataclasses.replace(default, **changes)
        return preset(name, self.family, source=self.source, **changes)


def _value(text: str) -> Any:
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return tuple(value) if isinstance(value, list) else value


def _register() -> None:
    """Adds both data sets to those that timm creates by name."""
    known = getattr(dataset_factory, "_TORCH_BASIC_DS", None)
    if not isinstance(known, dict):
        raise ImportError(
            f"fdsl.timm cannot register its data sets with timm {timm.__version__}: there is no "
            f"timm.data.dataset_factory._TORCH_BASIC_DS, which timm {TESTED} has. Install that "
            "version, or pass fdsl.torch.Dataset(..., as_pil=True) to timm.data.create_loader"
        )
    known.update({"fdsl": images, "fdsl-stream": stream})


_register()
