"""Families by name: those of this package, of whoever subclassed ``fdsl.Family``, and of installed
packages that name one among their entry points (group ``fdsl.families``)."""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import TYPE_CHECKING

from fdsl._checks import shown

if TYPE_CHECKING:
    from fdsl.families.base import Family

GROUP = "fdsl.families"

_known: dict[str, type[Family]] = {}


def register(family: type[Family]) -> None:
    """Makes a family known by its name; the last of a name wins, as when a cell is run again."""
    if family.__name__ != "CoreFamily":  # it is no family itself
        _known[family.name] = family


def names() -> list[str]:
    """Returns the names of all families."""
    return sorted({*_known, *(point.name for point in entry_points(group=GROUP))})


def find(name: str) -> type[Family]:
    """Returns a family by name.

    Raises:
        ValueError: none has this name.
    """
    if name not in _known:
        for point in entry_points(group=GROUP):
            if point.name == name:
                _known[name] = point.load()
    if name not in _known:
        raise ValueError(f"there is no family {shown(name)}; known are {', '.join(names())}")
    return _known[name]
