"""Progress on the terminal: tqdm's bar, or a plain line where tqdm is not installed."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def bar(
    about: str, unit: str, total: int | None = None
) -> Iterator[Callable[[int, int | None], None]]:
    """Yields a function that is told (done, total); nothing is shown where nobody looks."""
    if not sys.stderr.isatty():
        yield lambda done, total: None
        return
    try:
        from tqdm import tqdm
    except ModuleNotFoundError:
        with _plain_line(about, unit) as show:
            yield show
        return
    with tqdm(desc=about, unit=f" {unit}", total=total, delay=0.5, unit_scale=False) as shown:

        def update(done: int, total: int | None) -> None:
            shown.total = total if total is not None else shown.total
            shown.update(done - shown.n)

        yield update


@contextmanager
def _plain_line(about: str, unit: str) -> Iterator[Callable[[int, int | None], None]]:
    last = start = time.monotonic()
    shown = False

    def show(done: int, total: int | None) -> None:
        nonlocal last, shown
        now = time.monotonic()
        if now - last > 0.2 and now - start > 0.5:
            of = "" if total is None else f" of {total:,}"
            rate = done / (now - start)
            print(f"\r{about}: {done:,}{of} {unit}, {rate:,.0f}/s ", end="", file=sys.stderr)
            last, shown = now, True

    try:
        yield show
    finally:
        if shown:
            print(file=sys.stderr)
