"""Files that appear under their name only when whole."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

PathLike = str | os.PathLike[str]


def write_whole(path: Path, content: bytes) -> None:
    """Writes a file, whole or not at all."""
    with writing_whole(path) as file:
        file.write(content)


def write_once(path: Path, content: bytes) -> None:
    """Writes a file, whole or not at all, unless there is one; of several writers one wins."""
    with _part(path) as part:
        with part.open("wb") as file:
            file.write(content)
            _to_disk(file)
        try:
            os.link(part, path)
        except FileExistsError:
            pass
        except OSError:  # a file system without links
            part.replace(path)


@contextmanager
def writing_whole(path: Path) -> Iterator[BinaryIO]:
    """Opens a file for writing that appears under its name when the block ends, or not at all.

    Raises:
        OSError: it cannot be written; the message names it.
    """
    with _part(path) as part:
        with part.open("wb") as file:
            yield file
            _to_disk(file)
        part.replace(path)


@contextmanager
def _part(path: Path) -> Iterator[Path]:
    """Names a file to write to until it is whole, and removes it if it is still there after."""
    part = part_of(path)
    with saying_what(path):
        try:
            yield part
        finally:
            part.unlink(missing_ok=True)


def _to_disk(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


@contextmanager
def saying_what(path: Path) -> Iterator[None]:
    """Turns an error of the operating system into a sentence that names the file."""
    try:
        yield
    except OSError as error:
        if error.errno is None:  # not the system's; it has words of its own
            raise
        raise type(error)(error.errno, f"cannot write: {error.strerror}", str(path)) from None


def part_of(path: Path) -> Path:
    """What a file or folder is called while this thread writes it; hidden, and its own even
    where machines share the disk."""
    writer = f"{socket.gethostname()}-{os.getpid()}-{threading.get_ident()}"
    return path.with_name(f".{path.name}.{writer}{PART}")


#: How the names of files end that are not whole yet, or were left by a process that was killed.
PART = ".part"
