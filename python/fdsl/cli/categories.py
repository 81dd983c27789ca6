"""Commands about categories: search, convert, info."""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path

import numpy as np

from fdsl._checks import checked_positive, checked_seed
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
from fdsl.families import IFS, Family
from fdsl.families.readers import refuse_other_csv
from fdsl.render import render

#: That a search may be asked for: at half a minute a thousand, eight hours on two cores.
MOST_CATEGORIES = 1_000_000


def add_search(commands: Commands) -> None:
    """Adds ``fdsl search``."""
    parser = command(
        commands,
        "search",
        _search,
        "search for categories of fractals (paper, section 3.2)",
        "fdsl search --categories 1000 --fill-rate 0.2 --seed 1 --out categories.npz\n"
        "fdsl search --sampler released --seed 1 --out published   # the authors' CSV files",
    )
    add = parser.add_argument
    add("--categories", type=int, default=1000, metavar="N", help="how many (default: 1000)")
    add(
        "--fill-rate",
        type=float,
        default=0.2,
        metavar="R",
        help="least filling rate, as the search measures it: the "
        "paper's best is 0.1, the published categories have 0.2 (default: 0.2)",
    )
    add_seed(parser, "the search")
    add(
        "--sampler",
        choices=["fdsl", "released"],
        default="fdsl",
        help="whose candidates; "
        "released with --seed 1 finds the published categories (default: fdsl)",
    )
    add("--min-maps", type=int, default=2, metavar="N", help="of a category (default: 2)")
    add("--max-maps", type=int, metavar="N", help="of a category (default: 8; released: 7)")
    add(
        "--size",
        type=int,
        default=512,
        metavar="N",
        help="of the picture that the filling rate is measured on (default: 512)",
    )
    add("--num-points", type=int, default=100_000, metavar="N", help="dots on it (default: 100000)")
    add(
        "--margin",
        type=int,
        default=6,
        metavar="N",
        help="pixels left free around them (default: 6)",
    )
    add(
        "--max-tries",
        type=int,
        default=100_000,
        metavar="N",
        help="give up after so many candidates in a row (default: 100000)",
    )
    add_threads(parser)
    add("--out", required=True, metavar="OUT", help="a file (.npz), or a folder of CSV files")


def add_convert(commands: Commands) -> None:
    """Adds ``fdsl convert``."""
    parser = command(
        commands,
        "convert",
        _convert,
        "write categories in another form",
        "fdsl convert fractaldb-1000 published              # the authors' CSV files\n"
        "fdsl convert ifs-100k.pkl categories.npz",
    )
    add_source(parser)
    parser.add_argument("out", metavar="OUT", help="a file (.npz), or a folder of CSV files")


def add_info(commands: Commands) -> None:
    """Adds ``fdsl info``."""
    parser = command(
        commands,
        "info",
        _info,
        "say what categories are, how full they are and how many pictures have to be drawn again",
        "fdsl info categories.npz\nfdsl info fractaldb-1000 --variation 0.1",
    )
    add_source(parser)
    add_seed(parser)
    parser.add_argument(
        "--pictures",
        type=int,
        default=2000,
        metavar="N",
        help="drawn to see how many fail (default: 2000)",
    )
    add_threads(parser)
    add_rendering(parser)


def _search(a: argparse.Namespace) -> None:
    out = _checked_out(a.out)
    if a.categories > MOST_CATEGORIES:
        raise ValueError(f"categories must be at most {MOST_CATEGORIES:,}, got {a.categories:,}")
    if not out.suffix:
        refuse_other_csv(out, a.categories)
    with bar("search", "categories", a.categories) as progress:
        found = IFS.search(
            a.categories,
            a.fill_rate,
            a.seed,
            sampler=a.sampler,
            min_maps=a.min_maps,
            max_maps=a.max_maps,
            size=a.size,
            num_points=a.num_points,
            margin=a.margin,
            max_tries=a.max_tries,
            num_threads=a.num_threads,
            progress=lambda found, tried: progress(found, None),
        )
    _save(found, out)
    print(f"{len(found):,} categories of {found.candidates_tried:,} candidates: {out}")
    print(f"SHA-256 {found.digest()}")


def _convert(a: argparse.Namespace) -> None:
    out = _checked_out(a.out)
    family = loaded(a)
    _save(family, out)
    print(f"{family!r}: {out}")


def _info(a: argparse.Namespace) -> None:
    checked_seed(a.seed)
    family = loaded(a)
    rendering = rendering_of(a, family)
    rows = [
        ("categories", f"{len(family):,} of {type(family).__name__}"),
        ("SHA-256", family.digest()),
    ]
    if isinstance(family, IFS):
        sizes = Counter(len(maps) for maps, _ in family)
        of_each = ", ".join(f"{count:,} of {maps}" for maps, count in sorted(sizes.items()))
        rates = family.fill_rates(seed=a.seed, num_threads=a.num_threads)
        least, middle, most = np.quantile(rates, [0, 0.5, 1])
        rows.append(("maps", of_each))
        if family.candidates_tried is not None:
            rows.append(("candidates", f"{family.candidates_tried:,} tried"))
        rows.append(("filling rate", f"{least:.3f} to {most:.3f}, median {middle:.3f}"))
        # A category that just passed the search may fall under its threshold in another game.
        rows.append(("", "(measured anew, with other dots than the search's: 512 × 512, 100,000)"))
    else:
        rows.append(("first, last", f"{family[0]}, {family[-1]}"))

    drawn = lit = redrawn = 0
    wanted, some = checked_positive("pictures", a.pictures), rendering.images_at_once
    with bar("pictures", "pictures", wanted) as progress:
        for first in range(0, wanted, some):
            part = np.arange(first, min(first + some, wanted), dtype=np.uint64)
            # As a stream goes: all weight rows alike, however few pictures there are.
            categories, indices = family.order(part, None, a.seed)
            images, retries = render(
                family, categories, indices, a.seed, rendering, a.num_threads, return_retries=True
            )
            drawn, redrawn = drawn + len(part), redrawn + int((retries > 0).sum())
            lit += int(np.count_nonzero(images.reshape(len(part), -1, rendering.channels).any(2)))
            progress(drawn, None)
    height, width = rendering.output_size
    rows.append(("pixels lit", f"{lit / (drawn * height * width):.1%} of {drawn:,} pictures"))
    off = "" if rendering.resample_degenerate else " (redrawing is off)"
    rows.append(("drawn again", f"{redrawn / drawn:.2%} of them{off}"))
    for name, value in rows:
        print(f"{name:<14}{value}")


def _checked_out(name: str) -> Path:
    """Returns where to write, before long work is done for nothing."""
    out = Path(name)
    if out.suffix not in ("", ".npz"):
        raise ValueError(f"OUT must be a file .npz or a folder for CSV files, got {name}")
    if not out.absolute().parent.is_dir():
        raise FileNotFoundError(f"there is no folder {out.parent} to write {out.name} to")
    if out.suffix == ".npz" and out.is_dir():
        raise IsADirectoryError(f"{out} is a folder: a file .npz cannot take its place")
    if not out.suffix and out.exists() and not out.is_dir():
        raise FileExistsError(f"{out} is a file: a folder for CSV files cannot take its place")
    return out


def _save(family: Family, out: Path) -> None:
    if out.suffix == ".npz":
        family.save(out)
    elif isinstance(family, IFS):
        family.to_csv(out)
    else:
        raise ValueError(f"CSV files hold IFS alone, got {family!r}; write a file .npz")
