"""Files that appear under their name only when whole."""

from __future__ import annotations

import os
import threading
from pathlib import Path

PathLike = str | os.PathLike[str]


def write_whole(path: Path, content: bytes) -> None:
    """Writes a file that appears under its name only when whole."""
    part = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.part")
    try:
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        raise type(error)(error.errno, f"cannot write: {error.strerror}", str(path)) from None
    finally:
        part.unlink(missing_ok=True)
