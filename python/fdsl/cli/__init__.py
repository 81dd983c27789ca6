"""The ``fdsl`` command: categories, pictures and files without writing a program.

    fdsl search --categories 100 --out categories.npz
    fdsl preview categories.npz --out sheet.png

Needs NumPy alone; labels on sheets need Pillow, shards webdataset (``pip install 'fdsl[export]'``).
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import sys
import warnings
from collections.abc import Sequence
from typing import TextIO

from fdsl import _core
from fdsl.cli import bench, categories, files, pictures

__all__ = ["main"]

#: What a caller can cause; anything else is a mistake of ours and shows its traceback. So is a
#: TypeError or an IndexError: argparse makes the types, and numbers are checked by ``options``.
MISTAKES = (ValueError, OSError, ModuleNotFoundError, MemoryError)

#: Exit codes, beside 0: a mistake of the caller's (as argparse has it), and Ctrl-C.
MISTAKE, INTERRUPTED = 2, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit code; a mistake is one sentence on stderr.

    ``python -X dev -m fdsl …`` shows the traceback all the same.
    """
    for name in ("stdout", "stderr"):  # None where the caller has closed it: `fdsl … >&-`
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_WRONLY), "w"))
    code = 0
    try:
        try:
            code = _run(argv)
        finally:
            sys.stdout.flush()
    except BrokenPipeError:  # `fdsl info … | head` has seen enough
        _give_up(sys.stdout)
    except OSError as error:  # the disk that stdout goes to is full
        _give_up(sys.stdout)
        if not code:
            code = MISTAKE
            _say(f"fdsl: error: cannot write the output: {_sentence(error)}")
    return code


def _run(argv: Sequence[str] | None) -> int:
    parser = argparse.ArgumentParser(
        prog="fdsl",
        description="Formulas as pictures to pre-train vision models on: find categories, look at "
        "them, and write them to files.",
    )
    parser.add_argument("--version", action="version", version=f"fdsl {_core.__version__}")
    parser.set_defaults(run=lambda _: parser.print_help(), parser=parser)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    for add in (
        categories.add_search,
        pictures.add_render,
        pictures.add_preview,
        files.add_export,
        files.add_finalize,
        categories.add_convert,
        categories.add_info,
        bench.add_bench,
    ):
        add(commands)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that knows no ² shows a ?
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
            raise
        _say(f"{arguments.parser.prog}: error: {_sentence(mistake)}")
        return MISTAKE


def _give_up(stream: TextIO) -> None:
    """Drops what a stream still holds: at exit Python would try again, and complain."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _say(line: str) -> None:
    with contextlib.suppress(OSError):  # nobody reads stderr; the exit code says it
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
        return str(mistake) or "there is not enough memory for that"
    if isinstance(mistake, OSError) and mistake.strerror:
        return f"{mistake.strerror}: {mistake.filename}" if mistake.filename else mistake.strerror
    return str(mistake)
