"""Base of the iterated function systems in two and three dimensions: flat arrays."""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from fdsl._checks import as_array, checked_integer, checked_several, count_up_to, counted, shown
from fdsl.families.core import C, CoreFamily
from fdsl.families.readers import MAX_MAPS, MAX_MAPS_IN_ALL, Floats
from fdsl.families.stored import Arrays

Lengths = npt.NDArray[np.int64]


class Systems(CoreFamily[C]):
    """Categories of affine maps and their probabilities, concatenated in flat arrays.

    A category is a read-only view of its part of the arrays.
    """

    _abstract = True
    #: Number of coefficients of a map.
    _columns: ClassVar[int]
    #: The named tuple (maps, probabilities) of a category.
    _category: ClassVar[Any]
    #: What a determinant of 0 lacks: ``"area"`` or ``"volume"``.
    _extent: ClassVar[str]

    def _lay(
        self, maps: Floats, probabilities: Floats | None, lengths: Lengths, tried: int | None
    ) -> None:
        """Takes ownership of flat arrays; the core checks their numbers.

        Raises:
            ValueError: a number is out of range.
            TypeError: tried is neither ``None`` nor an integer.
        """
        if tried is not None:
            tried = checked_integer("candidates_tried", tried)
            if not 0 <= tried < 2**63:  # what a file can store
                raise ValueError(
                    "candidates_tried must be None or lie between 0 and 2**63 - 1, got "
                    f"{shown(tried)}"
                )
        if probabilities is None:
            probabilities = self._by_determinant(maps, lengths)
        self._maps, self._probabilities, self._lengths = maps, probabilities, lengths
        self._borders = np.concatenate([[0], np.cumsum(lengths)])
        for array in (self._maps, self._probabilities, self._lengths, self._borders):
            array.flags.writeable = False
        self._candidates_tried = tried
        self.core()

    @staticmethod
    @abstractmethod
    def _determinants(maps: Floats) -> Floats:
        """Returns the determinant of each map."""

    @staticmethod
    @abstractmethod
    def _sums(weights: Floats) -> Floats:
        """Returns the sum of each row (C, n). The order of the additions is part of the format."""

    @classmethod
    def _by_determinant(cls, maps: Floats, lengths: Lengths) -> Floats:
        """Returns probabilities proportional to the |determinants| of the maps."""
        starts, totals = np.cumsum(lengths) - lengths, np.empty(len(lengths))
        with np.errstate(all="ignore"):  # totals that are not finite are refused
            weights = np.abs(cls._determinants(maps))
            for length in np.unique(lengths):  # categories of the same length form a matrix
                chosen = np.flatnonzero(lengths == length)
                totals[chosen] = cls._sums(weights[starts[chosen, None] + np.arange(length)])
            wrong = ~(np.isfinite(totals) & (totals > 0))
        if wrong.any():
            raise ValueError(
                f"the maps of category {wrong.argmax()} have no {cls._extent} (every determinant "
                "is 0) or are not finite: give probabilities"
            )
        return np.asarray(weights / np.repeat(totals, lengths))

    @classmethod
    def _joined(
        cls, maps: Any, probabilities: Sequence[npt.ArrayLike] | None
    ) -> tuple[Floats, Floats | None, Lengths]:
        """Returns the concatenated maps, probabilities and lengths of all categories."""
        if checked_several("maps", maps) == 0:
            raise ValueError(f"an {cls.__name__} needs at least one category, got none")
        if len(maps) > MAX_MAPS_IN_ALL:
            raise ValueError(cls._too_many(f"{len(maps):,} categories"))
        maps, probabilities = cls._separated(maps, probabilities)
        if probabilities is not None and len(probabilities) != len(maps):
            raise ValueError(
                f"expected probabilities for each of {len(maps)} categories, got "
                f"{len(probabilities)}"
            )
        rows: list[npt.NDArray[Any]] = []
        total = 0
        for category, given in enumerate(maps):
            array = numbers_of(
                f"the maps of category {category}", given, (cls._columns + 2) * MAX_MAPS
            )
            if array.ndim != 2 or array.shape[1] != cls._columns:
                raise ValueError(
                    f"the maps of category {category} must have shape (n, {cls._columns}), got "
                    f"{array.shape}"
                )
            if not 1 <= len(array) <= MAX_MAPS:
                raise ValueError(
                    f"category {category}: a category needs between 1 and {MAX_MAPS} maps, got "
                    f"{len(array)}"
                )
            total += len(array)
            if total > MAX_MAPS_IN_ALL:
                raise ValueError(cls._too_many(f"more by category {category}"))
            rows.append(array)
        lengths = np.fromiter(map(len, rows), np.int64, len(rows))
        weights = None
        if probabilities is not None:
            chances = []
            for category, (given, row) in enumerate(zip(probabilities, rows, strict=True)):
                what = f"the probabilities of category {category}"
                chances.append(numbers_of(what, given, 8 * MAX_MAPS))
                if chances[-1].shape != row.shape[:1]:
                    raise ValueError(
                        f"{what} must have shape {row.shape[:1]}, got {chances[-1].shape}"
                    )
            weights = np.concatenate(chances, dtype=np.float64)
        return np.concatenate(rows, dtype=np.float64), weights, lengths

    @classmethod
    def _separated(cls, maps: Any, probabilities: Any) -> tuple[Any, Any]:
        """Returns the maps and the probabilities of categories, if that is what ``maps`` are.

        Raises:
            TypeError: they are categories of another kind, families, or only some are categories;
                or there are probabilities besides.
        """
        name = cls.__name__
        kinds = set(map(type, maps))
        for kind in kinds:
            if issubclass(kind, Systems):
                raise TypeError(
                    f"an {name} is made of categories, not of families: {name}([*one, *another])"
                )
            if hasattr(kind, "_fields") and not issubclass(kind, cls._category):
                raise TypeError(
                    f"an {name} is made of its own categories, or of maps of {cls._columns} "
                    f"coefficients, got a {kind.__name__} of another family"
                )
        if not any(issubclass(kind, cls._category) for kind in kinds):
            return maps, probabilities
        if not all(issubclass(kind, cls._category) for kind in kinds):
            raise TypeError(f"an {name} is made of categories or of maps, got some of both")
        if probabilities is not None:
            raise TypeError("categories have their own probabilities, but others were given too")
        maps, probabilities = zip(*maps, strict=True)
        return maps, probabilities

    @classmethod
    def _from_flat(
        cls, maps: Floats, probabilities: Floats | None, lengths: Lengths, tried: int | None
    ) -> Any:
        family = cls.__new__(cls)
        family._lay(maps, probabilities, lengths, tried)
        return family

    @property
    def candidates_tried(self) -> int | None:
        """The number of candidates that the search tried; ``None`` if there was no search."""
        return self._candidates_tried

    def digest(self) -> str:
        """Returns the SHA-256 of the rows of parameters and probability, little-endian float64.

        Unlike ``key``, it does not include where a category ends, and so can be compared with the
        authors' files.
        """
        rows = np.column_stack([self._maps, self._probabilities])
        return hashlib.sha256(rows.astype("<f8").tobytes()).hexdigest()

    def parameters(self, category: int) -> dict[str, Any]:
        """Returns the maps and probabilities of a category as lists of numbers."""
        maps, probabilities = self._single(self._checked(category))
        return {"maps": maps.tolist(), "probabilities": probabilities.tolist()}

    def __len__(self) -> int:
        return len(self._lengths)

    def _single(self, category: int) -> Any:
        part = slice(self._borders[category], self._borders[category + 1])
        return self._category(self._maps[part], self._probabilities[part])

    def _subset(self, categories: npt.NDArray[np.int64]) -> Any:
        lengths = self._lengths[categories]
        rows = rows_of_categories(self._borders[categories], lengths)
        return self._from_flat(self._maps[rows], self._probabilities[rows], lengths, None)

    def __repr__(self) -> str:
        tried = self._candidates_tried
        found = "" if tried is None else f", {tried} candidates tried"
        least, most = self._lengths.min(), self._lengths.max()
        sizes = f"{least} to {most} maps" if least < most else counted(most, "map")
        categories = counted(len(self), "category", "categories")
        return f"<{type(self).__name__}: {categories} of {sizes}{found}>"

    def _arrays(self) -> Arrays:
        return {
            "maps": self._maps,
            "probabilities": self._probabilities,
            "lengths": self._lengths,
        }

    def _notes(self) -> Arrays:
        tried = self._candidates_tried
        return {"candidates_tried": np.array(-1 if tried is None else tried)}

    @classmethod
    def _from_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> Any:
        maps, probabilities = arrays["maps"], arrays["probabilities"]
        lengths = arrays["lengths"]
        tried = checked_integer("candidates_tried", arrays["candidates_tried"])
        cls._check_flat(maps, probabilities, lengths)
        return cls._from_flat(
            np.array(maps, np.float64, order="C"),
            np.array(probabilities, np.float64),
            np.array(lengths, np.int64),
            None if tried == -1 else tried,
        )

    @classmethod
    def _check_flat(
        cls,
        maps: npt.NDArray[Any],
        probabilities: npt.NDArray[Any] | None,
        lengths: npt.NDArray[Any],
    ) -> None:
        """Raises an error if the arrays of concatenated categories do not match."""
        for name, array in (("maps", maps), ("probabilities", probabilities)):
            if array is not None and array.dtype.kind not in "fiu":
                raise TypeError(f"{name} must be numbers, got {array.dtype}")
        if maps.ndim != 2 or maps.shape[1] != cls._columns:
            raise ValueError(f"maps must have shape (n, {cls._columns}), got {maps.shape}")
        if probabilities is not None and probabilities.shape != maps.shape[:1]:
            raise ValueError(
                f"probabilities must have shape {maps.shape[:1]}, got {probabilities.shape}"
            )
        if len(maps) > MAX_MAPS_IN_ALL:
            raise ValueError(cls._too_many(f"{len(maps):,}"))
        if lengths.ndim != 1 or lengths.dtype.kind not in "iu" or len(lengths) == 0:
            raise ValueError(
                f"lengths must be integers (categories,), got {lengths.dtype} {lengths.shape}"
            )
        # Each is checked before summing, since the sum could wrap around.
        if not 1 <= lengths.min() <= lengths.max() <= MAX_MAPS or lengths.sum() != len(maps):
            raise ValueError(
                f"lengths must be 1 to {MAX_MAPS} and add up to {len(maps)}, got {lengths}"
            )

    @classmethod
    def _too_many(cls, given: str) -> str:
        return (
            f"an {cls.__name__} can have at most {MAX_MAPS_IN_ALL:,} maps in all its categories, "
            f"got {given}"
        )


def rows_of_categories(starts: npt.NDArray[Any], lengths: Lengths) -> Lengths:
    """Returns the row numbers of the maps of categories, given where each starts and its length."""
    # Row i of the result is row i − (start of its category in the result) of its category.
    begins = np.cumsum(lengths) - lengths
    return np.asarray(np.repeat(starts - begins, lengths) + np.arange(lengths.sum()))


def numbers_of(what: str, given: npt.ArrayLike, most: int) -> npt.NDArray[Any]:
    """Returns an array of numbers without a copy; nested lists may hold at most ``most``.

    Raises:
        ValueError: there are more, or rows have different lengths.
        TypeError: they are not numbers, or some are masked.
    """
    if not isinstance(given, np.ndarray) and count_up_to(most, given) > most:
        raise ValueError(f"{what} hold more than {most:,} numbers, or are nested too deeply")
    try:
        array = as_array(what, given)
    except ValueError:
        raise ValueError(f"{what} must be rows of the same length, got {shown(given)}") from None
    if array.dtype.kind not in "fiu":
        raise TypeError(f"{what} must be numbers, got {array.dtype}")
    return array


def described(name: str, probabilities: Floats) -> str:
    """Returns the ``repr`` of a category with these probabilities."""
    shares = ", ".join(f"{share:.2f}" for share in probabilities[:8])
    more = ", …" if len(probabilities) > 8 else ""
    return f"<{name}: {counted(len(probabilities), 'map')}, chosen {shares}{more}>"
