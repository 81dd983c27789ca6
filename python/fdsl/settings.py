"""What ``--set NAME=VALUE`` gives: options of a family, and settings of its rendering."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, get_args

from fdsl._checks import shown
from fdsl.families.base import Family
from fdsl.families.load import load, named, options_of
from fdsl.families.published import PUBLISHED
from fdsl.frame import Frame

#: Values that are written in other words than Python's, in lower or upper case.
WORDS = {"true": True, "false": False, "none": None, "null": None}


def read_values(words: Sequence[str], *, given: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Reads settings that are written ``NAME=VALUE``.

    A value is a Python literal, ``true``, ``false``, ``none`` or ``null``; anything else is text,
    and so is ``"none"`` in quotes.
    As with options, the last of several values counts: presets and studies add theirs first.

    >>> read_values(["max_objects=2", "background=none", "line_color=random"])
    {'max_objects': 2, 'background': None, 'line_color': 'random'}

    Args:
        words: the settings.
        given: the values of options such as ``--size``, or None for those that were not given.

    Raises:
        ValueError: a word is not of this form, or its setting has a value from an option.
    """
    values: dict[str, Any] = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not (name and equals):
            raise ValueError(f"a setting must be NAME=VALUE, such as max_objects=2, got {word!r}")
        if given and given.get(name) is not None:
            option = f"--{name.replace('_', '-')}"
            raise ValueError(f"{option} and --set {word} set the same thing: give one of them")
        if text.lower() in WORDS:
            values[name] = WORDS[text.lower()]
            continue
        try:
            values[name] = ast.literal_eval(text)
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
            values[name] = text
    return values


def read_set(words: Sequence[str], source: str | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """Reads what ``--set`` gives: options of the family that ``fdsl.load(source)`` would make, and
    settings of its rendering.

    >>> read_set(["octaves=3", "size=64"], "perlin-100")
    ({'octaves': 3}, {'size': 64})

    Args:
        words: the options and settings, as ``read_values`` takes them.
        source: the source of the categories, or ``None`` for a family that has no options.

    Raises:
        ValueError: a word is not ``NAME=VALUE``; or the family needs another option, or a number.
    """
    return options_and_settings(read_values(words), source)


def text_options(source: str) -> dict[str, inspect.Parameter]:
    """Returns the options that ``load`` accepts for a source and that text can give: none for files
    and published sets, and not the backdrop of scenes, which is a family, but also a setting."""
    parts = None if source in PUBLISHED else named(source)
    if parts is None:
        return {}
    kind = getattr(parts.maker, "__self__", parts.maker)  # of a class method, such as IFS.sample
    style: type[Frame] | None = getattr(kind, "style", None)
    settings = () if style is None else style.names()
    options = options_of(parts.maker).items()
    return {name: one for name, one in options if name not in settings or _takes_text(one)}


def _takes_text(option: inspect.Parameter) -> bool:
    def parts(annotation: Any) -> Iterator[Any]:
        yield annotation
        for part in get_args(annotation):
            yield from parts(part)

    return not any(
        isinstance(part, type) and issubclass(part, (Family, Frame))
        for part in parts(option.annotation)
    )


def options_and_settings(
    values: Mapping[str, Any], source: str | None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Divides values of ``--set`` into options of the family and settings of its rendering.

    Raises:
        ValueError: the family needs another option, or an option must be a number.
    """
    known = {} if source is None else text_options(source)
    needed = [name for name, one in known.items() if one.default is one.empty]
    if missing := [name for name in needed if name not in values]:
        raise ValueError(f"{source} needs --set {' '.join(f'{name}=…' for name in missing)}")
    options = {name: value for name, value in values.items() if name in known}
    for name, value in options.items():
        usual = known[name].default
        if isinstance(usual, int | float) and isinstance(value, str):
            raise ValueError(f"{name} must be a number, such as {usual!r}, got {shown(value)}")
    return options, {name: value for name, value in values.items() if name not in known}


def load_set(
    source: str, values: Mapping[str, Any], *, settings: bool = True
) -> tuple[Family, dict[str, Any]]:
    """Loads a family with the options among the values of ``--set``, and returns it with the rest:
    settings of its rendering.

    Args:
        source: as for ``load``.
        values: the options and settings.
        settings: whether settings are accepted.

    Raises:
        ValueError: an option is missing or wrong, or the family has no option or setting of a name.
    """
    options, others = options_and_settings(values, source)
    try:
        family = load(source, **options)
    except TypeError as error:
        if not options:
            raise
        raise ValueError(str(error)) from error
    accepted = [*text_options(source), *(family.style.names() if settings else ())]
    for name in others:
        if name not in accepted:
            takes = f"it takes {', '.join(accepted)}" if accepted else "it takes none here"
            raise ValueError(f"{source} has no option or setting {shown(name)}: {takes}")
    return family, others
