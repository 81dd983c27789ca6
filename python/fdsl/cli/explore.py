"""The command that opens the page: explore."""

from __future__ import annotations

import argparse

from fdsl.cli.options import Commands, command
from fdsl.explore import PORT, explore
from fdsl.families.load import SOURCES


def add_explore(commands: Commands) -> None:
    """Adds ``fdsl explore``."""
    parser = command(
        commands,
        "explore",
        _explore,
        "try out families and settings on a local web page",
        "fdsl explore\nfdsl explore categories.npz\nfdsl explore disks.py:disks-10",
    )
    add = parser.add_argument
    begin = f"Categories to begin with: {SOURCES} (default: the published categories)"
    add("categories", metavar="SOURCE", nargs="?", help=begin)
    add("--port", type=int, metavar="N", help=f"Port of the page (default: {PORT} if that is free)")
    add("--no-browser", action="store_true", help="Print the URL without opening a browser")


def _explore(a: argparse.Namespace) -> None:
    explore(a.categories, port=a.port, browser=not a.no_browser)
