"""Checking and describing an export."""

from __future__ import annotations

import hashlib
import json
import random
import struct
import warnings
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from fdsl._checks import counted
from fdsl._files import PathLike, append_whole, named_path, read_at_most, remove_parts, write_whole
from fdsl.export.coco import ANNOTATIONS
from fdsl.export.layout import SHARDS_FOR_READERS, Entry
from fdsl.export.plan import PLAN, Plan
from fdsl.export.samples import rendered_files
from fdsl.export.target import decode_map

#: What ``finalize`` writes: a description, and the one that timm's webdataset reader needs.
METADATA, TIMM = "metadata.json", "_info.json"

#: A line for each shard that an interrupted ``finalize`` has checked.
CHECKED = ".checked.jsonl"
#: What was found of a shard, and the largest size of the file for a million of them.
FOUND, MAX_CHECKED = {"images": int, "bytes": int, "sha256": str}, 2**29

#: Images of each shard that are re-rendered: under 1% of 10,000. If one image in ten was replaced,
#: 62 random ones find it with a probability of 99.8%.
RERENDERED = 64


def finalize(
    folder: PathLike, *, progress: Callable[[int, int], object] | None = None
) -> dict[str, Any]:
    """Checks every shard of a finished export and writes ``metadata.json``; for COCO, also the
    ``annotations.json`` of all images.

    Reads every file: its name, label and address must be those of the plan, images must be intact
    (by the checksums in the PNG), and a shard may hold nothing else. Re-renders 64 images of each
    shard and compares them byte by byte: the first, the last, and others chosen by the seed and the
    shard's number. A shard whose SHA-256 differs from an earlier ``metadata.json`` is re-rendered
    completely. Removes what killed processes left behind, so no other process may be writing.
    Reads a few thousand images per second; if it is interrupted, the next call continues with the
    shards (not the folders) that it has not checked.

    Args:
        folder: the folder of the export.
        progress: called with (shards checked, shards).

    Returns:
        The contents of ``metadata.json``: the settings, the number of images and bytes, and the
        SHA-256 of every shard (for a folder: of the names and contents of its files, in order;
        in COCO the annotations of an image follow it).

    Raises:
        FileNotFoundError: there is no export in the folder, or shards are missing.
        ValueError: a shard is wrong; the message says which, and how.

    Warns:
        UserWarning: there are fewer than 64 shards, too few for 8 ranks of 8 workers.
    """
    path = named_path(folder)
    plan = Plan.of(path)
    layout = plan.files
    home = layout.home(path)
    names = [layout.name(unit) for unit in range(layout.units())]
    missing = [name for name in names if not (home / name).exists()]
    if missing:
        few = ", ".join(missing[:3]) + (", …" if len(missing) > 3 else "")
        raise FileNotFoundError(
            f"missing from {home}: {len(missing):,} of {counted(len(names), layout.unit)} ({few}); "
            "export them first, with the same settings"
        )
    ours = (*names, PLAN, METADATA, TIMM, ANNOTATIONS, plan.categories_file)
    for folder in (path, home):
        remove_parts(folder, ours)
    for file in sorted({*path.iterdir(), *home.iterdir()} - {home / name for name in names}):
        if file == home:
            continue
        elif file.is_dir() or file.suffix == ".tar":  # readers would take it for data
            raise ValueError(f"{file} does not belong to the export: move it elsewhere")

    known, journal = _known(path / METADATA, plan), _Journal(path)
    shards = []
    for unit, name in enumerate(names):
        found = journal.get(home / name) or _check_unit(plan, unit, home / name)
        shards.append({"name": name, **found})
        if known.get(name, shards[-1]["sha256"]) != shards[-1]["sha256"]:
            _check_unit(plan, unit, home / name, rerender_all=True)
            raise ValueError(
                f"{home / name} holds the right files, but its SHA-256 is not the one in "
                f"{METADATA}: another program wrote one of the two. Remove {METADATA}, then "
                "finalize again"
            )
        journal.add(home / name, found)
        if progress:
            progress(unit + 1, len(names))
    layout.finish(path)
    totals = {what: sum(shard[what] for shard in shards) for what in ("images", "bytes")}
    metadata = {**plan.settings(), **totals, "shards": shards}
    write_whole(path / METADATA, (json.dumps(metadata, indent=1) + "\n").encode())
    journal.remove()
    if plan.layout == "webdataset":
        train = {
            "name": "train",
            "num_samples": totals["images"],
            "filenames": names,
            "shard_lengths": [shard["images"] for shard in shards],
        }
        write_whole(path / TIMM, json.dumps({"splits": {"train": train}}).encode())
    if plan.layout == "webdataset" and len(names) < SHARDS_FOR_READERS:
        warnings.warn(
            f"only {counted(len(names), 'shard')}: readers give each worker whole shards, and 8 "
            f"workers on each of 8 ranks need {SHARDS_FOR_READERS}. For more workers, export "
            "to another folder with a smaller shard size",
            stacklevel=2,
        )
    return metadata


class _WrongShard(ValueError):
    """A shard differs from what the plan says."""

    def __str__(self) -> str:
        return f"{super().__str__()}. Remove it and export again, which writes what is missing"


def _known(file: Path, plan: Plan) -> dict[str, str]:
    """Returns the digests of an earlier check of the same plan, or none."""
    try:
        found = json.loads(file.read_bytes())
        if plan.difference(found) is None:
            return {shard["name"]: shard["sha256"] for shard in found["shards"]}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        pass
    return {}


class _Journal:
    """The shards that an interrupted call has checked and nobody has written since.

    The file is trusted, as ``metadata.json`` is: both can be written by the writers of the shards.
    """

    def __init__(self, folder: Path) -> None:
        self._file = folder / CHECKED
        self._plan = hashlib.sha256((folder / PLAN).read_bytes()).hexdigest()
        self._found: dict[str, dict[str, Any]] = {}
        if self._file.is_symlink():
            self._file.unlink()
        if self._file.is_file():
            for line in read_at_most(self._file, MAX_CHECKED).splitlines():
                with suppress(ValueError, KeyError, TypeError, RecursionError):  # a cut line
                    entry = json.loads(line)
                    if {name: type(value) for name, value in entry["found"].items()} == FOUND:
                        self._found[entry["state"]] = entry["found"]

    def get(self, shard: Path) -> dict[str, Any] | None:
        """Returns what the check of a shard found, or ``None``."""
        return self._found.get(self._state(shard)) if shard.is_file() else None

    def add(self, shard: Path, found: dict[str, Any]) -> None:
        """Remembers a shard."""
        if shard.is_file() and self.get(shard) is None:
            entry = {"state": self._state(shard), "found": found}
            append_whole(self._file, b"\n" + json.dumps(entry).encode())

    def remove(self) -> None:
        """Forgets all shards, so that the next call checks them again."""
        self._file.unlink(missing_ok=True)

    def _state(self, shard: Path) -> str:
        """Returns what changes when a file or the plan is written."""
        stat = shard.stat()
        return f"{self._plan} {shard.name} {stat.st_size} {stat.st_mtime_ns} {stat.st_ino}"


def _to_rerender(plan: Plan, unit: int, entries: list[Entry]) -> list[Entry]:
    """Chooses the first and last entry of a unit, and others by the seed and the unit's number."""
    middle = range(1, len(entries) - 1)
    chosen = random.Random(f"{plan.seed} {unit}").sample(middle, min(RERENDERED - 2, len(middle)))
    return [entries[number] for number in sorted({0, *chosen, len(entries) - 1})]


def _check_unit(plan: Plan, unit: int, path: Path, *, rerender_all: bool = False) -> dict[str, Any]:
    """Checks a unit and returns its number of images, size and SHA-256."""
    layout, entries = plan.files, plan.files.entries(unit)
    chosen = entries if rerender_all else _to_rerender(plan, unit, entries)
    rendered = {
        f"{entry.key}.{extension}": _digest(extension, content)
        for entry, files in rendered_files(plan, chosen, None)
        for extension, content in files.items()
    }
    unknown = dict.fromkeys(("png", *layout.extensions(plan.target)))  # until it is rendered
    expected = (
        (entry, extension, content)
        for entry in entries
        for extension, content in sorted({**layout.metadata(entry), **unknown}.items())
    )
    digest, images, size = hashlib.sha256(), 0, 0
    try:
        for name, content in layout.read(path, digest):
            entry, extension, wanted = next(expected, (None, "", None))
            if entry is None or name != f"{entry.key}.{extension}":
                what = "the end" if entry is None else f"{entry.key}.{extension}"
                raise _WrongShard(f"{path}: expected {what}, found {name}")
            if extension.endswith("png") and not _is_intact(content, plan.rendering.output_size):
                height, width = plan.rendering.output_size
                raise _WrongShard(f"{path}: {name} is not an intact PNG file of {height}×{width}")
            images += extension == "png"
            if wanted is not None:
                same = content == wanted
            else:
                same = rendered.get(name) in (None, _digest(extension, content))
            if wanted is None and extension.endswith("json"):
                same = same and _is_json(content)
            if not same:
                raise _WrongShard(f"{path}: {name} does not match its address")
            size += len(content)
    except _WrongShard:
        raise
    except (ValueError, OSError) as error:
        raise _WrongShard(f"{path} cannot be read: {error}") from None
    entry, extension, _ = next(expected, (None, "", None))
    if entry is not None:
        raise _WrongShard(f"{path} ends before {entry.key}.{extension}")
    if path.is_file():
        size = path.stat().st_size
    return {"images": images, "bytes": size, "sha256": digest.hexdigest()}


def _digest(extension: str, content: bytes) -> bytes:
    """Returns the digest of a file.

    For a map it is that of its numbers, since zlib compresses differently on other machines.
    """
    if extension in ("mask.png", "objects.png") and (numbers := decode_map(content)) is not None:
        content = f"{numbers.shape}{numbers.dtype.str}".encode() + numbers.tobytes()
    return hashlib.sha256(content).digest()


def _is_json(content: bytes) -> bool:
    try:
        json.loads(content)
    except (ValueError, RecursionError):
        return False
    return True


def _is_intact(content: bytes, size: tuple[int, int]) -> bool:
    """Returns whether a file is a PNG of this size and its chunks match their checksums."""
    start, kind = 8, b""
    while start + 12 <= len(content):
        (length,), kind = struct.unpack_from(">I", content, start), content[start + 4 : start + 8]
        end = start + 12 + length
        if end > len(content):
            return False
        (checksum,) = struct.unpack_from(">I", content, end - 4)
        if zlib.crc32(content[start + 4 : end - 4]) != checksum:
            return False
        if (start == 8) != (kind == b"IHDR" and length == 13):  # one header, and first
            return False
        if start == 8 and struct.unpack_from(">II", content, start + 8) != size[::-1]:
            return False
        start = end
    return content.startswith(b"\x89PNG\r\n\x1a\n") and kind == b"IEND" and start == len(content)
