"""Where commands write: files of categories, and bytes on stdout."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import BinaryIO

from fdsl._files import named_path
from fdsl.families import IFS, Family

#: The name of a file that stands for stdout.
STDOUT = "-"


def binary_stdout(content: str) -> BinaryIO:
    """Returns stdout for bytes.

    Raises:
        ValueError: it is a terminal.
    """
    if sys.stdout.isatty():
        raise ValueError(f"{content} is binary: redirect it to a file or another program")
    return sys.stdout.buffer


def check_categories_file(name: str) -> Path:
    """Returns the path for ``save_categories``, or raises before long work is wasted."""
    out = named_path(name)
    if out.suffix not in ("", ".npz") and not out.is_dir():
        raise ValueError(f"OUT must be a .npz file or a folder for CSV files, got {name}")
    if not out.absolute().parent.is_dir():
        raise FileNotFoundError(f"there is no folder {out.parent} to write {out.name} to")
    if out.suffix == ".npz" and out.is_dir():
        raise IsADirectoryError(f"{out} is a folder: choose another name for the .npz file")
    if not out.suffix and out.exists() and not out.is_dir():
        raise FileExistsError(f"{out} is a file: choose another name for the folder of CSV files")
    if not os.access(out if out.is_dir() else out.absolute().parent, os.W_OK):
        raise PermissionError(f"cannot write to the folder {out if out.is_dir() else out.parent}")
    return out


def save_categories(family: Family, out: Path) -> None:
    """Writes categories to a ``.npz`` file or a folder of CSV files."""
    if out.suffix == ".npz":
        family.save(out)
    elif isinstance(family, IFS):
        family.to_csv(out)
    else:
        raise ValueError(f"CSV files hold an IFS only, got {family!r}; write a .npz file")
