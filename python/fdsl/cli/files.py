"""Commands that write data sets: export, finalize."""

from __future__ import annotations

import argparse
from typing import Any

from fdsl import export
from fdsl.cli.bar import bar
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
from fdsl.export.layout import LAYOUTS


def add_export(commands: Commands) -> None:
    """Adds ``fdsl export``."""
    parser = command(
        commands,
        "export",
        _export,
        "write pictures to webdataset shards or image folders",
        "fdsl export fractaldb-1000 shards                  # a million pictures\n"
        "fdsl export fractaldb-1000 shards --job-index 3 --num-jobs 8   # one job of eight\n"
        "fdsl finalize shards                               # once all are there\n"
        "fdsl export categories.npz folders --layout released --preset released",
    )
    add_source(parser)
    add = parser.add_argument
    add("folder", metavar="FOLDER", help="where to; what is there already is left alone")
    add(
        "--layout",
        choices=["webdataset", "folders", "released"],
        default="webdataset",
        help="shards, a folder of PNG files a category, or the authors' file names in those "
        "(default: webdataset)",
    )
    add("--instances", type=int, default=1000, metavar="N", help="of each category (default: 1000)")
    of_shards = "pictures a shard, of webdataset (default: 10000)"
    add("--shard-size", type=int, metavar="N", help=of_shards)
    add(
        "--job-index",
        type=int,
        default=0,
        metavar="I",
        help="this is part I of the work (default: 0)",
    )
    cut = "into how many parts the work is cut, for job arrays (default: 1)"
    add("--num-jobs", type=int, default=1, metavar="N", help=cut)
    add_seed(parser)
    add_threads(parser)
    add_rendering(parser)


def add_finalize(commands: Commands) -> None:
    """Adds ``fdsl finalize``."""
    parser = command(
        commands,
        "finalize",
        _finalize,
        "check every shard of an export and describe it in metadata.json",
        "fdsl finalize shards",
    )
    parser.add_argument("folder", metavar="FOLDER", help="what fdsl export wrote to")


def _export(a: argparse.Namespace) -> None:
    family = loaded(a)
    rendering = rendering_of(a, family)
    a.interrupted = "run the same command again to go on: what is whole stays"
    with bar("export", "pictures") as progress:
        shared: dict[str, Any] = {
            "instances": a.instances,
            "rendering": rendering,
            "seed": a.seed,
            "job_index": a.job_index,
            "num_jobs": a.num_jobs,
            "num_threads": a.num_threads,
            "progress": progress,
        }
        if a.layout == "webdataset":
            if a.shard_size is not None:
                shared["shard_size"] = a.shard_size
            written = export.shards(family, a.folder, **shared)
        elif a.shard_size is not None:
            raise ValueError(f"--shard-size is for webdataset shards, not for {a.layout}")
        else:
            shared["names"] = "released" if a.layout == "released" else "plain"
            written = export.folders(family, a.folder, **shared)
    print(written)


def _finalize(a: argparse.Namespace) -> None:
    with bar("check", "shards") as progress:
        found = export.finalize(a.folder, progress=progress)
    size = found["bytes"] / 1e6
    amount = f"{size / 1000:,.2f} GB" if size >= 1000 else f"{size:,.2f} MB"
    units = LAYOUTS[found["layout"]].units_are
    print(f"{found['pictures']:,} pictures in {len(found['shards']):,} {units}, {amount}: whole")
