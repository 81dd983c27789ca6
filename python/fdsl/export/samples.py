"""Rendering the files of an export."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from fdsl import png
from fdsl.export.layout import Entry, Files, InStreamOrder
from fdsl.export.plan import Plan
from fdsl.job import Job
from fdsl.targets import render_objects


def rendered_files(
    plan: Plan, entries: Sequence[Entry], num_threads: int | None
) -> Iterator[tuple[Entry, Files]]:
    """Renders and encodes entries, one batch ahead of the caller."""
    size = plan.rendering.images_at_once
    if plan.rendering.slow_out_of_order and isinstance(plan.files, InStreamOrder):
        size = 8  # Ctrl-C waits for all images of a batch
    batches = [entries[first : first + size] for first in range(0, len(entries), size)]
    with ThreadPoolExecutor(1) as executor:
        following = executor.submit(_files, plan, batches[0], num_threads)
        for number, batch in enumerate(batches):
            files = following.result()
            if number + 1 < len(batches):
                following = executor.submit(_files, plan, batches[number + 1], num_threads)
            yield from zip(batch, files, strict=True)


def _files(plan: Plan, entries: Sequence[Entry], num_threads: int | None) -> list[Files]:
    """Returns the PNG file of each entry and the files of its target."""
    categories = np.array([entry.category for entry in entries], np.uint64)
    indices = np.array([entry.index for entry in entries], np.uint64)
    family, frame = plan.family, plan.rendering
    images = np.empty((len(entries), *frame.image_shape), np.uint8)
    job, addresses = Job(frame, plan.seed, num_threads), (categories, indices)
    if plan.target == "label":
        family.render_into(job, addresses, images)
        return [{"png": file} for file in png.encode(images, num_threads)]
    maps, object_categories = render_objects(family, job, addresses, images)
    return [
        {"png": file, **plan.files.target_files(objects, numbers, plan.target)}
        for file, objects, numbers in zip(
            png.encode(images, num_threads), maps, object_categories, strict=True
        )
    ]
