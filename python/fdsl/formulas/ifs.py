"""Iterated function systems: finding categories, reading and writing them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, overload

import numpy as np
import numpy.typing as npt

from fdsl import _core
from fdsl._checks import checked_number, checked_seed, checked_threads, checked_type, checked_whole
from fdsl._files import PathLike, write_whole
from fdsl.formulas.family import Family
from fdsl.formulas.readers import read_csv_folder, read_pickle, refuse_other_csv

Floats = npt.NDArray[np.float64]


class Category(NamedTuple):
    """One iterated function system (paper, equations 1 and 2)."""

    #: (n, 6) float64, columns a b c d e f: x' = a·x + b·y + e, y' = c·x + d·y + f.
    maps: Floats
    #: (n,) float64, how often each map is chosen; they sum to 1.
    probabilities: Floats


class IFS(Family):
    """Categories of iterated function systems; immutable, a sequence of ``Category``.

    Find them with ``IFS.search``, read them with ``IFS.load`` or ``IFS.from_csv``, or give
    their parameters.

    Args:
        maps: for each category an array (n, 6) of finite numbers, 1 ≤ n ≤ 256.
        probabilities: for each category an array (n,) that sums to 1; in proportion to
            |a·d − b·c| if not given.
        candidates_tried: how many candidates the search looked at, if there was one.

    Raises:
        ValueError: shapes do not match, a parameter is not finite, probabilities do not sum
            to 1, or there is no category.
        TypeError: the parameters are not numbers.

    >>> half = [0.5, 0, 0, 0.5]
    >>> sierpinski = IFS([[half + [0, 0], half + [0.5, 0], half + [0.25, 0.5]]])
    >>> sierpinski[0].probabilities.round(2)
    array([0.33, 0.33, 0.33])
    """

    name = "ifs"

    def __init__(
        self,
        maps: Sequence[npt.ArrayLike],
        probabilities: Sequence[npt.ArrayLike] | None = None,
        *,
        candidates_tried: int | None = None,
    ) -> None:
        if len(maps) == 0:
            raise ValueError("an IFS needs at least one category, got none")
        if probabilities is not None and len(probabilities) != len(maps):
            raise ValueError(
                f"expected probabilities for each of {len(maps)} categories, "
                f"got {len(probabilities)}"
            )
        self._categories: list[Category] = []
        for category, given in enumerate(maps):
            rows = _floats(f"the maps of category {category}", given)
            if rows.ndim != 2 or rows.shape[1] != 6:
                raise ValueError(
                    f"the maps of category {category} must have shape (n, 6), got {rows.shape}"
                )
            if probabilities is None:
                chances = _by_determinant(rows, category)
            else:
                what = f"the probabilities of category {category}"
                chances = _floats(what, probabilities[category])
                if chances.shape != rows.shape[:1]:
                    raise ValueError(
                        f"{what} must have shape {rows.shape[:1]}, got {chances.shape}"
                    )
            rows.flags.writeable = chances.flags.writeable = False
            self._categories.append(Category(rows, chances))
        self._candidates_tried = candidates_tried
        self._renderer()  # checks the numbers

    @classmethod
    def search(
        cls,
        categories: int = 1000,
        fill_rate: float = 0.2,
        seed: int = 0,
        *,
        min_maps: int = 2,
        max_maps: int | None = None,
        size: int = 512,
        points: int = 100_000,
        pad: int = 6,
        max_tries: int = 100_000,
        sampler: Literal["fdsl", "released"] = "fdsl",
        threads: int | None = None,
        progress: Callable[[int, int], object] | None = None,
    ) -> IFS:
        """Searches for categories as the paper does (section 3.2), on all cores.

        A candidate has a number of maps uniform in ``min_maps…max_maps`` and parameters
        uniform in [−1, 1]; a map is chosen in proportion to |det A|. It is accepted when its
        filling rate, the share of pixels that ``points`` dots light on a picture of
        ``size``², is at least ``fill_rate``.
        The result depends on these settings and the seed, not on the number of threads.

        With ``sampler="released"`` the authors' released program is replayed: NumPy's legacy
        random stream, one orbit in float64 a candidate. ``IFS.search(1000, 0.2, seed=1,
        sampler="released")`` are the published categories of FractalDB-1k, to the last bit
        (``fdsl.fractaldb(1000)`` keeps them in a file).

        Args:
            categories: how many to find.
            fill_rate: above 0 and up to 1. The paper finds 0.10 best (Table 2) and the
                authors' program takes 0.2; over 0.30 there is none with 100,000 points.
            seed: 0…2⁶⁴−1; tells one search from another. With ``sampler="released"`` up to
                2³²−1, and 1 is that of the published categories.
            min_maps: least number of maps.
            max_maps: largest number of maps; the paper's 8 if not given, or with
                ``sampler="released"`` the program's 7.
            size: height and width of the picture the filling rate is measured on.
            points: dots on it.
            pad: pixels left free around them.
            max_tries: gives up after so many candidates in a row without a category.
            sampler: whose random numbers: this library's, or the released program's.
            threads: how many search; all the cores this process may use if not given.
            progress: called with (found, tried) after every few candidates; what it raises, and
                Ctrl-C, ends the search.

        Raises:
            ValueError: an argument is out of range, or the search gave up; the message says
                how many candidates were tried and the best filling rate among them.

        >>> len(IFS.search(categories=5, fill_rate=0.2, seed=1))
        5
        """
        if max_maps is None:
            max_maps = 7 if sampler == "released" else 8
        maps, probabilities, lengths, tried = _core.search(
            categories=checked_whole("categories", categories),
            fill_rate=checked_number("fill_rate", fill_rate),
            seed=checked_seed(seed),
            min_maps=checked_whole("min_maps", min_maps),
            max_maps=checked_whole("max_maps", max_maps),
            sampler=checked_type("sampler", sampler, str),
            size=checked_whole("size", size),
            points=checked_whole("points", points),
            pad=checked_whole("pad", pad),
            max_tries=checked_whole("max_tries", max_tries),
            threads=checked_threads(threads),
            progress=progress,
        )
        return cls._from_flat(maps, probabilities, lengths, tried)

    @classmethod
    def _from_flat(
        cls, maps: Floats, probabilities: Floats, lengths: npt.NDArray[np.int64], tried: int | None
    ) -> IFS:
        ends = np.cumsum(lengths)[:-1]
        return cls(np.split(maps, ends), np.split(probabilities, ends), candidates_tried=tried)

    @classmethod
    def from_csv(cls, folder: PathLike) -> IFS:
        """Reads the authors' category files: one CSV a category, rows of a b c d e f p.

        The files may lie in the folder or in folders in it (``csv0/ … csv39/``); their
        order is that of their names, as numbers where they are numbers.

        Raises:
            FileNotFoundError: there is no such folder, or no CSV file in it.
            ValueError: a file is empty or malformed; the message names file and line.
        """
        maps, probabilities = read_csv_folder(Path(folder))
        return cls(maps, probabilities)

    @classmethod
    def from_pickle(cls, file: PathLike) -> IFS:
        """Reads the systems of "Improving Fractal Pre-training" (Anderson and Farrell, 2022).

        Their pickle is ``{"params": [{"system": array (n, 2, 3)}, …]}``; each map has the rows
        (a b e) and (c d f), and is chosen in proportion to |a·d − b·c|. The file is read by an
        unpickler that can build arrays and nothing else.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: the file holds something else; the message says what, and where.
        """
        path = Path(file)
        systems = read_pickle(path)
        try:
            return cls(systems)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None

    def to_csv(self, folder: PathLike) -> None:
        """Writes one CSV a category into the folder, as the authors do: ``00000.csv`` …

        The numbers are written so that reading gives the same bits.

        Raises:
            FileExistsError: the folder holds CSV files that this would not replace, so that
                reading it would mix two data sets.
        """
        path = Path(folder)
        refuse_other_csv(path, len(self))
        path.mkdir(parents=True, exist_ok=True)
        for number, (maps, probabilities) in enumerate(self._categories):
            rows = np.column_stack([maps, probabilities])
            text = "".join(",".join(map(repr, row)) + "\n" for row in rows.tolist())
            write_whole(path / f"{number:05d}.csv", text.encode())

    @property
    def candidates_tried(self) -> int | None:
        """How many candidates the search looked at; ``None`` if there was none."""
        return self._candidates_tried

    def fill_rates(
        self,
        *,
        size: int = 512,
        points: int = 100_000,
        pad: int = 6,
        seed: int = 0,
        threads: int | None = None,
    ) -> Floats:
        """Measures the filling rate of each category anew, as the search does.

        Returns:
            float64 (categories,), the share of pixels lit, in 0…1.
        """
        numbers = (
            checked_whole("size", size),
            checked_whole("points", points),
            checked_whole("pad", pad),
        )
        return self._renderer().fill_rates(*numbers, checked_seed(seed), checked_threads(threads))

    def digest(self) -> str:
        """Returns the SHA-256 of the rows (a b c d e f p), little-endian float64, in order.

        Of the rows alone, not of where a category ends: it is the authors' files that are
        compared so.
        """
        arrays = self._arrays()
        rows = np.column_stack([arrays["maps"], arrays["probabilities"]])
        return hashlib.sha256(rows.astype("<f8").tobytes()).hexdigest()

    def parameters(self, category: int) -> dict[str, Any]:
        """Returns the maps and probabilities of a category as lists of numbers."""
        maps, probabilities = self[category]
        return {"maps": maps.tolist(), "probabilities": probabilities.tolist()}

    def __len__(self) -> int:
        return len(self._categories)

    @overload
    def __getitem__(self, key: int) -> Category: ...
    @overload
    def __getitem__(self, key: slice) -> IFS: ...
    def __getitem__(self, key: int | slice) -> Category | IFS:
        """Returns a category, or for a slice those categories, counted from 0 again."""
        if isinstance(key, slice):
            chosen = self._categories[key]
            return IFS([c.maps for c in chosen], [c.probabilities for c in chosen])
        return self._categories[self._checked(key)]

    def __repr__(self) -> str:
        sizes = [len(maps) for maps, _ in self._categories]
        tried = self._candidates_tried
        found = "" if tried is None else f", {tried} candidates tried"
        return f"<IFS: {len(self)} categories of {min(sizes)} to {max(sizes)} maps{found}>"

    def _arrays(self) -> dict[str, npt.NDArray[Any]]:
        maps = np.concatenate([maps for maps, _ in self._categories])
        probabilities = np.concatenate([chances for _, chances in self._categories])
        lengths = np.array([len(maps) for maps, _ in self._categories], np.int64)
        return {"maps": maps, "probabilities": probabilities, "lengths": lengths}

    def _notes(self) -> dict[str, npt.NDArray[Any]]:
        tried = self._candidates_tried
        return {"candidates_tried": np.array(-1 if tried is None else tried)}

    @classmethod
    def _from_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> IFS:
        maps, probabilities = arrays["maps"], arrays["probabilities"]
        lengths, tried = arrays["lengths"], int(arrays["candidates_tried"])
        if lengths.shape != (lengths.size,) or lengths.sum() != len(maps) or min(lengths) < 1:
            raise ValueError(f"{len(maps)} maps cannot have the lengths {lengths}")
        return cls._from_flat(maps, probabilities, lengths, None if tried < 0 else tried)

    def _make_renderer(self) -> _core.Categories:
        return _core.Categories.ifs(**self._arrays())


def _floats(what: str, given: npt.ArrayLike) -> Floats:
    array = np.asarray(given)
    if array.dtype.kind not in "fiu":
        raise TypeError(f"{what} must be numbers, got {array.dtype}")
    return np.array(array, np.float64)


def _by_determinant(maps: Floats, category: int) -> Floats:
    with np.errstate(all="ignore"):  # what is not finite is refused
        weights = np.abs(maps[:, 0] * maps[:, 3] - maps[:, 1] * maps[:, 2])
        total = weights.sum()
    if not (np.isfinite(total) and total > 0):
        raise ValueError(
            f"the maps of category {category} have no area (every a·d − b·c is 0) or are not "
            "finite: give probabilities"
        )
    return np.asarray(weights / total)
