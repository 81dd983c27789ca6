"""Checks of arguments, where they enter: each says what was wrong and what is accepted."""

from __future__ import annotations

import operator
from typing import Any, SupportsIndex, TypeAlias

import numpy as np
import numpy.typing as npt

Size: TypeAlias = "int | tuple[int, int]"
Numbers: TypeAlias = "SupportsIndex | npt.ArrayLike"


def checked_seed(seed: int) -> int:
    """Returns the seed if it is one that an address can hold."""
    value = checked_whole("seed", seed)
    if value >= 2**64:
        raise ValueError(f"seed must lie between 0 and 2**64 - 1, got {seed}")
    return value


def checked_threads(threads: int | None) -> int | None:
    """Returns the number of threads if there can be so many."""
    if threads is None:
        return None
    value = checked_whole("threads", threads)
    if not 1 <= value <= 1024:
        raise ValueError(f"threads must be None or lie between 1 and 1024, got {threads}")
    return value


def checked_numbers(name: str, values: Numbers) -> npt.NDArray[np.uint64]:
    array = np.asarray(values)
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
    if array.dtype.kind == "O" and not all(isinstance(v, int | np.integer) for v in array.flat):
        raise TypeError(f"{name} must be integers, got {array.dtype}")
    if array.size and array.min() < 0:
        raise IndexError(f"{name} must be 0 or more, got {array.min()}")
    if array.size and array.max() >= 2**64:
        raise IndexError(f"{name} must be less than 2**64, got {array.max()}")
    return np.atleast_1d(array).astype(np.uint64)


def checked_type(name: str, value: Any, kind: Any) -> Any:
    if not isinstance(value, kind):
        kinds = kind if isinstance(kind, tuple) else (kind,)
        raise TypeError(f"{name} must be {kinds[0].__name__}, got {value!r}")
    return value


def checked_whole(name: str, value: SupportsIndex) -> int:
    try:
        whole = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be an integer, got {value!r}") from None
    if whole < 0:
        raise ValueError(f"{name} must be 0 or more, got {value!r}")
    if whole >= 2**64:  # more than the core can be told
        raise ValueError(f"{name} must be less than 2**64, got {value!r}")
    return whole


def checked_positive(name: str, value: SupportsIndex) -> int:
    whole = checked_whole(name, value)
    if whole == 0:
        raise ValueError(f"{name} must be at least 1, got 0")
    return whole


def checked_number(name: str, value: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | np.floating | np.integer):
        raise TypeError(f"{name} must be a number or None, got {value!r}")
    try:
        return float(value)
    except OverflowError:
        raise ValueError(f"{name} is larger than any float can be") from None


def checked_share(name: str, value: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | np.floating | np.integer):
        raise TypeError(f"{name} must be a number, got {value!r}")
    if not 0 <= value <= 1:
        raise ValueError(f"{name} must lie between 0 and 1, got {value}")
    return float(value)


def side_or_pair(pair: tuple[int, int]) -> Size:
    return pair[0] if pair[0] == pair[1] else pair


def checked_pair(name: str, value: Size) -> tuple[int, int]:
    if isinstance(value, list | tuple):
        if len(value) != 2:
            raise ValueError(f"{name} must be one integer or (height, width), got {value!r}")
        return checked_whole(name, value[0]), checked_whole(name, value[1])
    side = checked_whole(name, value)
    return side, side
