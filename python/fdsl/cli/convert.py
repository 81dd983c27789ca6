"""``fdsl convert``: writing categories in another format."""

from __future__ import annotations

import argparse

from fdsl.cli.options import Commands, add_source, command, loaded
from fdsl.cli.output import check_categories_file, save_categories


def add_convert(commands: Commands) -> None:
    """Adds ``fdsl convert``."""
    parser = command(
        commands,
        "convert",
        _convert,
        "Write categories in another format",
        "fdsl convert fractaldb-1000 published              # the authors' CSV files\n"
        "fdsl convert ifs-100k.pkl categories.npz",
    )
    add_source(parser)
    parser.add_argument("out", metavar="OUT", help="File (.npz) or folder of CSV files to write")


def _convert(a: argparse.Namespace) -> None:
    out = check_categories_file(a.out)
    family = loaded(a)
    save_categories(family, out)
    print(f"{family!r}: {out}")
