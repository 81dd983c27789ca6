"""``fdsl preview``: contact sheets."""

from __future__ import annotations

import argparse
import importlib.util
import sys
from pathlib import Path

import numpy as np

from fdsl import png
from fdsl._files import write_whole
from fdsl.cli.options import (
    Commands,
    add_rendering,
    add_seed,
    add_source,
    check_categories,
    command,
    loaded,
    rendering_of,
)
from fdsl.cli.progress import progress_bar
from fdsl.cli.values import numbers
from fdsl.preview import contact_sheet


def add_preview(commands: Commands) -> None:
    """Adds ``fdsl preview``."""
    parser = command(
        commands,
        "preview",
        _preview,
        "Render a contact sheet: a row of instances for each category",
        "fdsl preview bezier-144 --categories 6 --instances 8 --size 128 --out sheet.png\n"
        "fdsl preview fractaldb-1000 --category 3,14,159 --index 80,240,400,560 --out sheet.png\n"
        "fdsl preview scene-100 --target boxes --out boxes.png",
    )
    add_source(parser)
    add = parser.add_argument
    rows, columns = parser.add_mutually_exclusive_group(), parser.add_mutually_exclusive_group()
    rows.add_argument(
        "--categories",
        dest="rows",
        type=int,
        default=8,
        metavar="N",
        help="Number of categories, spread over all of them (default: 8)",
    )
    rows.add_argument(
        "--category",
        type=numbers,
        metavar="N,…",
        help="Categories to show instead, such as 3 or 0-7,159",
    )
    columns.add_argument(
        "--instances",
        dest="columns",
        type=int,
        default=8,
        metavar="N",
        help="Number of instances, spread over the authors' grid of 1,000 (default: 8)",
    )
    columns.add_argument(
        "--index",
        type=numbers,
        metavar="N,…",
        help="Instances to show instead, such as 3 or 0-7,159",
    )
    add_seed(parser)
    add(
        "--target",
        choices=["mask", "boxes"],
        help="Show masks or boxes to the right of each image, for families that offer them",
    )
    add(
        "--labels",
        action=argparse.BooleanOptionalAction,
        help="Write categories and indices beside the images (default: if Pillow is installed)",
    )
    add("--out", required=True, metavar="OUT", help="File (.png) to write")
    add_rendering(parser)


def _preview(a: argparse.Namespace) -> None:
    out = Path(a.out)
    if out.suffix.lower() != ".png":
        raise ValueError(f"OUT must be a .png file, got {out}")
    family = loaded(a)
    labels = importlib.util.find_spec("PIL") is not None if a.labels is None else a.labels
    # In a grid of parameters the first and the last category differ most.
    spread = np.linspace(0, len(family) - 1, max(0, min(a.rows, len(family)))).round().astype(int)
    with progress_bar("preview", "images") as progress:
        sheet = contact_sheet(
            family,
            spread.tolist() if a.category is None else check_categories(family, a.category),
            a.columns if a.index is None else a.index,
            rendering=rendering_of(a, family),
            seed=a.seed,
            label=labels,
            target=a.target,
            progress=progress,
        )
    write_whole(out, png.encode(sheet[None])[0])
    print(out)
    if not labels and a.labels is None:
        print("labels need Pillow: pip install pillow", file=sys.stderr)
