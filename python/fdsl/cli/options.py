"""Options that several commands share, and reading them."""

from __future__ import annotations

import argparse
import dataclasses
import re
from collections.abc import Callable
from typing import Any

from fdsl.formulas import Family, Perlin, load
from fdsl.formulas.load import SOURCES
from fdsl.rendering import Rendering

#: That one option may list.
MOST_NUMBERS = 1_000_000
#: The core counts to here.
LAST_NUMBER = 2**64 - 1

Commands = Any  # argparse keeps the type of its sub-parsers to itself

RECIPES: dict[str, Callable[..., Rendering]] = {
    "default": Rendering,
    "paper": Rendering.paper,
    "released": Rendering.released,
}


def command(
    commands: Commands,
    name: str,
    run: Callable[[argparse.Namespace], None],
    about: str,
    example: str,
) -> argparse.ArgumentParser:
    """Adds a command with a sentence about it and an example."""
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=about,
        description=about[0].upper() + about[1:] + ".",
        epilog="example:\n  " + example.replace("\n", "\n  "),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run, parser=parser)
    return parser


def add_source(parser: argparse.ArgumentParser, default: str | None = None) -> None:
    """Adds CATEGORIES."""
    if default is None:
        parser.add_argument("categories", metavar="CATEGORIES", help=SOURCES)
    else:
        about = f"{SOURCES} (default: {default})"
        add = parser.add_argument
        add("categories", metavar="CATEGORIES", nargs="?", default=default, help=about)
    noise = parser.add_argument_group("of perlin-N").add_argument
    noise("--octaves", type=int, metavar="N", help="each of twice the frequency (default: 1)")
    noise("--persistence", type=float, metavar="P", help="amplitude of each against the one before")
    noise("--contrast", type=float, metavar="C", help="at 1, black at -1 and white at 1")


def add_seed(parser: argparse.ArgumentParser, of: str = "every picture's address") -> None:
    """Adds --seed."""
    parser.add_argument("--seed", type=int, default=0, help=f"of {of} (default: 0)")


def add_threads(parser: argparse.ArgumentParser) -> None:
    """Adds --threads."""
    parser.add_argument("--threads", type=int, help="how many work (default: all cores)")


def loaded(arguments: argparse.Namespace) -> Family:
    """Returns the categories that CATEGORIES names."""
    found = load(arguments.categories)
    names = ("octaves", "persistence", "contrast")
    given = {n: getattr(arguments, n) for n in names if getattr(arguments, n) is not None}
    if not given:
        return found
    if not isinstance(found, Perlin):
        raise ValueError(f"--{next(iter(given))} is for Perlin noise, got {found!r}")
    shared = {name: getattr(found, name) for name in names}
    return Perlin([tuple(pair) for pair in found], **{**shared, **given})


def chosen(family: Family, categories: list[int]) -> list[int]:
    """Returns the categories that ``--category`` lists, if the family has them."""
    for category in categories:
        if category >= len(family):
            raise ValueError(
                f"category {category} is out of range: there are {len(family)}, counted from 0"
            )
    return categories


def add_rendering(parser: argparse.ArgumentParser) -> None:
    """Adds an option for each setting of a ``Rendering``; what is not given is the recipe's."""
    add = parser.add_argument_group("how pictures are drawn").add_argument
    switch = argparse.BooleanOptionalAction
    recipes = "what the options below are if not given: the library's defaults, the paper's text, "
    recipes += "or the authors' program to the byte"
    add("--recipe", choices=RECIPES, default="default", help=recipes)
    add("--size", type=size, metavar="N", help="height and width: 256, or 256x320")
    add("--crop", type=size, metavar="N", help="keep a window of this size")
    add("--crop-position", choices=["random", "center"], help="where the window stands")
    add("--points", type=int, metavar="N", help="dots a picture (fractals)")
    add("--draw", choices=["patch", "point"], help="3×3 patches or single pixels")
    add("--patch", choices=["random", "fixed"], help="a mask for every dot, or for the picture")
    add("--color", action=switch, help="three channels instead of one")
    add("--weights", type=weights, metavar="W", help="interval of the variation, or none")
    grid = "the authors' 25 weight rows, or a weight drawn for each picture"
    add("--variation", choices=["grid", "continuous"], help=grid)
    add("--pad", type=int, metavar="N", help="pixels left free around the dots")
    add("--flips", action=switch, help="whether index %% 4 mirrors")
    add("--redraw", action=switch, help="whether pictures that failed are drawn again")
    add("--mask-seed", type=int, metavar="N", help="of the patches, for --recipe released")


def rendering_of(arguments: argparse.Namespace) -> Rendering:
    """Returns the rendering that the options describe."""
    names = [field.name for field in dataclasses.fields(Rendering) if field.name != "sampler"]
    given = {name: getattr(arguments, name) for name in names}
    given = {name: value for name, value in given.items() if value is not None}
    if given.get("weights") == "none":
        given["weights"] = None
    return RECIPES[arguments.recipe](**given)


def size(text: str) -> int | tuple[int, int]:
    """Reads ``256`` or ``256x320``."""
    try:
        numbers = [int(part) for part in text.split("x")]
    except ValueError:
        numbers = []
    if len(numbers) not in (1, 2):
        raise argparse.ArgumentTypeError(f"must be 256 or, height first, 256x320; got {text!r}")
    return numbers[0] if len(numbers) == 1 else (numbers[0], numbers[1])


def weights(text: str) -> float | str:
    """Reads a number or ``none``."""
    try:
        return "none" if text == "none" else float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be a number or none, got {text!r}") from None


def numbers(text: str) -> list[int]:
    """Reads ``3``, ``3,14`` or ``0-7,159``."""
    found: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"(\d+)(?:-(\d+))?", part, re.ASCII)
        span = range(int(match[1]), int(match[2] or match[1]) + 1) if match else range(0)
        if not span:
            raise argparse.ArgumentTypeError(f"must be numbers such as 3 or 0-7,159; got {text!r}")
        if span[-1] - span[0] + len(found) >= MOST_NUMBERS:
            raise argparse.ArgumentTypeError(f"must be at most {MOST_NUMBERS:,}; got {text!r}")
        if span[-1] > LAST_NUMBER:
            raise argparse.ArgumentTypeError(f"must be less than 2**64; got {text!r}")
        found.extend(span)
    return found
