"""Checking what was written, and describing it."""

from __future__ import annotations

import hashlib
import json
import random
import shutil
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fdsl._files import PART, PathLike, write_whole
from fdsl.export.layout import Sample
from fdsl.export.plan import PLAN, Plan
from fdsl.export.target import ENDINGS, decode_map
from fdsl.export.write import drawn

#: What ``finalize`` writes: a description, and the same for timm's reader of webdatasets.
METADATA, TIMM = "metadata.json", "_info.json"

#: Images of each shard that are re-rendered: under 1 % of what 10,000 cost. Where one image in ten
#: was replaced, 62 chosen ones notice it with a probability of 99.8 %.
RENDERED = 64


def finalize(
    folder: PathLike, *, progress: Callable[[int, int], object] | None = None
) -> dict[str, Any]:
    """Checks every shard of a finished export and writes ``metadata.json``.

    Every file is read: its name, label and address must be those that the plan gives it, every
    image must be whole (by PNG's own checksums), and nothing may stand between the files or behind
    the last. Of each shard 64 images are re-rendered and compared byte by byte: the first, the
    last, and others that depend on the seed and the shard's number alone. A shard whose SHA-256
    is not the one in an earlier ``metadata.json`` is re-rendered as a whole. What processes that
    were killed left behind is removed, so no other may be writing.

    Args:
        folder: what ``shards`` or ``folders`` wrote to.
        progress: called with (shards done, shards).

    Returns:
        What ``metadata.json`` holds: the settings, how many pictures and bytes there are, and the
        SHA-256 of every shard (of a folder: of the names and contents of its files, in order).

    Raises:
        FileNotFoundError: there is no export in the folder, or shards are missing.
        ValueError: a shard is not what it should be; the message says which, and how.
    """
    path = Path(folder)
    plan = Plan.of(path)
    layout = plan.files
    names = [layout.name(unit) for unit in range(layout.units())]
    missing = [name for name in names if not (path / name).exists()]
    if missing:
        few = ", ".join(missing[:3]) + (", …" if len(missing) > 3 else "")
        raise FileNotFoundError(
            f"{len(missing)} of {len(names)} {layout.units_are} are missing in {path}: {few}; "
            "write them first, with the settings of the others"
        )
    ours = (*names, PLAN, METADATA, TIMM, plan.categories_file)
    parts = tuple(f".{name}." for name in ours)
    for other in sorted({entry.name for entry in path.iterdir()} - set(names)):
        file = path / other
        if other.startswith(parts) and other.endswith(PART):
            shutil.rmtree(file) if file.is_dir() else file.unlink()
        elif file.is_dir() or file.suffix == ".tar":  # readers would take it for a part
            raise ValueError(f"{file} does not belong to the export: move it elsewhere")

    known = _known(path / METADATA, plan)
    shards = []
    for unit, name in enumerate(names):
        shards.append({"name": name, **_checked(plan, unit, path / name)})
        if known.get(name, shards[-1]["sha256"]) != shards[-1]["sha256"]:
            _checked(plan, unit, path / name, every=True)
            raise ValueError(
                f"{path / name} holds the right files, but its SHA-256 is not the one in "
                f"{METADATA}: another program wrote one of the two. Remove {METADATA}, and "
                "finalize again"
            )
        if progress:
            progress(unit + 1, len(names))
    totals = {what: sum(shard[what] for shard in shards) for what in ("pictures", "bytes")}
    metadata = {**plan.settings(), **totals, "shards": shards}
    write_whole(path / METADATA, (json.dumps(metadata, indent=1) + "\n").encode())
    if plan.layout == "webdataset":
        counts = [shard["pictures"] for shard in shards]
        train = {
            "name": "train",
            "num_samples": totals["pictures"],
            "filenames": names,
            "shard_lengths": counts,
        }
        write_whole(path / TIMM, json.dumps({"splits": {"train": train}}).encode())
    return metadata


class _Wrong(ValueError):
    """A shard is not what it should be."""

    def __str__(self) -> str:
        return f"{super().__str__()}. Remove it, and export again: what is missing is written"


def _known(file: Path, plan: Plan) -> dict[str, str]:
    """The digests of an earlier check, if there was one of the same plan."""
    try:
        found = json.loads(file.read_bytes())
        if plan.difference(found) is None:
            return {shard["name"]: shard["sha256"] for shard in found["shards"]}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        pass
    return {}


def _to_render(plan: Plan, unit: int, samples: list[Sample]) -> list[Sample]:
    """Chooses the first image of a unit, the last, and others by the seed and the number."""
    middle = range(1, len(samples) - 1)
    chosen = random.Random(f"{plan.seed} {unit}").sample(middle, min(RENDERED - 2, len(middle)))
    return [samples[at] for at in sorted({0, *chosen, len(samples) - 1})]


def _checked(plan: Plan, unit: int, path: Path, *, every: bool = False) -> dict[str, Any]:
    layout, samples = plan.files, plan.files.samples(unit)
    again = samples if every else _to_render(plan, unit, samples)
    rendered = {
        f"{sample.key}.{ending}": _digest(ending, content)
        for sample, files in drawn(plan, again, None)
        for ending, content in files.items()
    }
    of_target = dict.fromkeys(("png", *ENDINGS[plan.target]))
    expected = (
        (sample, ending, content)
        for sample in samples
        for ending, content in sorted({**layout.described(sample), **of_target}.items())
    )
    digest, pictures, size = hashlib.sha256(), 0, 0
    try:
        for name, content in layout.read(path):
            sample, ending, wanted = next(expected, (None, "", None))
            if sample is None or name != f"{sample.key}.{ending}":
                what = "nothing" if sample is None else f"{sample.key}.{ending}"
                raise _Wrong(f"{path}: {name} stands where {what} should")
            if ending.endswith("png") and not _is_whole_png(content, plan.rendering.output_size):
                raise _Wrong(f"{path}: {name} is not a whole PNG file of its size")
            pictures += ending == "png"
            if wanted is not None:
                same = content == wanted
            else:
                same = rendered.get(name) in (None, _digest(ending, content))
            if not same or (wanted is None and ending.endswith("json") and not _is_json(content)):
                raise _Wrong(f"{path}: {name} is not what its address gives")
            size += len(content)
            digest.update(name.encode() + b"\0" + content)
    except _Wrong:
        raise
    except (ValueError, OSError) as error:
        raise _Wrong(f"{path} cannot be read: {error}") from None
    sample, ending, _ = next(expected, (None, "", None))
    if sample is not None:
        raise _Wrong(f"{path} ends before {sample.key}.{ending}")
    if path.is_file():
        size, digest = path.stat().st_size, hashlib.sha256()
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return {"pictures": pictures, "bytes": size, "sha256": digest.hexdigest()}


def _digest(ending: str, content: bytes) -> bytes:
    """A digest of a file; of a map that of its numbers, which zlib does not compress to the same
    bytes on every machine."""
    if ending in ("mask.png", "objects.png") and (numbers := decode_map(content)) is not None:
        content = f"{numbers.shape}{numbers.dtype.str}".encode() + numbers.tobytes()
    return hashlib.sha256(content).digest()


def _is_json(content: bytes) -> bool:
    try:
        json.loads(content)
    except (ValueError, RecursionError):
        return False
    return True


def _is_whole_png(content: bytes, size: tuple[int, int]) -> bool:
    """Walks along the chunks and compares what they hold with their checksums."""
    at, kind = 8, b""
    while at + 12 <= len(content):
        (length,), kind = struct.unpack_from(">I", content, at), content[at + 4 : at + 8]
        end = at + 12 + length
        if end > len(content):
            return False
        (checksum,) = struct.unpack_from(">I", content, end - 4)
        if zlib.crc32(content[at + 4 : end - 4]) != checksum:
            return False
        if (at == 8) != (kind == b"IHDR" and length == 13):  # the header is first, and once
            return False
        if at == 8 and struct.unpack_from(">II", content, at + 8) != size[::-1]:
            return False
        at = end
    return content.startswith(b"\x89PNG\r\n\x1a\n") and kind == b"IEND" and at == len(content)
