"""Settings and results of one rendering call."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from fdsl.frame import Frame

#: Categories and indices, uint64 (B,) each.
Addresses: TypeAlias = "tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]"


class Job(NamedTuple):
    """How the samples of a call are rendered. Their bytes do not depend on the last two fields."""

    #: The settings, in the family's own style: what ``Family.checked_style`` returns.
    frame: Frame
    #: The seed of every address.
    seed: int
    #: Threads that render, for families in Rust; ``None`` for all cores.
    num_threads: int | None = None
    #: The SIMD path, for families in Rust; ``None`` for the fastest.
    simd: str | None = None


class Rendered(NamedTuple):
    """What rendering reports about its samples."""

    #: uint8 (B,), how often each was re-rendered because it was degenerate.
    retries: npt.NDArray[np.uint8]
    #: The categories of the objects in each sample, if they were asked for.
    objects: list[list[int]] | None
