"""What is the same for all samples that are rendered in one call."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from fdsl.frame import Frame

#: Categories and indices, uint64 (B,) each.
Addresses: TypeAlias = "tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]"


class Job(NamedTuple):
    """How samples are rendered. No byte depends on the last two."""

    #: The settings, as the family obeys them: from ``Family.checked_style``.
    frame: Frame
    #: Of every address.
    seed: int
    #: How many threads render, where the family is not in Python; ``None`` is all cores.
    num_threads: int | None = None
    #: The processor's path, where the family is not in Python; ``None`` is the fastest.
    simd: str | None = None


class Rendered(NamedTuple):
    """What there is to say of samples that were rendered."""

    #: uint8 (B,), how often each was rendered again because it was degenerate.
    retries: npt.NDArray[np.uint8]
    #: For each sample the categories of its objects, where they were asked for.
    objects: list[list[int]] | None
