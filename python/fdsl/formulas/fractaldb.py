"""The published categories, without a file or a download."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

from fdsl._checks import checked_positive
from fdsl.formulas.ifs import IFS

#: SHA-256 (``IFS.digest``) of the first categories that the authors published.
DIGESTS = {
    10: "0a17122e3cdec33662fcf429610e0fe7a99ee1912c159f4780ed6a8f21962d51",
    100: "bf6fcb2ce06c08bd6e88a8b0abdb9d3d0c028812828ed8cdc53b5abea359a503",
    1000: "2d65f2678a859836c9a3d7f2c49fa3ece55f642dfb6d704e46451c8d0b70bf9a",
    # Not published in this form: the same search, continued, as it was found here.
    10_000: "a508d8a453bb3471556ad1201f79a77d24a3323f3abc4c8f500ce423e4e1a0bc",
}


def fractaldb(
    categories: int = 1000,
    *,
    threads: int | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> IFS:
    """Returns the categories of FractalDB, as the authors published them, to the last bit.

    The first time they are searched again, as the authors' program found them
    (``IFS.search(categories, 0.2, seed=1, sampler="released")``: half a minute on two cores
    for 1,000), and kept in the user's cache folder; after that they are read from there. The
    first 1,000 are the published FractalDB-1k; more of them are the same search, continued. What
    is read is checked: the first 10, 100, 1,000 and 10,000 have digests that are known.

    Args:
        categories: how many; FractalDB-1k has 1,000, FractalDB-10k 10,000.
        threads: how many search; all the cores this process may use if not given.
        progress: called with (found, tried) while searching.

    Raises:
        ValueError: categories is 0 or negative.

    >>> fractaldb(10).digest()[:8]
    '0a17122e'
    """
    number = checked_positive("categories", categories)
    if number < min(DIGESTS):  # too few to be told from others
        return fractaldb(min(DIGESTS), threads=threads, progress=progress)[:number]
    try:
        file = cache_folder() / f"fractaldb-{number}.npz"
        kept = IFS.load(file)
        if len(kept) == number and _is_published(kept):
            return kept
    except (OSError, ValueError, RuntimeError):
        pass  # not there yet, or damaged: it is made again
    found = IFS.search(number, 0.2, seed=1, sampler="released", threads=threads, progress=progress)
    if not _is_published(found):  # a mistake of ours, and nothing to keep
        raise AssertionError("the search did not find the published categories")
    try:
        file = cache_folder() / f"fractaldb-{number}.npz"
        file.parent.mkdir(parents=True, exist_ok=True)
        found.save(file)
    except (OSError, RuntimeError) as error:  # RuntimeError: this user has no home
        warnings.warn(f"the categories could not be kept for the next time: {error}", stacklevel=2)
    return found


def cache_folder() -> Path:
    """Returns ``FDSL_CACHE`` if that is set, else ``fdsl`` in the user's folder for caches."""
    if chosen := os.environ.get("FDSL_CACHE"):
        return Path(chosen)
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData/Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library/Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "fdsl"


def _is_published(ifs: IFS) -> bool:
    return all(ifs[:n].digest() == digest for n, digest in DIGESTS.items() if n <= len(ifs))
