"""Options that several commands share, and reading them."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Sequence
from typing import Any

from fdsl.families import Family, Perlin, load
from fdsl.families.load import SOURCES
from fdsl.frame import Frame
from fdsl.rendering import Rendering, Strokes

#: That one option may list.
MOST_NUMBERS = 1_000_000
#: The core counts to here.
LAST_NUMBER = 2**64 - 1

Commands = Any  # argparse keeps the type of its sub-parsers to itself

PRESETS = ("default", "paper", "released")

#: What options were called in the first releases.
RENAMED = {
    "--weights": "--variation",
    "--points": "--num-points",
    "--pad": "--margin",
    "--redraw": "--resample-degenerate",
    "--no-redraw": "--no-resample-degenerate",
    "--recipe": "--preset",
    "--threads": "--num-threads",
    "--shard-index": "--job-index",
    "--num-shards": "--num-jobs",
}


class Renamed(argparse.Action):
    """Answers an option's old name with the new one."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option: str | None = None,
    ) -> None:
        """Ends the command."""
        parser.error(f"there is no {option} any more: it is {RENAMED[str(option)]} now")


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
    for old in RENAMED:
        parser.add_argument(old, action=Renamed, nargs="?", help=argparse.SUPPRESS)
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
    """Adds --num-threads."""
    parser.add_argument("--num-threads", type=int, help="how many work (default: all cores)")


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
    """Adds an option for each setting; what is not given is the preset's."""
    add = parser.add_argument_group("how images are rendered").add_argument
    switch = argparse.BooleanOptionalAction
    presets = "what the options below are if not given: the library's defaults, the paper's text, "
    presets += "or the authors' program to the byte"
    add("--preset", choices=PRESETS, default="default", help=presets)
    add("--size", type=size, metavar="N", help="height and width: 256, or 256x320")
    add("--crop", type=size, metavar="N", help="keep a window of this size")
    add("--crop-position", choices=["random", "center"], help="where the window is")
    add("--color", action=switch, help="three channels instead of one")
    add("--flips", action=switch, help="whether index %% 4 flips the image")
    again = "whether degenerate images are rendered again"
    add("--resample-degenerate", action=switch, help=again)
    add("--draw", choices=["patch", "point"], help="3×3 patches or single pixels")
    add("--margin", type=int, metavar="N", help="pixels left free around points and curves")
    fractals = parser.add_argument_group("of fractals alone").add_argument
    fractals("--num-points", type=int, metavar="N", help="points per image")
    masks = "a mask for every point, or for the image"
    fractals("--patch", choices=["random", "fixed"], help=masks)
    fractals("--variation", type=variation, metavar="W", help="interval of the variation, or none")
    kinds = "the authors' 25 rows of factors, or a factor drawn for each image"
    fractals("--variation-kind", choices=["grid", "continuous"], help=kinds)
    fractals("--mask-seed", type=int, metavar="N", help="of the patches, for --preset released")


def rendering_of(arguments: argparse.Namespace, family: Family) -> Frame:
    """Returns what the options describe, as the family obeys it.

    Raises:
        ValueError: an option means nothing to the family.
    """
    style = family.style
    every = {name for kind in (Frame, Rendering, Strokes, style) for name in kind.names()}
    given: dict[str, Any] = {name: getattr(arguments, name, None) for name in every}
    given = {name: value for name, value in given.items() if value is not None}
    if given.get("variation") == "none":
        given["variation"] = None
    for name in given:
        if name not in style.names():
            options = ", ".join(
                option(other) for other in style.names() if hasattr(arguments, other)
            )
            raise ValueError(
                f"{option(name)} means nothing to {type(family).__name__}, which takes {options}"
            )
    if arguments.preset == "default":
        return style(**given)
    preset = getattr(style, arguments.preset, None)
    if preset is None:
        raise ValueError(f"--preset {arguments.preset} is for fractals, got {family!r}")
    made: Frame = preset(**given)
    return made


def option(name: str) -> str:
    """Returns the option of a setting."""
    return f"--{name.replace('_', '-')}"


def size(text: str) -> int | tuple[int, int]:
    """Reads ``256`` or ``256x320``."""
    try:
        numbers = [int(part) for part in text.split("x")]
    except ValueError:
        numbers = []
    if len(numbers) not in (1, 2):
        raise argparse.ArgumentTypeError(f"must be 256 or, height first, 256x320; got {text!r}")
    return numbers[0] if len(numbers) == 1 else (numbers[0], numbers[1])


def variation(text: str) -> float | str:
    """Reads a number or ``none``."""
    try:
        return "none" if text == "none" else float(text)
    except ValueError:
        now = "; that is --variation-kind now" if text in ("grid", "continuous") else ""
        raise argparse.ArgumentTypeError(f"must be a number or none, got {text!r}{now}") from None


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
