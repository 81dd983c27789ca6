"""Families by name: those of this package, all imported subclasses of ``fdsl.Family``, and the
entry points of installed packages (group ``fdsl.families``)."""

from __future__ import annotations

import re
from importlib.metadata import entry_points
from typing import Any, TypeAlias

from fdsl._checks import meant, shown

#: A subclass of ``fdsl.Family``, whose module imports this one.
FamilyClass: TypeAlias = type[Any]

GROUP = "fdsl.families"

#: A valid name; ``load`` splits it from the number after it.
NAME = r"[A-Za-z_][\w-]*"

_known: dict[str, FamilyClass] = {}


class UnknownFamily(ValueError):
    """No family has this name; perhaps the script that defines it was not imported."""


def register(family: FamilyClass) -> None:
    """Registers a family by its name. A later family of the same name replaces it, as when a
    notebook cell is run again.

    Raises:
        ValueError: the name is invalid or belongs to a family of this package.
    """
    if not re.fullmatch(NAME, family.name):
        raise ValueError(
            f"the name of a family must consist of letters, digits, - and _, and start with a "
            f"letter or _; {family.__name__} has the name {shown(family.name)}"
        )
    before = _known.get(family.name)
    ours = before is not None and before.__module__.startswith("fdsl.families.")
    made_here = ("fractaldb", "contractive", "multi-fractal")  # by functions, in load.py
    if family.name in made_here or (ours and before is not family):
        raise ValueError(
            f"{family.__name__} cannot be called {family.name!r}, which is a family of this "
            "package: give it another name"
        )
    _known[family.name] = family


def imported() -> list[FamilyClass]:
    """Returns the families whose modules are imported, those of this package first."""
    return list(_known.values())


def is_known(name: str) -> bool:
    """Returns whether there is a family of this name."""
    # Looking for entry points reads the metadata of every installed package: 45 ms.
    return name in _known or bool(entry_points(group=GROUP, name=name))


def names() -> list[str]:
    """Returns the names of all families."""
    return sorted({*_known, *(point.name for point in entry_points(group=GROUP))})


def find(name: str) -> FamilyClass:
    """Returns a family by name.

    Raises:
        UnknownFamily: none has this name.
        ValueError: the entry point of this name is something else.
    """
    if name not in _known:
        for point in entry_points(group=GROUP, name=name):
            loaded = point.load()  # importing it registers it
            if _known.get(name) is not loaded:
                raise ValueError(
                    f"the entry point {name!r} of {GROUP} must be a family of this name, got "
                    f"{point.value}"
                )
    if name not in _known:
        raise UnknownFamily(
            f"there is no family {shown(name)}; import its module, or name SCRIPT.py:…; known: "
            f"{', '.join(names())}{meant(name, names())}"
        )
    return _known[name]
