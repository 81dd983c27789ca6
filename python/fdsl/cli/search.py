"""``fdsl search``: finding categories of fractals."""

from __future__ import annotations

import argparse

from fdsl._checks import counted
from fdsl.cli.options import Commands, add_seed, add_threads, command
from fdsl.cli.output import check_categories_file, save_categories
from fdsl.cli.progress import progress_bar
from fdsl.families import IFS
from fdsl.families.readers import refuse_other_csv

#: The most that one search may look for: eight hours on two cores, at 30 s per thousand.
MAX_CATEGORIES = 1_000_000


def add_search(commands: Commands) -> None:
    """Adds ``fdsl search``."""
    parser = command(
        commands,
        "search",
        _search,
        "Search for categories of fractals (section 3.2 of the paper)",
        "fdsl search --categories 1000 --fill-rate 0.2 --seed 1 --out categories.npz\n"
        "fdsl search --sampler released --seed 1 --out published   # the authors' CSV files",
    )
    add = parser.add_argument
    add(
        "--categories",
        type=int,
        default=1000,
        metavar="N",
        help="Number of categories to find (default: 1000)",
    )
    add(
        "--fill-rate",
        type=float,
        default=0.2,
        metavar="R",
        help="Lowest filling rate to accept; 0.1 is best in the paper, and the published "
        "categories were searched with 0.2 (default: 0.2)",
    )
    add_seed(parser, "Seed of the search")
    add(
        "--sampler",
        choices=["fdsl", "released"],
        default="fdsl",
        help="Generator of the candidates; released is the authors', which with --seed 1 finds "
        "the published categories (default: fdsl)",
    )
    add(
        "--min-maps",
        type=int,
        default=2,
        metavar="N",
        help="Fewest maps in a category (default: 2)",
    )
    add(
        "--max-maps",
        type=int,
        metavar="N",
        help="Most maps in a category (default: 8, or 7 with --sampler released)",
    )
    add(
        "--size",
        type=int,
        default=512,
        metavar="N",
        help="Height and width of the image on which the filling rate is measured (default: 512)",
    )
    add(
        "--num-points",
        type=int,
        default=100_000,
        metavar="N",
        help="Points in that image (default: 100000)",
    )
    add(
        "--margin",
        type=int,
        default=6,
        metavar="N",
        help="Pixels left free around the points (default: 6)",
    )
    add(
        "--max-tries",
        type=int,
        default=100_000,
        metavar="N",
        help="Give up after this many candidates in a row fail (default: 100000)",
    )
    add_threads(parser)
    add("--out", required=True, metavar="OUT", help="File (.npz) or folder of CSV files to write")


def _search(a: argparse.Namespace) -> None:
    out = check_categories_file(a.out)
    if a.categories > MAX_CATEGORIES:
        raise ValueError(f"categories must be at most {MAX_CATEGORIES:,}, got {a.categories:,}")
    if out.suffix != ".npz":
        refuse_other_csv(out, a.categories)
    with progress_bar("search", "categories", a.categories) as progress:
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
    save_categories(found, out)
    tried = counted(found.candidates_tried or 0, "candidate")
    print(f"{counted(len(found), 'category', 'categories')} found among {tried}: {out}")
    print(f"SHA-256 {found.digest()}")
