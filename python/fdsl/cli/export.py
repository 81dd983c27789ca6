"""``fdsl export`` and ``fdsl finalize``: data sets in files."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from fdsl import export
from fdsl._checks import counted
from fdsl.cli.options import (
    Commands,
    add_rendering,
    add_seed,
    add_source,
    add_threads,
    command,
    loaded,
    rendering_of,
)
from fdsl.cli.output import STDOUT, binary_stdout
from fdsl.cli.progress import progress_bar
from fdsl.export.plan import LAYOUTS
from fdsl.families import Family, published
from fdsl.families.load import without_script
from fdsl.targets import TARGETS


def add_export(commands: Commands) -> None:
    """Adds ``fdsl export``."""
    parser = command(
        commands,
        "export",
        _export,
        "Write webdataset shards or image folders",
        "fdsl export fractaldb-1000 shards                              # a million images\n"
        "fdsl export fractaldb-1000 shards --job-index 3 --num-jobs 8   # one job of eight\n"
        "fdsl finalize shards                                           # after all of them\n"
        "fdsl export fractaldb-1000 - --shard 5                         # one shard, to stdout\n"
        "fdsl export family.py:scenes-10 coco --layout coco             # boxes and masks\n"
        "fdsl export categories.npz folders --layout released --preset released",
    )
    add_source(parser)
    add = parser.add_argument
    add(
        "folder",
        metavar="FOLDER",
        help="Folder to write to, where existing files stay as they are; - for stdout",
    )
    add(
        "--layout",
        choices=list(LAYOUTS),
        default="webdataset",
        help="Shards, a folder of PNG files per category, such folders with the authors' file "
        "names, or COCO's format, for families that have boxes (default: webdataset)",
    )
    add(
        "--target",
        choices=list(TARGETS),
        help="What each image in a shard comes with, for families that offer more than a label "
        "(default: label)",
    )
    add(
        "--instances",
        type=int,
        metavar="N",
        help="Images per category (default: 1000, or the data set's with --preset published)",
    )
    add(
        "--shard-size",
        type=int,
        metavar="N",
        help="Images per shard or, in COCO's format, per folder (default: between 100 and 10000, "
        "for a multiple of 64 shards)",
    )
    add(
        "--shard",
        type=int,
        metavar="I",
        help="Write only shard I, counted from 0, to stdout (FOLDER must be -)",
    )
    add(
        "--job-index",
        type=int,
        default=0,
        metavar="I",
        help="Write part I of the export, counted from 0 (default: 0)",
    )
    add(
        "--num-jobs",
        type=int,
        default=1,
        metavar="N",
        help="Divide the export into N parts, for job arrays (default: 1)",
    )
    add_seed(parser)
    add_threads(parser)
    add_rendering(parser)


def add_finalize(commands: Commands) -> None:
    """Adds ``fdsl finalize``."""
    parser = command(
        commands,
        "finalize",
        _finalize,
        "Check every shard of an export and describe it in metadata.json",
        "fdsl finalize shards",
    )
    parser.add_argument(
        "folder",
        metavar="FOLDER",
        help="Folder of the export; SCRIPT.py:FOLDER "
        "imports the script that defines its family first",
    )


def _export(a: argparse.Namespace) -> None:
    of_shards = a.layout == "webdataset"
    if a.shard_size is not None and not (of_shards or a.layout == "coco"):
        raise ValueError(f"--shard-size applies to webdataset and coco, not to --layout {a.layout}")
    if a.folder == STDOUT and (a.shard is None or not of_shards):
        raise ValueError("stdout takes one webdataset shard: choose it with --shard")
    if a.folder == STDOUT and (a.job_index, a.num_jobs) != (0, 1):
        raise ValueError("--job-index and --num-jobs are for folders; --shard chooses the shard")
    if a.folder != STDOUT and a.shard is not None:
        raise ValueError(f"--shard writes to stdout: FOLDER must be -, got {a.folder}")
    family = loaded(a)
    instances = published(a.categories).instances if a.preset == "published" else 1000
    settings: dict[str, Any] = {
        "instances": instances if a.instances is None else a.instances,
        "rendering": rendering_of(a, family),
        "seed": a.seed,
        "num_threads": a.num_threads,
    }
    if of_shards:
        settings |= {"shard_size": a.shard_size, "target": a.target or "label"}
    elif a.layout == "coco":
        settings |= {"shard_size": a.shard_size}
        if a.target not in (None, "boxes"):
            raise ValueError(f"--layout coco holds boxes, got --target {a.target}")
    elif a.target not in (None, "label"):
        raise ValueError(f"--target {a.target} is for webdataset shards, not for folders")
    if a.folder == STDOUT:
        written = export.write_shard(family, a.shard, binary_stdout("a shard"), **settings)
        if sys.stderr.isatty():  # a log needs no line for each shard that a loader reads
            print(f"shard {a.shard}: {written}", file=sys.stderr)
    else:
        print(_to_folder(family, a, settings))


def _to_folder(family: Family, a: argparse.Namespace, settings: dict[str, Any]) -> export.Written:
    a.interrupted = "interrupted: run the same command to continue; complete files stay"
    with progress_bar("export", "images") as progress:
        settings |= {"job_index": a.job_index, "num_jobs": a.num_jobs, "progress": progress}
        if a.layout == "webdataset":
            return export.shards(family, a.folder, **settings)
        if a.layout == "coco":
            return export.coco(family, a.folder, **settings)
        names: Any = "released" if a.layout == "released" else "plain"
        return export.folders(family, a.folder, names=names, **settings)


def _finalize(a: argparse.Namespace) -> None:
    with progress_bar("check", "shards") as progress:
        folder = a.folder if Path(a.folder).exists() else without_script(a.folder)
        found = export.finalize(folder, progress=progress)
    size = found["bytes"] / 1e6
    amount = f"{size / 1000:,.2f} GB" if size >= 1000 else f"{size:,.2f} MB"
    units = counted(len(found["shards"]), LAYOUTS[found["layout"]].unit)
    print(f"{counted(found['images'], 'image')} in {units}, {amount}: all intact")
