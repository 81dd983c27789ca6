"""How pictures are spread over files: units (a shard, or the folder of a category) of samples."""

from __future__ import annotations

import json
import shutil
import tarfile
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from fdsl._files import part_of, saying_what, writing_whole
from fdsl.families import IFS, Family

#: Version of the names, labels, addresses and PNG encoding. Raise it when one of them changes: an
#: export that was begun with another is refused.
LAYOUT_FORMAT = 1

#: A folder may have this many units, and a unit this many images: more would fill the memory with
#: names before the first file is written.
MOST_UNITS = MOST_IMAGES = 1_000_000

#: Weight rows of the authors' grid times patch draws times mirrorings.
GRID, PATCHES, FLIPS = 1000, 10, 4


@dataclass(frozen=True, slots=True)
class Sample:
    """A picture of an export."""

    #: What its files are called, without their endings.
    key: str
    category: int
    index: int


#: The image of a sample and the files of its target, by their endings.
Files: TypeAlias = dict[str, bytes]


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

    def check_counts(self) -> None:
        """Raises ValueError if there are too many units, or too many images in one."""
        if (units := self.units()) > MOST_UNITS:
            raise ValueError(
                f"an export may have at most {MOST_UNITS:,} {self.units_are}, got {units:,}"
            )
        if (images := self.pictures(0)) > MOST_IMAGES:
            raise ValueError(
                f"{self.units_are} may hold at most {MOST_IMAGES:,} images each, got {images:,}"
            )

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
    def write(self, path: Path, files: Iterable[tuple[Sample, Files]]) -> None:
        """Writes a unit of images and what was rendered with them, whole or not at all."""

    @abstractmethod
    def read(self, path: Path) -> Iterator[tuple[str, bytes]]:
        """The name and content of every file of a unit, in order.

        Raises:
            ValueError: the unit is damaged.
            OSError: it cannot be read.
        """


class WebDataset(Layout):
    """``000000.tar``, …: shards in the order of a stream, so that each holds every category."""

    def prepare(self) -> None:
        _tar_writer()

    def name(self, unit: int) -> str:
        return f"{unit:0{digits(6, self.units())}d}.tar"

    def samples(self, unit: int) -> list[Sample]:
        first = unit * self.shard_size
        numbers = np.arange(first, first + self.pictures(unit), dtype=np.uint64)
        order = self.family.order(numbers, self.instances, self.seed)
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

    def write(self, path: Path, files: Iterable[tuple[Sample, Files]]) -> None:
        TarWriter = _tar_writer()
        with writing_whole(path) as file, TarWriter(file, mtime=0, encoder=False) as tar:
            for sample, rendered in files:
                tar.write({"__key__": sample.key, **rendered, **self.described(sample)})

    def read(self, path: Path) -> Iterator[tuple[str, bytes]]:
        # Header by header instead of with tarfile.open, which follows links, skips what stands
        # between files and never looks behind the last one.
        if not path.is_file():  # opening a pipe would wait for a writer
            raise ValueError("it is not a plain file")
        size = path.stat().st_size
        with path.open("rb") as file:
            while any(block := file.read(tarfile.BLOCKSIZE)):
                try:
                    member = tarfile.TarInfo.frombuf(block, "utf-8", "backslashreplace")
                except (tarfile.TarError, ValueError) as error:
                    at = file.tell() - len(block)
                    raise ValueError(f"no file of a tar archive at byte {at}: {error}") from None
                if member.type not in (tarfile.REGTYPE, tarfile.AREGTYPE):
                    raise ValueError(f"{member.name} is a link or something else but a file")
                if not 0 <= member.size <= size - file.tell():
                    raise ValueError(f"it ends inside {member.name}")
                content = file.read(member.size)
                if any(file.read(-member.size % tarfile.BLOCKSIZE)):
                    raise ValueError(f"there are bytes between {member.name} and the next file")
                yield member.name, content
            # The archive ends with two blocks of zeros, and more up to a multiple of a record.
            end = file.tell() - len(block) + 2 * tarfile.BLOCKSIZE
            if size != end + -end % tarfile.RECORDSIZE or any(file.read()):
                raise ValueError("there are bytes missing or too many behind its last file")


class ClassFolders(Layout):
    """``00003/000077.png``: a folder for each category, as torchvision's ``ImageFolder`` reads."""

    units_are = "folders"

    def __init__(self, family: Family, seed: int, instances: int, shard_size: int) -> None:
        super().__init__(family, seed, instances, shard_size)
        if shard_size != instances:
            raise ValueError(
                f"a folder holds every instance of its category, got shard_size={shard_size} and "
                f"instances={instances}"
            )

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

    def write(self, path: Path, files: Iterable[tuple[Sample, Files]]) -> None:
        part = part_of(path)
        with saying_what(path):
            try:
                part.mkdir()
                for sample, rendered in files:
                    for ending, content in rendered.items():
                        (part / f"{sample.key}.{ending}").write_bytes(content)
                try:
                    part.replace(path)
                except OSError:
                    if not path.is_dir():  # else another process was quicker
                        raise
            finally:
                shutil.rmtree(part, ignore_errors=True)

    def read(self, path: Path) -> Iterator[tuple[str, bytes]]:
        for file in sorted(path.iterdir()):
            if file.name.startswith("."):  # what file browsers leave
                continue
            if not file.is_file():
                raise ValueError(f"{file.name} is not a plain file")
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
