"""The published categories, from a file in this package."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fdsl._checks import checked_positive
from fdsl.families.ifs import IFS

#: The result of ``IFS.search(10_000, 0.2, seed=1, sampler="released")``: the ``maps`` of all
#: categories, (36322, 6) float64, and how many each has, ``lengths``, (10000,) uint8. Probabilities
#: follow from the maps.
FILE = Path(__file__).with_name("fractaldb.npz")

#: Categories in the file.
SHIPPED = 10_000

#: SHA-256 (``IFS.digest``) of the first N categories that the authors published.
DIGESTS = {
    10: "0a17122e3cdec33662fcf429610e0fe7a99ee1912c159f4780ed6a8f21962d51",
    100: "bf6fcb2ce06c08bd6e88a8b0abdb9d3d0c028812828ed8cdc53b5abea359a503",
    1000: "2d65f2678a859836c9a3d7f2c49fa3ece55f642dfb6d704e46451c8d0b70bf9a",
    # Not published in this form: our continuation of the same search.
    10_000: "a508d8a453bb3471556ad1201f79a77d24a3323f3abc4c8f500ce423e4e1a0bc",
}


def fractaldb(categories: int = 1000) -> IFS:
    """Returns the published categories of FractalDB-1k, bit for bit, and their continuation.

    The first 1,000 are FractalDB-1k; the others continue the same search. They come from a file in
    this package. ``IFS.search(categories, 0.2, seed=1, sampler="released")`` finds the same ones,
    like the authors' code.

    Args:
        categories: how many, 1…10,000; FractalDB-1k has 1,000, FractalDB-10k has 10,000.

    Raises:
        ValueError: categories is out of range.

    >>> fractaldb(10).digest()[:8]
    '0a17122e'
    """
    number = checked_positive("categories", categories)
    if number > SHIPPED:
        raise ValueError(
            f"categories must be at most {SHIPPED:,}, which come with the package, got {number}; "
            f'IFS.search({number}, 0.2, seed=1, sampler="released") finds more'
        )
    with np.load(FILE) as kept:
        lengths = kept["lengths"][:number].astype(np.int64)
        maps = kept["maps"][: lengths.sum()].copy()
    return IFS.from_flat(maps, None, lengths)
