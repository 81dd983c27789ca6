"""The rendering settings that all families share: size, crop, flips, color and re-rendering."""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import types
import typing
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

import numpy as np

from fdsl import _core
from fdsl._checks import (
    Size,
    checked_integer,
    checked_number,
    checked_pair,
    checked_type,
    checked_whole,
    shown,
    side_or_pair,
)
from fdsl._scripts import reduced

if typing.TYPE_CHECKING:
    from typing_extensions import Self


class Slider(NamedTuple):
    """The two ends of a slider on the page of ``fdsl explore``: the usual values of a number.

    Annotate a field of a style, or an argument of a family's ``__init__``, with it:
    ``thickness: Annotated[float, Slider(1, 20)] = 3.0``. It limits nothing: other values can be
    typed in, and the style or the family decides which it accepts.
    """

    low: float
    high: float


#: The names that settings had in the first releases.
RENAMED = {
    "weights": "variation",
    "points": "num_points",
    "pad": "margin",
    "redraw": "resample_degenerate",
    "sampler": "compat",
}
#: The settings that the first releases had for every family, by their current names.
FIRST = {"size", "crop", "crop_position", "flips", "color", "resample_degenerate", "num_points"}
FIRST |= {"draw", "patch", "variation", "variation_kind", "margin", "compat", "mask_seed"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Frame:
    """The rendering settings that all families share.

    A family with more settings has a subclass as its style: ``Rendering`` for the points of
    fractals, ``Strokes`` for curves. ``Frame.paper()`` returns the paper's settings, and
    ``dataclasses.replace(frame, size=64)`` a copy with changed settings.

    Args:
        size: height and width of the whole image, 16…4096 (paper, Table 5). One number means a
            square.
        crop: height and width of the crop, at most ``size``; ``None`` keeps the whole image.
        crop_position: the position of the crop: random for each image, or the center.
        flips: whether ``index % 4`` selects a flip: none, top-bottom, left-right, both.
        color: whether images have three channels (RGB) instead of one (gray).
        resample_degenerate: whether a degenerate image (it diverged, or is nearly empty) is
            re-rendered with other random numbers. This affects 7% of the images of the published
            fractals.

    Raises:
        ValueError: a number or a name is out of range; the message says what is accepted.
        TypeError: an argument is of the wrong type, or there is no such setting.
    """

    size: Annotated[Size, Slider(16, 1024)] = 256
    crop: Annotated[Size, Slider(16, 1024)] | None = None
    crop_position: Literal["random", "center"] = "random"
    flips: bool = True
    color: bool = False
    resample_degenerate: bool = True

    #: The core family that checks the settings; ``None`` checks only those of ``Frame``.
    _checked_as: ClassVar[str | None] = None
    #: The settings of ``paper``.
    _paper: ClassVar[dict[str, Any]] = {"size": 256, "crop": 224}

    def __new__(cls, *args: Any, **settings: Any) -> Self:
        """Raises an error that lists all settings if one is unknown.

        The error of the generated ``__init__`` would name only the unknown setting.
        """
        for name in settings:
            if name not in cls.names():
                raise TypeError(cls._unknown(name))
        return super().__new__(cls)

    def __post_init__(self) -> None:
        for name, kind in _kinds(typing.cast(Any, type(self))).items():
            value = _plain(name, getattr(self, name), kind, signed=self._checked_as is None)
            object.__setattr__(self, name, value)
        # Not a cached_property: before Python 3.12 it takes a lock, for which a child would wait
        # forever if it was forked while another thread held it.
        self.__dict__["_settings"] = self._as_json()
        _core.check_settings(self._checked_as, self.settings)

    @classmethod
    @functools.cache
    def names(cls) -> tuple[str, ...]:
        """Returns the names of the settings."""
        return tuple(field.name for field in dataclasses.fields(cls))

    @classmethod
    def paper(cls, **changes: Any) -> Self:
        """Returns the settings in the paper's text.

        Args:
            **changes: settings that replace the paper's. With a ``size`` smaller than the paper's
                crop, images are not cropped.
        """
        settings = {**cls._paper, **changes}
        if "crop" in cls._paper and "crop" not in changes:
            size, crop = settings["size"], settings["crop"]
            sides = size if isinstance(size, tuple | list) else [size]
            if any(isinstance(side, int | np.integer) and side < crop for side in sides):
                settings["crop"] = None
        return cls(**settings)

    @classmethod
    def from_dict(cls, settings: dict[str, Any]) -> Self:
        """Creates a frame from the values that ``to_dict`` returned, directly or through JSON.

        Settings in the format of the first releases are accepted, too. Every family had the same
        settings then; those that do not apply to this class are dropped.
        """
        if any(old in settings and old not in cls.names() for old in ("points", "weights")):
            settings = _translated(settings)
            for name in FIRST - set(cls.names()):
                settings.pop(name, None)
        unknown = sorted(set(settings) - set(cls.names()))
        if unknown:
            raise ValueError(cls._unknown(unknown[0]))
        return cls(**settings)

    def to_dict(self) -> dict[str, Any]:
        """Returns the settings as values that JSON can hold."""
        values = {name: getattr(self, name) for name in self.names()}
        return {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}

    @property
    def channels(self) -> int:
        """3 in color, otherwise 1."""
        return 3 if self.color else 1

    @property
    def output_size(self) -> tuple[int, int]:
        """Height and width of the returned image: of the crop, or of the whole image if there is no
        crop."""
        return checked_pair("size", self.size if self.crop is None else self.crop)

    @property
    def image_shape(self) -> tuple[int, ...]:
        """Shape of an image: (H, W), or (H, W, 3) in color."""
        return (*self.output_size, 3) if self.color else self.output_size

    @property
    def height(self) -> int:
        """Height of the whole image."""
        return checked_pair("size", self.size)[0]

    @property
    def width(self) -> int:
        """Width of the whole image."""
        return checked_pair("size", self.size)[1]

    def thumbnail(self, side: int) -> Self:
        """Returns settings for a small version of the image, at most ``side`` pixels high and wide.

        Scales down the size, the crop, and the other settings of the style that depend on the size.
        """
        scale = side / max(self.output_size)
        return self if scale >= 1 else dataclasses.replace(self, **self._shrunk(scale))

    def _shrunk(self, scale: float) -> dict[str, Any]:
        """Returns the settings that change when the image is scaled down."""
        height, width = (max(16, round(side * scale)) for side in (self.height, self.width))
        if self.crop is None:
            return {"size": (height, width)}
        kept = [max(1, int(side * scale)) for side in self.output_size]
        return {"size": (height, width), "crop": (min(kept[0], height), min(kept[1], width))}

    @property
    def slow_out_of_order(self) -> str | None:
        """A warning, if images are only fast to render in the order of categories and indices."""
        return None

    @property
    def images_at_once(self) -> int:
        """A batch size beyond which rendering takes more memory without being faster."""
        height, width = self.output_size
        return max(1, min(512, (1 << 24) // (height * width * self.channels)))

    @property
    def settings(self) -> str:
        """The settings as JSON, for the core."""
        made: str = self.__dict__["_settings"]
        return made

    def _as_json(self) -> str:
        values = self.to_dict()
        frame = {name: values.pop(name) for name in Frame.names()}
        frame["size"] = checked_pair("size", self.size)
        if self.crop is not None:
            frame["crop"] = checked_pair("crop", self.crop)
        return json.dumps({"frame": frame, "style": self._style(values)})

    def _style(self, settings: dict[str, Any]) -> dict[str, Any]:
        """Returns the settings for the core besides the frame; none for families in Python."""
        return {} if self._checked_as is None else settings

    @classmethod
    def _unknown(cls, name: str) -> str:
        if name in RENAMED and RENAMED[name] in cls.names():
            return f"{cls.__name__}: the setting {name!r} was renamed to {RENAMED[name]!r}"
        return f"{cls.__name__} has no setting {shown(name)}; it has {', '.join(cls.names())}"

    def __reduce__(self) -> tuple[Any, ...]:
        return reduced(_with, type(self), {name: getattr(self, name) for name in self.names()})


def _with(kind: type[Frame], settings: dict[str, Any]) -> Frame:
    return kind(**settings)


def _translated(settings: dict[str, Any]) -> dict[str, Any]:
    """Renames the settings of the first releases."""
    new = dict(settings)
    if "variation" in new:
        new["variation_kind"] = new.pop("variation")
    for old, name in RENAMED.items():
        if old in new:
            new[name] = new.pop(old)
    if new.get("compat") == "fdsl":
        new["compat"] = None
    return new


@functools.cache
def _kinds(cls: Any) -> dict[str, Any]:
    if taken := [name for name in cls.names() if name in dir(Frame) and name not in Frame.names()]:
        raise TypeError(f"{cls.__name__}: a setting cannot be called {taken[0]!r}, as Frame has it")
    hints = typing.get_type_hints(cls)
    return {name: hints[name] for name in cls.names()}


def _plain(name: str, value: Any, kind: Any, *, signed: bool) -> Any:
    """Checks a setting against its type and returns it as a plain Python value. Accepts the types
    that JSON and NumPy use for it. ``signed`` allows negative integers."""
    kinds = typing.get_args(kind) if typing.get_origin(kind) in UNIONS else (kind,)
    if value is None and type(None) in kinds:
        return None
    choices = [
        choice
        for one in kinds
        if typing.get_origin(one) is Literal
        for choice in typing.get_args(one)
    ]
    if choices:
        names = [repr(choice) for choice in choices] + ["None"] * (type(None) in kinds)
        says = f"{name} must be {' or '.join(names)}, got {shown(value)}"
        if not isinstance(value, tuple(map(type, choices))):
            raise TypeError(says)
        if value not in choices:
            raise ValueError(says)
        return choices[choices.index(value)]
    if name in ("size", "crop"):
        return side_or_pair(checked_pair(name, value))
    if bool in kinds:
        return bool(checked_type(name, value, (bool, np.bool_)))
    if float in kinds:
        number = checked_number(name, value)
        if not math.isfinite(number):  # JSON cannot hold it
            raise ValueError(f"{name} must be a finite number, got {number}")
        return number
    if int in kinds:
        return checked_integer(name, value) if signed else checked_whole(name, value)
    return checked_type(name, value, str) if str in kinds else value


#: The origins of ``Union[A, B]`` and of ``A | B``.
UNIONS = (typing.Union, types.UnionType)
