"""Child processes of tests, all of which end with the test."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any


@contextmanager
def started(command: Sequence[Any], **options: Any) -> Iterator["subprocess.Popen[Any]"]:
    """Starts a process in a group of its own, and kills the group in the end.

    Ctrl-C has its default meaning in it, also if this process was started with SIGINT ignored
    (``nohup make test &``). ``options`` are those of ``subprocess.Popen``.
    """
    # An ignored signal stays ignored in a child; one that has a handler here gets its default.
    before = signal.getsignal(signal.SIGINT)
    if before is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        process = subprocess.Popen(command, start_new_session=True, **options)
    finally:
        if before is signal.SIG_IGN:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield process
    finally:
        if sys.platform == "win32":
            process.kill()
        else:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
