"""Families by name: those of this package, all imported subclasses of ``fdsl.Family``, and the
entry points of installed packages (group ``fdsl.families``)."""

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

#: A subclass of ``fdsl.Family``, whose module imports this one.
FamilyClass: TypeAlias = type[Any]

GROUP = "fdsl.families"

#: A valid name; ``load`` splits it from the number after it.
NAME = r"[A-Za-z_][\w-]*"

_known: dict[str, FamilyClass] = {}
#: Scripts imported by path, keyed by the name of their module.
_scripts: dict[str, Path] = {}


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
            f"the name of a family has letters, digits, - and _, and starts with a letter; "
            f"{family.__name__} has {shown(family.name)}"
        )
    before = _known.get(family.name)
    ours = before is not None and before.__module__.startswith("fdsl.families.")
    if family.name in ("fractaldb", "contractive") or (ours and before is not family):
        raise ValueError(
            f"{family.__name__} cannot be called {family.name!r}, which is a family of this "
            "package: give it another name"
        )
    _known[family.name] = family


def imported() -> list[FamilyClass]:
    """Returns the families whose modules are imported, those of this package first."""
    return list(_known.values())


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
            f"{', '.join(names())}"
        )
    return _known[name]


def run_script(script: PathLike) -> ModuleType:
    """Imports a Python script once, which registers its families.

    Raises:
        FileNotFoundError: there is no such script.
    """
    path = Path(script).resolve()
    if not path.is_file():
        raise FileNotFoundError(f"no script at {shortened(str(script))}")
    for module in list(sys.modules.values()):  # including the running script
        file = getattr(module, "__file__", None)
        if file is not None and Path(file).resolve() == path:
            return module
    name = f"fdsl_script_{hashlib.sha256(str(path).encode()).hexdigest()[:16]}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))  # for modules in the same folder
    sys.modules[name], _scripts[name] = module, path
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name], _scripts[name]
        raise
    return module


def script_of(family: FamilyClass) -> Path | None:
    """Returns the script that defines a family, if ``run_script`` imported it. Other processes
    cannot import its module by name."""
    return _scripts.get(family.__module__)
