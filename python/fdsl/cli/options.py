"""Options that several commands share."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from fdsl.cli.values import variation
from fdsl.controls import Control, style_controls, text
from fdsl.families import Family, Perlin
from fdsl.families.load import SOURCES
from fdsl.families.published import PRESETS, preset
from fdsl.families.registry import imported
from fdsl.frame import Frame
from fdsl.rendering import Rendering
from fdsl.settings import load_set, options_and_settings, read_values, text_options

Commands = Any  # the type of argparse's subparsers is private

#: Options of Perlin noise that the commands have.
NOISE = ("octaves", "persistence", "contrast")
#: Option names of the first releases, and today's.
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
    "--pictures": "--images",
}


class Renamed(argparse.Action):
    """Rejects the old name of an option with a message that gives the new one."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option: str | None = None,
    ) -> None:
        """Ends the program with a message."""
        new = RENAMED[str(option)]
        if new not in parser._option_string_actions:  # this command never had it
            parser.error(f"unrecognized arguments: {option}")
        parser.error(f"{option} was renamed to {new}")


def command(
    commands: Commands,
    name: str,
    run: Callable[[argparse.Namespace], None],
    about: str,
    example: str,
) -> argparse.ArgumentParser:
    """Adds a command.

    Args:
        commands: where to add it.
        name: its name.
        run: what it does with its arguments.
        about: a sentence about it, without the full stop.
        example: commands, one per line.
    """
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=about[0].upper() + about[1:],
        description=f"{about[0].upper()}{about[1:]}.",
        epilog="example:\n  " + example.replace("\n", "\n  "),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        add_help=False,
    )
    add_help(parser)
    parser.set_defaults(run=run, parser=parser)
    for old in RENAMED:
        parser.add_argument(old, action=Renamed, nargs="?", help=argparse.SUPPRESS)
    return parser


def add_help(parser: argparse.ArgumentParser) -> None:
    """Adds --help, capitalized like the other options."""
    parser.add_argument("-h", "--help", action="help", help="Show this message and exit")


def add_source(parser: argparse.ArgumentParser, default: str | None = None) -> None:
    """Adds the argument CATEGORIES and the options of noise."""
    about = SOURCES[0].upper() + SOURCES[1:]
    if default is None:
        parser.add_argument("categories", metavar="CATEGORIES", help=about)
    else:
        about = f"{about} (default: {default})"
        add = parser.add_argument
        add("categories", metavar="CATEGORIES", nargs="?", default=default, help=about)
    noise = parser.add_argument_group("options for perlin-N").add_argument
    noise(
        "--octaves",
        type=int,
        metavar="N",
        help="Number of octaves, each with twice the frequency of the one before (default: 1)",
    )
    noise(
        "--persistence",
        type=float,
        metavar="P",
        help="Amplitude of each octave relative to the one before (default: 0.5)",
    )
    noise(
        "--contrast",
        type=float,
        metavar="C",
        help="Factor before gray levels are assigned: at 1, noise of -1 is black and 1 is white",
    )
    parser.add_argument(
        "--set",
        action="extend",
        nargs="+",
        default=[],
        metavar="NAME=VALUE",
        help="Options of the family, or rendering settings that have no option here, such as those "
        "of a family of your own; after CATEGORIES, since it takes all words that follow. Text in "
        "quotes stays text: '\"none\"'",
    )


def add_seed(parser: argparse.ArgumentParser, about: str = "Seed of every address") -> None:
    """Adds --seed."""
    parser.add_argument("--seed", type=int, default=0, metavar="N", help=f"{about} (default: 0)")


def add_threads(parser: argparse.ArgumentParser) -> None:
    """Adds --num-threads."""
    about = "Number of threads (default: all cores)"
    parser.add_argument("--num-threads", type=int, metavar="N", help=about)


def loaded(arguments: argparse.Namespace) -> Family:
    """Returns the family that CATEGORIES names, with the options that ``--set`` gives it.

    Raises:
        ValueError: ``--set`` lacks an option that the family needs, or names one that it does not
            have.
    """
    values, renders = _set(arguments), hasattr(arguments, "settings")
    found, _ = load_set(arguments.categories, values, settings=renders)
    given = {n: getattr(arguments, n) for n in NOISE if getattr(arguments, n) is not None}
    if not given:
        return found
    if not isinstance(found, Perlin):
        raise ValueError(f"--{next(iter(given))} is for Perlin noise, got {found!r}")
    shared = {name: getattr(found, name) for name in NOISE}
    return Perlin([tuple(pair) for pair in found], **{**shared, **given})


def _set(arguments: argparse.Namespace) -> dict[str, Any]:
    """Returns what ``--set`` gives: options of the family, and rendering settings."""
    known = text_options(arguments.categories)
    # What the command has an option for, too. Its --seed, say, is not the seed of a family.
    settings = [name for name in getattr(arguments, "settings", ()) if name not in known]
    given = {name: getattr(arguments, name) for name in (*NOISE, *settings)}
    return read_values(arguments.set, given=given)


def check_categories(family: Family, categories: list[int]) -> list[int]:
    """Returns the categories that ``--category`` lists.

    Raises:
        ValueError: the family does not have one of them.
    """
    for category in categories:
        if category >= len(family):
            raise ValueError(
                f"category {category} is out of range: there are {len(family):,}, counted from 0"
            )
    return categories


def add_rendering(parser: argparse.ArgumentParser) -> None:
    """Adds an option for each rendering setting; the preset decides those that are not given."""
    before = len(parser._actions)
    add = parser.add_argument_group("rendering options").add_argument
    switch = argparse.BooleanOptionalAction
    add(
        "--preset",
        choices=("default", *PRESETS),
        default="default",
        help="Defaults of the options below: the library's (default), the paper's (paper), those "
        "of the authors' code, reproduced to the byte (released), those of Improving Fractal "
        "Pre-training (wacv22), or those of a published data set (published)",
    )
    add(
        "--size",
        type=_reader_of(Frame, "size"),
        metavar="N",
        help="Height and width, such as 256 or 256x320",
    )
    add(
        "--crop",
        type=_reader_of(Frame, "crop"),
        metavar="N",
        help="Crop the image to this size, or none",
    )
    add("--crop-position", choices=["random", "center"], help="Where to crop")
    add("--color", action=switch, help="Render three channels instead of one")
    add("--flips", action=switch, help="Flip the image according to index %% 4")
    add("--resample-degenerate", action=switch, help="Re-render degenerate images")
    add("--draw", choices=["patch", "point"], help="Draw 3×3 patches or single pixels")
    add("--margin", type=int, metavar="N", help="Pixels left free around points and curves")
    fractals = parser.add_argument_group("rendering options for fractals").add_argument
    fractals("--num-points", type=int, metavar="N", help="Points per image")
    fractals(
        "--patch",
        choices=["random", "fixed", "solid"],
        help="Use a random patch for every point, or one for the whole image, or a solid patch",
    )
    fractals(
        "--variation",
        type=variation,
        metavar="W",
        help="How much the parameters vary within a category, such as 0.4, or none: factors of up "
        "to 1±2W for ifs (see --variation-kind), and 1±W for ifs3d",
    )
    fractals(
        "--variation-kind",
        choices=["grid", "continuous", "map", "svd", "sval"],
        help="Take the factors from the authors' table of 25 (grid), or sample one for each image, "
        "for one parameter of every map (continuous) or all parameters of one map (map); or rotate "
        "or move one map (svd), or scale its matrix to a random sum of singular values (sval)",
    )
    fractals(
        "--mask-seed",
        type=_reader_of(Rendering, "mask_seed"),
        metavar="N",
        help="Seed of the patches, for --preset released",
    )
    for style in dict.fromkeys(kind.style for kind in imported()):
        _add_settings(parser, style)
    # A style may have a setting with the name of another option, such as seed.
    settings = {action.dest for action in parser._actions[before:]} - {"preset"}
    parser.set_defaults(settings=settings)


def _add_settings(parser: argparse.ArgumentParser, style: type[Frame]) -> None:
    """Adds an option for each setting of a style that has none yet; a preset sets compat.

    Styles may give the same name to different choices: the option takes all of them.
    """
    families = [kind.name for kind in imported() if kind.style is style]
    group = parser.add_argument_group(f"rendering options for {' and '.join(families)}")
    for control in style_controls(style):
        name = option(control.name)
        if name in parser._option_string_actions or control.name == "compat":
            continue
        every: list[Control] = []
        helps: dict[str, list[str]] = {}  # the families that each applies to
        for kind in imported():
            for same in (c for c in style_controls(kind.style) if c.name == control.name):
                every.append(same)
                helps.setdefault(same.help.split(". ")[0].rstrip("."), []).append(kind.name)
        about = next(iter(helps))
        if len(helps) > 1 or len(every) > len(families):
            about = ". ".join(f"For {', '.join(kinds)}: {words}" for words, kinds in helps.items())
        about = about.replace("%", "%%")
        if control.kind == "switch":
            switch = argparse.BooleanOptionalAction
            group.add_argument(name, action=switch, help=about)
        elif control.kind == "choice":
            choices = {text(choice): None for c in every for choice in c.choices}
            if any(c.optional for c in every):
                choices["none"] = None
            group.add_argument(name, choices=list(choices), help=about)
        else:
            metavar = name.rsplit("-", 1)[1].upper()
            group.add_argument(name, type=_reader(control), metavar=metavar, help=about)


def _reader(control: Control) -> Callable[[str], Any]:
    """Returns a function that parses the value of an option."""

    def read(given: str) -> Any:
        if control.optional and given == "none":
            return given  # argparse has None for an option that was not given
        try:
            return control.read(given)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return read


def _reader_of(style: type[Frame], setting: str) -> Callable[[str], Any]:
    return _reader(next(one for one in style_controls(style) if one.name == setting))


def rendering_of(arguments: argparse.Namespace, family: Family) -> Frame:
    """Returns the rendering that the options describe, in the family's own style.

    Raises:
        ValueError: an option does not apply to the family.
    """
    style = family.style
    given: dict[str, Any] = {name: getattr(arguments, name) for name in arguments.settings}
    given = {name: value for name, value in given.items() if value is not None}
    for control in style_controls(style):
        texts = {text(choice): choice for choice in control.choices}
        if control.optional:
            texts.setdefault("none", None)
        if isinstance(value := given.get(control.name), str):
            given[control.name] = texts.get(value, value)
    given |= options_and_settings(_set(arguments), arguments.categories)[1]
    for name in given:
        if name not in style.names():
            options = ", ".join(
                option(other) for other in style.names() if other in arguments.settings
            )
            raise ValueError(
                f"{option(name)} does not apply to {type(family).__name__}, which takes {options}"
            )
    with _sentences():
        if arguments.preset == "default":
            return style(**given)
        return preset(arguments.preset, family, source=arguments.categories, **given)


@contextlib.contextmanager
def _sentences() -> Iterator[None]:
    """Turns a ``TypeError``, which the command takes for a bug, into a message."""
    try:
        yield
    except TypeError as error:
        raise ValueError(str(error)) from error


def option(name: str) -> str:
    """Returns the name of the option for a setting."""
    return f"--{name.replace('_', '-')}"
