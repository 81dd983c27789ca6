"""Published categories by name, read from files of this package."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from fdsl.families.base import Family
from fdsl.families.contour import RCDB, VisualAtom
from fdsl.families.fractaldb import fractaldb

HERE = Path(__file__).parent

#: What ``load`` calls each set, and how it is made.
PUBLISHED: dict[str, Callable[[], Any]] = {
    "fractaldb-1k": lambda: fractaldb(1000),
    "fractaldb-10k": lambda: fractaldb(10_000),
    # RCDB.released(1000, processes=10), as the script that renders; processes=40 as the one that
    # trains; VisualAtom.released(1000, processes=20).
    "rcdb-1k": lambda: RCDB.shipped(HERE / "rcdb.npz"),
    "visualatom-1k": lambda: VisualAtom.shipped(HERE / "visualatom.npz"),
}


def published(name: str) -> Family | None:
    """Returns the published categories of a name, if there are any."""
    make = PUBLISHED.get(name)
    return None if make is None else make()
