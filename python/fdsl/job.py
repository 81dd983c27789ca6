"""Settings and results of one rendering call."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from fdsl.frame import Frame

#: Categories and indices, uint64 (B,) each.
Addresses: TypeAlias = "tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]"


class Job(NamedTuple):
    """How to render the samples of one call. Their bytes do not depend on the last two fields."""

    #: The settings, in the family's own style: what ``Family.checked_style`` returns.
    frame: Frame
    #: The seed of every address.
    seed: int
    #: The number of rendering threads, for families in Rust; ``None`` for all cores.
    num_threads: int | None = None
    #: The SIMD backend, for families in Rust; ``None`` for the fastest.
    simd: str | None = None


class Rendered(NamedTuple):
    """What rendering reports about its samples."""

    #: uint8 (B,), how often each sample was re-rendered because it was degenerate.
    retries: npt.NDArray[np.uint8]
    #: The categories of the objects in each sample, if they were requested.
    objects: list[list[int]] | None
