"""A choice on the page (family, category, settings), and the images of it."""

from __future__ import annotations

import base64
import contextlib
import functools
import inspect
import json
import os
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from fdsl._checks import checked_positive, checked_whole, shown
from fdsl._files import PathLike
from fdsl._scripts import script_of
from fdsl.controls import Control, option_controls, style_controls, text
from fdsl.families.base import Family
from fdsl.families.load import load, makers
from fdsl.families.registry import NAME
from fdsl.families.spread import stride
from fdsl.preview import show
from fdsl.sheet import GAP

#: Images at first, and at most.
IMAGES, MAX_IMAGES = 12, 100
#: The largest number of categories: the page keeps several families in memory.
MAX_CATEGORIES = 100_000
#: The last instance that is rendered by replaying all those before it.
MAX_REPLAYED = 10_000
#: Bytes of all images together: larger images are fewer.
MAX_BYTES = 1 << 24
#: The page's name of the categories that it was given, unless they have a name of their own.
GIVEN = "given"
#: Arguments of ``show``: a setting of the same name cannot be given to it.
TAKEN = set(inspect.signature(show).parameters)


class Choices:
    """The families on the page, and the images of a choice.

    Args:
        source: the family to begin with, or what ``fdsl.load`` accepts.

    Raises:
        FileNotFoundError, TypeError, ValueError: the source cannot be loaded.
    """

    def __init__(self, source: Family | PathLike | None = None) -> None:
        self._given: Family | None = None
        self._expression = ""
        self._first = {"family": "fractaldb"}
        if isinstance(source, Family):
            self._given, self._expression = source, "family"
        elif source is not None:
            found = load(source)  # which imports a script
            named = re.fullmatch(rf"(?:.+\.py:)?({NAME})-\d+k?", str(source))
            # A name can also stand for a set that was published, and that no number makes.
            if (
                named is not None
                and named[1] in makers()
                and load(f"{named[1]}-{len(found)}") == found
            ):
                self._first = {"family": named[1], "categories": str(len(found))}
            else:
                self._given, self._expression = found, f"fdsl.load({_python(str(source))})"
        if self._given is not None:
            self._first = {"family": GIVEN}
        self._lock = threading.Lock()  # one sheet at a time, on all cores
        self._made = functools.lru_cache(maxsize=8)(self._make)

    def described(self) -> dict[str, Any]:
        """Returns the families and their controls, as values that JSON can hold."""
        families: list[dict[str, Any]] = []
        if self._given is not None:
            label = repr(self._given).strip("<>")
            families.append({"name": GIVEN, "label": label, "options": [], "categories": None,
                             "style": _described(style_controls(self._given.style))})  # fmt: skip
        for name, maker in makers().items():
            with contextlib.suppress(Exception):  # a family in Python whose style cannot be made
                families.append(
                    {
                        "name": name,
                        "label": name,
                        "categories": _default(maker),
                        "options": _described(option_controls(maker)),
                        "style": _described(style_controls(_kind(maker).style)),
                    }
                )
        return {"families": families, "first": self._first, "images": IMAGES, "gap": GAP}

    def sheet(self, given: Mapping[str, str]) -> dict[str, Any]:
        """Renders the images of a choice.

        Args:
            given: ``family``, ``categories``, ``category``, ``seed``, ``images``, ``index`` (the
                first) and ``spread``; options of the family as ``option.NAME`` and settings as
                ``style.NAME``. All are optional.

        Returns:
            The sheet as a PNG file in base64, a description of it, and the line of Python that
            renders it, in three parts: ``before``, the indices (``python``) and ``after``.

        Raises:
            IndexError, TypeError, ValueError: a value is invalid.
        """
        with self._lock:
            family, expression = self._family(given)
            controls = {control.name: control for control in style_controls(family.style)}
            settings = _read("style.", given, controls, family.style.__name__)
            defaults = family.style()
            changed = {k: v for k, v in settings.items() if v != getattr(defaults, k)}
            frame = family.style(**changed)
            category, seed = (_whole(name, given) for name in ("category", "seed"))
            fit = MAX_BYTES // (frame.output_size[0] * frame.output_size[1] * frame.channels)
            count = min(checked_positive("images", _whole("images", given, IMAGES)), MAX_IMAGES)
            count = max(1, min(count, fit))
            first = _whole("index", given)
            spread = given.get("spread", "true") == "true"
            step = stride(family, count) if spread else 1
            indices = range(first, first + count * step, step)
            if frame.slow_out_of_order and indices[-1] > MAX_REPLAYED:
                raise ValueError(
                    f"the page shows instances up to {MAX_REPLAYED:,} here, since rendering one "
                    f"replays all those before it, got {indices[-1]:,}"
                )
            start = time.perf_counter()
            image = show(family, category, indices, seed=seed, rendering=frame)
            took = time.perf_counter() - start
        before = f"fdsl.show({expression}, {category}, "
        after = f", seed={seed}" if seed else ""
        if TAKEN.isdisjoint(changed):
            after += "".join(f", {name}={_python(value)}" for name, value in changed.items())
        else:
            inside = ", ".join(f"{name}={_python(value)}" for name, value in changed.items())
            after += f", rendering={expression}.style({inside})"
        return {
            "png": base64.b64encode(image._repr_png_()).decode(),
            "tile": frame.output_size,
            "indices": list(indices),
            "milliseconds": 1000 * took,
            "family": repr(family).strip("<>"),
            "length": len(family),
            "parameters": _parameters(family, category),
            "before": before,
            "python": _python(indices),
            "after": f"{after})",
        }

    def _family(self, given: Mapping[str, str]) -> tuple[Family, str]:
        """Returns the family of a choice, and the Python expression that makes it."""
        name = given.get("family", self._first["family"])
        if name == GIVEN and self._given is not None:
            return self._given, self._expression
        if name not in makers():
            raise ValueError(f"no family {shown(name)}; the families are {', '.join(makers())}")
        options = tuple(
            sorted((k, v) for k, v in given.items() if k.startswith("option.") and v != "")
        )
        return self._made(name, given.get("categories", ""), options)

    def _make(
        self, name: str, categories: str, options: tuple[tuple[str, str], ...]
    ) -> tuple[Family, str]:
        maker = makers()[name]
        controls = {control.name: control for control in option_controls(maker)}
        values = _read("option.", dict(options), controls, name)
        changed = {k: v for k, v in values.items() if v != controls[k].default}
        count = _whole("categories", {"categories": categories}, _default(maker))
        if count > MAX_CATEGORIES:
            raise ValueError(f"the page takes at most {MAX_CATEGORIES:,} categories, got {count:,}")
        source = f"{name}-{count}"
        if inspect.isclass(maker) and (script := script_of(maker)) is not None:
            near = script.is_relative_to(Path.cwd())
            source = f"{os.path.relpath(script) if near else script}:{source}"
        arguments = "".join(f", {name}={_python(value)}" for name, value in changed.items())
        return load(source, **changed), f"fdsl.load({_python(source)}{arguments})"


def _kind(maker: Callable[..., Family]) -> type[Family]:
    """Returns the class of the families that a function or class makes."""
    if isinstance(maker, type):
        return maker
    kind: type[Family] = inspect.signature(maker, eval_str=True).return_annotation
    return kind


def _default(maker: Callable[..., Family]) -> int:
    """Returns the number of categories that a family is made with."""
    default = next(iter(inspect.signature(maker).parameters.values())).default
    return default if isinstance(default, int) else 10


def _described(controls: Sequence[Control]) -> list[dict[str, Any]]:
    return [control.described() for control in controls]


def _read(
    prefix: str, given: Mapping[str, str], controls: Mapping[str, Control], owner: str
) -> dict[str, Any]:
    """Returns the values of all entries with a prefix."""
    values = {}
    for key, value in given.items():
        if key.startswith(prefix):
            name = key.removeprefix(prefix)
            if name not in controls:
                raise ValueError(
                    f"{owner} has no setting {shown(name)}; it has {', '.join(controls) or 'none'}"
                )
            values[name] = controls[name].read(value)
    return values


def _whole(name: str, given: Mapping[str, str], default: int = 0) -> int:
    value = given.get(name, "")
    try:
        return checked_whole(name, int(value) if value else default)
    except ValueError as error:
        if re.fullmatch(r"-?\d+", value):
            raise error
        raise ValueError(f"{name} must be an integer, got {shown(value)}") from None


def _python(value: Any) -> str:
    """Returns the Python of a value."""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)


def _parameters(family: Family, category: int) -> str:
    """Returns the parameters of a category in a short line."""
    try:
        found = family.parameters(category)
    except Exception:  # of a family in Python; the images are there all the same
        return ""
    line = ", ".join(f"{name} {_short(value)}" for name, value in found.items())
    return line if len(line) <= 200 else f"{line[:199]}…"


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3g}"
    if isinstance(value, list):
        inside = " ".join(_short(one) for one in value)
        return f"({inside})" if value and isinstance(value[0], list) else inside
    return text(value)
