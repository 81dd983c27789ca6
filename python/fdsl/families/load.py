"""Categories from wherever they are."""

from __future__ import annotations

import re
from pathlib import Path

from fdsl._checks import shortened
from fdsl._files import PathLike
from fdsl.families.base import Family
from fdsl.families.fractaldb import fractaldb
from fdsl.families.ifs import IFS
from fdsl.families.published import published
from fdsl.families.registry import NAME, find, names, run_script

#: What ``load`` takes, for messages and help.
SOURCES = (
    "a name (fractaldb-1k, rcdb-1k, visualatom-1k, perlin-100, bezier-144), a file that was saved "
    "(.npz), a folder of the authors' CSV files or of an export, a pickle (.pkl) of Improving "
    "Fractal Pre-training, or a script and a name (families.py:disks-10)"
)


def load(source: PathLike) -> Family:
    """Returns categories by name, or reads them from a file or folder of any kind.

    Args:
        source: one of

            - the name of a published set: ``"fractaldb-1k"``, ``"fractaldb-10k"``, ``"rcdb-1k"``,
              ``"visualatom-1k"``;
            - the name of a family and the number it is made with: ``"fractaldb-100"``,
              ``"perlin-100"``, ``"bezier-144"``;
            - a script and such a name, ``"families.py:disks-10"``: imports the script first (and so
              does ``"families.py:saved.npz"``, because a file does not contain the code of a
              Python family);
            - a file that ``save`` wrote;
            - a folder of the authors' CSV files (``IFS.from_csv``), or one that was exported to;
            - a pickle (``IFS.from_pickle``).

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
    scripted = None if there else re.fullmatch(r"(.+\.py):(.+)", str(source))
    if scripted is not None:
        run_script(scripted[1])
        if Path(scripted[2]).exists():
            return load(scripted[2])
    if not there:
        if (found := _by_name(str(source))) is not None:
            return found
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


def _by_name(source: str) -> Family | None:
    """Makes the family of a name, if it is known; one that follows a script must be."""
    if (family := published(source)) is not None:
        return family
    named = re.fullmatch(rf"(.+\.py:)?({NAME})-(\d{{1,20}})", source)
    if named is None:
        return None
    script, name, number = named.groups()
    if name == "fractaldb":
        return fractaldb(int(number))
    if script is None and name not in names():
        return None
    kind = find(name)
    if issubclass(kind, IFS):  # no number makes an IFS
        return None
    made: Family = kind(int(number))
    return made
