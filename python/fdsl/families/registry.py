"""Families by name: those of this package, subclasses of ``fdsl.Family`` wherever defined,
and those that installed packages name among their entry points (group ``fdsl.families``)."""

from __future__ import annotations

import hashlib
import importlib.util
import re
import sys
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any, TypeAlias

from fdsl._checks import shortened, shown
from fdsl._files import PathLike

#: A subclass of ``fdsl.Family``; that module imports this one.
FamilyClass: TypeAlias = type[Any]

GROUP = "fdsl.families"

#: What a family may be called, so that ``load`` can tell its name from the number after it.
NAME = r"[A-Za-z_][\w-]*"

_known: dict[str, FamilyClass] = {}
#: The scripts that were imported by their path, by the name of the module that each became.
_scripts: dict[str, Path] = {}


def register(family: FamilyClass) -> None:
    """Makes a family known by its name; the last of a name wins, as when a cell is run again.

    Raises:
        ValueError: it cannot have this name.
    """
    if not re.fullmatch(NAME, family.name):
        raise ValueError(
            f"the name of a family has letters, digits, - and _, and starts with a letter; "
            f"{family.__name__} has {shown(family.name)}"
        )
    before = _known.get(family.name)
    ours = before is not None and before.__module__.startswith("fdsl.families.")
    if family.name == "fractaldb" or (ours and before is not family):
        raise ValueError(
            f"{family.__name__} cannot be called {family.name!r}, which is a family of this "
            "package: give it another name"
        )
    _known[family.name] = family


def names() -> list[str]:
    """Returns the names of all families."""
    return sorted({*_known, *(point.name for point in entry_points(group=GROUP))})


def find(name: str) -> FamilyClass:
    """Returns a family by name.

    Raises:
        ValueError: none has this name, or an installed package says so and has none.
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
        raise ValueError(
            f"there is no family {shown(name)}; known are {', '.join(names())}. Import the module "
            "that defines it first"
        )
    return _known[name]


def run_script(script: PathLike) -> ModuleType:
    """Imports a Python script, once, which makes its families known.

    Raises:
        FileNotFoundError: there is no such script.
    """
    path = Path(script).resolve()
    if not path.is_file():
        raise FileNotFoundError(f"no script of families at {shortened(str(script))}")
    for module in list(sys.modules.values()):  # also the script that is running
        file = getattr(module, "__file__", None)
        if file is not None and Path(file).resolve() == path:
            return module
    name = f"fdsl_script_{hashlib.sha256(str(path).encode()).hexdigest()[:16]}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))  # for what it imports from beside it
    sys.modules[name], _scripts[name] = module, path
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name], _scripts[name]
        raise
    return module


def script_of(family: FamilyClass) -> Path | None:
    """Returns the script that defines a family, if ``run_script`` imported it: another process
    finds no such module."""
    return _scripts.get(family.__module__)
