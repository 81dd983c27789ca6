"""Ctrl-C and SIGTERM end a run between two steps."""

from __future__ import annotations

import atexit
import multiprocessing.process
import multiprocessing.util  # its own function to run at exit must come after ours
import re
import signal
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any

import torch

from fdsl.torch.training.distributed import reduced


class GracefulStop:
    """Turns Ctrl-C and SIGTERM into a request to stop, which all ranks see after the same step.

    Inside the block, the signals interrupt nothing; afterwards, their handlers are restored. A
    signal that the process was started to ignore (``nohup``), or whose handler was not installed
    from Python, is left as it is. Outside the main thread, no handlers are set.

    >>> with GracefulStop(max_steps=2) as stop:
    ...     for step in range(10):
    ...         if stop.requested(step):
    ...             break
    >>> step, stop.exit_code
    (2, 0)

    Args:
        max_minutes: stop after this time, too, counted from now.
        max_steps: stop once this many steps are done, too.
    """

    def __init__(self, max_minutes: float | None = None, max_steps: int | None = None) -> None:
        self.max_minutes, self.max_steps = max_minutes, max_steps
        self._start = time.monotonic()
        self._signal = 0
        self._handlers: dict[int, Any] = {}
        #: For ``sys.exit``: 130 after Ctrl-C, 143 after SIGTERM, else 0. The same on all ranks.
        self.exit_code = 0

    def __enter__(self) -> GracefulStop:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                if signal.getsignal(number) not in (signal.SIG_IGN, None):
                    self._handlers[number] = signal.signal(number, self._hear)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: object, traceback: TracebackType | None
    ) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._handlers.clear()

    def requested(self, step: int = 0) -> bool:
        """Whether to stop after ``step`` steps. All ranks of ``torch.distributed`` must call it
        together."""
        minutes = (time.monotonic() - self._start) / 60
        enough = self.max_steps is not None and step >= self.max_steps
        enough |= self.max_minutes is not None and minutes >= self.max_minutes
        # 1 means that a limit was reached. A signal is 128 plus its number, so it takes precedence.
        wish = torch.tensor(128 + self._signal if self._signal else int(enough))
        agreed = int(reduced(wish, "MAX"))
        self.exit_code = agreed if agreed > 1 else 0
        return agreed > 0

    def _hear(self, number: int, frame: object) -> None:
        self._signal = max(self._signal, number)


def ignore_signals(worker: int) -> None:
    """A ``worker_init_fn`` for DataLoaders of a run that stops gracefully.

    Ctrl-C reaches worker processes too, as does a SIGTERM for the whole process group. The workers
    ignore both and end with the training process.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


#: How long daemons have to end at exit, all of them together.
SECONDS_TO_END = 1.0


def _ignores_termination(process: multiprocessing.process.BaseProcess) -> bool:
    """Whether a process ignores SIGTERM; where the system does not tell, it may."""
    try:
        status = Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8")
    except OSError:
        return True
    ignored = re.search(r"^SigIgn:\s*([0-9a-f]+)", status, re.MULTILINE)
    return ignored is None or bool(int(ignored[1], 16) >> (signal.SIGTERM - 1) & 1)


@atexit.register
def _kill_workers() -> None:
    # At exit multiprocessing sends daemons SIGTERM and waits for them: forever, if they ignore it,
    # as workers do (see ignore_signals). Here they have a moment to obey.
    children = multiprocessing.active_children()
    workers = [child for child in children if child.daemon and _ignores_termination(child)]
    if workers and hasattr(signal, "SIGCHLD"):
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # torch's handler would raise an error
    for child in workers:
        child.terminate()
    deadline = time.monotonic() + SECONDS_TO_END
    for child in workers:
        child.join(max(0.0, deadline - time.monotonic()))
        if child.is_alive():
            child.kill()
