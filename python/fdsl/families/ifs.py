"""Iterated function systems: searching for, reading and writing categories."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from fdsl import _core
from fdsl._checks import (
    as_array,
    checked_number,
    checked_positive,
    checked_seed,
    checked_threads,
    checked_type,
    checked_whole,
    renamed,
    shown,
)
from fdsl._files import PathLike, write_all
from fdsl.families.perturb import perturbed
from fdsl.families.readers import (
    MAX_MAPS_IN_ALL,
    Floats,
    read_csv_folder,
    read_pickle,
    refuse_other_csv,
)
from fdsl.families.systems import Lengths, Systems, described
from fdsl.frame import Frame
from fdsl.rendering import Rendering


class Category(NamedTuple):
    """One iterated function system (paper, equations 1 and 2)."""

    #: (n, 6) float64, columns a b c d e f: x' = a·x + b·y + e, y' = c·x + d·y + f.
    maps: Floats
    #: (n,) float64, the probability of each map; they sum to 1.
    probabilities: Floats

    def __repr__(self) -> str:
        return described("Category", self.probabilities)

    def _repr_png_(self) -> bytes | None:
        """Returns a row of instances, which notebooks show."""
        return IFS([self.maps], [self.probabilities])._repr_png_()


class IFS(Systems[Category]):
    """Categories of iterated function systems; immutable, a sequence of ``Category``.

    One array holds the maps of all categories, one category after the other, and another one their
    probabilities; a ``Category`` is a read-only view of its part.

    ``IFS.search`` finds categories, ``IFS.load`` and ``IFS.from_csv`` read them.

    Points are float32, so an attractor must not be far smaller than its distance from the origin:
    one of size 1 at a distance of 1e5 has gaps.

    Args:
        maps: for each category an array (n, 6) of finite numbers, 1 ≤ n ≤ 256; at most 8,388,608
            maps in total. Or categories of other families: ``IFS([*one, *another])``.
        probabilities: for each category an array (n,) that sums to 1; proportional to
            |a·d − b·c| if not given, but a ``Category`` keeps its own.
        candidates_tried: the number of candidates of the search, if there was one: 0…2⁶³−1.

    Raises:
        ValueError: shapes do not match, a parameter is not finite, probabilities do not sum
            to 1, ``candidates_tried`` is out of range, or there is no category.
        TypeError: the parameters are not numbers, or some are masked; or ``candidates_tried`` is
            not an integer.

    >>> half = [0.5, 0, 0, 0.5]
    >>> sierpinski = IFS([[half + [0, 0], half + [0.5, 0], half + [0.25, 0.5]]])
    >>> sierpinski[0].probabilities.round(2)
    array([0.33, 0.33, 0.33])
    """

    name = "ifs"
    style = Rendering
    _columns, _category, _extent = 6, Category, "area"

    def __init__(
        self,
        maps: Sequence[npt.ArrayLike | Category],
        probabilities: Sequence[npt.ArrayLike] | None = None,
        *,
        candidates_tried: int | None = None,
    ) -> None:
        self._lay(*self._joined(maps, probabilities), candidates_tried)

    @staticmethod
    def _determinants(maps: Floats) -> Floats:
        return np.asarray(maps[:, 0] * maps[:, 3] - maps[:, 1] * maps[:, 2])

    @staticmethod
    def _sums(weights: Floats) -> Floats:
        return np.asarray(weights.sum(axis=1))

    @classmethod
    def from_flat(
        cls,
        maps: Floats,
        probabilities: Floats | None,
        lengths: Lengths,
        candidates_tried: int | None = None,
    ) -> IFS:
        """Makes a family from concatenated arrays. Those that are contiguous and have the types
        below are not copied, but become read-only.

        Args:
            maps: float64 (n, 6), columns a b c d e f, of all categories.
            probabilities: float64 (n,); proportional to |a·d − b·c| if ``None``.
            lengths: int64 (categories,), the number of maps of each category.
            candidates_tried: the number of candidates of the search, if there was one: 0…2⁶³−1.

        Raises:
            ValueError: the arrays do not match, or a number is out of range.
            TypeError: maps or probabilities are not numbers, numbers are masked, or
                ``candidates_tried`` is not an integer.
        """
        if probabilities is not None:
            probabilities = as_array("probabilities", probabilities)
        maps, lengths = as_array("maps", maps), as_array("lengths", lengths)
        cls._check_flat(maps, probabilities, lengths)
        maps, lengths = np.ascontiguousarray(maps, np.float64), lengths.astype(np.int64, copy=False)
        if probabilities is not None:
            probabilities = np.ascontiguousarray(probabilities, np.float64)
        ifs: IFS = cls._from_flat(maps, probabilities, lengths, candidates_tried)
        return ifs

    @classmethod
    @renamed(points="num_points", pad="margin", threads="num_threads")
    def search(
        cls,
        categories: int = 1000,
        fill_rate: float = 0.2,
        seed: int = 0,
        *,
        min_maps: int = 2,
        max_maps: int | None = None,
        size: int = 512,
        num_points: int = 100_000,
        margin: int = 6,
        max_tries: int = 100_000,
        sampler: Literal["fdsl", "released"] = "fdsl",
        num_threads: int | None = None,
        progress: Callable[[int, int], object] | None = None,
    ) -> IFS:
        """Searches for categories as the paper does (section 3.2), on all cores.

        A candidate has a number of maps uniform in ``min_maps…max_maps`` and parameters uniform
        in [−1, 1]; the probability of a map is proportional to |det A|. A candidate is accepted
        if its filling rate is at least ``fill_rate``: the share of pixels that ``num_points``
        points light on a ``size``×``size`` image.
        The result depends on these settings and the seed, not on the number of threads.

        ``sampler="released"`` reproduces the authors' released code: NumPy's legacy random
        stream, one float64 orbit per candidate. ``IFS.search(1000, 0.2, seed=1,
        sampler="released")`` finds the published categories of FractalDB-1k, bit for bit
        (half a minute on two cores; ``fdsl.fractaldb(1000)`` loads them in milliseconds).

        Args:
            categories: how many to find.
            fill_rate: above 0, at most 1. The paper finds 0.10 best (Table 2), and the authors'
                program uses 0.2; with 100,000 points no category reaches 0.30.
            seed: 0…2⁶⁴−1; other seeds find other categories. With ``sampler="released"`` at most
                2³²−1; the published categories have 1.
            min_maps: smallest number of maps.
            max_maps: largest number of maps; if not given the paper's 8, or the released code's 7
                with ``sampler="released"``.
            size: height and width of the image on which the filling rate is measured.
            num_points: points on that image.
            margin: empty pixels around them.
            max_tries: the search gives up after this many rejected candidates in a row.
            sampler: the source of random numbers: this library, or the released code.
            num_threads: how many threads search; all available cores if not given.
            progress: called with (found, tried) after every few candidates. An exception that it
                raises ends the search, like Ctrl-C.

        Raises:
            ValueError: an argument is out of range, or the search gave up; the message gives the
                number of candidates and their best filling rate.

        >>> len(IFS.search(categories=5, fill_rate=0.2, seed=1))
        5
        """
        if max_maps is None:
            max_maps = 7 if sampler == "released" else 8
        most_maps = checked_whole("max_maps", max_maps)
        if checked_whole("categories", categories) * most_maps > MAX_MAPS_IN_ALL:
            raise ValueError(cls._too_many(f"{categories} categories of up to {most_maps} maps"))
        maps, probabilities, lengths, tried = _core.search(
            categories=checked_whole("categories", categories),
            fill_rate=checked_number("fill_rate", fill_rate),
            seed=checked_seed(seed),
            min_maps=checked_whole("min_maps", min_maps),
            max_maps=most_maps,
            sampler=checked_type("sampler", sampler, str),
            size=checked_whole("size", size),
            num_points=checked_whole("num_points", num_points),
            margin=checked_whole("margin", margin),
            max_tries=checked_whole("max_tries", max_tries),
            num_threads=checked_threads(num_threads),
            progress=progress,
        )
        return cls.from_flat(maps, probabilities, lengths, tried)

    @classmethod
    def sample(
        cls,
        categories: int = 1000,
        *,
        sampler: Literal["contractive"] = "contractive",
        seed: int = 0,
        min_maps: int = 2,
        max_maps: int = 4,
        singular_sum: tuple[float, float] | None = None,
    ) -> IFS:
        """Samples contractive systems without a search (Anderson and Farrell, "Improving Fractal
        Pre-training", WACV 2022).

        Every map is a rotation or reflection, a scaling by singular values s₁ ≥ s₂ of at most 1,
        and another rotation or reflection. The sum of s₁ + 2·s₂ over the maps of a system is drawn
        first, because it decides how full the image is. No system is rejected: about 97% light
        more than 5% of an image. A thousand take about a millisecond.

        System k depends only on the seed, k and the settings, so more categories leave the first
        ones unchanged.

        Args:
            categories: number of systems.
            sampler: ``"contractive"`` is the only one.
            seed: 0…2⁶⁴−1; distinguishes one sample from another.
            min_maps: smallest number of maps, at least 2.
            max_maps: largest number of maps; the authors' script stops at 4.
            singular_sum: (low, high), the range of the sum of s₁ + 2·s₂; by default
                (5 + n)/2…(6 + n)/2 for n maps, as in the authors' code. 1p-frac uses 3.9…4.1
                for two maps.

        Raises:
            ValueError: an argument is out of range.

        >>> IFS.sample(100, seed=1)
        <IFS: 100 categories of 2 to 4 maps>
        """
        if checked_type("sampler", sampler, str) != "contractive":
            raise ValueError(f"sampler must be 'contractive', got {sampler!r}")
        most = checked_whole("max_maps", max_maps)
        if checked_positive("categories", categories) * most > MAX_MAPS_IN_ALL:
            raise ValueError(cls._too_many(f"{categories} categories of up to {most} maps"))
        if singular_sum is not None:
            try:
                low, high = singular_sum
            except (TypeError, ValueError):
                raise ValueError(
                    f"singular_sum must be None or (low, high), got {shown(singular_sum)}"
                ) from None
            singular_sum = (
                checked_number("singular_sum", low),
                checked_number("singular_sum", high),
            )
        maps, probabilities, lengths = _core.sample_contractive(
            categories=checked_whole("categories", categories),
            seed=checked_seed(seed),
            min_maps=checked_whole("min_maps", min_maps),
            max_maps=most,
            singular_sum=singular_sum,
        )
        return cls.from_flat(maps, probabilities, lengths)

    @classmethod
    def perturbed(
        cls,
        base: IFS | Category,
        categories: int = 1000,
        delta: float = 0.1,
        *,
        rule: Literal["multiply", "add"] = "multiply",
        seed: int = 0,
        fill_rate: float = 0.05,
        max_tries: int = 1000,
        num_threads: int | None = None,
        progress: Callable[[int, int], object] | None = None,
    ) -> IFS:
        """Makes categories that are small perturbations of one system (Nakamura et al., "Scaling
        Backwards", ECCV 2024: 1p-frac).

        The base usually comes from ``IFS.sample(1, min_maps=2, max_maps=2,
        singular_sum=(3.9, 4.1))``. Each category perturbs all its numbers and keeps its
        probabilities. A category whose filling rate is too small is perturbed again. Use it with
        ``instances=1``: one image per category, and augmentation does the rest.

        Category k depends only on the base, the seed, k and the settings.

        Args:
            base: a category, such as ``ifs[3]``, or an ``IFS`` of one.
            categories: number of perturbed systems.
            delta: size of the perturbation, above 0 and at most 1; 0.1 is best in the paper.
            rule: ``"multiply"`` multiplies each number by one from 1 − delta…1 + delta, as the
                released code does; ``"add"`` adds one from −delta/2…delta/2, as the paper says.
            seed: 0…2⁶⁴−1; distinguishes one set from another.
            fill_rate: the share of pixels that 100,000 points must light at 512×512.
            max_tries: gives up after this many perturbations of one category.
            num_threads: number of threads that measure; all available cores by default.
            progress: called with (found, tried) after every few categories.

        Raises:
            ValueError: an argument is out of range, or a category does not reach ``fill_rate``.

        >>> base = IFS.sample(1, seed=3, min_maps=2, max_maps=2, singular_sum=(3.9, 4.1))
        >>> IFS.perturbed(base, 10, delta=0.1)
        <IFS: 10 categories of 2 maps>
        """
        if isinstance(base, Category):
            base = cls([base])
        maps, probabilities = perturbed(
            checked_type("base", base, IFS),
            categories,
            delta,
            rule=rule,
            seed=seed,
            fill_rate=fill_rate,
            max_tries=max_tries,
            num_threads=checked_threads(num_threads),
            progress=progress,
        )
        count, length, _ = maps.shape
        return cls.from_flat(
            maps.reshape(-1, 6), np.tile(probabilities, count), np.full(count, length)
        )

    @classmethod
    def from_csv(cls, folder: PathLike) -> IFS:
        """Reads the authors' category files: one CSV file per category, rows of a b c d e f p.

        The files may be in the folder or its subfolders (``csv0/ … csv39/``). They are sorted by
        name, numerically where names are numbers. A warning says that one of the numbers is
        missing, because labels count the files.

        Raises:
            FileNotFoundError: there is no such folder, or no CSV file in it.
            ValueError: a file is empty, malformed or larger than 1 MiB, a number is there twice, or
                writing the folder was interrupted; the message names file and line.
        """
        maps, probabilities = read_csv_folder(Path(folder))
        return cls(maps, probabilities)

    @classmethod
    def from_pickle(cls, file: PathLike) -> IFS:
        """Reads the systems of "Improving Fractal Pre-training" (Anderson and Farrell, 2022).

        Their pickle is ``{"params": [{"system": array (n, 2, 3)}, …]}``; each map has the rows
        (a b e) and (c d f), and a probability proportional to |a·d − b·c|. This library reads the
        file itself, without unpickling: it calls nothing that the file names and builds only
        arrays of numbers. At most 600 MB.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: the file holds something else; the message says what and where.
        """
        path = Path(file)
        maps, lengths = read_pickle(path)
        try:
            return cls.from_flat(maps, None, lengths, None)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None

    def to_csv(self, folder: PathLike) -> None:
        """Writes one CSV file per category into the folder, like the authors: ``00000.csv`` …

        Reading them gives the same bits. Either all files are written or none. A process that is
        killed in between leaves a file named ``INCOMPLETE``, and ``from_csv`` refuses the folder
        until the files are written again.

        Raises:
            FileExistsError: the folder holds CSV files that this call would not replace, so
                reading it would mix two data sets; or a folder has the name of one of the files.
        """
        path = Path(folder)
        refuse_other_csv(path, len(self))
        write_all(path, ((f"{n:05d}.csv", _csv(category)) for n, category in enumerate(self)))

    @renamed(points="num_points", pad="margin", threads="num_threads")
    def fill_rates(
        self,
        *,
        size: int = 512,
        num_points: int = 100_000,
        margin: int = 6,
        seed: int = 0,
        num_threads: int | None = None,
    ) -> Floats:
        """Measures the filling rate of each category, like the search but with other random
        numbers.

        So a category that the search found with ``fill_rate=0.2`` may measure slightly less here:
        with the search's ``size`` and ``num_points`` one in twelve does.

        Returns:
            float64 (categories,), the share of lit pixels, 0…1.
        """
        numbers = (
            checked_whole("size", size),
            checked_whole("num_points", num_points),
            checked_whole("margin", margin),
        )
        return self.core().fill_rates(*numbers, checked_seed(seed), checked_threads(num_threads))

    def _core_name(self, frame: Frame | None) -> str:
        compat = frame.compat if isinstance(frame, Rendering) else None
        return self.name if compat is None else compat


def _csv(category: Category) -> bytes:
    rows = np.column_stack([category.maps, category.probabilities]).tolist()
    return "".join(",".join(map(repr, row)) + "\n" for row in rows).encode()
