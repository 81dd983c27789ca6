"""Iterated function systems in three dimensions, their settings and their points."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, NamedTuple, SupportsIndex

import numpy as np
import numpy.typing as npt

from fdsl import _core
from fdsl._checks import (
    Numbers,
    Size,
    checked_number,
    checked_numbers,
    checked_seed,
    checked_threads,
    checked_type,
    checked_whole,
)
from fdsl.families.readers import MAX_MAPS_IN_ALL, Floats
from fdsl.families.stored import number_or_none
from fdsl.families.systems import (
    Systems,
    described,
    rows_of_categories,
)
from fdsl.frame import Frame, Slider

if TYPE_CHECKING:
    from typing_extensions import Self

#: Most categories that ``IFS3D(number)`` searches for; this many take a minute on one core.
MAX_SEARCHED = 100_000
#: Coefficients of a map, a…l.
COEFFICIENTS = 12


@dataclasses.dataclass(frozen=True, kw_only=True)
class Views(Frame):
    """How fractals in three dimensions become images: the settings of ``IFS3D``.

    The defaults are those of the released code. ``Views.released()`` also follows its
    arithmetic.

    It also has all settings of ``Frame``.

    Args:
        flips: whether ``index % 4`` flips the image. Off by default, because the views already
            differ.
        num_points: points of the cloud, 2…16,777,216; the released code keeps one fewer.
        point_size: side length of the square of pixels at each point, 1…64.
        shade: whether far points are darker and hidden by near ones. Otherwise all points are
            white.
        view: twelve fixed views around the cloud in turn (MV-FractalDB), 144 with ``"two-axis"`` or
            1,728 with ``"three-axis"`` (3D-OFDB); or with ``"random"`` a camera placed uniformly at
            random on the sphere for each image (ExFractalDB). The camera moves in twelve steps
            about the vertical axis, then about that to its right, and then about its own vertical
            axis (Nakamura et al., ICCV 2023).
        jitter: largest random turn of a fixed view to either side, in degrees, 0…180, about each
            axis. The default π is the released code's, which samples −π…π and takes it for degrees.
        variation: largest relative change w of a coefficient of every map, 0…1. The 145 weight rows
            have the factors 1 ± w·k/6, k = 1…6. With ``None`` or 0 every instance has its
            category's own maps.
        compat: ``"released"`` follows the released code: one orbit in float64, and one weight row
            twice.

    Raises:
        ValueError: a number or a name is out of range; the message says what is accepted.
        TypeError: an argument is of the wrong type, or there is no such setting.
    """

    size: Size = 224
    flips: bool = False
    num_points: Annotated[int, Slider(1000, 100_000)] = 10_000
    point_size: Annotated[int, Slider(1, 8)] = 1
    shade: bool = False
    view: Literal["fixed", "two-axis", "three-axis", "random"] = "fixed"
    jitter: Annotated[float, Slider(0, 180)] = math.pi
    variation: Annotated[float, Slider(0, 1)] | None = 0.6
    compat: Literal["released"] | None = None

    _checked_as: ClassVar[str | None] = "ifs3d"
    _paper: ClassVar[dict[str, Any]] = {}

    @classmethod
    def released(cls, **changes: Any) -> Self:
        """Returns the settings of the authors' script, with their arithmetic.

        Orbits are one chain of float64 points that draws from NumPy's legacy generator, seeded from
        the address (theirs is left to chance), and degenerate images are kept. Of 144
        different weight rows one comes twice: row 108 repeats row 99.

        Args:
            **changes: any setting, instead of the script's.
        """
        return cls(**{"resample_degenerate": False, "compat": "released", **changes})


class Category3D(NamedTuple):
    """One iterated function system in three dimensions."""

    #: (n, 12) float64, columns a…l as ``IFS3D`` describes them.
    maps: Floats
    #: (n,) float64, the probability of each map; they sum to 1.
    probabilities: Floats

    def __repr__(self) -> str:
        return described("Category3D", self.probabilities)

    def _repr_png_(self) -> bytes | None:
        """Returns a row of instances, which notebooks show."""
        return IFS3D([self.maps], [self.probabilities])._repr_png_()


class IFS3D(Systems[Category3D]):
    """Categories of iterated function systems in three dimensions (ExFractalDB: Kataoka et al.,
    "Replacing Labeled Real-image Datasets with Auto-generated Contours", CVPR 2022; MV-FractalDB:
    Yamada et al., IROS 2021); immutable, a sequence of ``Category3D``.

    A category is a set of affine maps of space. An instance scales one coefficient of every map and
    plays the chaos game, which yields a point cloud; an image is one view of that cloud. Images are
    numbered ``index = weight_row · 12 + view``: 145 weight rows with twelve views each (or 144 or
    1,728, see ``Views``). From index 1,740 on, the rows repeat with different points.
    ``fdsl.points3d`` returns the points themselves. The settings are ``Views``.

    Args:
        maps: the number of categories to find with ``IFS3D.search`` and its defaults (1…100,000;
            one second per thousand on one core); a larger number leaves the first categories
            unchanged. Or, for each category, an array (n, 12) of finite numbers a…l, 1 ≤ n ≤ 256:
            x' = a·x + b·y + c·z + j, y' = d·x + e·y + f·z + k, z' = g·x + h·y + i·z + l. Or
            categories of other families: ``IFS3D([*one, *another])``.
        probabilities: for each category, an array (n,) that sums to 1; by default proportional to
            the |determinant| of a…i, but a ``Category3D`` keeps its own.
        seed: seed of the search.

    Raises:
        ValueError: shapes do not match, a number is out of range, or there is no category.
        TypeError: the parameters are not numbers.

    >>> half = [0.5, 0, 0, 0, 0.5, 0, 0, 0, 0.5]
    >>> corners = [[0, 0, 0], [0.5, 0, 0], [0, 0.5, 0], [0, 0, 0.5]]
    >>> IFS3D([[half + corner for corner in corners]])
    <IFS3D: 1 category of 4 maps>
    """

    name = "ifs3d"
    style = Views
    period = 145 * 12
    _columns, _category, _extent = COEFFICIENTS, Category3D, "volume"

    def __init__(
        self,
        maps: SupportsIndex | Sequence[npt.ArrayLike | Category3D] = 1000,
        probabilities: Sequence[npt.ArrayLike] | None = None,
        *,
        seed: int = 0,
    ) -> None:
        number = number_or_none(maps, MAX_SEARCHED, "; IFS3D.search finds more")
        if number is None:
            self._lay(*self._joined(maps, probabilities), None)
            return
        if probabilities is not None:
            raise ValueError(
                "probabilities are for maps that are given, got a number of categories"
            )
        found = IFS3D.search(number, seed=seed)
        self._lay(found._maps, found._probabilities, found._lengths, found._candidates_tried)

    @staticmethod
    def _determinants(maps: Floats) -> Floats:
        a, b, c, d, e, f, g, h, i = maps.T[:9]  # expanded along the first row
        return np.asarray(a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g))

    @staticmethod
    def _sums(weights: Floats) -> Floats:
        return np.cumsum(weights, axis=1)[:, -1]  # from left to right, as the search adds

    @classmethod
    def search(
        cls,
        categories: int = 1000,
        threshold: float = 0.05,
        seed: int = 0,
        *,
        min_maps: int = 2,
        max_maps: int = 7,
        num_points: int = 10_000,
        max_tries: int = 1_000_000,
        sampler: Literal["fdsl", "released"] = "fdsl",
        num_threads: int | None = None,
        progress: Callable[[int, int], object] | None = None,
    ) -> IFS3D:
        """Searches for categories as the released code does, on all cores.

        The number of maps of a candidate is uniform in ``min_maps…max_maps``, and their
        coefficients are uniform in [−1, 1]. The probability of a map is proportional to its
        |determinant|. The points of the orbit are normalized: the coordinates of all axes together
        span 2. A candidate is accepted if the variance along every axis is larger than
        ``threshold``. The result depends on these settings and the seed, not on the number of
        threads.

        ``sampler="released"`` replays the released code: NumPy's legacy random stream, and one
        float64 orbit per candidate. The authors give no seed, so their own categories cannot be
        reproduced.

        Args:
            categories: number of categories to find.
            threshold: 0 or more and below 1. The authors' script uses 0.05, which 1 candidate in
                80 passes; the released code's default is 0.15, which 1 in 5,000 passes.
            seed: 0…2⁶⁴−1, or up to 2³²−1 with ``sampler="released"``.
            min_maps: least number of maps.
            max_maps: largest number of maps.
            num_points: points of an orbit.
            max_tries: gives up after this many candidates in a row without a category.
            sampler: the random numbers to use: this library's, or the released code's.
            num_threads: number of threads; all available cores by default.
            progress: called with (found, tried) after every few candidates; an exception that it
                raises, or Ctrl-C, ends the search.

        Raises:
            ValueError: an argument is out of range, or the search gave up; the message says how
                many candidates were tried and the best variance among them.

        >>> len(IFS3D.search(categories=5, seed=1))
        5
        """
        most_maps = checked_whole("max_maps", max_maps)
        if checked_whole("categories", categories) * most_maps > MAX_MAPS_IN_ALL:
            raise ValueError(IFS3D._too_many(f"{categories} categories of up to {most_maps} maps"))
        maps, probabilities, lengths, tried = _core.search3d(
            categories=checked_whole("categories", categories),
            threshold=checked_number("threshold", threshold),
            seed=checked_seed(seed),
            min_maps=checked_whole("min_maps", min_maps),
            max_maps=most_maps,
            num_points=checked_whole("num_points", num_points),
            max_tries=checked_whole("max_tries", max_tries),
            sampler=checked_type("sampler", sampler, str),
            num_threads=checked_threads(num_threads),
            progress=progress,
        )
        found: IFS3D = cls._from_flat(maps, probabilities, lengths, tried)
        return found


def points3d(
    family: IFS3D,
    categories: Numbers,
    indices: Numbers,
    seed: int = 0,
    rendering: Frame | None = None,
    num_threads: int | None = None,
) -> npt.NDArray[np.float32]:
    """Returns the points of the images that ``fdsl.render`` renders at the same addresses.

    They are normalized as in the released code: scaled until the coordinates of all axes
    together span 2, then shifted to a mean of 0. All lie in [−2, 2]. Twelve consecutive indices are
    views of one cloud, unless a view is nearly empty and is re-rendered. To get different clouds,
    use every twelfth index (every 144th or 1,728th with more axes).

    Args:
        family: the categories.
        categories: one category, or an array (B,).
        indices: one index, or an array (B,).
        seed: 0…2⁶⁴−1, the same for every address.
        rendering: ``Views``; the points depend on ``num_points``, ``view``, ``variation`` and
            ``compat``.
        num_threads: number of threads; all available cores by default.

    Returns:
        float32 (N, 3), or (B, N, 3) if either is an array. N is ``num_points``, or one fewer with
        ``compat="released"``.

    Raises:
        IndexError: there is no such category.
        ValueError: categories and indices are arrays of different lengths.
        MemoryError: there is no memory for B·N points of 12 bytes.
        TypeError: family has no points in space.

    >>> points3d(IFS3D(3), 1, 12).shape
    (10000, 3)
    """
    checked_type("family", family, IFS3D)
    chosen, numbers = checked_numbers("categories", categories), checked_numbers("indices", indices)
    is_one = chosen.ndim == numbers.ndim == 0
    try:
        chosen, numbers = np.broadcast_arrays(np.atleast_1d(chosen), np.atleast_1d(numbers))
    except ValueError:
        raise ValueError(
            f"categories and indices must have the same length, got {chosen.size} and "
            f"{numbers.size}"
        ) from None
    for category in chosen[chosen >= len(family)][:1]:
        family._checked(int(category))
    lengths = family._lengths[chosen]
    rows = rows_of_categories(family._borders[:-1][chosen], lengths)
    style: Any = family.checked_style(rendering)
    count = style.num_points - (style.compat is not None)
    points: npt.NDArray[np.float32] = np.empty((len(chosen), count, 3), np.float32)
    _core.points3d(
        style.settings,
        family._maps[rows],
        family._probabilities[rows],
        lengths,
        np.ascontiguousarray(chosen),
        np.ascontiguousarray(numbers),
        checked_seed(seed),
        checked_threads(num_threads),
        points.ravel(),
    )
    return points[0] if is_one else points
