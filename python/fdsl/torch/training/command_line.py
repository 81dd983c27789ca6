"""The command line of a script: its settings, and a user's mistake in one sentence."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

S = TypeVar("S")

ADVICE = "try a lower learning rate, a warmup or clipped gradients; the last checkpoint is kept"


def run_script(
    settings: Callable[..., S],
    work: Callable[[S], int],
    argv: Sequence[str] | None = None,
    *,
    renamed: Mapping[str, str] | None = None,
) -> int:
    """Calls ``work`` with the settings of the command line, and returns an exit code. Needs tyro.

    What a user can cause (ValueError, OSError, ModuleNotFoundError) becomes one sentence on stderr
    and exit code 2, and a training that diverges (FloatingPointError) exit code 1. ``python -X
    dev`` shows the traceback all the same.

    Args:
        settings: a dataclass; its fields are the options, their comments the help.
        work: the script; returns the exit code.
        argv: the words of the command line; those of this process if not given.
        renamed: options of earlier versions, and what to use instead.
    """
    import tyro

    words = sys.argv[1:] if argv is None else list(argv)
    try:
        for word in (word.split("=")[0] for word in words):
            if renamed and word in renamed:
                raise ValueError(f"{word} is now {renamed[word]}")
        return work(tyro.cli(settings, args=words))
    except (ValueError, OSError, FloatingPointError, ModuleNotFoundError) as error:
        if sys.flags.dev_mode:
            raise
        diverged = isinstance(error, FloatingPointError)
        sentence = f"{error}: {ADVICE}" if diverged else _sentence(error)
        script = Path(sys.modules[work.__module__].__file__ or "").name
        print(f"{script}: error: {sentence}", file=sys.stderr)
        return 1 if diverged else 2
    except KeyboardInterrupt:  # before the training loop, which stops in its own way
        return 130


def _sentence(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror and error.filename:
        return f"{error.strerror}: {error.filename}"
    return str(error)
