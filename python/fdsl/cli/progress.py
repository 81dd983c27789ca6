"""Progress on stderr: a bar in a terminal, otherwise a line every 30 seconds."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TypeAlias

#: Seconds between two lines in a log file.
LOG_INTERVAL = 30.0
#: Seconds between two updates of a line in a terminal, and before the first.
TERMINAL_INTERVAL, TERMINAL_DELAY = 0.2, 0.5

#: Called with the number done, and with the total, or ``None`` to keep the total known so far.
Update: TypeAlias = Callable[[int, "int | None"], None]


@contextmanager
def progress_bar(label: str, unit: str, total: int | None = None) -> Iterator[Update]:
    """Yields a function that shows progress.

    Args:
        label: what is being done, such as ``"export"``.
        unit: what is counted, in the plural.
        total: how many there are, if known.
    """
    if not sys.stderr.isatty():
        yield _log(label, unit, total)
        return
    try:
        from tqdm import tqdm
    except ModuleNotFoundError:
        with _terminal_line(label, unit, total) as update:
            yield update
        return
    with tqdm(desc=label, unit=f" {unit}", total=total, delay=TERMINAL_DELAY) as bar:

        def update_bar(done: int, total: int | None) -> None:
            bar.total = bar.total if total is None else total
            bar.update(done - bar.n)

        yield update_bar


def _log(label: str, unit: str, total: int | None) -> Update:
    start = last = time.monotonic()

    def update(done: int, known: int | None) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= LOG_INTERVAL:
            last = now
            line = _line(label, unit, done, total if known is None else known, now - start)
            with suppress(OSError):  # the reader of a log may stop; the work goes on
                print(line, file=sys.stderr, flush=True)

    return update


@contextmanager
def _terminal_line(label: str, unit: str, total: int | None) -> Iterator[Update]:
    start = last = time.monotonic()
    shown = False

    def update(done: int, known: int | None) -> None:
        nonlocal last, shown
        now = time.monotonic()
        if now - last > TERMINAL_INTERVAL and now - start > TERMINAL_DELAY:
            line = _line(label, unit, done, total if known is None else known, now - start)
            with suppress(OSError):  # the terminal was closed
                print(f"\r{line} ", end="", file=sys.stderr, flush=True)
            last, shown = now, True

    try:
        yield update
    finally:
        if shown:
            with suppress(OSError):
                print(file=sys.stderr)


def _line(label: str, unit: str, done: int, total: int | None, seconds: float) -> str:
    rate = done / seconds
    if total is None:
        return f"{label}: {done:,} {unit}, {rate:,.0f}/s"
    left = f", {_duration((total - done) / rate)} left" if rate else ""
    return f"{label}: {done:,} of {total:,} {unit}, {rate:,.0f}/s{left}"


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
