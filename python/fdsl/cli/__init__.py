"""The ``fdsl`` command: categories, images and data sets without writing a program.

    fdsl search --categories 100 --out categories.npz
    fdsl preview categories.npz --out sheet.png

Needs NumPy only. Labels on contact sheets need Pillow, and tqdm makes progress bars nicer.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import sys
import traceback
import warnings
from collections.abc import Sequence
from typing import TextIO

from fdsl import _core
from fdsl._files import discard, replace_closed_output
from fdsl.cli import bench, convert, explore, export, info, preview, render, search
from fdsl.cli.options import add_help

__all__ = ["main"]

#: Errors that a user can cause. Any other is a bug and shows its traceback, even a TypeError or an
#: IndexError: argparse converts the types, and ``options`` checks the numbers.
MISTAKES = (ValueError, OSError, ModuleNotFoundError, MemoryError)

#: Exit codes other than 0: a mistake in the arguments (as in argparse), and Ctrl-C.
MISTAKE, INTERRUPTED = 2, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit code; a mistake prints one sentence to stderr.

    ``python -X dev -m fdsl …`` shows the traceback as well.
    """
    replace_closed_output()
    code = 0
    try:
        try:
            code = _run(argv)
        finally:
            sys.stdout.flush()
    except BrokenPipeError:  # the reader stopped: `fdsl info … | head`
        discard(sys.stdout)
    except OSError as error:  # such as a full disk behind stdout
        discard(sys.stdout)
        if not code:
            code = MISTAKE
            _say(f"fdsl: error: cannot write the output: {_sentence(error)}")
    return code


def _run(argv: Sequence[str] | None) -> int:
    parser = argparse.ArgumentParser(
        prog="fdsl",
        description="Images of formulas for pre-training vision models: find categories, look at "
        "them, and write data sets.",
        add_help=False,
    )
    add_help(parser)
    parser.add_argument(
        "--version",
        action="version",
        version=f"fdsl {_core.__version__}",
        help="Show the version and exit",
    )
    parser.set_defaults(run=lambda _: parser.print_help(), parser=parser)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    for add in (
        search.add_search,
        render.add_render,
        preview.add_preview,
        explore.add_explore,
        export.add_export,
        export.add_finalize,
        convert.add_convert,
        info.add_info,
        bench.add_bench,
    ):
        add(commands)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # an ASCII terminal shows ? for ²
    arguments = parser.parse_args(argv)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _one_line
            arguments.run(arguments)
        return 0
    except BrokenPipeError:
        raise
    except KeyboardInterrupt:
        _say(f"\n{getattr(arguments, 'interrupted', 'interrupted')}")
        return INTERRUPTED
    except MISTAKES as mistake:
        if sys.flags.dev_mode:
            traceback.print_exc()
        _say(f"{arguments.parser.prog}: error: {_sentence(mistake)}")
        return MISTAKE


def _say(line: str) -> None:
    with contextlib.suppress(OSError):  # stderr is closed; the exit code remains
        print(line, file=sys.stderr)


def _one_line(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    _say(f"warning: {message}")


def _sentence(mistake: Exception) -> str:
    if isinstance(mistake, MemoryError):
        return str(mistake) or "not enough memory"
    if isinstance(mistake, OSError) and mistake.strerror:
        return f"{mistake.strerror}: {mistake.filename}" if mistake.filename else mistake.strerror
    return str(mistake)
