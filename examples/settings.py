"""Settings on the command line: one frozen dataclass, an option per field, its comment the help."""

import argparse
import dataclasses
import inspect
import re
import sys
import types
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from world import end_workers

Settings = TypeVar("Settings")


def parse(kind: type[Settings], argv: Sequence[str] | None, *, about: str) -> Settings:
    """Reads a `kind` from the command line; fields without a default are required."""
    parser = argparse.ArgumentParser(description=about)
    hints, comments = get_type_hints(kind), _comments(kind)
    for field in dataclasses.fields(kind):  # type: ignore[arg-type]  # kind is a dataclass
        # `from` is a keyword in Python, so its field is `from_`.
        flag = "--" + field.name.rstrip("_").replace("_", "-")
        options, text = _options(hints[field.name]), comments[field.name]
        if field.default is dataclasses.MISSING:
            options["required"] = True
        else:
            options["default"] = field.default
            text += "" if field.default is None else " (default: %(default)s)"
        parser.add_argument(flag, dest=field.name, help=text, **options)
    return kind(**vars(parser.parse_args(argv)))


def run(script: str, work: Callable[[], int]) -> int:
    """Runs `work` and returns its exit code; a mistake of the caller's is one sentence, not a
    traceback. `python -X dev` shows the traceback all the same."""
    try:
        return work()
    except (ValueError, OSError, FloatingPointError, ModuleNotFoundError) as mistake:
        end_workers()
        if sys.flags.dev_mode:
            raise
        print(f"{script}: error: {mistake}", file=sys.stderr)
        return 1 if isinstance(mistake, FloatingPointError) else 2
    except KeyboardInterrupt:  # before training, which has its own way to stop
        return 130
    except BaseException:
        end_workers()
        raise


def recorded(settings: object) -> dict[str, str]:
    """The settings as words to keep beside a result: all but where it lies and how far it got."""
    passing = ("out", "resume", "max_steps", "max_minutes")
    return {name: str(value) for name, value in vars(settings).items() if name not in passing}


def at_least(least: float, settings: object, *names: str) -> None:
    """Raises ValueError for the first of the named fields that is below `least`."""
    for name in names:
        value = getattr(settings, name)
        if value is not None and not value >= least:  # so written, NaN is refused too
            raise ValueError(f"--{name.replace('_', '-')} must be {least} or more, got {value}")


def _options(hint: Any) -> dict[str, Any]:
    """What argparse has to know about a field's type."""
    if get_origin(hint) in (Union, types.UnionType):  # `int | None`: None cannot be typed
        hint = next(part for part in get_args(hint) if part is not type(None))
    if hint is bool:
        return {"action": argparse.BooleanOptionalAction}
    if get_origin(hint) is Literal:
        return {"choices": get_args(hint)}
    if get_origin(hint) is tuple:
        return {"nargs": "*", "type": get_args(hint)[0]}
    return {"type": hint, "metavar": {Path: "PATH", str: "TEXT"}.get(hint, "N")}


def _comments(kind: type) -> dict[str, str]:
    """The comment beside each field, so that it is written once."""
    found: dict[str, str] = {}
    for part in reversed(kind.__mro__[:-1]):
        source = inspect.getsource(part)
        for name, text in re.findall(r"^    (\w+): [^#\n]*# (.+(?:\n {4,}# .+)*)", source, re.M):
            found[name] = re.sub(r"\n +# ", " ", text).replace("%", "%%")
    return found
