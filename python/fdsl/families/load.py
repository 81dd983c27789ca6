"""Categories by name, or from files."""

from __future__ import annotations

import contextlib
import inspect
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from fdsl._checks import meant, shortened, shown
from fdsl._files import PathLike
from fdsl._scripts import import_script
from fdsl.families.base import Family
from fdsl.families.fractaldb import fractaldb
from fdsl.families.ifs import IFS
from fdsl.families.published import PUBLISHED, published_family
from fdsl.families.registry import NAME, find, is_known, names
from fdsl.families.scene import Scene

_FILES = (
    "a file that was saved (.npz), a folder of the authors' CSV files or of an export, a pickle "
    "(.pkl) of Improving Fractal Pre-training, or a script and a name (families.py:disks-10)"
)
#: Functions that make a family of a number of categories.
_MAKERS: dict[str, Callable[..., Family]] = {
    "fractaldb": fractaldb,
    "contractive": IFS.sample,
    "multi-fractal": Scene.multi_fractal,
}
#: The kinds of sources that ``load`` accepts, for help texts.
SOURCES = f"a published set ({', '.join(PUBLISHED)}), a name (perlin-100, bezier-144), {_FILES}"


def load(source: PathLike, **options: Any) -> Family:
    """Returns categories by name, or reads them from a file or folder of any kind.

    Args:
        source: one of

            - the name of a published set of categories: ``"fractaldb-1k"``, ``"fractaldb-10k"``,
              ``"rcdb-1k"``, ``"visualatom-1k"``, or any other that ``fdsl.published`` knows;
            - the name of a family and a number of categories: ``"fractaldb-100"``,
              ``"contractive-100"``, ``"multi-fractal-100"``, ``"perlin-100"``, ``"bezier-144"``,
              ``"rcdb-100"``;
            - a script and such a name, ``"families.py:disks-10"``: the script is imported first.
              So is that of ``"families.py:saved.npz"``, since a file does not hold the code of a
              family in Python;
            - a file that ``save`` wrote;
            - a folder of the authors' CSV files (``IFS.from_csv``), or one that was exported to;
            - a pickle (``IFS.from_pickle``).

            A name means the same wherever it is used: a file or folder that has the name of known
            categories is ``"./fractaldb-100"``, or a ``Path``.
        **options: of a name, arguments for the family besides the number of categories, such as
            ``octaves=3`` for Perlin noise.

    Raises:
        FileNotFoundError: there is no such file, folder or name; the message lists the names.
        TypeError: an option is unknown, or there are options for a file.
        ValueError: the file holds no categories, or the family cannot have that many.

    >>> load("bezier-144")
    <Bezier: 144 categories of up to 13 points and 12 curves>
    >>> load("perlin-100", octaves=3)
    <Perlin: 100 categories, 3 octaves>
    """
    if str(source) == "":  # which would be the current folder
        raise ValueError(f"source must be a name, a file or a folder, got {shown(source)}")
    path = Path(source)
    try:
        exists = path.exists()
    except OSError:  # longer than a file name can be
        exists = False
    by_name = isinstance(source, str) or not exists
    if by_name and (found := _by_name(str(source), options)) is not None:
        return found
    if not exists:
        rest = without_script(str(source))
        if rest != str(source) and Path(rest).exists():
            return load(Path(rest), **options)
        known = makers()
        if rest in known:
            raise FileNotFoundError(f"{source} lacks the number of categories, as in {source}-100")
        accepted = ", ".join(f"{name}-N" for name in known)
        number = re.search(r"(?<=-)[0-9]+$", rest)
        similar = [*PUBLISHED, *(f"{name}-{number[0]}" for name in known if number)]
        similar = [] if Path(rest).suffix else similar  # a file that is not there
        raise FileNotFoundError(
            f"no categories at {shortened(str(path))}: expected a published set "
            f"({', '.join(PUBLISHED)}), a name ({accepted}), {_FILES}{meant(rest, similar)}"
        )
    if options:
        raise TypeError(f"a file takes no options, got {', '.join(options)} for {path}")
    if path.is_dir():
        exported = sorted(path.glob("categories-*.npz"))
        if len(exported) > 1:
            raise ValueError(
                f"{path} holds {len(exported)} files of categories: name one, such as {exported[0]}"
            )
        return Family.load(exported[0]) if exported else IFS.from_csv(path)
    if path.suffix == ".py":
        raise ValueError(f"{path} is a script: name a family that it defines, as in {path}:NAME-10")
    if path.suffix in (".pkl", ".pickle"):
        return IFS.from_pickle(path)
    return Family.load(path)


def without_script(source: str) -> str:
    """Imports the script of ``families.py:rest``, if there is one, and returns the rest."""
    scripted = re.fullmatch(r"(.+\.py):(.+)", source)
    if scripted is None:
        return source
    import_script(scripted[1])
    return scripted[2]


def makers() -> dict[str, Callable[..., Family]]:
    """Returns the functions and classes that make a family of a number of categories, by the name
    that ``load`` knows them by."""
    found: dict[str, Callable[..., Family]] = {**_MAKERS}
    for name in names():
        with contextlib.suppress(Exception):  # an installed package that cannot be imported
            kind = find(name)
            if not issubclass(kind, IFS):  # which is made of maps, not of a number
                found[name] = kind
    return dict(sorted(found.items()))


def options_of(maker: Callable[..., Family]) -> dict[str, inspect.Parameter]:
    """Returns the arguments with which a family can be made besides the number of categories."""
    try:
        signature = inspect.signature(maker, eval_str=True)
    except NameError:  # an annotation that is only for type checkers
        signature = inspect.signature(maker)
    _, *others = signature.parameters.values()
    variable = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return {one.name: one for one in others if one.kind not in variable}


class Named(NamedTuple):
    """What a name such as ``"perlin-100"`` says."""

    name: str
    maker: Callable[..., Family]
    categories: int


def _by_name(source: str, options: dict[str, Any]) -> Family | None:
    """Makes the family of a name, if it is known."""
    if (family := published_family(source)) is not None:
        if options:
            given = ", ".join(options)
            raise TypeError(f"the published set {source} takes no options, got {given}")
        return family
    parts = named(source)
    if parts is None:
        return None
    known = options_of(parts.maker) if options else {}
    for option in options:
        if option not in known:
            takes = ", ".join(known) or "none"
            raise TypeError(f"{parts.name} has no option {shown(option)}; its options: {takes}")
    return parts.maker(parts.categories, **options)


def named(source: str) -> Named | None:
    """Returns the parts of a name such as ``"perlin-100"``, or ``None`` if it is unknown.

    Raises:
        UnknownFamily: the name follows a script, and is neither that of a family nor of a file.
    """
    named = re.fullmatch(rf"(?:(.+\.py):)?({NAME})-(\d{{1,20}})", source)
    if named is None:
        return None
    script, name, number = named.groups()
    if script is not None:
        import_script(script)
    if name in _MAKERS:
        maker = _MAKERS[name]
    elif not is_known(name) and (script is None or Path(f"{name}-{number}").exists()):
        return None
    else:
        maker = kind = find(name)
        if issubclass(kind, IFS):
            return None
    return Named(name, maker, int(number))
