"""Writing files that appear under their names only once they are complete."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import socket
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, TextIO

PathLike = str | os.PathLike[str]


def named_path(path: PathLike) -> Path:
    """Returns a path that must have a name: an empty one would be the current folder.

    Raises:
        ValueError: it is empty.
    """
    if not str(path):
        raise ValueError("give the name of a file or folder, or . for this folder; got ''")
    return Path(path)


def write_whole(path: Path, content: bytes) -> None:
    """Writes a file, whole or not at all."""
    with writing_whole(path) as file:
        file.write(content)


def append_whole(path: Path, content: bytes) -> None:
    """Adds to the end of a file, all of it or nothing."""
    with naming_file(path), path.open("ab", buffering=0) as file:
        end = file.tell()
        try:
            rest = memoryview(content)
            while rest:
                rest = rest[file.write(rest) :]
            os.fsync(file.fileno())
        except BaseException:
            file.truncate(end)
            raise


def write_once(path: Path, content: bytes) -> None:
    """Writes a file, whole or not at all, unless it exists; of several writers one wins."""
    with _part(path) as part:
        with part.open("xb") as file:
            file.write(content)
            _to_disk(file)
        with suppress(FileExistsError):
            try:
                os.link(part, path)
            except FileExistsError:
                raise
            except OSError:  # a file system without hard links
                _rename_unless_present(part, path)


def _rename_unless_present(part: Path, path: Path) -> None:
    if sys.platform == "win32":
        part.rename(path)  # raises FileExistsError if it exists
        return
    # Renaming replaces an existing file.
    with _turn(path.parent):
        if not path.exists():
            part.rename(path)


@contextmanager
def _turn(folder: Path) -> Iterator[None]:
    """Lets the writers of a folder take turns, where the file system has locks.

    The kernel releases the lock of a killed writer, and a lock on the folder leaves no file behind.
    """
    if sys.platform == "win32":
        yield
        return
    import fcntl

    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def write_all(folder: Path, files: Iterable[tuple[str, bytes]]) -> None:
    """Writes files into a folder, all of them or none.

    The files are written under temporary names first and then renamed. A process that is killed
    while renaming leaves a file named ``INCOMPLETE`` beside them; writing them again removes it.

    Raises:
        FileExistsError: a folder has the name of one of the files.
        OSError: a file cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    part = part_of(folder / "files")
    with naming_file(folder):
        try:
            part.mkdir()
            names = []
            for name, content in files:
                with (part / f"{name}{PART}").open("xb") as file:
                    file.write(content)
                    _to_disk(file)
                names.append(name)
            with _turn(folder):
                if taken := next((name for name in names if (folder / name).is_dir()), None):
                    raise FileExistsError(f"{folder / taken} must be a file, but is a folder")
                write_whole(
                    folder / INCOMPLETE,
                    b"Writing the files in this folder was interrupted: write them again.\n",
                )
                for name in names:
                    (part / f"{name}{PART}").replace(folder / name)
                # Without locks, another writer may have removed it.
                (folder / INCOMPLETE).unlink(missing_ok=True)
        finally:
            shutil.rmtree(part, ignore_errors=True)


def read_at_most(path: Path, most: int) -> bytes:
    """Reads a file.

    Raises:
        ValueError: it holds more than ``most`` bytes.
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
    """Opens a file that appears under its name when the block ends without an error.

    Raises:
        OSError: it cannot be written; the message names it.
    """
    with _part(path) as part:
        with part.open("xb") as file:
            yield file
            _to_disk(file)
        part.replace(path)


@contextmanager
def _part(path: Path) -> Iterator[Path]:
    """Yields the temporary name of a file, and removes what is left under it afterwards."""
    part = part_of(path)
    with naming_file(path):
        try:
            yield part
        finally:
            part.unlink(missing_ok=True)


def _to_disk(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


@contextmanager
def naming_file(path: Path) -> Iterator[None]:
    """Adds the name of a file or folder to an OS error, if it is about this file or its parts."""
    try:
        yield
    except OSError as error:
        if error.errno is None:  # raised by us, with a message of its own
            raise
        if isinstance(error.filename, str) and not _belongs(Path(error.filename), path):
            raise  # a family in Python, for example, did not find its texture
        raise type(error)(error.errno, f"cannot write: {error.strerror}", str(path)) from None


def _belongs(file: Path, path: Path) -> bool:
    """Returns whether a file is the one at ``path``, is inside it, or is written in its place."""
    part = f".{path.name}."
    beside = (one for one in (file, *file.parents) if one.parent == path.parent)
    return any(one == path or one.name.startswith(part) for one in beside)


def part_of(path: Path) -> Path:
    """Returns a new hidden name for a file or folder while it is written.

    It cannot be guessed, so nobody can put a link there that leads elsewhere. The host and the
    process show who left it behind.
    """
    # Short, since a file system allows 255 bytes.
    writer = f"{socket.gethostname()[:12]}-{os.getpid()}-{secrets.token_hex(8)}"
    return path.with_name(f".{path.name}.{writer}{PART}")


def remove_parts(folder: Path, names: Iterable[str] | None = None) -> None:
    """Removes what killed processes left under names of ``part_of``.

    Args:
        names: the files or folders that were written; by default any.
    """
    starts = "." if names is None else tuple(f".{name}." for name in names)
    for path in [*folder.iterdir()]:
        if not (path.name.startswith(starts) and re.search(WRITER, path.name)):
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


#: Extension of files that are not complete yet, or were left by a killed process.
PART = ".part"
#: How names of ``part_of`` end, now and in earlier versions.
WRITER = rf"[.-]\d+-[0-9a-f]+{re.escape(PART)}$"

#: Marks a folder in which some files were not renamed.
INCOMPLETE = "INCOMPLETE"


def replace_closed_output() -> None:
    """Replaces a stdout or stderr that the caller has closed, which is ``None``, by one that
    discards: ``fdsl … >&-``."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_WRONLY), "w"))


def discard(stream: TextIO) -> None:
    """Points a broken stream at the null device.

    Otherwise Python would try to write what the stream still buffers at exit, and report an error.
    """
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
