"""Writing shards and folders."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Literal, NamedTuple, NoReturn

from fdsl._checks import (
    checked_positive,
    checked_threads,
    checked_type,
    checked_whole,
    counted,
    renamed,
    shown,
)
from fdsl._files import PathLike, named_path
from fdsl.export.layout import Entry, Files, WebDataset, default_shard_size
from fdsl.export.plan import Plan, planned_shard_size
from fdsl.export.samples import rendered_files
from fdsl.families import Family
from fdsl.frame import Frame
from fdsl.targets import TargetName

Progress = Callable[[int, int], object]


class Written(NamedTuple):
    """What one call wrote."""

    #: Images written, and images that already existed.
    images: int
    skipped: int
    #: Total size of the PNG files.
    bytes: int
    seconds: float

    @property
    def pictures(self) -> NoReturn:  # codespell:ignore
        """The name of ``images`` in the first releases."""
        raise AttributeError("Written: the field 'pictures' was renamed to 'images'")

    def __str__(self) -> str:
        skipped = f", {self.skipped:,} already existed" if self.skipped else ""
        if not self.images:
            return f"nothing to write{skipped}"
        rate, size = self.images / max(self.seconds, 1e-9), self.bytes / self.images
        return (
            f"{counted(self.images, 'image')} written in {self.seconds:,.1f} s "
            f"({rate:,.0f}/s, {size:,.0f} bytes of PNG each){skipped}"
        )


@renamed(threads="num_threads", shard_index="job_index", num_shards="num_jobs")
def shards(
    family: Family,
    folder: PathLike,
    *,
    instances: int = 1000,
    rendering: Frame | None = None,
    target: TargetName = "label",
    seed: int = 0,
    shard_size: int | None = None,
    job_index: int = 0,
    num_jobs: int = 1,
    num_threads: int | None = None,
    progress: Progress | None = None,
) -> Written:
    """Writes webdataset shards ``000000.tar``, …, and skips those that exist.

    A sample has ``.png``, ``.cls`` (the label) and ``.json`` (its address and the parameters of
    its category), and the files of its target:

    - ``"labels"``: ``.labels.json``, the numbers of the visible categories;
    - ``"mask"``: ``.mask.png``, 0 for background, else category + 1 (8 bits with a palette, or
      16-bit gray above 255 categories);
    - ``"boxes"``: ``.boxes.json`` with ``boxes`` and ``labels`` as in ``fdsl.torch.Stream``, and
      ``.objects.png``, whose pixels hold the number of their box, counted from 1.

    Samples are in the order of ``fdsl.torch.Stream`` with the same seed: every ``len(family)`` of
    them hold each category once, so reading them needs little more shuffling. The bytes of a shard
    depend only on the arguments and its number.

    Args:
        family: the categories.
        folder: where to write; created if it does not exist.
        instances: images per category.
        rendering: how images are rendered; by default the family's own style.
        target: ``"label"``, or another target that the family offers.
        seed: the seed of every address.
        shard_size: images per shard. By default that of the export already in the folder; else 100
            to 10,000, chosen to give a multiple of 64 shards, for 8 ranks of 8 workers. Fewer than
            6,301 images give fewer than 64 shards, of 100 images each.
        job_index: which part of a job array this process is: it writes shards ``job_index``,
            ``job_index + num_jobs``, ….
        num_jobs: how many processes share the work.
        num_threads: threads that render; by default all cores this process may use.
        progress: called with (images written, images to write).

    Raises:
        ValueError: an argument is out of range, the folder holds another export, or there are more
            than 1,000,000 shards or images in one.
        OSError: a file cannot be written, or was removed by another program. Shards that are
            complete by then stay.
        ModuleNotFoundError: masks or boxes are exported and Pillow is not installed.
    """
    path = named_path(folder)
    plan = _plan_in_stream_order(
        "webdataset", family, rendering, target, seed, instances, shard_size, path
    )
    return _write(plan, path, job_index, num_jobs, num_threads, progress)


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
    """Writes a folder of PNG files for each category, and skips those that exist.

    torchvision's ``ImageFolder`` reads them. A folder appears under its name once it is complete.
    Until then, and after a process was killed, a hidden folder lies beside it, which
    ``ImageFolder`` would take for a class; ``finalize`` removes it.

    Args:
        family: the categories.
        folder: where to write; created if it does not exist.
        instances: images per category.
        names: ``"plain"`` for ``00003/000077.png``, category and index; ``"released"`` for the
            authors' name of the same image, ``00003/00003_01_count_9_flip1.png``.
        rendering: how images are rendered; by default the family's own style.
        seed: the seed of every address.
        job_index: which part of a job array this process is: it writes categories ``job_index``,
            ``job_index + num_jobs``, ….
        num_jobs: how many processes share the work.
        num_threads: threads that render; by default all cores this process may use.
        progress: called with (images written, images to write).

    Raises:
        ValueError: an argument is out of range, the folder holds another export, or there are more
            than 1,000,000 folders or images in one.
        OSError: a file cannot be written, or was removed by another program. Folders that are
            complete by then stay.
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
    return _write(plan, named_path(folder), job_index, num_jobs, num_threads, progress)


def coco(
    family: Family,
    folder: PathLike,
    *,
    instances: int = 1000,
    rendering: Frame | None = None,
    seed: int = 0,
    shard_size: int | None = None,
    job_index: int = 0,
    num_jobs: int = 1,
    num_threads: int | None = None,
    progress: Progress | None = None,
) -> Written:
    """Writes images and annotations in COCO's format, for a family that has boxes.

    ``images/000000/000000000.png``, …, and, once ``finalize`` has checked all images, an
    ``annotations.json`` with ``file_name`` relative to ``images``. Image ids are the numbers of the
    samples in the order of ``fdsl.torch.Stream`` with the same seed, category ids those of its
    ``"boxes"``, category + 1. Masks are exact: uncompressed run lengths, with ``iscrowd`` 0. The
    folders in ``images`` hold images of all categories; each appears under its name once it is
    complete, and existing ones are skipped.

    Args:
        family: the categories.
        folder: where to write; created if it does not exist.
        instances: images per category.
        rendering: how images are rendered; by default the family's own style.
        seed: the seed of every address.
        shard_size: images per folder; by default as ``shards`` chooses it.
        job_index: which part of a job array this process is: it writes folders ``job_index``,
            ``job_index + num_jobs``, ….
        num_jobs: how many processes share the work.
        num_threads: threads that render; by default all cores this process may use.
        progress: called with (images written, images to write).

    Raises:
        ValueError: an argument is out of range, the family has no boxes, the folder holds another
            export, or there are more than 1,000,000 folders or images in one.
        OSError: a file cannot be written, or was removed by another program. Folders that are
            complete by then stay.
    """
    path = named_path(folder)
    plan = _plan_in_stream_order(
        "coco", family, rendering, "boxes", seed, instances, shard_size, path
    )
    return _write(plan, path, job_index, num_jobs, num_threads, progress)


def write_shard(
    family: Family,
    shard: int,
    file: IO[bytes],
    *,
    instances: int = 1000,
    rendering: Frame | None = None,
    target: TargetName = "label",
    seed: int = 0,
    shard_size: int | None = None,
    num_threads: int | None = None,
) -> Written:
    """Writes one shard of an export to an open file or pipe.

    The bytes are those of the file that ``shards`` writes with the same arguments.

    Args:
        family: the categories.
        shard: the number of the shard, counted from 0.
        file: where to write; need not be seekable.
        instances: images per category in the whole export.
        rendering: how images are rendered; by default the family's own style.
        target: ``"label"``, or another target that the family offers.
        seed: the seed of every address.
        shard_size: images per shard; the default is that of ``shards``.
        num_threads: threads that render; by default all cores this process may use.

    Raises:
        ValueError: an argument is out of range.
        OSError: the file cannot be written.

    >>> import fdsl, fdsl.export, io
    >>> file, small = io.BytesIO(), fdsl.Frame(size=32)
    >>> written = fdsl.export.write_shard(fdsl.Bezier(4), 1, file, instances=50, rendering=small)
    >>> written.images, len(file.getvalue())
    (100, 317440)
    """
    start = time.perf_counter()
    if not callable(getattr(file, "write", None)):
        raise TypeError(f"file must be open, as by open(…, 'wb'), got {shown(file)}")
    plan = _plan_in_stream_order(
        "webdataset", family, rendering, target, seed, instances, shard_size
    )
    number, layout = checked_whole("shard", shard), plan.files
    checked_threads(num_threads)
    if number >= layout.units():
        raise ValueError(
            f"shard must be below {layout.units():,}, the number of shards, got {number:,}"
        )
    assert isinstance(layout, WebDataset)
    total = _Total()
    layout.write_to(file, total.over(rendered_files(plan, layout.entries(number), num_threads)))
    return Written(total.images, 0, total.bytes, time.perf_counter() - start)


def _plan_in_stream_order(
    layout: str,
    family: Family,
    rendering: Frame | None,
    target: str,
    seed: int,
    instances: int,
    shard_size: int | None,
    folder: Path | None = None,
) -> Plan:
    checked_type("family", family, Family)
    if shard_size is None:
        images = len(family) * checked_positive("instances", instances)
        shard_size = default_shard_size(images)
        if folder is not None:
            shard_size = planned_shard_size(folder, layout) or shard_size
    style = family.checked_style(rendering)
    if style.slow_out_of_order:
        warnings.warn(f"{style.slow_out_of_order}; export folders instead", stacklevel=3)
    return Plan(
        family=family,
        rendering=style,
        target=target,
        seed=seed,
        instances=instances,
        layout=layout,
        shard_size=shard_size,
    )


class _Total:
    """Counts what is written."""

    def __init__(self, expected: int = 0, progress: Progress | None = None) -> None:
        self.images = self.bytes = 0
        self.expected, self.progress = expected, progress

    def over(self, entries: Iterator[tuple[Entry, Files]]) -> Iterator[tuple[Entry, Files]]:
        """Yields entries, and counts each once it is written."""
        for entry, files in entries:
            yield entry, files
            self.images, self.bytes = self.images + 1, self.bytes + len(files["png"])
            if self.progress and (self.images % 100 == 0 or self.images == self.expected):
                self.progress(self.images, self.expected)


def _write(
    plan: Plan,
    folder: Path,
    job_index: int,
    num_jobs: int,
    num_threads: int | None,
    progress: Progress | None,
) -> Written:
    start = time.perf_counter()
    step = checked_positive("num_jobs", num_jobs)
    first = checked_whole("job_index", job_index)
    if first >= step:
        raise ValueError(f"job_index must be below num_jobs, got {first} of {step}")
    checked_threads(num_threads)
    layout = plan.files
    plan.claim(folder)
    home = layout.home(folder)
    home.mkdir(exist_ok=True)
    units = range(first, layout.units(), step)
    existing = {entry.name for entry in home.iterdir()}
    missing = [unit for unit in units if layout.name(unit) not in existing]
    total = _Total(sum(map(layout.images, missing)), progress)
    for unit in missing:
        entries = rendered_files(plan, layout.entries(unit), num_threads)
        layout.write(home / layout.name(unit), total.over(entries))
        plan.confirm(folder)  # do not write for hours to a folder that was cleared
    existing = {entry.name for entry in home.iterdir()}
    if removed := [name for name in map(layout.name, units) if name not in existing]:
        raise FileNotFoundError(
            f"{counted(len(removed), layout.unit)} of this export disappeared from {home}, "
            f"{removed[0]} first: another program is removing files; export again"
        )
    skipped = sum(map(layout.images, units)) - total.expected
    return Written(total.images, skipped, total.bytes, time.perf_counter() - start)
