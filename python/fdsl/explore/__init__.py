"""A local web page for exploring families and their settings."""

from __future__ import annotations

from fdsl._files import PathLike
from fdsl.families.base import Family

__all__ = ["explore"]

#: The port if none is given and it is free: links with a state keep working.
PORT = 8347


def explore(
    source: Family | PathLike | None = None, *, port: int | None = None, browser: bool = True
) -> None:
    """Opens a page in the browser on which every setting of every family can be tried out.

    The page shows images of one category and redraws them at every change. It also shows the line
    of Python that renders the same images. Runs until Ctrl-C (in a notebook: until the kernel is
    interrupted). Only this machine can connect, which includes its other users.

    Args:
        source: categories to begin with: a family, or what ``fdsl.load`` accepts. All registered
            families can be chosen on the page.
        port: of the page; if not given 8347, or any free port if that is taken.
        browser: whether to open the page in a browser.

    Raises:
        OSError: the port is taken.
        TypeError, ValueError: an argument is wrong; the message says what is accepted.
    """
    import webbrowser  # these take longer to import than the rest of the package

    from fdsl.explore.server import Explorer

    with Explorer(source, port) as explorer:
        try:
            print(f"{explorer.url}  (Ctrl-C to stop)", flush=True)
            if browser:
                webbrowser.open(explorer.url)
            explorer.serve()
        except KeyboardInterrupt:
            print()
