"""What a family stores in files and sends to workers: arrays of its categories and options."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, SupportsIndex, TypeAlias

import numpy as np
import numpy.typing as npt

from fdsl._checks import as_array, shown, whole_or_none

if TYPE_CHECKING:
    from fdsl.families.base import Family

Arrays: TypeAlias = dict[str, npt.NDArray[Any]]

#: The largest number of categories of a family.
MAX_CATEGORIES = 4096**2


def checked_categories(categories: SupportsIndex | npt.ArrayLike) -> npt.NDArray[Any]:
    """Returns the numbers 0…n−1, or a read-only copy of an array with a row per category.

    Raises:
        ValueError: there is no category, or there are too many.
        TypeError: the parameters are not numbers.
    """
    number = number_or_none(categories)
    if number is not None:
        return _frozen(np.arange(number, dtype=np.int64))
    array = _as_array("categories", categories)
    if array.dtype.kind not in "fiu" or array.ndim == 0:
        raise TypeError(
            f"categories must be an integer or an array of numbers (C, …), got {shown(categories)}"
        )
    if len(array) == 0:
        raise ValueError(f"a family needs at least one category, got shape {array.shape}")
    return _frozen(array)


def number_or_none(
    categories: object, at_most: int = MAX_CATEGORIES, otherwise: str = ""
) -> int | None:
    """Returns the number of categories, or ``None`` if their parameters are given instead.

    Args:
        at_most: the largest number.
        otherwise: how to get more.

    Raises:
        ValueError: the number is out of range.
    """
    number = whole_or_none(categories)
    if number is not None and not 1 <= number <= at_most:
        raise ValueError(
            f"categories must lie between 1 and {at_most:,}, got {shown(number)}{otherwise}"
        )
    return number


def stored_rows(kind: type[Family], arrays: Mapping[str, npt.NDArray[Any]]) -> npt.NDArray[Any]:
    """Returns the array of a file that has a row per category.

    Raises:
        ValueError: it is a single number, which a family would take for a number of categories.
    """
    name = kind._categories_array
    rows = arrays[name]
    if rows.ndim == 0:
        raise ValueError(f"{name} must be an array with a row per category, got {shown(rows)}")
    return rows


def checked_option(kind: type[Family], name: str, value: Any) -> Any:
    """Returns the value of an option as files and workers have it: a number, a string or a
    read-only array.

    Other types, or an array that changes later, would make them differ from the process that sets
    the option.

    Raises:
        TypeError: it cannot be stored.
    """
    array = option_array(kind, name, value)
    if type(value) in (bool, int, float, str):
        return value
    return _frozen(array) if array.ndim else array.item()


def option_array(kind: type[Family], name: str, value: Any) -> npt.NDArray[Any]:
    """Returns the array that stores the value of an option.

    Raises:
        TypeError: it cannot be stored.
    """
    name = f"{kind.__name__}.{name}"
    try:
        array = _as_array(name, value.item() if isinstance(value, np.generic) else value)
        if array.dtype.kind in "biufU":
            return array
    except ValueError:  # rows of different lengths
        pass
    raise TypeError(
        f"{name} must be a number, a string or an array of numbers, got {shown(value)}; derive "
        "other attributes in a functools.cached_property"
    )


def _as_array(name: str, value: Any) -> npt.NDArray[Any]:
    """Returns an array as it is, and anything else as an array of the same dtype everywhere."""
    array = as_array(name, value)
    if hasattr(value, "__array__") or array.dtype != np.int_:
        return array
    return array.astype(np.int64, copy=False)  # NumPy 1 makes Python's integers 32 bits on Windows


def _frozen(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Returns a read-only copy."""
    copy = array.copy()
    copy.flags.writeable = False
    return copy
