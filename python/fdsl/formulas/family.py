"""What every family of categories promises."""

from __future__ import annotations

import hashlib
import io
import math
import operator
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, SupportsIndex

import numpy as np
import numpy.typing as npt

from fdsl import _core
from fdsl._checks import count_up_to, shortened, shown
from fdsl._files import PathLike, read_at_most, write_whole
from fdsl.formulas.readers import MOST_BYTES, read_arrays

if TYPE_CHECKING:
    from typing_extensions import Self

Arrays = dict[str, npt.NDArray[Any]]

#: Pairs of parameters that noise or curves may have, one a category.
MOST_PAIRS = 4096**2


class Family(ABC):
    """Categories of one kind of formula; immutable, a sequence of their parameters.

    ``fdsl.render`` draws any family, ``fdsl.torch.Stream`` streams and ``fdsl.export``
    writes it. To add one, see ``rust/formula/mod.rs``.
    """

    #: What files and the command line call the family.
    name: ClassVar[str]

    @abstractmethod
    def __len__(self) -> int:
        """How many categories there are."""

    @abstractmethod
    def __getitem__(self, key: Any) -> Any:
        """Returns a category, or for a slice those categories, counted from 0 again."""

    @abstractmethod
    def parameters(self, category: int) -> dict[str, Any]:
        """Returns the parameters of a category as plain values that JSON can hold."""

    @abstractmethod
    def _arrays(self) -> Arrays:
        """Everything that pictures depend on."""

    def _notes(self) -> Arrays:
        """What a file remembers beside that."""
        return {}

    @classmethod
    @abstractmethod
    def _from_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> Self:
        """Makes the family of its arrays and notes."""

    @abstractmethod
    def _make_renderer(self) -> _core.Categories:
        """Hands the categories to the core, which checks them."""

    def digest(self) -> str:
        """Returns the SHA-256 that identifies a published set of categories."""
        return self.key()

    def key(self) -> str:
        """Returns the SHA-256 of everything that images depend on, category borders included.

        Families are equal exactly when their keys are. ``digest`` is the same for every family but
        ``IFS``, whose digest is that of the authors' files and leaves out where a category ends.
        """
        content = hashlib.sha256(self.name.encode())
        for name, array in sorted(self._arrays().items()):
            content.update(f"{name}{array.shape}{array.dtype.newbyteorder('<').str}".encode())
            content.update(array.astype(array.dtype.newbyteorder("<")).tobytes())
        return content.hexdigest()

    def save(self, file: PathLike) -> None:
        """Writes the categories to one .npz file, whole or not at all."""
        buffer = io.BytesIO()
        content: dict[str, Any] = {**self._arrays(), **self._notes()}
        np.savez_compressed(buffer, family=self.name, **content)
        write_whole(Path(file), buffer.getvalue())

    @classmethod
    def load(cls, file: PathLike) -> Self:
        """Reads what ``save`` wrote.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: the file is not one that ``save`` wrote, or holds another family.
        """
        path = Path(file)
        try:
            content = read_at_most(path, MOST_BYTES)  # what goes wrong after this lies in the file
        except FileNotFoundError:
            raise FileNotFoundError(f"no categories in {path}: there is no such file") from None
        try:
            arrays = read_arrays(content)
            name = str(arrays.pop("family", "ifs"))  # the first files did not say
            kinds = {kind.name: kind for kind in Family.__subclasses__()}
            if name not in kinds:
                raise ValueError(f"it holds {shown(name)}; known are {', '.join(sorted(kinds))}")
            kind = kinds[name]
            if not issubclass(kind, cls):
                raise ValueError(f"it holds categories of {kind.__name__}")
            return kind._from_arrays(arrays)
        except Exception as error:  # zlib, zipfile and NumPy have many ways to say it
            what = f"a file that {cls.__name__}.save wrote"
            raise ValueError(f"{path} is not {what}: {shortened(str(error))}") from None

    def __iter__(self) -> Iterator[Any]:
        return (self[category] for category in range(len(self)))

    def __eq__(self, other: object) -> bool:
        if type(self) is not type(other):
            return NotImplemented
        # By bits, as the key and so the hash: 0.0 is not -0.0.
        assert isinstance(other, Family)
        pairs = zip(self._arrays().values(), other._arrays().values(), strict=True)
        return all(a.shape == b.shape and a.tobytes() == b.tobytes() for a, b in pairs)

    def __hash__(self) -> int:
        return hash(self.key())

    def __reduce__(self) -> tuple[Any, ...]:
        return _from_arrays, (type(self), {**self._arrays(), **self._notes()})

    def _checked(self, category: int) -> int:
        number = operator.index(category)
        number += len(self) if number < 0 else 0
        if not 0 <= number < len(self):
            raise IndexError(
                f"category {category} is out of range: there are {len(self)}, counted from 0"
            )
        return number

    def _renderer(self) -> _core.Categories:
        """The categories in the core; made when first asked for, in the process that asks."""
        if not hasattr(self, "_core"):
            self._core = self._make_renderer()
        return self._core


def square_grid(
    categories: SupportsIndex | npt.ArrayLike, *, first: tuple[int, int], most: int
) -> npt.NDArray[Any]:
    """Returns (C, 2) parameters: those given, or for n² categories n each way from ``first``;
    n is at most ``most``.
    """
    try:
        number = operator.index(categories)  # type: ignore[arg-type]  # an array raises TypeError
    except TypeError:
        if count_up_to(2 * MOST_PAIRS, categories) > 2 * MOST_PAIRS:
            raise ValueError(
                f"categories must be at most {MOST_PAIRS:,} pairs of numbers"
            ) from None
        pairs = np.asarray(categories)
        if pairs.dtype.kind not in "fiu":
            raise TypeError(
                f"categories must be an integer or pairs of numbers (C, 2), got {shown(categories)}"
            ) from None
        if pairs.ndim != 2 or pairs.shape[1] != 2 or len(pairs) == 0:
            raise ValueError(f"categories must have shape (C, 2), got {pairs.shape}") from None
        return pairs.copy()
    if number > most**2:
        given = f"{number:,}" if number < 2**64 else shown(number)
        raise ValueError(f"categories must be at most {most}² = {most**2:,}, got {given}")
    side = math.isqrt(max(number, 0))
    if number < 1 or side**2 != number:
        raise ValueError(f"categories must be a square number, such as 100, got {shown(number)}")
    rows, columns = np.divmod(np.arange(number), side)
    return np.stack([rows + first[0], columns + first[1]], axis=1)


def _from_arrays(kind: type[Family], arrays: Arrays) -> Family:
    return kind._from_arrays(arrays)
