"""Files that other programs wrote: errors that name them, and the format of MNIST."""

from __future__ import annotations

import gzip
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fdsl._files import PathLike


@contextmanager
def reading_file(path: PathLike) -> Iterator[None]:
    """Names the file in the error if the block that reads it fails.

    >>> import json
    >>> with reading_file("labels.json"):
    ...     json.loads("")
    Traceback (most recent call last):
    ValueError: cannot read labels.json: Expecting value: line 1 column 1 (char 0)

    Raises:
        ValueError: the block raised an error about the content of the file.
        OSError: the file cannot be opened.
    """
    try:
        yield
    except Exception as error:  # parsers raise a dozen kinds
        if isinstance(error, OSError) and error.errno is not None:  # it names the file
            raise
        why = f"{error} is missing or unknown" if isinstance(error, KeyError) else error
        raise ValueError(f"cannot read {path}: {why}") from error


def read_idx(path: PathLike, axes: int) -> npt.NDArray[np.uint8]:
    """Reads a uint8 array with this number of axes from an idx file, the format of MNIST.

    A name that ends in ``.gz`` is that of a compressed file.

    Raises:
        ValueError: the file is damaged, or holds something else.
        OSError: the file cannot be opened.
    """
    path = Path(path)
    with reading_file(path):
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            length = 4 + 4 * axes
            header = file.read(length)
            # Two zeros, 8 for uint8, the number of axes; then the length of each axis.
            if header[:4] != bytes((0, 0, 8, axes)):
                start = header[:4].hex(" ")
                raise ValueError(f"it must begin with 00 00 08 {axes:02x}, got {start}")
            if len(header) < length:
                raise ValueError(
                    f"it ends within its header, after {len(header)} of {length} bytes"
                )
            shape = [int.from_bytes(header[i : i + 4], "big") for i in range(4, length, 4)]
            count = math.prod(shape)
            content = bytearray()  # of no more than that: a small file can unpack to any size
            while len(content) <= count and (more := file.read(2**20)):
                content += more
        if len(content) != count:
            found = "more" if len(content) > count else f"{len(content):,}"
            raise ValueError(f"it must hold {count:,} values, {shape}, got {found}")
    return np.frombuffer(content, np.uint8).reshape(shape)
