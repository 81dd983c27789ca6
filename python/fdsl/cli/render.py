"""``fdsl render``: images by address."""

from __future__ import annotations

import argparse
import itertools

from fdsl import png
from fdsl._checks import counted
from fdsl._files import named_path, write_whole
from fdsl.cli.options import (
    Commands,
    add_rendering,
    add_seed,
    add_source,
    add_threads,
    check_categories,
    command,
    loaded,
    rendering_of,
)
from fdsl.cli.output import STDOUT, binary_stdout
from fdsl.cli.progress import progress_bar
from fdsl.cli.values import MAX_NUMBERS, numbers
from fdsl.render import render


def add_render(commands: Commands) -> None:
    """Adds ``fdsl render``."""
    parser = command(
        commands,
        "render",
        _render,
        "Render images by their addresses",
        "fdsl render categories.npz --category 3 --index 77 --out image.png\n"
        "fdsl render fractaldb-1000 --category 0-2 --index 80,84 --preset released --out folder",
    )
    add_source(parser)
    add = parser.add_argument
    add(
        "--category",
        type=numbers,
        default=[0],
        metavar="N,…",
        help="Categories, such as 3 or 0-7,159 (default: 0)",
    )
    add(
        "--index",
        type=numbers,
        default=[0],
        metavar="N,…",
        help="Instances of each category, such as 3 or 0-7,159 (default: 0)",
    )
    add_seed(parser)
    add_threads(parser)
    add(
        "--out",
        required=True,
        metavar="OUT",
        help="File (.png) for one image, - for one on stdout, or a folder for several",
    )
    add_rendering(parser)


def _render(a: argparse.Namespace) -> None:
    out, total = named_path(a.out), len(a.category) * len(a.index)
    to_stdout = a.out == STDOUT
    single = to_stdout or out.suffix.lower() == ".png"
    if single and total > 1:
        where = "stdout" if to_stdout else out
        raise ValueError(f"{where} takes one image, got {total:,}: give a folder as OUT")
    if not single and out.suffix and not out.is_dir():
        raise ValueError(f"OUT must be a .png file, a folder or -, got {out}")
    if total > MAX_NUMBERS:
        raise ValueError(
            f"a folder may take at most {MAX_NUMBERS:,} images, got {total:,}; fdsl export writes "
            "more"
        )
    family = loaded(a)
    rendering = rendering_of(a, family)
    check_categories(family, a.category)  # before the first file is written
    stdout = binary_stdout("an image") if to_stdout else None
    if not single:
        out.mkdir(parents=True, exist_ok=True)
    addresses = itertools.product(a.category, a.index)
    with progress_bar("render", "images", total) as progress:
        for first in range(0, total, rendering.images_at_once):
            batch = list(itertools.islice(addresses, rendering.images_at_once))
            categories, indices = zip(*batch, strict=True)
            images = render(family, categories, indices, a.seed, rendering, a.num_threads)
            files = png.encode(images, a.num_threads)
            for (category, index), file in zip(batch, files, strict=True):
                if stdout is not None:
                    stdout.write(file)
                else:
                    write_whole(out if single else out / f"{category:05d}_{index:06d}.png", file)
            progress(first + len(batch), None)
    if not to_stdout:
        print(out if single else f"{counted(total, 'image')}: {out}")
