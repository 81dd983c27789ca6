"""Small streams, and what == can compare of their samples."""

import hashlib
import multiprocessing
import os
from collections.abc import Iterable
from itertools import islice
from typing import Any

import fdsl
import numpy as np
import pytest
import torch
from fdsl.torch import Stream
from torch.utils.data import DataLoader

TINY = fdsl.Rendering(size=32, num_points=500)
BATCH = 4

# Windows cannot fork: it spawns processes, which other cases test.
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")

Contents = list[tuple[tuple[int, ...], Any, Any]]


def stream_of(ifs: fdsl.IFS, **changes: Any) -> Stream:
    return Stream(ifs, **{"rendering": TINY, "batch_size": BATCH, "seed": 3, **changes})


def loader_of(stream: Stream, workers: int = 0, method: str = "fork", **more: Any) -> DataLoader:
    if workers:
        if method not in multiprocessing.get_all_start_methods():
            # Windows can only spawn.
            pytest.skip(f"this system cannot {method}")
        more["multiprocessing_context"] = method
    return DataLoader(stream, **{"batch_size": None, "num_workers": workers, **more})


def contents(samples: Iterable[Any], most: int | None = None) -> Contents:
    """Returns what == can compare: for each batch its shape, its images' digests and its labels."""
    return [
        (
            tuple(images.shape),
            [digest(image) for image in images] if images.ndim == 4 else digest(images),
            torch.as_tensor(labels).tolist(),
        )
        for images, labels in islice(samples, most)
    ]


def digest(image: Any) -> str:
    return hashlib.sha256(np.ascontiguousarray(image)).hexdigest()[:16]


def singles(batches: Contents) -> Contents:
    """Returns the same samples one by one."""
    return [
        (shape[1:], image, label)
        for shape, images, labels in batches
        for image, label in zip(images, labels, strict=True)
    ]


def images_of(samples: Contents) -> list[Any]:
    return [image for _, image, _ in samples]
