"""Category files that others wrote."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np

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
        rows = list(csv.reader(io.StringIO(file.read_text("utf-8"), newline="")))
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
