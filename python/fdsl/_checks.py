"""Argument checks, and functions that word the error messages.

Each check returns its argument, or raises an error that says what was wrong, what was given and
what is accepted.
"""

from __future__ import annotations

import difflib
import functools
import importlib.util
import math
import operator
import reprlib
from collections.abc import Callable, Sequence
from typing import Any, ParamSpec, SupportsIndex, TypeAlias, TypeVar, cast

import numpy as np
import numpy.typing as npt

P = ParamSpec("P")
R = TypeVar("R")

Size: TypeAlias = int | tuple[int, int]
Numbers: TypeAlias = "SupportsIndex | npt.ArrayLike"

#: The number of characters of a given value that a message repeats.
MAX_SHOWN = 200

_short = reprlib.Repr()
_short.maxstring = _short.maxother = MAX_SHOWN
_short.maxlong = 60


def require(user: str, module: str, package: str | None = None) -> None:
    """Raises an error if a package that is imported later is not installed.

    Args:
        user: what needs it, to begin the message with.
        module: the name to import.
        package: the name to install, if it is another.

    Raises:
        ModuleNotFoundError: it is not installed.
    """
    try:
        found = importlib.util.find_spec(module) is not None
    except ValueError:  # something else stands in for it, such as a test's stub
        found = True
    if not found:
        name = package or module
        raise ModuleNotFoundError(f"{user} needs {name}: pip install {name}", name=module)


def shown(value: object) -> str:
    """Returns the repr of a value for a message, shortened if it is long."""
    # Python refuses to print integers of more than 4,300 digits, or of 640 if it is told to; before
    # 3.14, the repr of a list that holds one raises an error.
    if isinstance(value, int) and value.bit_length() > 2_000:
        return f"an integer of {value.bit_length():,} bits"
    try:
        return _short.repr(value)
    except ValueError:
        return f"a {type(value).__name__}"


def checked_several(name: str, value: Any) -> int:
    """Returns the length of a sequence or an array with at least one axis."""
    try:
        return len(value)
    except TypeError:
        raise TypeError(f"{name} must have an entry per category, got {shown(value)}") from None


def shortened(text: str) -> str:
    """Returns a text for a message, cut off if it is long."""
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}…"


def meant(name: object, known: Sequence[str]) -> str:
    """Returns the question "did you mean …?" if a known name is similar, otherwise ``""``.

    >>> meant("RCDB-1k", ["rcdb-1k", "ofdb-1k"]), meant("photos", ["rcdb-1k"])
    ('; did you mean rcdb-1k?', '')
    """
    if not isinstance(name, str) or len(name) > MAX_SHOWN:  # difflib would take too long
        return ""
    close = difflib.get_close_matches(name.lower(), known, 1, cutoff=0.8)
    return f"; did you mean {close[0]}?" if close else ""


def counted(count: int, noun: str, plural: str = "") -> str:
    """Returns a count and its noun.

    >>> counted(1, "shard"), counted(2_000, "shard"), counted(0, "category", "categories")
    ('1 shard', '2,000 shards', '0 categories')
    """
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def renamed(**names: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Decorates a function: passing an argument by its old name raises an error that gives the
    new one."""

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def checked(*args: P.args, **kwargs: P.kwargs) -> R:
            for old, new in names.items():
                if old in kwargs:
                    name = function.__qualname__.removesuffix(".__init__")
                    raise TypeError(f"{name}: the argument {old!r} was renamed to {new!r}")
            return function(*args, **kwargs)

        return checked

    return decorate


def as_array(name: str, given: Any) -> npt.NDArray[Any]:
    """Returns what was given as an array; refuses what NumPy would convert silently.

    Raises:
        TypeError: values are masked, bools are among numbers, or a tensor requires a gradient.
    """
    parts = given if isinstance(given, list | tuple) else [given]
    kinds = set(map(type, parts))
    if kinds <= {int, float}:  # the usual case
        return np.asarray(given)
    if any(issubclass(kind, np.ma.MaskedArray) for kind in kinds):
        masked = sum(int(np.count_nonzero(np.ma.getmask(part))) for part in parts)
        if masked:
            counts = counted(masked, "masked value")
            raise TypeError(f"{name} must have no masked values, got {counts}")
    try:
        array = np.asarray(given)
    except RuntimeError as error:  # torch's, about a tensor that requires a gradient
        kind = type(given).__name__
        raise TypeError(f"{name} must convert to an array, got a {kind}: {error}") from None
    if array.dtype.kind in "iuf" and _has_bool(given):
        raise TypeError(f"{name} must be numbers without bools, got {shown(given)}")
    return array


def _has_bool(given: Any) -> bool:
    if isinstance(given, list | tuple):
        return not set(map(type, given)) <= {int, float} and any(map(_has_bool, given))
    return isinstance(given, bool) or str(getattr(given, "dtype", "")) in ("bool", "torch.bool")


def count_up_to(most: int, given: object, depth: int = 0) -> int:
    """Counts the numbers in nested sequences without building an array.

    Returns:
        The count; a number above ``most`` as soon as the count exceeds it, or if the sequences are
        nested more than five deep.
    """
    if hasattr(given, "__array__"):
        return math.prod(np.shape(cast(Any, given)))
    if isinstance(given, str | bytes) or not isinstance(given, Sequence):
        return 1
    if depth == 5 or len(given) > most:
        return most + 1
    total = 0
    for part in given:
        total += count_up_to(most, part, depth + 1)
        if total > most:
            break
    return total


def checked_seed(seed: int) -> int:
    """Returns the seed, 0…2⁶⁴-1."""
    return checked_whole("seed", seed)


def checked_threads(num_threads: int | None) -> int | None:
    """Returns the number of threads, 1…1024, or None."""
    if num_threads is None:
        return None
    value = checked_integer("num_threads", num_threads)
    if not 1 <= value <= 1024:
        raise ValueError(f"num_threads must be None or lie between 1 and 1024, got {shown(value)}")
    return value


def checked_numbers(name: str, values: Numbers) -> npt.NDArray[np.uint64]:
    """Returns integers below 2⁶⁴ as an array, uint64 () or (B,)."""
    array = as_array(name, values)
    if array.size == 0 and array.dtype == np.float64:  # an empty list
        array = array.astype(np.uint64)
    if not isinstance(values, np.ndarray) and array.dtype.kind in "fO":
        # NumPy makes floats of lists that hold both small and very large integers.
        exact = np.asarray(values, dtype=object)
        if all(isinstance(value, int | np.integer) for value in exact.flat):
            array = exact
    if array.dtype.kind not in "iuO":
        raise TypeError(f"{name} must be integers, got {array.dtype}")
    if array.ndim > 1:
        raise ValueError(f"{name} must be one integer or an array (B,), got shape {array.shape}")
    if array.dtype.kind == "O" and not all(
        isinstance(v, int | np.integer) and not isinstance(v, bool) for v in array.flat
    ):
        raise TypeError(f"{name} must be integers, got {shown(values)}")
    if array.size and array.min() < 0:
        raise IndexError(f"{name} must be 0 or more, got {array.min()}")
    if array.size and array.max() >= 2**64:
        raise IndexError(f"{name} must be less than 2**64, got {array.max()}")
    return np.asarray(array.astype(np.uint64))


def checked_type(name: str, value: Any, kind: Any) -> Any:
    """Returns a value of one of the given types."""
    if not isinstance(value, kind):
        kinds = kind if isinstance(kind, tuple) else (kind,)
        raise TypeError(f"{name} must be {kinds[0].__name__}, got {shown(value)}")
    return value


def whole_or_none(value: Any) -> int | None:
    """Returns an integer of any type as an ``int``; ``None`` for anything else, such as a bool or
    a masked value."""
    try:
        whole = operator.index(value)
    except TypeError:
        return None
    # A tensor of one bool has __index__, too.
    item = value.item() if hasattr(value, "item") else value
    return None if isinstance(item, bool) or np.ma.is_masked(value) else whole


def checked_integer(name: str, value: SupportsIndex) -> int:
    """Returns any integer as an ``int``; a bool is none."""
    whole = whole_or_none(value)
    if whole is None:
        raise TypeError(f"{name} must be an integer, got {shown(value)}")
    return whole


def checked_whole(name: str, value: SupportsIndex) -> int:
    """Returns an integer, 0…2⁶⁴-1."""
    whole = checked_integer(name, value)
    if whole < 0:
        raise ValueError(f"{name} must be 0 or more, got {shown(value)}")
    if whole >= 2**64:  # the core takes 64 bits
        raise ValueError(f"{name} must be less than 2**64, got {shown(value)}")
    return whole


def checked_positive(name: str, value: SupportsIndex) -> int:
    """Returns an integer, 1…2⁶⁴-1."""
    whole = checked_integer(name, value)
    if whole < 1:
        raise ValueError(f"{name} must be at least 1, got {shown(value)}")
    return checked_whole(name, whole)


def checked_number(name: str, value: float) -> float:
    """Returns any real number as a float."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.floating | np.integer):
        raise TypeError(f"{name} must be a number, got {shown(value)}")
    try:
        return float(value)
    except OverflowError:
        raise ValueError(f"{name} must fit in a float, got {shown(value)}") from None


def checked_fraction(name: str, value: float) -> float:
    """Returns a number, 0…1."""
    number = checked_number(name, value)
    if not 0 <= number <= 1:
        raise ValueError(f"{name} must lie between 0 and 1, got {value}")
    return number


def side_or_pair(pair: tuple[int, int]) -> Size:
    """Returns one number for a square, else (height, width)."""
    return pair[0] if pair[0] == pair[1] else pair


def checked_pair(name: str, value: Size) -> tuple[int, int]:
    """Returns (height, width) of a pair or of the side of a square."""
    if isinstance(value, list | tuple):
        if len(value) != 2:
            raise ValueError(f"{name} must be one integer or (height, width), got {shown(value)}")
        return checked_whole(name, value[0]), checked_whole(name, value[1])
    side = checked_whole(name, value)
    return side, side
