"""Files that appear under their name only when whole."""

from __future__ import annotations

import os
import shutil
import socket
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
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
        with suppress(FileExistsError):
            try:
                os.link(part, path)
            except FileExistsError:
                raise
            except OSError:  # a file system without hard links
                _rename_unless_there(part, path)


def _rename_unless_there(part: Path, path: Path) -> None:
    if sys.platform == "win32":
        part.rename(path)  # raises FileExistsError if there is one
        return
    import fcntl

    # Renaming replaces without asking, so writers take turns. The kernel releases the lock of a
    # writer that is killed, and a lock on the folder leaves no file behind.
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        with suppress(OSError):  # no locks either: then looking first is the best there is
            fcntl.flock(folder, fcntl.LOCK_EX)
        if not path.exists():
            part.rename(path)
    finally:
        os.close(folder)


def write_all(folder: Path, files: Iterable[tuple[str, bytes]]) -> None:
    """Writes files into a folder, all of them or none.

    They are written under other names first and then renamed. A process that is killed while it
    renames leaves a file named ``INCOMPLETE`` beside them; writing them again removes it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    part = part_of(folder / "files")
    with saying_what(folder):
        try:
            part.mkdir(exist_ok=True)
            names = []
            for name, content in files:
                with (part / f"{name}{PART}").open("wb") as file:
                    file.write(content)
                    _to_disk(file)
                names.append(name)
            write_whole(
                folder / INCOMPLETE,
                b"Writing the files in this folder was interrupted: write them again.\n",
            )
            for name in names:
                (part / f"{name}{PART}").replace(folder / name)
            (folder / INCOMPLETE).unlink(missing_ok=True)  # by another writer of the same
        finally:
            shutil.rmtree(part, ignore_errors=True)


def read_at_most(path: Path, most: int) -> bytes:
    """Reads a file.

    Raises:
        ValueError: it holds more than so many bytes.
        OSError: it cannot be read.
    """
    content = bytearray()
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        while size <= most and (more := file.read(2**20)):
            content += more
            size = len(content)  # a pipe does not say how much it holds
    if size > most:
        raise ValueError(f"{path} holds more than {most:,} bytes")
    return bytes(content)


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

#: A file in a folder whose files were not all written.
INCOMPLETE = "INCOMPLETE"
