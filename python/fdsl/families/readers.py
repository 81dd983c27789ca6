"""Readers of category files from untrusted sources."""

from __future__ import annotations

import csv
import io
import math
import re
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fdsl._checks import shortened
from fdsl._files import INCOMPLETE, read_at_most
from fdsl.families.unpickle import PickledArray, unpickled

Floats = npt.NDArray[np.float64]

#: Limits: maps of one category;
MAX_MAPS = 256
#: maps of all categories together, enough for a million categories of 8 each;
MAX_MAPS_IN_ALL = 2**23
#: bytes of a file of categories, and of the arrays in it, enough for that many maps;
MAX_BYTES = 600_000_000
#: bytes of a CSV file (256 maps take 40,000);
MAX_CSV_BYTES = 2**20
#: arrays in a file of categories.
MAX_ARRAYS = 512


def read_csv_folder(folder: Path) -> tuple[list[Floats], list[Floats]]:
    """Reads the maps and probabilities of the authors' CSV files, one per category.

    They may be in the folder or its subfolders, and are sorted by name.

    Raises:
        FileNotFoundError: there is no CSV file.
        ValueError: a file is malformed, a number is there twice, or writing the folder was
            interrupted.

    Warns:
        UserWarning: a number is missing, so labels are not the numbers of the files.
    """
    files = sorted(folder.rglob("*.csv"), key=_category_order)
    if not files:
        raise FileNotFoundError(f"no CSV file in {folder}, nor in the folders in it")
    if incomplete := next(folder.rglob(INCOMPLETE), None):
        raise ValueError(
            f"not all categories are in {incomplete.parent}: writing them was interrupted; write "
            "them again"
        )
    named: dict[int | str, Path] = {}
    for file in files:
        name = file.stem if (number := _number(file)) is None else number
        if name in named:
            raise ValueError(f"two files for category {file.stem}: {named[name]}, {file}")
        named[name] = file
    # A file may have been lost, or others chosen by hand.
    numbers = [name for name in named if isinstance(name, int)]
    if len(numbers) == len(named) and max(numbers) >= len(numbers):
        missing = next(number for number in range(len(numbers)) if number not in named)
        warnings.warn(
            f"{folder} has {len(numbers):,} numbered files but no {missing:05d}.csv, so the labels "
            "of later ones are not their numbers",
            stacklevel=3,
        )
    rows = list(map(_read_csv, files))
    return [row[:, :6] for row in rows], [row[:, 6] for row in rows]


def _number(file: Path) -> int | None:
    """Returns the number that is the name of a file, if it is one."""
    return int(file.stem) if re.fullmatch("[0-9]+", file.stem) else None


def _category_order(file: Path) -> tuple[int, str, str]:
    number = _number(file)
    return -1 if number is None else number, file.stem, str(file)


def _cell(text: str) -> float:
    # Python also reads 1_0, and the digits of every script.
    if "_" in text or not text.isascii():
        raise ValueError
    return float(text)


def _read_csv(file: Path) -> Floats:
    numbers: list[list[float]] = []
    try:
        text = read_at_most(file, MAX_CSV_BYTES).decode("utf-8-sig")
        rows = list(csv.reader(io.StringIO(text, newline="")))
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{file} is not a CSV file: {error}") from None
    for line, row in enumerate(rows, start=1):
        if not row:
            continue
        given = shortened(",".join(row))
        try:
            values = [*map(_cell, row)]
        except ValueError:
            raise ValueError(f"{file}, line {line}: not all numbers: {given}") from None
        if len(values) != 7:
            raise ValueError(
                f"{file}, line {line}: expected 7 numbers (a b c d e f p), got {len(row)}"
            )
        if not all(map(math.isfinite, values)):
            raise ValueError(f"{file}, line {line}: not all finite: {given}")
        if not 0 <= values[6] <= 1 + 1e-6:
            raise ValueError(
                f"{file}, line {line}: the probability must lie between 0 and 1, got {values[6]}"
            )
        numbers.append(values)
    if not numbers:
        raise ValueError(f"{file} is empty: expected rows of 7 numbers (a b c d e f p)")
    if len(numbers) > MAX_MAPS:
        raise ValueError(
            f"{file}: a category needs between 1 and {MAX_MAPS} maps, got {len(numbers)}"
        )
    total = sum(row[6] for row in numbers)
    if abs(total - 1) > 1e-6:
        raise ValueError(f"{file}: the probabilities must sum to 1, got {total}")
    return np.array(numbers)


def refuse_other_csv(folder: Path, categories: int) -> None:
    """Raises FileExistsError if a folder holds CSV files that writing this many categories would
    not replace."""

    def is_ours(file: Path) -> bool:
        written = re.fullmatch(r"[0-9]{5}|[1-9][0-9]{5,}", file.stem) and file.parent == folder
        return bool(written) and int(file.stem) < categories

    if others := sorted(file for file in folder.rglob("*.csv") if not is_ours(file)):
        raise FileExistsError(f"{folder} holds other categories, {others[0]} among them")


def read_arrays(content: bytes) -> dict[str, npt.NDArray[Any]]:
    """Reads the arrays of numbers and text in an .npz file.

    The sizes in its headers are checked against its contents before memory is allocated.
    """
    if not content.startswith(b"PK"):
        raise ValueError("it is not an .npz file")
    # ZipFile keeps some hundred bytes for each entry of 46 bytes.
    if (entries := content.count(b"PK\1\2")) > 2 * MAX_ARRAYS:
        raise ValueError(f"it holds {entries:,} arrays, more than {MAX_ARRAYS}")
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = archive.infolist()
        if len(members) > MAX_ARRAYS:
            raise ValueError(f"it holds {len(members):,} arrays, more than {MAX_ARRAYS}")
        for member in members:
            if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise ValueError("it is compressed in a way that NumPy does not use")
        size = sum(member.file_size for member in members)
        if size > MAX_BYTES:
            raise ValueError(f"its header claims {size:,} bytes, more than {MAX_BYTES:,}")
        arrays = {}
        for member in members:
            with archive.open(member) as file:  # read(n) unpacks no more than n bytes
                unpacked = file.read(member.file_size)
            arrays[member.filename.removesuffix(".npy")] = _array(unpacked)
        return arrays


def _array(content: bytes) -> npt.NDArray[Any]:
    file = io.BytesIO(content)
    version = np.lib.format.read_magic(file)
    headers = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    if version not in headers:
        raise ValueError(f"an array in it has the unknown version {version}")
    shape, by_column, dtype = headers[version](file)
    left = len(content) - file.tell()
    if dtype.kind not in "bfiuU" or dtype.itemsize == 0:
        raise ValueError("an array in it holds neither numbers nor text")
    if math.prod(shape) * dtype.itemsize != left:
        raise ValueError(f"an array in it has {left:,} bytes, which is not what its header says")
    flat = np.frombuffer(content, dtype, offset=file.tell()) if left else np.empty(0, dtype)
    return flat.reshape(shape, order="F" if by_column else "C")


def read_pickle(file: Path) -> tuple[Floats, npt.NDArray[np.int64]]:
    """Reads the systems in a pickle of "Improving Fractal Pre-training".

    Returns the maps (n, 6) of all categories, concatenated, and the number of maps of each.
    """
    try:
        content = read_at_most(file, MAX_BYTES)
    except FileNotFoundError:
        raise FileNotFoundError(f"no categories in {file}: there is no such file") from None
    try:
        found = unpickled(content)
    except ValueError as error:
        raise ValueError(f"{file}{error}") from None
    params = found.get("params") if isinstance(found, dict) else None
    if not isinstance(params, list | tuple) or not params:
        raise ValueError(f"{file}: expected a dictionary with a list of systems as 'params'")
    systems, count = [], 0
    for category, entry in enumerate(params):
        systems.append(_system(file, category, entry))
        count += len(systems[-1])
        if count > MAX_MAPS_IN_ALL:  # a pickle can repeat a system many times
            raise ValueError(f"{file} holds more than {MAX_MAPS_IN_ALL:,} maps")
    lengths = np.array([len(system) for system in systems], np.int64)
    # Each map is the rows (a b e) and (c d f).
    maps = np.concatenate(systems, dtype=np.float64).reshape(-1, 6)[:, [0, 1, 3, 4, 2, 5]]
    return np.ascontiguousarray(maps), lengths


def _system(file: Path, category: int, entry: Any) -> npt.NDArray[Any]:
    system = entry.get("system") if isinstance(entry, dict) else None
    if not isinstance(system, PickledArray) or not system.holds_numbers():
        raise ValueError(f"{file}, category {category}: expected an array of numbers as 'system'")
    try:
        array = system.array()
    except ValueError as error:
        raise ValueError(f"{file}, category {category}: {error}") from None
    if array.ndim != 3 or array.shape[1:] != (2, 3):
        raise ValueError(
            f"{file}, category {category}: expected a system (n, 2, 3), got shape {array.shape}"
        )
    if not 1 <= len(array) <= MAX_MAPS:
        raise ValueError(
            f"{file}, category {category}: a category needs between 1 and {MAX_MAPS} maps, "
            f"got {len(array)}"
        )
    return array
