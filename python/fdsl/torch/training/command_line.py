"""The command line of a script: its settings, and one-line messages for a user's mistakes."""

from __future__ import annotations

import argparse
import dataclasses
import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from fdsl._checks import require, shown
from fdsl._files import replace_closed_output
from fdsl.families.load import load
from fdsl.rendering import Rendering
from fdsl.settings import text_options

S = TypeVar("S")

#: What torch says of an operation that --deterministic rules out.
UNDETERMINED = "does not have a deterministic implementation"
ADVICE = "try a lower learning rate, a warmup or clipped gradients; the last checkpoint is kept"

#: What a TOML file may hold for a setting of a type, and how a message calls it.
TOML_TYPES: dict[Any, tuple[tuple[type, ...], str]] = {
    bool: ((bool,), "true or false"),
    int: ((int,), "an integer"),
    float: ((float, int), "a number"),
    str: ((str,), "a string"),
    Path: ((str,), "a string"),
    NoneType: ((), ""),
}


def run_script(
    settings: Callable[..., S],
    work: Callable[[S], int],
    argv: Sequence[str] | None = None,
    *,
    renamed: Mapping[str, str] | None = None,
    presets: Path | None = None,
    needs: Sequence[str] = ("filelock", "matplotlib", "safetensors"),
) -> int:
    """Calls ``work`` with the settings of the command line, and returns an exit code. Needs tyro.

    User errors (ValueError, OSError, ModuleNotFoundError, a network that ``--deterministic`` rules
    out) become one line on stderr and exit code 2; a run that diverges (FloatingPointError) ends
    with exit code 1. ``python -X dev`` still shows the traceback.

    Args:
        settings: a dataclass; its fields are the options, their comments the help.
        work: the script; returns the exit code.
        argv: the command-line arguments; those of this process if not given.
        renamed: options of earlier versions, and what to use instead; an option that the script
            has now is not one of them.
        presets: a folder of TOML files. ``--preset NAME …`` makes the values of these files the
            defaults; later files override earlier ones, and a path to another TOML file is
            accepted, too. The dataclass needs a field ``preset: tuple[str, ...]``. If another
            source is chosen than the preset's ``source``, and it lacks a setting in the preset's
            ``set``, then this ``set`` is left out, with a message.
        needs: packages without which the script does not begin, so that no long run ends for lack
            of one; by default those of ``Checkpoints``, ``MetricsLog.plot`` and ``save_weights``.
    """
    replace_closed_output()
    words = sys.argv[1:] if argv is None else list(argv)
    fields = dataclasses.fields(settings) if dataclasses.is_dataclass(settings) else ()
    own = {f"--{field.name.replace('_', '-')}" for field in fields}
    # tyro gives a bool two options.
    own |= {f"--no-{f.name.replace('_', '-')}" for f in fields if f.type in (bool, "bool")}
    try:
        require("the command line", "tyro")
        import tyro

        for word in (word.split("=")[0] for word in words):
            if renamed and word not in own and renamed.get(word, "").partition(" ")[0] in own:
                raise ValueError(f"{word} is now {renamed[word]}")
        cli: Any = tyro.cli  # its types do not know that a class may be one of several
        if presets is None:
            given = cli(settings, args=words)
        else:
            values: dict[str, Any] = {}
            for name in _named_presets(words):
                values |= _checked(name, read_presets(presets, [name]), settings)
            given = cli(settings, args=words, default=settings(**values))
            given = _for_its_source(given, values)
        for package in needs:
            require("this script", package)
        return work(given)
    except (ValueError, OSError, FloatingPointError, ModuleNotFoundError, RuntimeError) as error:
        ours = not isinstance(error, RuntimeError) or UNDETERMINED in str(error)
        if sys.flags.dev_mode or not ours:
            raise
        diverged = isinstance(error, FloatingPointError)
        sentence = f"{error}: {ADVICE}" if diverged else _sentence(error)
        script = Path(sys.modules[work.__module__].__file__ or "").name
        print(f"{script}: error: {sentence}", file=sys.stderr)
        return 1 if diverged else 2
    except KeyboardInterrupt:  # before the training loop, which stops in its own way
        return 130


def read_presets(folder: Path, names: Sequence[str]) -> dict[str, Any]:
    """Reads settings from TOML files: ``NAME.toml`` in a folder, or a path that ends in ``.toml``.

    Raises:
        ValueError: there is no such preset, or its file is not TOML or nested too deep.
    """
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    values: dict[str, Any] = {}
    for name in names:
        path = Path(name) if name.endswith(".toml") else folder / f"{name}.toml"
        if not path.is_file():
            known = ", ".join(sorted(file.stem for file in folder.glob("*.toml")))
            raise ValueError(f"no preset {name!r}: give one of {known} or the path of a .toml file")
        try:
            found = tomllib.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ValueError(f"{path} is not TOML: {error}") from error
        except RecursionError as error:
            raise ValueError(f"{path} is nested too deep for a preset") from error
        values |= found
    return {name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}


def _named_presets(words: Sequence[str]) -> list[str]:
    """What follows --preset."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--preset", nargs="*", default=[])
    names: list[str] = parser.parse_known_args(words)[0].preset
    return names


def _checked(
    preset: str, values: Mapping[str, Any], settings: Callable[..., Any]
) -> dict[str, Any]:
    """Returns the values of a preset, each of the type that its setting has."""
    known, kinds = inspect.signature(settings).parameters, get_type_hints(settings)
    checked = {}
    for name, value in values.items():
        if name not in known:
            raise ValueError(f"{preset} sets {name!r}, which is not an option of this script")
        kind = kinds.get(name, Any)
        if not _fits(value, kind):
            raise ValueError(f"{preset}: {name} must be {_described(kind)}, got {shown(value)}")
        checked[name] = _converted(value, kind)
    return checked


def _fits(value: Any, kind: Any) -> bool:
    """Whether a setting of this type may have this value of a TOML file."""
    parts = get_args(kind)
    if get_origin(kind) in (Union, UnionType):
        return any(_fits(value, part) for part in parts)
    if get_origin(kind) is Literal:
        return any(type(value) is type(part) and value == part for part in parts)
    if get_origin(kind) is tuple:
        if not isinstance(value, tuple):
            return False
        items = _items(kind, value)
        return len(items) == len(value) and all(map(_fits, value, items))
    return kind not in TOML_TYPES or type(value) in TOML_TYPES[kind][0]


def _items(kind: Any, value: tuple[Any, ...]) -> tuple[Any, ...]:
    """The types of the items of a tuple: ``tuple[int, ...]`` has as many as the value."""
    parts = get_args(kind)
    return parts[:1] * len(value) if parts[1:] == (...,) else parts


def _converted(value: Any, kind: Any) -> Any:
    """A value that fits, with a ``Path`` where the setting takes no string."""
    if get_origin(kind) in (Union, UnionType):
        fitting = [part for part in get_args(kind) if _fits(value, part)]
        as_is = any(part is str or get_origin(part) is Literal for part in fitting)
        return value if as_is else _converted(value, fitting[0])
    if get_origin(kind) is tuple:
        return tuple(map(_converted, value, _items(kind, value)))
    return Path(value) if kind is Path else value


def _described(kind: Any) -> str:
    parts = get_args(kind)
    if get_origin(kind) in (Union, UnionType):
        return " or ".join(_described(part) for part in parts if part is not NoneType)
    if get_origin(kind) is Literal:
        return " or ".join(map(repr, parts))
    if get_origin(kind) is tuple:
        if parts[1:] == (...,):
            return f"a list, each item {_described(parts[0])}"
        return f"a list of {', '.join(map(_described, parts))}"
    return TOML_TYPES[kind][1] if kind in TOML_TYPES else str(kind)


def _for_its_source(settings: Any, values: Mapping[str, Any]) -> Any:
    """Settings without the ``set`` of a preset, if the source has no such options or settings."""
    made_for, given = values.get("source"), values.get("set")
    if not given or made_for is None or settings.set != given or settings.source == made_for:
        return settings
    source = settings.source
    style = Rendering if source is None else load(source).style
    known = {*style.names(), *(() if source is None else text_options(source))}
    if known.issuperset(word.partition("=")[0] for word in given):
        return settings
    words = f"the preset's --set is for {made_for}, so it is left out: {' '.join(given)}"
    print(words, file=sys.stderr)
    return dataclasses.replace(settings, set=())


def _sentence(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror and error.filename:
        return f"{error.strerror}: {error.filename}"
    if isinstance(error, RuntimeError):
        return f"{str(error).partition(UNDETERMINED)[0]}{UNDETERMINED}: leave out --deterministic"
    return str(error)
