"""Commands that draw: render, preview."""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import sys
from pathlib import Path

import numpy as np

from fdsl import png
from fdsl._files import write_whole
from fdsl.cli.bar import bar
from fdsl.cli.options import (
    MOST_NUMBERS,
    Commands,
    add_rendering,
    add_seed,
    add_source,
    add_threads,
    chosen,
    command,
    loaded,
    numbers,
    rendering_of,
)
from fdsl.preview import contact_sheet
from fdsl.render import render


def add_render(commands: Commands) -> None:
    """Adds ``fdsl render``."""
    parser = command(
        commands,
        "render",
        _render,
        "draw pictures by their addresses",
        "fdsl render categories.npz --category 3 --index 77 --out picture.png\n"
        "fdsl render fractaldb-1000 --category 0-2 --index 80,84 --preset released --out folder",
    )
    add_source(parser)
    add = parser.add_argument
    add(
        "--category",
        type=numbers,
        default=[0],
        metavar="N,…",
        help="which: 3, or 0-7,159 (default: 0)",
    )
    add("--index", type=numbers, default=[0], metavar="N,…", help="of each (default: 0)")
    add_seed(parser)
    add_threads(parser)
    add("--out", required=True, metavar="OUT", help="a file (.png); a folder for several pictures")
    add_rendering(parser)


def add_preview(commands: Commands) -> None:
    """Adds ``fdsl preview``."""
    parser = command(
        commands,
        "preview",
        _preview,
        "draw a labelled sheet: a row of instances a category",
        "fdsl preview bezier-144 --categories 6 --instances 8 --size 128 --out sheet.png\n"
        "fdsl preview fractaldb-1000 --category 3,14,159 --index 80,240,400,560 --out sheet.png",
    )
    add_source(parser)
    add = parser.add_argument
    add(
        "--categories",
        dest="rows",
        type=int,
        default=8,
        metavar="N",
        help="how many, spread over all of them (default: 8)",
    )
    add("--category", type=numbers, metavar="N,…", help="these instead, such as 3 or 0-7,159")
    add(
        "--instances",
        dest="columns",
        type=int,
        default=8,
        metavar="N",
        help="how many of each, spread over the authors' grid of 1,000 (default: 8)",
    )
    add("--index", type=numbers, metavar="N,…", help="these instead, such as 3 or 0-7,159")
    add_seed(parser)
    add(
        "--labels",
        action=argparse.BooleanOptionalAction,
        help="categories and indices beside the pictures (default: if Pillow is installed)",
    )
    add("--out", required=True, metavar="OUT", help="a file (.png)")
    add_rendering(parser)


def _render(a: argparse.Namespace) -> None:
    out, total = Path(a.out), len(a.category) * len(a.index)
    one = out.suffix.lower() == ".png"
    if one and total > 1:
        raise ValueError(f"{total:,} pictures do not fit {out}: give a folder as OUT")
    if not one and out.suffix:
        raise ValueError(f"OUT must be a file .png or a folder, got {out}")
    if total > MOST_NUMBERS:
        raise ValueError(
            f"a folder may take at most {MOST_NUMBERS:,} images, got {total:,}; fdsl export writes "
            "more"
        )
    family = loaded(a)
    rendering = rendering_of(a, family)
    chosen(family, a.category)  # before any of them is written
    if not one:
        out.mkdir(parents=True, exist_ok=True)
    places = itertools.product(a.category, a.index)
    with bar("render", "pictures", total) as progress:
        for first in range(0, total, rendering.images_at_once):
            part = list(itertools.islice(places, rendering.images_at_once))
            categories, indices = [c for c, _ in part], [i for _, i in part]
            pictures = render(family, categories, indices, a.seed, rendering, a.num_threads)
            files = png.encode(pictures, a.num_threads)
            for (category, index), file in zip(part, files, strict=True):
                write_whole(out if one else out / f"{category:05d}_{index:06d}.png", file)
            progress(first + len(part), None)
    print(out if one else f"{total:,} pictures: {out}")


def _preview(a: argparse.Namespace) -> None:
    out = Path(a.out)
    if out.suffix.lower() != ".png":
        raise ValueError(f"OUT must be a file .png, got {out}")
    family = loaded(a)
    labels = importlib.util.find_spec("PIL") is not None if a.labels is None else a.labels
    # The first and the last are the most different ones of a grid of parameters.
    spread = np.linspace(0, len(family) - 1, max(0, min(a.rows, len(family)))).round().astype(int)
    with bar("preview", "pictures") as progress:
        sheet = contact_sheet(
            family,
            spread.tolist() if a.category is None else chosen(family, a.category),
            a.columns if a.index is None else a.index,
            rendering=rendering_of(a, family),
            seed=a.seed,
            label=labels,
            progress=progress,
        )
    write_whole(out, png.encode(sheet[None])[0])
    print(out)
    if not labels and a.labels is None:
        print("without labels: pip install 'fdsl[export]' brings them", file=sys.stderr)
