"""The ``fdsl`` command: categories, pictures and files without writing a program.

    fdsl search --categories 100 --out categories.npz
    fdsl preview categories.npz --out sheet.png

Needs NumPy alone; labels on sheets need Pillow, shards webdataset (``pip install 'fdsl[export]'``).
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from fdsl import _core
from fdsl.cli import bench, categories, files, pictures

__all__ = ["main"]

#: Exit codes, beside 0: a mistake of the caller's (as argparse has it), and Ctrl-C.
MISTAKE, INTERRUPTED = 2, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit code; a mistake is one sentence on stderr.

    ``python -X dev -m fdsl …`` shows the traceback all the same.
    """
    parser = argparse.ArgumentParser(
        prog="fdsl",
        description="Formulas as pictures to pre-train vision models on: find categories, look at "
        "them, and write them to files.",
    )
    parser.add_argument("--version", action="version", version=f"fdsl {_core.__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
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
    arguments = parser.parse_args(argv)
    try:
        arguments.run(arguments)
        sys.stdout.flush()
        return 0
    except BrokenPipeError:  # `fdsl info … | head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        print(file=sys.stderr)
        return INTERRUPTED
    except (ValueError, TypeError, IndexError, OSError, ModuleNotFoundError) as mistake:
        if sys.flags.dev_mode:
            raise
        print(f"{arguments.parser.prog}: error: {_sentence(mistake)}", file=sys.stderr)
        return MISTAKE


def _sentence(mistake: Exception) -> str:
    if isinstance(mistake, OSError) and mistake.strerror:
        return f"{mistake.strerror}: {mistake.filename}" if mistake.filename else mistake.strerror
    return str(mistake)
