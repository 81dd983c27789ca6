"""How images are divided into units: shards, or one folder per category."""

from __future__ import annotations

import json
import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TypeAlias

import numpy as np

from fdsl._checks import counted
from fdsl._files import naming_file, part_of, writing_whole
from fdsl.export.tar import Digest, read_archive, write_archive
from fdsl.export.target import EXTENSIONS, check_target, files_of
from fdsl.families import IFS, Family
from fdsl.targets import TARGETS, Objects

#: Version of the names, labels, addresses and PNG encoding. Raise it when one of them changes: an
#: export that was started with another version is refused.
LAYOUT_FORMAT = 1

#: Limits of one export. The names of more units, or of more images in a unit, would fill the memory
#: before the first file is written.
MAX_UNITS = MAX_IMAGES = 1_000_000

#: The grid of the authors' file names: weight rows × patches × flips.
GRID, PATCHES, FLIPS = 1000, 10, 4

#: A reader with 8 workers on each of 8 ranks needs a shard for each of them.
SHARDS_FOR_READERS = 8 * 8
#: Default sizes of a shard lie between these.
MIN_SHARD, MAX_SHARD = 100, 10_000


@dataclass(frozen=True, slots=True)
class Entry:
    """A sample of an export: its key, and its address without the seed."""

    #: The name of its files, without their extensions.
    key: str
    category: int
    index: int


#: The image of an entry and the files of its target, by extension.
Files: TypeAlias = dict[str, bytes]


def default_shard_size(images: int) -> int:
    """Returns how many images a shard holds by default.

    A multiple of 64 shards, if they hold at least 100 images each: 8 workers on each of 8 ranks
    then read the same number of shards. (From 100 million images on, there may be a few shards
    fewer than such a multiple.) No shard holds more than 10,000 images.

    >>> default_shard_size(1_000_000), default_shard_size(60_000), default_shard_size(1000)
    (7813, 938, 100)
    """
    shards = SHARDS_FOR_READERS * -(-images // (SHARDS_FOR_READERS * MAX_SHARD))
    return max(MIN_SHARD, -(-images // shards))


class Layout(ABC):
    """Divides ``instances`` images of each category into units, each written whole or not at all.

    Args:
        family: the categories.
        seed: the seed of every address.
        instances: images per category.
        shard_size: images per unit.
    """

    #: What a unit is called in messages.
    unit = "shard"
    #: The targets that it can hold.
    targets: tuple[str, ...] = TARGETS

    def __init__(self, family: Family, seed: int, instances: int, shard_size: int) -> None:
        self.family, self.seed, self.instances = family, seed, instances
        self.shard_size = shard_size

    def check_counts(self) -> None:
        """Raises ValueError if there are too many units, or too many images in one."""
        if (units := self.units()) > MAX_UNITS:
            raise ValueError(
                f"an export may have at most {counted(MAX_UNITS, self.unit)}, got {units:,}"
            )
        if (images := self.images(0)) > MAX_IMAGES:
            raise ValueError(
                f"a {self.unit} may hold at most {counted(MAX_IMAGES, 'image')}, got {images:,}"
            )

    def check_target(self, target: str) -> None:
        """Checks that the files can hold a target that the family has.

        Raises:
            ValueError: the family has too many categories for it.
            ModuleNotFoundError: it needs Pillow, which is not installed.
        """
        check_target(self.family, target)

    def extensions(self, target: str) -> tuple[str, ...]:
        """Returns the extensions of a target's files."""
        return EXTENSIONS[target]

    def target_files(self, objects: Objects, categories: Sequence[int], target: str) -> Files:
        """Returns the files of an entry's target, by extension.

        Args:
            objects: uint16 (H, W), the number of the object that each pixel shows; 0 is background.
            categories: the category of each object.
            target: a name in ``targets``, other than ``"label"``.
        """
        return files_of(objects, categories, target, len(self.family))

    def home(self, folder: Path) -> Path:
        """Returns the folder of the units, in that of the export."""
        return folder

    def units(self) -> int:
        """Returns the number of units."""
        return -(-len(self.family) * self.instances // self.shard_size)

    def images(self, unit: int) -> int:
        """Returns the number of images in a unit: ``shard_size``, or fewer in the last."""
        return min(self.shard_size, len(self.family) * self.instances - unit * self.shard_size)

    @abstractmethod
    def name(self, unit: int) -> str:
        """Returns the name of a unit in its folder."""

    @abstractmethod
    def entries(self, unit: int) -> list[Entry]:
        """Returns the entries of a unit, in order."""

    @abstractmethod
    def metadata(self, entry: Entry) -> Files:
        """Returns the files that describe an entry, apart from its image and target."""

    @abstractmethod
    def write(self, path: Path, entries: Iterable[tuple[Entry, Files]]) -> None:
        """Writes a unit, whole or not at all."""

    @abstractmethod
    def read(self, path: Path, digest: Digest) -> Iterator[tuple[str, bytes]]:
        """Reads the name and content of every file of a unit, in order.

        Updates a digest with the bytes of an archive, or with the names and contents of a folder.

        Raises:
            ValueError: the unit is damaged.
            OSError: it cannot be read.
        """

    def finish(self, folder: Path) -> None:  # noqa: B027 (most layouts need nothing more)
        """Writes what all units together give, once they are checked."""


class InStreamOrder(Layout):
    """Units in the order of a stream, so each mixes the categories."""

    def entries(self, unit: int) -> list[Entry]:
        first = unit * self.shard_size
        numbers = np.arange(first, first + self.images(unit), dtype=np.uint64)
        order = self.family.order(numbers, self.instances, self.seed)
        columns = (array.tolist() for array in (numbers, *order))
        width = digits(9, len(self.family) * self.instances)
        return [
            Entry(f"{number:0{width}d}", category, index)
            for number, category, index in zip(*columns, strict=True)
        ]


class WebDataset(InStreamOrder):
    """``000000.tar``, …: shards of entries."""

    def name(self, unit: int) -> str:
        return f"{unit:0{digits(6, self.units())}d}.tar"

    def metadata(self, entry: Entry) -> Files:
        address: dict[str, Any] = {
            "family": self.family.name,
            "seed": self.seed,
            "category": entry.category,
            "index": entry.index,
            "parameters": self.family.parameters(entry.category),
        }
        return {"cls": str(entry.category).encode(), "json": json.dumps(address).encode()}

    def write(self, path: Path, entries: Iterable[tuple[Entry, Files]]) -> None:
        with writing_whole(path) as file:
            self.write_to(file, entries)

    def write_to(self, file: IO[bytes], entries: Iterable[tuple[Entry, Files]]) -> None:
        """Writes a shard to an open file or pipe."""
        write_archive(
            file,
            (
                (f"{entry.key}.{extension}", content)
                for entry, rendered in entries
                for extension, content in sorted({**rendered, **self.metadata(entry)}.items())
            ),
        )

    def read(self, path: Path, digest: Digest) -> Iterator[tuple[str, bytes]]:
        return read_archive(path, digest)


class ClassFolders(Layout):
    """``00003/000077.png``: a folder for each category, as torchvision's ``ImageFolder`` reads."""

    unit = "folder"
    targets = ("label",)

    def __init__(self, family: Family, seed: int, instances: int, shard_size: int) -> None:
        super().__init__(family, seed, instances, shard_size)
        if shard_size != instances:
            raise ValueError(
                "a folder holds all instances of its category, got "
                f"shard_size={shard_size} and instances={instances}"
            )

    def name(self, unit: int) -> str:
        return f"{unit:0{digits(5, self.units())}d}"

    def entries(self, unit: int) -> list[Entry]:
        return [Entry(self.key(unit, index), unit, index) for index in range(self.instances)]

    def key(self, category: int, index: int) -> str:
        """Returns the file name of an instance, without its extension."""
        return f"{index:0{digits(6, self.instances)}d}"

    def metadata(self, entry: Entry) -> Files:
        return {}

    def write(self, path: Path, entries: Iterable[tuple[Entry, Files]]) -> None:
        write_folder(
            path,
            (
                (f"{entry.key}.{extension}", content)
                for entry, rendered in entries
                for extension, content in rendered.items()
            ),
        )

    def read(self, path: Path, digest: Digest) -> Iterator[tuple[str, bytes]]:
        return hashed(read_folder(path), digest)


class ReleasedFolders(ClassFolders):
    """``00003/00003_01_count_9_flip1.png``: the authors' folders and file names."""

    def __init__(self, family: Family, seed: int, instances: int, shard_size: int) -> None:
        super().__init__(family, seed, instances, shard_size)
        if not isinstance(family, IFS):
            raise ValueError(f"the authors' file names are for an IFS, got {family!r}")
        if instances > GRID:
            raise ValueError(
                f"the authors' file names end at {GRID:,} instances, got instances={instances}"
            )

    def key(self, category: int, index: int) -> str:
        """Returns the authors' name of an instance: its weight row, patch and flip."""
        weight, patch, flip = index // (PATCHES * FLIPS), index // FLIPS % PATCHES, index % FLIPS
        return f"{category:05d}_{weight:02d}_count_{patch}_flip{flip}"


def write_folder(path: Path, files: Iterable[tuple[str, bytes]]) -> None:
    """Writes a folder of files, whole or not at all, unless another process finishes it first.

    Its files are not flushed to the disk one by one, which would take longer than rendering them.
    After a power cut, ``finalize`` finds folders whose files were lost.
    """
    part = part_of(path)
    with naming_file(path):
        try:
            part.mkdir()
            for name, content in files:
                (part / name).write_bytes(content)
            try:
                part.replace(path)
            except OSError:
                if not path.is_dir():  # else another process finished first
                    raise
        finally:
            shutil.rmtree(part, ignore_errors=True)


def read_folder(path: Path) -> Iterator[tuple[str, bytes]]:
    """Reads the name and content of every file of a folder, in order.

    Raises:
        ValueError: it holds anything but plain files.
        OSError: it cannot be read.
    """
    for file in sorted(path.iterdir()):
        if file.name.startswith("."):  # left by a file browser
            continue
        if not file.is_file():
            raise ValueError(f"{file.name} is not a plain file")
        yield file.name, file.read_bytes()


def hashed(files: Iterable[tuple[str, bytes]], digest: Digest) -> Iterator[tuple[str, bytes]]:
    """Updates a digest with the name and content of each file."""
    for name, content in files:
        digest.update(name.encode() + b"\0" + content)
        yield name, content


def digits(least: int, count: int) -> int:
    """Returns how many digits ``count`` numbered names need to sort in order: ``least`` or more."""
    return max(least, len(str(count - 1)))
