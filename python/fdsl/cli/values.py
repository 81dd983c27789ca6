"""Reading the values of options."""

from __future__ import annotations

import argparse
import re

#: The most numbers that one option may list.
MAX_NUMBERS = 1_000_000
#: The largest category or index.
MAX_NUMBER = 2**64 - 1


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
            raise argparse.ArgumentTypeError(f"must be numbers such as 3 or 0-7,159, got {text!r}")
        if span[-1] - span[0] + len(found) >= MAX_NUMBERS:
            raise argparse.ArgumentTypeError(
                f"may list at most {MAX_NUMBERS:,} numbers, got {text!r}"
            )
        if span[-1] > MAX_NUMBER:
            raise argparse.ArgumentTypeError(f"must be less than 2**64, got {text!r}")
        found.extend(span)
    return found
