"""Reads dictionaries, lists, numbers and NumPy arrays from a pickle without running it.

``pickle.Unpickler`` is unsafe here even if ``find_class`` refuses everything but ``numpy.ndarray``
and ``dtype``: with these a file can build an object array over raw bytes, that is, forged pointers,
and eight bytes can make its memo take gigabytes. This reader uses ``pickletools.genops``, which
splits a pickle into opcodes and calls nothing. A requested call becomes a record. Arrays are built
from records on demand, and only of the types in ``NUMBERS``. Each opcode takes memory and time
proportional to its size.
"""

from __future__ import annotations

import math
import pickletools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fdsl._checks import shortened, shown

#: Limit of opcodes: a system takes about 40, so this is 200,000 systems.
MAX_OPCODES = 2**23

#: Limit of axes of an array, as in NumPy 1.
MAX_AXES = 32

#: NumPy's names of the accepted types of numbers.
NUMBERS = frozenset(f"{kind}{size}" for kind in "fiu" for size in (1, 2, 4, 8)) - {"f1"}


class _Name(NamedTuple):
    """A global that a pickle refers to."""

    module: str
    name: str


NDARRAY = _Name("numpy", "ndarray")
DTYPE = _Name("numpy", "dtype")
ENCODE = _Name("_codecs", "encode")
# NumPy 2 renamed both modules.
RECONSTRUCT = {_Name(f"numpy.{core}.multiarray", "_reconstruct") for core in ("core", "_core")}
FROM_BUFFER = {_Name(f"numpy.{core}.numeric", "_frombuffer") for core in ("core", "_core")}
KNOWN = {NDARRAY, DTYPE, ENCODE, *RECONSTRUCT, *FROM_BUFFER}


class _Dtype:
    """A dtype: its name, such as f8, and its byte order."""

    def __init__(self, name: object) -> None:
        self.name = name
        self.order: object = None


class PickledArray:
    """An array as described in a pickle; nothing is checked before ``array``."""

    def __init__(self) -> None:
        self.shape: object = ()  # before the transpose
        self.dtype: object = None
        self.order: object = "C"
        self.axes: object = None
        self.content: object = None

    def holds_numbers(self) -> bool:
        """Returns whether its type is one that ``array`` builds."""
        dtype = self.dtype
        # Only strings are looked up: a nested tuple can take forever to hash.
        return isinstance(dtype, _Dtype) and isinstance(dtype.name, str) and dtype.name in NUMBERS

    def array(self) -> npt.NDArray[Any]:
        """Builds the array.

        Raises:
            ValueError: its parts do not match.
        """
        if not isinstance(self.dtype, _Dtype) or not self.holds_numbers():
            raise ValueError("expected an array of numbers")
        content = self.content
        order = "=" if self.dtype.order is None else self.dtype.order
        if not isinstance(order, str) or order not in ("<", ">", "=", "|"):
            raise ValueError(f"the byte order of an array is {shown(order)}")
        if not isinstance(content, bytes | bytearray):
            raise ValueError(f"the content of an array must be bytes, got {type(content).__name__}")
        dtype = np.dtype(f"{order}{self.dtype.name}")
        shape = self.shape
        if type(shape) is not tuple or len(shape) > MAX_AXES:
            raise ValueError(f"an array has the shape {shown(shape)}")
        if not all(type(side) is int and 0 <= side < 2**63 for side in shape):
            raise ValueError(f"an array has the shape {shown(shape)}")
        if math.prod(shape) * dtype.itemsize != len(content):
            raise ValueError(
                f"an array of shape {shown(shape)} and {dtype.itemsize} bytes per number "
                f"has {len(content):,} bytes"
            )
        flat = np.frombuffer(content, dtype) if content else np.empty(0, dtype)
        if self.order == "K" and self.axes is not None:
            axes = self.axes
            if type(axes) is not tuple or not all(type(axis) is int for axis in axes):
                raise ValueError(f"an array has the axes {shown(axes)}")
            return flat.reshape(shape).transpose(axes)
        if self.order not in ("C", "F"):
            raise ValueError(f"an array has the order {shown(self.order)}")
        return flat.reshape(shape, order="F" if self.order == "F" else "C")


class _Refused(Exception):
    """The pickle holds something that is not read."""


def unpickled(content: bytes) -> Any:
    """Returns the contents of a pickle: numbers, text, lists, tuples, dictionaries and arrays.

    Arrays are returned as ``PickledArray``. Dictionary items whose key is not a string are dropped.

    Raises:
        ValueError: it refers to something else, is damaged, or has too many parts; the message
            continues after the name of the file.
    """
    try:
        return _Reader().read(content)
    except _Refused as error:
        raise ValueError(f": {error}") from None
    except Exception as error:  # malformed pickles raise errors of many types
        why = shortened(str(error)) or type(error).__name__
        raise ValueError(f" is not a whole pickle: {why}") from None


class _Reader:
    """The stack and the memo of a pickle machine, and its opcodes."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.below: list[list[Any]] = []  # the stack below each mark
        self.memo: dict[int, Any] = {}
        #: How many characters may still be encoded.
        self.encodable = 0

    def read(self, content: bytes) -> Any:
        self.encodable = len(content)
        for count, (opcode, argument, _) in enumerate(pickletools.genops(content)):
            if count == MAX_OPCODES:
                raise _Refused(f"it has more than {MAX_OPCODES:,} opcodes")
            if opcode.name in VALUES:
                self.stack.append(argument)
            elif opcode.name == "STOP":
                break
            elif opcode.name in ACTIONS:
                ACTIONS[opcode.name](self, argument)
            elif opcode.name not in ("PROTO", "FRAME"):
                raise _Refused(f"it may hold nothing but arrays, and has the opcode {opcode.name}")
        return self.stack.pop()

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def take(self, count: int) -> list[Any]:
        if len(self.stack) < count:
            raise ValueError("an opcode takes more than there is")
        items = self.stack[len(self.stack) - count :]
        del self.stack[len(self.stack) - count :]
        return items

    def mark(self) -> None:
        self.below.append(self.stack)
        self.stack = []

    def take_to_mark(self) -> list[Any]:
        items, self.stack = self.stack, self.below.pop()
        return items

    def pop(self) -> None:
        if self.stack:
            self.stack.pop()
        else:
            self.pop_to_mark()

    def pop_to_mark(self) -> None:
        self.stack = self.below.pop()

    def extend(self, items: list[Any]) -> None:
        if type(self.stack[-1]) is not list:
            raise _Refused("it appends to something that is not a list")
        self.stack[-1].extend(items)

    def update(self, items: list[Any]) -> None:
        if type(self.stack[-1]) is not dict or len(items) % 2:
            raise _Refused("it sets items of something that is not a dictionary")
        # Other keys are not needed, and some take forever to hash.
        pairs = zip(items[::2], items[1::2], strict=True)
        self.stack[-1].update((key, value) for key, value in pairs if isinstance(key, str))

    def dictionary(self) -> None:
        items = self.take_to_mark()
        self.push({})
        self.update(items)

    def memorize(self, key: int) -> None:
        self.memo[key] = self.stack[-1]

    def name(self, module: Any, name: Any) -> None:
        if not isinstance(module, str) or not isinstance(name, str):
            raise _Refused("it asks for something whose name is not text")
        if (module, name) not in KNOWN:
            asked = shortened(f"{module}.{name}")
            raise _Refused(f"it asks for {asked}, and may hold nothing but arrays; it is not read")
        self.push(_Name(module, name))

    def call(self, called: Any, arguments: Any) -> None:
        if not isinstance(called, _Name) or type(arguments) is not tuple:
            raise _Refused("it calls something that is not a function")
        made: Any
        if called == DTYPE and arguments:
            made = _Dtype(arguments[0])
        elif called == ENCODE and [*map(type, arguments)] == [str, str]:
            text, encoding = arguments
            if encoding != "latin1":
                raise _Refused(f"it encodes text as {shown(encoding)}")
            made = self.encoded(text)
        elif called in RECONSTRUCT and arguments[:1] == (NDARRAY,):
            made = PickledArray()
        elif called in FROM_BUFFER and len(arguments) in (4, 5):
            made = PickledArray()
            made.content, made.dtype, made.shape, made.order = arguments[:4]
            made.content = self.encoded(made.content)
            made.axes = arguments[4] if len(arguments) == 5 else None
        else:
            raise _Refused(f"it calls {called.module}.{called.name} in a way that NumPy does not")
        self.push(made)

    def encoded(self, content: Any) -> Any:
        """Returns the bytes that Python 2, or protocol 2, wrote as text, and bytes as they are."""
        if not isinstance(content, str):
            return content
        self.encodable -= len(content)
        if self.encodable < 0:  # of the memo, a text can be taken again and again
            raise _Refused("it encodes more text than it holds")
        return content.encode("latin-1")

    def build(self, state: Any) -> None:
        built = self.stack[-1]
        parts = state if type(state) is tuple else ()
        if isinstance(built, _Dtype) and built.order is None and len(parts) > 1:
            built.order = parts[1]
        elif isinstance(built, PickledArray) and built.content is None and len(parts) == 5:
            _, built.shape, built.dtype, by_column, content = parts
            built.content = self.encoded(content)
            built.order = "F" if by_column else "C"
        else:
            raise _Refused("it sets the state of an array in a way that NumPy does not")


#: Opcodes that push their argument.
VALUES = {
    "INT",
    "BININT",
    "BININT1",
    "BININT2",
    "LONG",
    "LONG1",
    "LONG4",
    "FLOAT",
    "BINFLOAT",
    "STRING",
    "BINSTRING",
    "SHORT_BINSTRING",
    "BINBYTES",
    "SHORT_BINBYTES",
    "BINBYTES8",
    "BYTEARRAY8",
    "UNICODE",
    "BINUNICODE",
    "SHORT_BINUNICODE",
    "BINUNICODE8",
}

#: The other opcodes.
ACTIONS: dict[str, Callable[[_Reader, Any], None]] = {
    "NONE": lambda at, _: at.push(None),
    "NEWTRUE": lambda at, _: at.push(True),
    "NEWFALSE": lambda at, _: at.push(False),
    "MARK": lambda at, _: at.mark(),
    "POP": lambda at, _: at.pop(),
    "POP_MARK": lambda at, _: at.pop_to_mark(),
    "DUP": lambda at, _: at.push(at.stack[-1]),
    "EMPTY_TUPLE": lambda at, _: at.push(()),
    "TUPLE1": lambda at, _: at.push(tuple(at.take(1))),
    "TUPLE2": lambda at, _: at.push(tuple(at.take(2))),
    "TUPLE3": lambda at, _: at.push(tuple(at.take(3))),
    "TUPLE": lambda at, _: at.push(tuple(at.take_to_mark())),
    "EMPTY_LIST": lambda at, _: at.push([]),
    "LIST": lambda at, _: at.push(at.take_to_mark()),
    "APPEND": lambda at, _: at.extend(at.take(1)),
    "APPENDS": lambda at, _: at.extend(at.take_to_mark()),
    "EMPTY_DICT": lambda at, _: at.push({}),
    "DICT": lambda at, _: at.dictionary(),
    "SETITEM": lambda at, _: at.update(at.take(2)),
    "SETITEMS": lambda at, _: at.update(at.take_to_mark()),
    "PUT": _Reader.memorize,
    "BINPUT": _Reader.memorize,
    "LONG_BINPUT": _Reader.memorize,
    "MEMOIZE": lambda at, _: at.memorize(len(at.memo)),
    "GET": lambda at, key: at.push(at.memo[key]),
    "BINGET": lambda at, key: at.push(at.memo[key]),
    "LONG_BINGET": lambda at, key: at.push(at.memo[key]),
    "GLOBAL": lambda at, pair: at.name(*pair.split(" ", 1)),
    "STACK_GLOBAL": lambda at, _: at.name(*at.take(2)),
    "REDUCE": lambda at, _: at.call(*at.take(2)),
    "BUILD": lambda at, _: at.build(*at.take(1)),
}
