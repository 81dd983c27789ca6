"""How pictures are spread over files: units (a shard, or the folder of a category) of samples."""

from __future__ import annotations

import json
import shutil
import tarfile
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fdsl import _core
from fdsl._files import part_of, saying_what, writing_whole
from fdsl.formulas import IFS, Family

#: Weight rows of the authors' grid times patch draws times mirrorings.
GRID, PATCHES, FLIPS = 1000, 10, 4


@dataclass(frozen=True, slots=True)
class Sample:
    """A picture of an export."""

    #: What its files are called, without their endings.
    key: str
    category: int
    index: int


class Layout(ABC):
    """Spreads ``instances`` pictures of each category over units that are written whole."""

    #: What units are called in messages.
    units_are = "shards"

    def __init__(self, family: Family, seed: int, instances: int, shard_size: int) -> None:
        self.family, self.seed, self.instances = family, seed, instances
        self.shard_size = shard_size

    @abstractmethod
    def prepare(self) -> None:
        """Raises ModuleNotFoundError if a library is missing, before anything is written."""

    def units(self) -> int:
        """How many there are."""
        return -(-len(self.family) * self.instances // self.shard_size)

    def pictures(self, unit: int) -> int:
        """How many pictures a unit has: all of them ``shard_size``, but the last may have fewer."""
        return min(self.shard_size, len(self.family) * self.instances - unit * self.shard_size)

    @abstractmethod
    def name(self, unit: int) -> str:
        """What a unit is called in the folder of the export."""

    @abstractmethod
    def samples(self, unit: int) -> list[Sample]:
        """The pictures of a unit, in order."""

    @abstractmethod
    def described(self, sample: Sample) -> dict[str, bytes]:
        """The files beside a picture, by their endings."""

    @abstractmethod
    def write(self, path: Path, files: Iterable[tuple[Sample, bytes]]) -> None:
        """Writes a unit of pictures (PNG), whole or not at all."""

    @abstractmethod
    def read(self, path: Path) -> Iterator[tuple[str, bytes]]:
        """The name and content of every file of a unit, in order."""


class WebDataset(Layout):
    """``000000.tar``, …: shards in the order of a stream, so that each holds every category."""

    def prepare(self) -> None:
        _tar_writer()

    def name(self, unit: int) -> str:
        return f"{unit:0{digits(6, self.units())}d}.tar"

    def samples(self, unit: int) -> list[Sample]:
        first = unit * self.shard_size
        numbers = np.arange(first, first + self.pictures(unit), dtype=np.uint64)
        order = _core.stream_order(numbers, len(self.family), self.instances, self.seed)
        columns = (array.tolist() for array in (numbers, *order))
        wide = digits(9, len(self.family) * self.instances)
        return [Sample(f"{n:0{wide}d}", *place) for n, *place in zip(*columns, strict=True)]

    def described(self, sample: Sample) -> dict[str, bytes]:
        address: dict[str, Any] = {
            "family": self.family.name,
            "seed": self.seed,
            "category": sample.category,
            "index": sample.index,
            "parameters": self.family.parameters(sample.category),
        }
        return {"cls": str(sample.category).encode(), "json": json.dumps(address).encode()}

    def write(self, path: Path, files: Iterable[tuple[Sample, bytes]]) -> None:
        TarWriter = _tar_writer()
        with writing_whole(path) as file, TarWriter(file, mtime=0, encoder=False) as tar:
            for sample, png in files:
                tar.write({"__key__": sample.key, "png": png, **self.described(sample)})

    def read(self, path: Path) -> Iterator[tuple[str, bytes]]:
        with tarfile.open(path, "r:") as tar:  # as it is: a compressed one is another file
            for member in tar:
                content = tar.extractfile(member)
                yield member.name, content.read() if content else b""


class ClassFolders(Layout):
    """``00003/000077.png``: a folder for each category, as torchvision's ``ImageFolder`` reads."""

    units_are = "folders"

    def name(self, unit: int) -> str:
        return f"{unit:0{digits(5, self.units())}d}"

    def prepare(self) -> None:
        pass  # nothing is needed

    def samples(self, unit: int) -> list[Sample]:
        return [Sample(self.key(unit, index), unit, index) for index in range(self.instances)]

    def key(self, category: int, index: int) -> str:
        """What the file of an instance is called."""
        return f"{index:0{digits(6, self.instances)}d}"

    def described(self, sample: Sample) -> dict[str, bytes]:
        return {}

    def write(self, path: Path, files: Iterable[tuple[Sample, bytes]]) -> None:
        part = part_of(path)
        with saying_what(path):
            try:
                part.mkdir()
                for sample, png in files:
                    (part / f"{sample.key}.png").write_bytes(png)
                try:
                    part.replace(path)
                except OSError:
                    if not path.is_dir():  # else another process was quicker
                        raise
            finally:
                shutil.rmtree(part, ignore_errors=True)

    def read(self, path: Path) -> Iterator[tuple[str, bytes]]:
        for file in sorted(path.iterdir()):
            if not file.name.startswith("."):  # what file browsers leave
                yield file.name, file.read_bytes()


class ReleasedFolders(ClassFolders):
    """``00003/00003_01_count_9_flip1.png``: the authors' folders and file names."""

    def __init__(self, family: Family, seed: int, instances: int, shard_size: int) -> None:
        super().__init__(family, seed, instances, shard_size)
        if not isinstance(family, IFS):
            raise ValueError(f"the authors' file names are for IFS, not for {family!r}")
        if instances > GRID:
            raise ValueError(
                f"the authors' file names end after {GRID} instances, got instances={instances}"
            )

    def key(self, category: int, index: int) -> str:
        """What the authors call the weight row, patch draw and mirroring of an instance."""
        weight, patch, flip = index // (PATCHES * FLIPS), index // FLIPS % PATCHES, index % FLIPS
        return f"{category:05d}_{weight:02d}_count_{patch}_flip{flip}"


#: By the names that ``fdsl export --layout`` takes.
LAYOUTS: dict[str, type[Layout]] = {
    "webdataset": WebDataset,
    "folders": ClassFolders,
    "released": ReleasedFolders,
}


def digits(least: int, number: int) -> int:
    """How wide names are that count to a number, so that they sort as they count."""
    return max(least, len(str(number - 1)))


def _tar_writer() -> Any:
    try:
        from webdataset import TarWriter
    except ImportError:
        raise ModuleNotFoundError(
            "shards are written by the webdataset library: pip install 'fdsl[export]'"
        ) from None
    return TarWriter
