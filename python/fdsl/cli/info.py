"""``fdsl info``: describing categories and their images."""

from __future__ import annotations

import argparse
from collections import Counter

import numpy as np

from fdsl._checks import checked_positive, checked_seed, counted
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
from fdsl.cli.progress import progress_bar
from fdsl.families import IFS, Family
from fdsl.frame import Frame
from fdsl.render import render


def add_info(commands: Commands) -> None:
    """Adds ``fdsl info``."""
    parser = command(
        commands,
        "info",
        _info,
        "Describe categories: how many, how full, and how often images are degenerate",
        "fdsl info categories.npz\nfdsl info fractaldb-1000 --variation 0.1",
    )
    add_source(parser)
    add_seed(parser)
    parser.add_argument(
        "--images",
        type=int,
        default=2000,
        metavar="N",
        help="Number of images to render and measure (default: 2000)",
    )
    add_threads(parser)
    add_rendering(parser)


def _info(a: argparse.Namespace) -> None:
    checked_seed(a.seed)
    family = loaded(a)
    rendering = rendering_of(a, family)
    rows = [*_of_categories(family, a), *_of_images(family, rendering, a)]
    for name, value in rows:
        print(f"{name:<14}{value}")


def _of_categories(family: Family, a: argparse.Namespace) -> list[tuple[str, str]]:
    rows = [
        ("categories", f"{len(family):,} of {type(family).__name__}"),
        ("SHA-256", family.digest()),
    ]
    if not isinstance(family, IFS):
        return [*rows, ("first, last", f"{family[0]}, {family[-1]}")]
    sizes = Counter(len(maps) for maps, _ in family)
    rows.append(
        ("maps", ", ".join(f"{count:,} of {maps}" for maps, count in sorted(sizes.items())))
    )
    if family.candidates_tried is not None:
        rows.append(("candidates", f"{family.candidates_tried:,} tried"))
    rates = family.fill_rates(seed=a.seed, num_threads=a.num_threads)
    low, median, high = np.quantile(rates, [0, 0.5, 1])
    return [
        *rows,
        ("filling rate", f"{low:.3f} to {high:.3f}, median {median:.3f}"),
        # A category that just passed the search may be below its threshold with other points.
        ("", "(measured with other points than in the search: 512×512, 100,000)"),
    ]


def _of_images(family: Family, rendering: Frame, a: argparse.Namespace) -> list[tuple[str, str]]:
    rendered = lit = degenerate = 0
    wanted, size = checked_positive("images", a.images), rendering.images_at_once
    with progress_bar("render", "images", wanted) as progress:
        for first in range(0, wanted, size):
            numbers = np.arange(first, min(first + size, wanted), dtype=np.uint64)
            # The order of a stream: each row of weights equally often, however few images.
            categories, indices = family.order(numbers, None, a.seed)
            images, retries = render(
                family, categories, indices, a.seed, rendering, a.num_threads, return_retries=True
            )
            rendered += len(numbers)
            degenerate += int((retries > 0).sum())
            pixels = images.reshape(len(numbers), -1, rendering.channels)
            lit += int(np.count_nonzero(pixels.any(2)))
            progress(rendered, None)
    height, width = rendering.output_size
    share = f"{lit / (rendered * height * width):.1%}"
    kept = "re-rendered" if rendering.resample_degenerate else "kept"
    return [
        ("pixels lit", f"{share} of {counted(rendered, 'image')}"),
        ("degenerate", f"{degenerate / rendered:.2%} of them, {kept}"),
    ]
