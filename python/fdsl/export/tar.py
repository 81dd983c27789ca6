"""Tar archives of samples, as the webdataset library reads and writes them.

The archives are byte for byte those of ``webdataset.TarWriter``, whose import would bring torch.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Protocol

#: Owner and mode of every file, as ``webdataset.TarWriter`` sets them.
OWNER, MODE = "bigdata", 0o444


class Digest(Protocol):
    """A digest of hashlib."""

    def update(self, data: bytes, /) -> None:
        """Adds bytes."""
        ...


def write_archive(file: IO[bytes], entries: Iterable[tuple[str, bytes]]) -> None:
    """Writes an archive of (name, content) pairs to a file or a pipe.

    Args:
        file: need not be seekable.
        entries: ASCII names of at most 100 characters, in the order of the archive.
    """
    with tarfile.open(fileobj=file, mode="w|") as archive:
        for name, content in entries:
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), MODE
            member.uname = member.gname = OWNER
            archive.addfile(member, io.BytesIO(content))


def read_archive(path: Path, digest: Digest) -> Iterator[tuple[str, bytes]]:
    """Reads the name and content of every file of an archive, in order, and updates a digest with
    all its bytes.

    Walks the headers instead of calling ``tarfile.open``, which follows links, skips bytes between
    files and never looks past the last one.

    Raises:
        ValueError: the archive is damaged, or holds anything but plain files.
        OSError: it cannot be read.
    """
    if not path.is_file():  # opening a pipe would wait for a writer
        raise ValueError("it is not a plain file")
    size = path.stat().st_size
    with path.open("rb") as file:

        def read(count: int = -1) -> bytes:
            content = file.read(count)
            digest.update(content)
            return content

        while any(block := read(tarfile.BLOCKSIZE)):
            try:
                member = tarfile.TarInfo.frombuf(block, "utf-8", "backslashreplace")
            except (tarfile.TarError, ValueError) as error:
                start = file.tell() - len(block)
                raise ValueError(f"no tar header at byte {start}: {error}") from None
            if member.type not in (tarfile.REGTYPE, tarfile.AREGTYPE):
                raise ValueError(f"{member.name} is a link or another special file")
            if not 0 <= member.size <= size - file.tell():
                raise ValueError(f"it ends inside {member.name}")
            content = read(member.size)
            if any(read(-member.size % tarfile.BLOCKSIZE)):
                raise ValueError(f"there are extra bytes between {member.name} and the next file")
            yield member.name, content
        # Two blocks of zeros end an archive, and more fill up its last record.
        end = file.tell() - len(block) + 2 * tarfile.BLOCKSIZE
        if size != end + -end % tarfile.RECORDSIZE or any(read()):
            raise ValueError("bytes are missing or left over after its last file")
