"""Families of the Rust core, and parameters that several of them share."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Generic, SupportsIndex, TypeVar, overload

import numpy as np
import numpy.typing as npt

from fdsl import _core
from fdsl._checks import as_array, count_up_to, shown, whole_or_none
from fdsl.families.base import Family, Several
from fdsl.families.stored import MAX_CATEGORIES
from fdsl.frame import Frame
from fdsl.job import Addresses, Job, Rendered

if TYPE_CHECKING:
    from typing_extensions import Self

#: The type of a category.
C = TypeVar("C")


class CoreFamily(Family, Generic[C]):
    """A family of the core, which gets its arrays unchanged and checks them.

    A subclass has the ``name`` of its formula in the core, and the same ``format``, ``period`` and
    ``targets``. It defines

    - ``__init__``, which ends with ``self.core()``: only the core knows what is valid;
    - ``__len__``, and ``_single``, which returns a category: a named tuple, with a ``_repr_png_``
      for notebooks;
    - ``_arrays`` and ``_from_arrays``: all that its images depend on, as arrays by their names in
      the core. One of them, ``_categories_array``, has a row per category;
    - ``parameters``: the parameters of a category, for JSON;
    - ``style``, if it has settings of its own: a subclass of ``Frame`` whose ``_checked_as`` is the
      family's name, so that the core checks the settings when they are made. In ``_shrunk`` it says
      how they change in a smaller copy.
    """

    _abstract = True
    #: What the methods of ``Family``, which are for families in Python, cannot do for a subclass.
    _own = ("__len__", "_single", "_arrays", "_from_arrays", "parameters")

    if TYPE_CHECKING:

        @overload
        def __getitem__(self, key: int) -> C: ...
        @overload
        def __getitem__(self, key: Several) -> Self: ...
        def __getitem__(self, key: Any) -> Any: ...
        def __iter__(self) -> Iterator[C]: ...

    def __init_subclass__(cls, **options: Any) -> None:
        if cls.name == Family.name or "name" in cls.__dict__:
            if not cls.__dict__.get("_abstract", False):
                cls._check_definition()
            super().__init_subclass__(**options)
        # Otherwise it constructs a family of the core in another way, and keeps its name.

    @classmethod
    def _check_definition(cls) -> None:
        def function(kind: type, name: str) -> Any:
            found = getattr(kind, name)
            return getattr(found, "__func__", found)

        if missing := [n for n in cls._own if function(cls, n) is function(Family, n)]:
            raise TypeError(
                f"{cls.__name__} is a family of the core, and must define {', '.join(missing)}"
            )
        if cls.style is not Frame and cls.style._checked_as is None:
            raise TypeError(
                f"{cls.style.__name__}._checked_as must be a family of the core, which checks the "
                "settings"
            )

    def core(self, frame: Frame | None = None) -> _core.Categories:
        """Returns the categories in the core, made at the first call."""
        name = self._core_name(frame)
        made: dict[str, _core.Categories] = self.__dict__.setdefault("_core", {})
        if name not in made:
            made[name] = _core.Categories(name, self._core_arrays())
        return made[name]

    def _core_arrays(self) -> dict[str, Any]:
        """Returns what the core gets: arrays, or texts."""
        return self._arrays()

    @property
    def in_core(self) -> bool:
        """Whether the core renders its images."""
        return True

    def _core_name(self, frame: Frame | None) -> str:
        """Returns the core's name of the family that renders with these settings."""
        return self.name

    def render_into(
        self,
        job: Job,
        addresses: Addresses,
        images: npt.NDArray[np.uint8],
        objects: npt.NDArray[np.uint16] | None = None,
    ) -> Rendered:
        """Renders addresses into existing arrays, in the core."""
        retries = np.empty(len(images), np.uint8)
        maps = None if objects is None else objects.reshape(-1)
        core, flat = self.core(job.frame), images.reshape(-1)
        of_objects = core.render(
            job.frame.settings, *addresses, job.seed, job.num_threads, flat, retries, maps, job.simd
        )
        return Rendered(retries, of_objects)

    def batch_into(
        self,
        job: Job,
        numbers: npt.NDArray[np.uint64],
        images: npt.NDArray[np.uint8],
        *,
        instances: int | None = None,
        label_noise: float = 0.0,
    ) -> npt.NDArray[np.int64]:
        """Renders samples of a stream and returns their labels, in one call into the core."""
        core, flat = self.core(job.frame), images.reshape(-1)
        settings = job.frame.settings
        return core.batch(
            settings, numbers, instances, label_noise, job.seed, job.num_threads, flat
        )


def rows_of(categories: object, columns: int) -> npt.NDArray[Any]:
    """Returns a copy of given parameters, a row of ``columns`` numbers per category."""
    what = "pairs of numbers" if columns == 2 else "rows of numbers"
    if count_up_to(columns * MAX_CATEGORIES, categories) > columns * MAX_CATEGORIES:
        raise ValueError(f"categories must be at most {MAX_CATEGORIES:,} {what}")
    rows = np.array(as_array("categories", categories))
    if rows.dtype.kind not in "fiu":
        raise TypeError(
            f"categories must be an integer or {what} (C, {columns}), got {shown(categories)}"
        )
    if rows.ndim != 2 or rows.shape[1] != columns or len(rows) == 0:
        raise ValueError(f"categories must have shape (C, {columns}), got {rows.shape}")
    return rows


def square_grid(
    categories: SupportsIndex | npt.ArrayLike, *, first: tuple[int, int], most: int
) -> npt.NDArray[Any]:
    """Returns parameters (C, 2): those given, or for a number n² an n×n grid that starts at
    ``first``; n is at most ``most``.
    """
    number = whole_or_none(categories)
    if number is None:
        return rows_of(categories, 2)
    if number > most**2:
        given = f"{number:,}" if number < 2**64 else shown(number)
        raise ValueError(f"categories must be at most {most}² = {most**2:,}, got {given}")
    side = math.isqrt(max(number, 0))
    if number < 1 or side**2 != number:
        raise ValueError(f"categories must be a square number, such as 100, got {shown(number)}")
    rows, columns = np.divmod(np.arange(number), side)
    return np.stack([rows + first[0], columns + first[1]], axis=1)
