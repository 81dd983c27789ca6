"""Writing shards and folders."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from fdsl import png
from fdsl._checks import (
    checked_positive,
    checked_threads,
    checked_type,
    checked_whole,
    renamed,
)
from fdsl._files import PathLike
from fdsl.export.layout import Files, Sample
from fdsl.export.plan import Plan
from fdsl.export.target import files_of
from fdsl.families import Family
from fdsl.frame import Frame
from fdsl.job import Job
from fdsl.render import render
from fdsl.targets import render_objects

Progress = Callable[[int, int], object]


class Written(NamedTuple):
    """What one call wrote."""

    #: Pictures written, and pictures that were there already.
    pictures: int
    skipped: int
    #: Bytes of the PNG files.
    bytes: int
    seconds: float

    def __str__(self) -> str:
        there = f", {self.skipped:,} were there" if self.skipped else ""
        if not self.pictures:
            return f"nothing to write{there}"
        rate, size = self.pictures / max(self.seconds, 1e-9), self.bytes / self.pictures
        return (
            f"{self.pictures:,} pictures written in {self.seconds:,.1f} s "
            f"({rate:,.0f}/s, {size:,.0f} bytes of PNG each){there}"
        )


@renamed(threads="num_threads", shard_index="job_index", num_shards="num_jobs")
def shards(
    family: Family,
    folder: PathLike,
    *,
    instances: int = 1000,
    rendering: Frame | None = None,
    target: str = "label",
    seed: int = 0,
    shard_size: int = 10_000,
    job_index: int = 0,
    num_jobs: int = 1,
    num_threads: int | None = None,
    progress: Progress | None = None,
) -> Written:
    """Writes webdataset shards ``000000.tar``, …; those that are there are left alone.

    A sample has ``.png``, ``.cls`` (the label) and ``.json`` (its address and the parameters of
    its category), and the files of its target: ``"labels"`` a ``.labels.json``, the numbers of the
    categories that are visible; ``"mask"`` a ``.mask.png``, whose pixels are 0 for background, else
    category + 1 (8 bits with a palette, or 16 of gray above 255 categories); ``"boxes"`` a
    ``.boxes.json`` with ``boxes`` and ``labels`` as ``fdsl.torch.Stream`` has them, and an
    ``.objects.png``, whose pixels are the number of the box that they belong to, from 1 on.

    Samples come in the order of ``fdsl.torch.Stream`` with the same seed: every
    ``len(family)`` of them hold each category once, so shards need little more shuffling. A
    shard's bytes depend on the arguments and its number alone.

    Args:
        family: the categories.
        folder: where the shards go; made if it is not there.
        instances: pictures of each category.
        rendering: how they are rendered; the family's defaults if not given.
        target: what is written beside images and labels, where the family offers it.
        seed: of every address.
        shard_size: pictures a shard.
        job_index: of this process in a job array: it writes shards ``job_index``,
            ``job_index + num_jobs``, ….
        num_jobs: how many processes share the work.
        num_threads: that render; all the cores this process may use if not given.
        progress: called with (written, to be written) as this process writes.

    Raises:
        ValueError: an argument is out of range, the folder holds another export, or there are more
            than 1,000,000 shards or images in one.
        OSError: a file cannot be written, or was removed meanwhile. What is whole by then stays.
        ModuleNotFoundError: webdataset is not installed.
    """
    checked_type("family", family, Family)
    plan = Plan(
        family=family,
        rendering=family.checked_style(rendering),
        target=target,
        seed=seed,
        instances=instances,
        layout="webdataset",
        shard_size=shard_size,
    )
    return _write(plan, folder, job_index, num_jobs, num_threads, progress)


@renamed(threads="num_threads", shard_index="job_index", num_shards="num_jobs")
def folders(
    family: Family,
    folder: PathLike,
    *,
    instances: int = 1000,
    names: Literal["plain", "released"] = "plain",
    rendering: Frame | None = None,
    seed: int = 0,
    job_index: int = 0,
    num_jobs: int = 1,
    num_threads: int | None = None,
    progress: Progress | None = None,
) -> Written:
    """Writes a folder of PNG files for each category; those that are there are left alone.

    torchvision's ``ImageFolder`` reads them. A category's folder appears under its name when it is
    whole; until then, and after a process was killed, there is a hidden one beside it, which
    ``ImageFolder`` would take for a class: ``finalize`` removes it.

    Args:
        family: the categories.
        folder: where their folders go; made if it is not there.
        instances: pictures of each category.
        names: ``"plain"`` is ``00003/000077.png``, category and index; ``"released"`` is what the
            authors call the same picture, ``00003/00003_01_count_9_flip1.png``.
        rendering: how they are drawn; the family's defaults if not given.
        seed: of every address.
        job_index: of this process in a job array: it writes categories ``job_index``,
            ``job_index + num_jobs``, ….
        num_jobs: how many processes share the work.
        num_threads: that render; all the cores this process may use if not given.
        progress: called with (written, to be written) as this process writes.

    Raises:
        ValueError: an argument is out of range, the folder holds another export, or there are more
            than 1,000,000 folders or images in one.
        OSError: a file cannot be written, or was removed meanwhile. What is whole by then stays.
    """
    if names not in ("plain", "released"):
        raise ValueError(f"names must be 'plain' or 'released', got {names!r}")
    checked_type("family", family, Family)
    plan = Plan(
        family=family,
        rendering=family.checked_style(rendering),
        seed=seed,
        instances=instances,
        layout="folders" if names == "plain" else "released",
        shard_size=instances,
    )
    return _write(plan, folder, job_index, num_jobs, num_threads, progress)


def _write(
    plan: Plan,
    folder: PathLike,
    job_index: int,
    num_jobs: int,
    num_threads: int | None,
    progress: Progress | None,
) -> Written:
    start, path = time.perf_counter(), Path(folder)
    every = checked_positive("num_jobs", num_jobs)
    first = checked_whole("job_index", job_index)
    if first >= every:
        raise ValueError(f"job_index must be below num_jobs, got {first} of {every}")
    checked_threads(num_threads)
    layout = plan.files
    layout.prepare()
    plan.claim(path)
    mine = range(first, layout.units(), every)
    there = {entry.name for entry in path.iterdir()}
    missing = [unit for unit in mine if layout.name(unit) not in there]
    total = sum(map(layout.pictures, missing))
    written = size = 0

    def counted(files: Iterator[tuple[Sample, Files]]) -> Iterator[tuple[Sample, Files]]:
        nonlocal written, size
        for sample, rendered in files:
            yield sample, rendered
            written, size = written + 1, size + len(rendered["png"])
            if progress and (written % 100 == 0 or written == total):
                progress(written, total)

    for unit in missing:
        files = drawn(plan, layout.samples(unit), num_threads)
        layout.write(path / layout.name(unit), counted(files))
        plan.confirm(path)  # hours of work are not written to a folder that was cleared meanwhile
    there = {entry.name for entry in path.iterdir()}
    if gone := [name for name in map(layout.name, mine) if name not in there]:
        raise FileNotFoundError(
            f"{len(gone):,} {layout.units_are} are gone from {path} that were there, {gone[0]} "
            "among them: something else removes files of this export; export again"
        )
    skipped = sum(map(layout.pictures, mine)) - total
    return Written(written, skipped, size, time.perf_counter() - start)


def drawn(
    plan: Plan, samples: Sequence[Sample], num_threads: int | None
) -> Iterator[tuple[Sample, Files]]:
    """Renders and encodes the images; the next while those before are written."""
    some = plan.rendering.images_at_once
    parts = [samples[at : at + some] for at in range(0, len(samples), some)]
    with ThreadPoolExecutor(1) as ahead:
        coming = ahead.submit(_files, plan, parts[0], num_threads)
        for number, part in enumerate(parts):
            files = coming.result()
            if number + 1 < len(parts):
                coming = ahead.submit(_files, plan, parts[number + 1], num_threads)
            yield from zip(part, files, strict=True)


def _files(plan: Plan, samples: Sequence[Sample], num_threads: int | None) -> list[Files]:
    """The PNG file of each sample, and the files of its target."""
    categories = np.array([sample.category for sample in samples], np.uint64)
    indices = np.array([sample.index for sample in samples], np.uint64)
    family, frame = plan.family, plan.rendering
    if plan.target == "label":
        images = render(family, categories, indices, plan.seed, frame, num_threads)
        return [{"png": file} for file in png.encode(images, num_threads)]
    images = np.empty((len(samples), *frame.image_shape), np.uint8)
    job = Job(frame, plan.seed, num_threads)
    maps, of_objects = render_objects(family, job, (categories, indices), images)
    return [
        {"png": file, **files_of(objects, numbers, plan.target, len(family))}
        for file, objects, numbers in zip(
            png.encode(images, num_threads), maps, of_objects, strict=True
        )
    ]
