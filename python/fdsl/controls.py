"""The settings of a style, and the options of a family, as the command and the page offer them."""

from __future__ import annotations

import dataclasses
import inspect
import re
import typing
from collections.abc import Callable
from typing import Annotated, Any, Literal

from fdsl._checks import shown
from fdsl.families.base import Family
from fdsl.families.load import options_of
from fdsl.frame import UNIONS, Frame, Slider


@dataclasses.dataclass(frozen=True, kw_only=True)
class Control:
    """One setting and its type. A command line or the address of a page holds its value as text."""

    #: Its name in Python.
    name: str
    #: The type of its values; a ``"size"`` is one integer, or height and width.
    kind: Literal["switch", "choice", "whole", "real", "size", "text"]
    #: Whether ``None`` is a value, written ``none``.
    optional: bool
    #: Of a choice.
    choices: tuple[Any, ...]
    #: The ends of a slider, if they are known.
    slider: Slider | None
    default: Any
    #: A sentence or two about it.
    help: str

    def described(self) -> dict[str, Any]:
        """Returns a description for the page, as values that JSON can hold."""
        return {
            "name": self.name,
            "kind": self.kind,
            "optional": self.optional,
            "choices": [text(choice) for choice in self.choices],
            "slider": self.slider,
            "default": text(self.default),
            "help": self.help,
        }

    def read(self, given: str) -> Any:
        """Parses a value.

        Raises:
            ValueError: the text is not a valid value.
        """
        if self.optional and given == "none":
            return None
        if self.kind == "switch":
            values: dict[str, Any] = {"true": True, "false": False}
            return self._one_of(values, given)
        if self.kind == "choice":
            return self._one_of({text(choice): choice for choice in self.choices}, given)
        if self.kind == "text":
            return given
        try:
            if self.kind == "size":
                sides = [int(side) for side in given.split("x")]
                if len(sides) > 2:
                    raise ValueError
                return sides[0] if len(sides) == 1 else tuple(sides)
            return int(given) if self.kind == "whole" else float(given)
        except ValueError:
            size = "a size such as 256 or 256x320 (height first)"
            kinds = {"size": size, "whole": "an integer"}
            wanted = kinds.get(self.kind, "a number") + (" or none" if self.optional else "")
            raise ValueError(f"{self.name} must be {wanted}, got {shown(given)}") from None

    def _one_of(self, values: dict[str, Any], given: str) -> Any:
        if given not in values:
            raise ValueError(f"{self.name} must be {' or '.join(values)}, got {shown(given)}")
        return values[given]


def text(value: Any) -> str:
    """Returns the text of a value."""
    if value is None or isinstance(value, bool):
        return str(value).lower()
    return "x".join(map(str, value)) if isinstance(value, tuple) else str(value)


def style_controls(style: type[Frame]) -> tuple[Control, ...]:
    """Returns the controls of a style's settings, in their order."""
    if style not in _read:  # takes milliseconds, and mypy refuses functools.cache for classes
        _read[style] = _controls_of(style)
    return _read[style]


_read: dict[type[Frame], tuple[Control, ...]] = {}


def _controls_of(style: type[Frame]) -> tuple[Control, ...]:
    hints = typing.get_type_hints(style, include_extras=True)
    notes: dict[str, str] = {}
    for kind in reversed(style.__mro__):  # a style describes its own settings only
        notes |= _arguments(inspect.cleandoc(kind.__doc__ or ""))
    defaults = style()
    found = [
        _control(name, hints[name], getattr(defaults, name), notes.get(name, ""))
        for name in style.names()
    ]
    return tuple(control for control in found if control is not None)


def option_controls(maker: Callable[..., Family]) -> list[Control]:
    """Returns the controls of the arguments that a family is made with."""
    notes = _arguments(inspect.getdoc(maker) or "")
    found = []
    for name, option in options_of(maker).items():
        default = None if option.default is option.empty else option.default
        hint = type(default) if option.annotation is option.empty else option.annotation
        found.append(_control(name, hint, default, notes.get(name, "")))
    return [control for control in found if control is not None]


def _control(name: str, hint: Any, default: Any, help: str) -> Control | None:
    """Returns the control of a setting, or ``None`` if its type has none."""
    kinds, choices, slider = _taken_apart(hint)
    kind: Any = next(
        (
            control
            for control, python in (
                ("switch", bool), ("size", tuple), ("real", float), ("whole", int), ("text", str)
            )
            if python in kinds
        ),
        None,
    )  # fmt: skip
    if choices:
        kind = "choice"
    if kind is None:
        return None
    return Control(
        name=name,
        kind=kind,
        optional=type(None) in kinds,
        choices=tuple(choices),
        slider=slider,
        default=default,
        help=help,
    )


def _taken_apart(hint: Any) -> tuple[set[Any], list[Any], Slider | None]:
    """Returns the types in a type, the values of its literals, and its slider."""
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return set(), list(parts), None
    if origin is Annotated:
        kinds, choices, slider = _taken_apart(parts[0])
        return kinds, choices, next((p for p in parts[1:] if isinstance(p, Slider)), slider)
    if origin not in UNIONS:
        return {origin or hint}, [], None
    every = [_taken_apart(part) for part in parts]
    return (
        {kind for kinds, _, _ in every for kind in kinds},
        [choice for _, choices, _ in every for choice in choices],
        next((slider for _, _, slider in every if slider is not None), None),
    )


def _arguments(docstring: str) -> dict[str, str]:
    """Returns the description of each argument in a docstring."""
    section = re.search(r"^Args:\n((?:[ ].*\n|\n)*)", docstring + "\n", re.M)
    entries = re.findall(
        r"^    (\w+): ((?:.*\n)(?:     .*\n)*)", section[1] if section else "", re.M
    )
    return {name: _sentence(about) for name, about in entries}


def _sentence(about: str) -> str:
    plain = " ".join(about.replace("``", "").split())
    return plain[:1].upper() + plain[1:]
