"""Category files that others wrote."""

from __future__ import annotations

import csv
import functools
import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Rows = list[list[float]]


def read_csv_folder(folder: Path) -> tuple[list[Rows], list[list[float]]]:
    """Reads the maps and probabilities of the authors' CSV files, one a category.

    They may lie in the folder or in folders in it; their order is that of their names.
    """
    files = sorted(folder.rglob("*.csv"), key=_category_order)
    if not files:
        raise FileNotFoundError(f"no CSV file in {folder}, nor in the folders in it")
    named: dict[str, Path] = {}
    for file in files:
        if file.stem in named:
            raise ValueError(f"two files for category {file.stem}: {named[file.stem]}, {file}")
        named[file.stem] = file
    maps, probabilities = zip(*map(_read_csv, files), strict=True)
    return list(maps), list(probabilities)


def _category_order(file: Path) -> tuple[int, str, str]:
    number = int(file.stem) if file.stem.isdecimal() else -1
    return number, file.stem, str(file)


def _read_csv(file: Path) -> tuple[Rows, list[float]]:
    maps, probabilities = [], []
    try:
        rows = list(csv.reader(io.StringIO(file.read_text("utf-8-sig"), newline="")))
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{file} is not a CSV file: {error}") from None
    for line, row in enumerate(rows, start=1):
        if not row:
            continue
        try:
            *parameters, probability = (float(text) for text in row)
        except ValueError:
            raise ValueError(f"{file}, line {line}: not all numbers: {','.join(row)}") from None
        if len(parameters) != 6:
            raise ValueError(
                f"{file}, line {line}: expected 7 numbers (a b c d e f p), got {len(row)}"
            )
        if not np.isfinite([*parameters, probability]).all():
            raise ValueError(f"{file}, line {line}: not all finite: {','.join(row)}")
        if not 0 <= probability <= 1 + 1e-6:
            raise ValueError(
                f"{file}, line {line}: the probability must lie between 0 and 1, got {probability}"
            )
        maps.append(parameters)
        probabilities.append(probability)
    if not maps:
        raise ValueError(f"{file} is empty: expected rows of 7 numbers (a b c d e f p)")
    if len(maps) > 256:
        raise ValueError(f"{file}: a category needs between 1 and 256 maps, got {len(maps)}")
    if abs(sum(probabilities) - 1) > 1e-6:
        raise ValueError(f"{file}: the probabilities must sum to 1, got {sum(probabilities)}")
    return maps, probabilities


def refuse_other_csv(folder: Path, categories: int) -> None:
    """Raises FileExistsError if a folder holds CSV files that so many categories leave there."""
    ours = {folder / f"{number:05d}.csv" for number in range(categories)}
    others = sorted(set(folder.rglob("*.csv")) - ours)
    if others:
        raise FileExistsError(f"{folder} holds other categories, {others[0]} among them")


def read_pickle(file: Path) -> list[npt.NDArray[np.float64]]:
    """Reads the maps (n, 6) of the systems in a pickle of "Improving Fractal Pre-training"."""
    try:
        content = file.read_bytes()
    except FileNotFoundError:
        raise FileNotFoundError(f"no categories in {file}: there is no such file") from None
    try:
        found = _Arrays(io.BytesIO(content)).load()
    except _Refused as error:
        raise ValueError(f"{file}: {error}") from None
    except Exception as error:  # bytes that are no pickle fail in many ways
        raise ValueError(f"{file} is not a whole pickle: {error or type(error).__name__}") from None
    params = found.get("params") if isinstance(found, dict) else None
    if not isinstance(params, list | tuple) or not params:
        raise ValueError(f"{file}: expected a dictionary with a list of systems as 'params'")
    return [_system(file, category, entry) for category, entry in enumerate(params)]


def _system(file: Path, category: int, entry: Any) -> npt.NDArray[np.float64]:
    system = entry.get("system") if isinstance(entry, dict) else None
    if not isinstance(system, np.ndarray) or system.dtype.kind not in "fiu":
        raise ValueError(f"{file}, category {category}: expected an array of numbers as 'system'")
    if system.ndim != 3 or system.shape[1:] != (2, 3):
        raise ValueError(
            f"{file}, category {category}: expected a system (n, 2, 3), got shape {system.shape}"
        )
    # Each map is the rows (a b e) and (c d f).
    return system.astype(np.float64).reshape(-1, 6)[:, [0, 1, 3, 4, 2, 5]]


class _Refused(Exception):
    """What a pickle holds is not loaded."""


class _Arrays(pickle.Unpickler):
    """Builds arrays, dictionaries, lists and numbers. A pickle can ask for any function to be
    called; this one refuses all but those that NumPy's arrays are made of."""

    HARMLESS = frozenset(
        {
            ("numpy", "dtype"),
            ("numpy", "ndarray"),
            ("numpy.core.multiarray", "_reconstruct"),
            ("numpy._core.multiarray", "_reconstruct"),
            ("numpy.core.numeric", "_frombuffer"),
            ("numpy._core.numeric", "_frombuffer"),
            ("_codecs", "encode"),  # how the oldest protocols write bytes
        }
    )

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self.HARMLESS:
            raise _Refused(
                f"it asks for {module}.{name}, and may hold nothing but arrays; it is not loaded"
            )
        # The old name of a module that NumPy 2 moved, and the new one for NumPy 1.
        for place in (
            module,
            module.replace("numpy.core", "numpy._core"),
            module.replace("numpy._core", "numpy.core"),
        ):
            try:
                found = super().find_class(place, name)
                # A pickle can set attributes of what it is given: of a function it gets a wrapper.
                return found if isinstance(found, type) else functools.partial(found)
            except (ImportError, AttributeError):
                continue
        raise _Refused(f"this NumPy has no {module}.{name}")
