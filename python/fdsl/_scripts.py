"""Scripts that are imported by their path, and pickles of what they define."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import operator
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from fdsl._checks import shortened
from fdsl._files import PathLike

#: Scripts imported by path, keyed by the name of their module.
_scripts: dict[str, Path] = {}


def import_script(script: PathLike) -> ModuleType:
    """Imports a Python script once, which registers its families.

    Raises:
        FileNotFoundError: there is no such script.
    """
    path = Path(script).resolve()
    if not path.is_file():
        raise FileNotFoundError(f"no script at {shortened(str(script))}")
    known = path.stat()
    for module in list(sys.modules.values()):  # including the running script
        file = getattr(module, "__file__", None)
        # Resolving the paths of all modules would take half a second once torch is imported.
        with contextlib.suppress(OSError):  # the module may be in an archive
            if isinstance(file, str) and os.path.samestat(Path(file).stat(), known):
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


def script_of(kind: type[Any]) -> Path | None:
    """Returns the script that defines a class, if ``import_script`` imported it. Other processes
    cannot import its module by name."""
    return _scripts.get(kind.__module__)


def reduced(
    make: Callable[..., Any], kind: type[Any], *arguments: Any
) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    """Returns what ``__reduce__`` must return, so that another process calls
    ``make(kind, *arguments)``; if a script defines the class, the other process imports it first.
    """
    if (script := script_of(kind)) is None or "<locals>" in kind.__qualname__:
        return make, (kind, *arguments)  # copies need no more, and pickle may say why it cannot
    return _with_class_of_script, (make, str(script), kind.__qualname__, *arguments)


def _with_class_of_script(make: Callable[..., Any], script: str, name: str, *arguments: Any) -> Any:
    return make(operator.attrgetter(name)(import_script(script)), *arguments)
