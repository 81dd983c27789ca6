"""Categories from wherever they are."""

from __future__ import annotations

import re
from pathlib import Path

from fdsl._checks import shortened
from fdsl._files import PathLike
from fdsl.families.base import Family
from fdsl.families.bezier import Bezier
from fdsl.families.fractaldb import fractaldb
from fdsl.families.ifs import IFS
from fdsl.families.perlin import Perlin

#: What ``load`` takes, for messages and help.
SOURCES = (
    "a name (fractaldb-1k, perlin-100, bezier-144), a file that was saved (.npz), a folder of "
    "the authors' CSV files or of an export, or a pickle (.pkl) of Improving Fractal Pre-training"
)


def load(source: PathLike) -> Family:
    """Returns categories by name, or reads them from a file or folder of any kind.

    Args:
        source: ``"fractaldb-N"`` (also ``"fractaldb-1k"`` and ``"fractaldb-10k"``),
            ``"perlin-N"`` or ``"bezier-N"``; a file that ``save`` wrote; a
            folder of the authors' CSV files (``IFS.from_csv``) or one that was exported to; or a
            pickle (``IFS.from_pickle``).

    Raises:
        FileNotFoundError: there is no such file, folder or name.
        ValueError: it does not hold categories.

    >>> load("bezier-144")
    <Bezier: 144 categories of up to 13 points and 12 curves>
    """
    path = Path(source)
    try:
        there = path.exists()
    except OSError:  # longer than the name of a file can be
        there = False
    named = re.fullmatch(r"(fractaldb|perlin|bezier)-(\d{1,20})|fractaldb-(1|10)k", str(source))
    if named and not there:
        number = int(named[2] or f"{named[3]}000")
        if named[1] in ("perlin", "bezier"):
            return Perlin(number) if named[1] == "perlin" else Bezier(number)
        return fractaldb(number)
    if not there:
        raise FileNotFoundError(f"no categories at {shortened(str(path))}: expected {SOURCES}")
    if path.is_dir():
        exported = sorted(path.glob("categories-*.npz"))
        if len(exported) > 1:
            raise ValueError(
                f"{path} holds {len(exported)} files of categories: name one, such as {exported[0]}"
            )
        return Family.load(exported[0]) if exported else IFS.from_csv(path)
    if path.suffix in (".pkl", ".pickle"):
        return IFS.from_pickle(path)
    return Family.load(path)
