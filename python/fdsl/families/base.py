"""The base class of all families."""

from __future__ import annotations

import functools
import hashlib
import inspect
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, SupportsIndex, TypeAlias

import numpy as np
import numpy.typing as npt

from fdsl import _core
from fdsl._checks import (
    as_array,
    checked_integer,
    checked_type,
    counted,
    shortened,
)
from fdsl._files import PathLike, read_at_most, write_whole
from fdsl._scripts import reduced
from fdsl.families.drawing import draw_samples
from fdsl.families.readers import MAX_BYTES, read_arrays
from fdsl.families.registry import UnknownFamily, find, register
from fdsl.families.stored import (
    Arrays,
    checked_categories,
    checked_option,
    option_array,
    stored_rows,
)
from fdsl.families.thumbnails import family_thumbnails
from fdsl.frame import Frame
from fdsl.job import Addresses, Job, Rendered
from fdsl.sample import Sample

if TYPE_CHECKING:
    from typing_extensions import Self

#: What chooses several categories: a slice, their numbers, or a mask with a bool for each.
Several: TypeAlias = slice | Sequence[int] | npt.NDArray[Any]


class Family:
    """Categories of one kind of formula; immutable, a sequence of their parameters.

    ``fdsl.render`` renders any family, ``fdsl.torch.Stream`` streams it and ``fdsl.export`` writes
    it to files. To define your own, subclass this class and implement ``draw``:

    >>> import fdsl, numpy as np
    >>> class Disks(fdsl.Family):
    ...     name = "disks"
    ...
    ...     def draw(self, category, rng, frame):
    ...         rows, columns = np.ogrid[: frame.height, : frame.width]
    ...         image = np.zeros((frame.height, frame.width), np.uint8)
    ...         for row, column in rng.uniform(0, frame.height, (category + 1, 2)):
    ...             image[(rows - row) ** 2 + (columns - column) ** 2 < 40] = 255
    ...         return image
    >>> fdsl.render(Disks(10), [0, 9], 7, rendering=fdsl.Frame(size=64)).shape
    (2, 64, 64)

    A subclass is registered by its ``name``: ``fdsl.load("disks-10")``, the command and the scripts
    find it once its module is imported. They find it without an import if an installed package
    lists it as an entry point (group ``fdsl.families``); ``fdsl.load("disks.py:disks-10")`` imports
    its script first.

    A subclass may have options of its own: attributes that ``__init__`` sets on ``self``, without a
    leading underscore. They are saved, compared and sent to workers with the categories, and
    restored without calling ``__init__``. Each must be a number, a string or an array of numbers,
    which becomes a read-only copy; a list, a tuple or a tensor of numbers becomes an array, too.
    Anything else, such as a table, is derived from them in a ``functools.cached_property``: copies
    and workers do not have attributes with a leading underscore.

    Args:
        categories: how many; or an array (C, …) of numbers, the parameters of each.

    Raises:
        ValueError: there is no category.
        TypeError: the parameters are not numbers.
    """

    #: The name in files and on the command line; by default the name of the class in lower case.
    name: ClassVar[str] = "family"
    #: The class of its rendering settings: ``Frame``, or a subclass with more settings.
    style: ClassVar[type[Frame]] = Frame
    #: Version of the bytes: raised whenever the same address renders other bytes than before.
    format: ClassVar[int] = 1
    #: Targets besides the label: ``"labels"``, ``"mask"``, ``"boxes"``. The ``draw`` of a family
    #: with any of them returns an ``fdsl.Sample``.
    targets: ClassVar[tuple[str, ...]] = ()
    #: Number of instances in one cycle of variations of a category. An endless stream visits each
    #: block of this many instances in random order before the next block.
    period: ClassVar[int] = 1000
    #: The name, in ``_arrays``, of the array that has a row for each category.
    _categories_array: ClassVar[str] = "categories"
    #: Whether this is a base class of families and not a family itself.
    _abstract: ClassVar[bool] = False

    def __init__(self, categories: SupportsIndex | npt.ArrayLike = 10) -> None:
        self._parameters = checked_categories(categories)

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if cls.__dict__.get("_abstract", False):
            return
        if "name" not in cls.__dict__:
            cls.name = cls.__name__.lower()
        register(cls)

    def __setattr__(self, name: str, value: Any) -> None:
        kind = type(self)
        derived = isinstance(getattr(kind, name, None), property | functools.cached_property)
        if not (derived or name.startswith("_")):
            if kind._arrays is not Family._arrays:
                raise TypeError(
                    f"{kind.__name__}.{name} cannot be set: a built-in family, or a subclass of "
                    "one, sends only its categories to files and workers; derive it from them in a "
                    "functools.cached_property, or subclass fdsl.Family"
                )
            value = checked_option(kind, name, value)
        super().__setattr__(name, value)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or hasattr(type(self), name):
            return object.__getattribute__(self, name)  # raises the error of a property, too
        kind, why = type(self), ""
        if not any(own.startswith("_") for own in vars(self)):
            why = f"; {kind.__name__}.__init__ must call super().__init__(…)"
        elif name in _options(kind):
            why = (
                "; __init__ did not set it, or a file is older than this option: give the class a "
                f"default, {name} = …"
            )
        elif name.startswith("_"):
            why = "; copies and workers of a family lose attributes with a leading underscore"
        raise AttributeError(f"{kind.__name__!r} object has no attribute {name!r}{why}")

    def draw(
        self, category: Any, rng: np.random.Generator, frame: Any
    ) -> npt.NDArray[np.uint8] | Sample:
        """Draws one instance of a category, uncropped and unflipped; both are done afterwards.

        Args:
            category: its parameters, ``self[number]``: the number itself if the family was made
                with a number of categories, otherwise a row of its array.
            rng: the only source of randomness, keyed by the address; the four flips of an image
                share it.
            frame: the settings: ``frame.height``, ``frame.width``, ``frame.color``, and those of
                the family's own ``style``.

        Returns:
            uint8 (H, W), or (H, W, 3) where ``frame.color``; or an ``fdsl.Sample`` with the image
            and its objects.
        """
        # Not abstract, since a family of the core has no draw method: only the author of a family
        # in Python that lacks one sees this.
        raise NotImplementedError(f"{type(self).__name__} has no draw(category, rng, frame)")

    def __len__(self) -> int:
        """The number of categories."""
        return len(self._parameters)

    def __getitem__(self, key: Any) -> Any:
        """Returns a category; or several as a family of those categories, renumbered from 0.

        The number of a category is part of the address of its images: the categories of
        ``ifs[:n]`` keep their numbers and images, others get new ones.

        >>> import fdsl
        >>> ifs = fdsl.fractaldb(1000)
        >>> len(ifs[:16]), len(ifs[[31, 7]]), len(ifs[ifs.fill_rates(size=64) > 0.5])
        (16, 2, 7)

        Args:
            key: a number; or for several categories a slice, a list or array of their numbers, or
                a mask, bool (C,).

        Raises:
            IndexError: there is no such category, or the mask has another length.
            ValueError: nothing is chosen.
        """
        numbers = self._chosen(key)
        return self._single(self._checked(key)) if numbers is None else self._subset(numbers)

    def _single(self, category: int) -> Any:
        """Returns a category."""
        parameters = self._parameters[category]
        return parameters.item() if parameters.ndim == 0 else parameters

    def _subset(self, categories: npt.NDArray[np.int64]) -> Any:
        """Returns a family of these categories, at least one, in their order."""
        arrays, name = self._arrays(), self._categories_array
        return self._from_arrays({**arrays, name: arrays[name][categories]})

    def _chosen(self, key: Any) -> npt.NDArray[np.int64] | None:
        """Returns the numbers of several categories, or ``None`` if ``key`` is for one."""
        if isinstance(key, slice):
            numbers = np.arange(*key.indices(len(self)))
        elif isinstance(key, str) or not (isinstance(key, Sequence) or getattr(key, "ndim", 0) > 0):
            return None
        else:
            numbers = as_array("categories", key)
            if numbers.size == 0 and numbers.dtype.kind == "f":  # an empty list
                numbers = numbers.astype(np.int64)
            if numbers.ndim != 1 or numbers.dtype.kind not in "iub":
                raise TypeError(
                    "categories are chosen by a slice, by integers (N,) or by a mask, bool (C,), "
                    f"got {numbers.dtype} {numbers.shape}"
                )
            if numbers.dtype.kind == "b":
                if len(numbers) != len(self):
                    raise IndexError(
                        f"a mask needs a value for each of {len(self)} categories, got "
                        f"{len(numbers)}"
                    )
                numbers = np.flatnonzero(numbers)
        if len(numbers) == 0:
            raise ValueError(f"{type(self).__name__} needs at least one category, got none")
        for extreme in (numbers.min(), numbers.max()):
            self._checked(extreme)
        numbers = numbers.astype(np.int64)
        return np.where(numbers < 0, numbers + len(self), numbers)

    def parameters(self, category: int) -> dict[str, Any]:
        """Returns the parameters of a category as plain values that JSON can hold."""
        return {"parameters": self._parameters[self._checked(category)].tolist()}

    def checked_style(self, rendering: Frame | None) -> Frame:
        """Returns the settings as an instance of this family's style; its defaults for ``None``.

        Raises:
            TypeError: some settings do not apply to this family.
        """
        style = self.style
        if rendering is None:
            return style()
        if type(rendering) is style:  # the usual case; a stream checks every batch
            return rendering
        checked_type("rendering", rendering, Frame)
        if type(rendering) is Frame:
            return style(**rendering.to_dict())
        if not isinstance(rendering, style):
            raise TypeError(_does_not_apply(self, rendering))
        foreign = set(rendering.names()) - set(style.names())
        if foreign and style is Frame:
            raise TypeError(_does_not_apply(self, rendering))
        return rendering

    def shows(self, image: npt.NDArray[np.uint8], frame: Any) -> npt.NDArray[np.bool_]:
        """Returns where an image shows something: where it is not black. An object of a scene
        covers what is behind it there, and its mask is the same.

        Override it for a family whose images have another background.

        Args:
            image: uint8 (H, W), or (H, W, 3) in color.
            frame: the settings that it was rendered with.

        Returns:
            bool (H, W).
        """
        lit: npt.NDArray[np.bool_] = (image if image.ndim == 2 else image.max(-1)) > 0
        return lit

    def render_into(
        self,
        job: Job,
        addresses: Addresses,
        images: npt.NDArray[np.uint8],
        objects: npt.NDArray[np.uint16] | None = None,
    ) -> Rendered:
        """Renders addresses into existing arrays; ``fdsl.render`` is the public way to call it.

        Args:
            job: the settings that all of them share.
            addresses: categories and indices, (B,) each.
            images: (B, H, W) or (B, H, W, 3), C-contiguous.
            objects: (B, H, W), the object that each pixel shows, if a target needs it.
        """
        return draw_samples(self, job, addresses, images, objects)

    def batch_into(
        self,
        job: Job,
        numbers: npt.NDArray[np.uint64],
        images: npt.NDArray[np.uint8],
        *,
        instances: int | None = None,
        label_noise: float = 0.0,
    ) -> npt.NDArray[np.int64]:
        """Renders the samples at these positions of a stream, and returns their labels (B,)."""
        addresses = self.order(numbers, instances, job.seed)
        self.render_into(job, addresses, images)
        return self.labels(addresses, job.seed, label_noise)

    def order(self, numbers: npt.NDArray[np.uint64], instances: int | None, seed: int) -> Addresses:
        """Returns the categories and indices of the samples at these positions of a stream."""
        categories, indices = _core.stream_order(numbers, len(self), instances, self.period, seed)
        return categories, indices

    def labels(self, addresses: Addresses, seed: int, label_noise: float) -> npt.NDArray[np.int64]:
        """Returns the labels of addresses: the categories, with a share of ``label_noise``
        replaced by random ones."""
        categories, indices = addresses
        if label_noise > 0:
            categories = _core.noisy_labels(categories, indices, seed, len(self), label_noise)
        return categories.astype(np.int64)

    def _arrays(self) -> Arrays:
        """Returns everything that samples depend on."""
        arrays = {"categories": self._parameters}
        for name, value in vars(self).items():
            if name.startswith("_") or isinstance(
                getattr(type(self), name, None), functools.cached_property
            ):
                continue
            _refuse_taken(type(self), name)
            arrays[name] = option_array(type(self), name, value)
        return arrays

    def _notes(self) -> Arrays:
        """Returns what a file stores besides ``_arrays``."""
        return {}

    @classmethod
    def _from_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> Self:
        """Makes the family from its arrays and notes.

        Raises:
            ValueError: it does not have a row per category.
            TypeError: an array would replace a method or another attribute of every family.
        """
        family = cls.__new__(cls)
        family._parameters = checked_categories(stored_rows(cls, arrays))
        for name, array in arrays.items():
            if name != "categories":
                _refuse_taken(cls, name)
                own = getattr(cls, name, None)
                if callable(own) or isinstance(own, property | functools.cached_property):
                    raise TypeError(
                        f"{cls.__name__}.{name} is not an option: a file must not set it"
                    )
                setattr(family, name, array.item() if array.ndim == 0 else array)
        return family

    def digest(self) -> str:
        """Returns the SHA-256 that identifies a published set of categories."""
        return self.key()

    def key(self) -> str:
        """Returns the SHA-256 of everything that images depend on, including where each category
        ends.

        Families are equal exactly when their keys are. ``digest`` is the same, except for ``IFS``
        and ``IFS3D``: theirs covers only the rows of numbers, as in the authors' files, and not
        where each category ends.
        """
        content = hashlib.sha256(self.name.encode())
        for name, array in sorted(self._arrays().items()):
            content.update(f"{name}{array.shape}{array.dtype.newbyteorder('<').str}".encode())
            content.update(array.astype(array.dtype.newbyteorder("<")).tobytes())
        return content.hexdigest()

    def save(self, file: PathLike) -> None:
        """Writes the categories to one .npz file, atomically."""
        buffer = io.BytesIO()
        content: dict[str, Any] = {**self._arrays(), **self._notes()}
        np.savez_compressed(buffer, family=self.name, **content)
        write_whole(Path(file), buffer.getvalue())

    @classmethod
    def load(cls, file: PathLike) -> Self:
        """Reads a file that ``save`` wrote.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: ``save`` did not write the file, or it holds another family.
        """
        path = Path(file)
        try:
            content = read_at_most(path, MAX_BYTES)  # any later error is the file's
        except FileNotFoundError:
            raise FileNotFoundError(f"no categories in {path}: there is no such file") from None
        try:
            arrays = read_arrays(content)
            name = str(arrays.pop("family", "ifs"))  # the first releases wrote no name
            kind = find(name)
            if not issubclass(kind, cls):
                raise ValueError(f"it holds categories of {kind.__name__}")
            return kind._from_arrays(arrays)
        except UnknownFamily as error:
            raise ValueError(f"{path} holds categories of an unknown family: {error}") from None
        except Exception as error:  # zlib, zipfile and NumPy raise errors of many types
            what = f"a file that {cls.__name__}.save wrote"
            raise ValueError(f"{path} is not {what}: {shortened(str(error))}") from None

    def __iter__(self) -> Iterator[Any]:
        return (self[category] for category in range(len(self)))

    def __eq__(self, other: object) -> bool:
        if type(self) is not type(other):
            return NotImplemented
        # Bitwise, like the key and the hash: 0.0 is not -0.0.
        assert isinstance(other, Family)
        ours, theirs = self._arrays(), other._arrays()
        if ours.keys() != theirs.keys():
            return False
        pairs = [(array, theirs[name]) for name, array in ours.items()]
        return all(
            a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes()
            for a, b in pairs
        )

    def __hash__(self) -> int:
        return hash(self.key())

    def __reduce__(self) -> tuple[Any, ...]:
        return reduced(_from_arrays, type(self), {**self._arrays(), **self._notes()})

    @property
    def in_core(self) -> bool:
        """Whether the core renders its images, on several threads. Otherwise Python does, on one:
        use the worker processes of a DataLoader."""
        return False

    def _checked(self, category: int) -> int:
        number = checked_integer("category", category)
        number += len(self) if number < 0 else 0
        if not 0 <= number < len(self):
            raise IndexError(
                f"category {category} is out of range: there are {len(self)}, counted from 0"
            )
        return number

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {counted(len(self), 'category', 'categories')}>"

    def _repr_png_(self) -> bytes | None:
        """Returns a small contact sheet, which notebooks show."""
        return family_thumbnails(self)


def _refuse_taken(kind: type[Family], name: str) -> None:
    """Raises TypeError if an option has the name of an attribute that every family has."""
    if name in ("categories", "family") or name.startswith("_") or hasattr(Family, name):
        raise TypeError(
            f"{kind.__name__}.{name}: every family has an attribute of this name; choose another"
        )


def _options(kind: type[Family]) -> set[str]:
    """Returns the names of the options of a family in Python."""
    if kind._arrays is not Family._arrays:
        return set()
    return {*inspect.signature(kind.__init__).parameters} - {"self", "categories"}


def _does_not_apply(family: Family, rendering: Frame) -> str:
    """Says which settings do not apply to a family, and which do."""
    style = family.style
    foreign = [name for name in rendering.names() if name not in style.names()]
    settings = f", whose {', '.join(foreign)} do not apply" if foreign else ""
    return (
        f"{type(family).__name__} takes a {style.__name__} ({', '.join(style.names())}), got a "
        f"{type(rendering).__name__}{settings}"
    )


def _from_arrays(kind: type[Family], arrays: Arrays) -> Family:
    return kind._from_arrays(arrays)
