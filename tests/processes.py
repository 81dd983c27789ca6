"""Child processes that are killed when their test ends."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any


@contextmanager
def started(command: Sequence[Any], **options: Any) -> Iterator["subprocess.Popen[Any]"]:
    """Starts a process in its own process group, and kills the group on exit.

    SIGINT has its default action in the child, even if this process was started with SIGINT ignored
    (``nohup make test &``). ``options`` are passed to ``subprocess.Popen``.
    """
    # A child inherits an ignored signal, but not a handler.
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


def torchrun(script: Path, *args: Any, ranks: int = 2, cwd: Path | None = None) -> None:
    """Runs a script on several ranks, and raises what they print as errors if one fails."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node", str(ranks), str(script), *map(str, args)]
    pipes: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    with started(command, cwd=cwd, env={**os.environ, "OMP_NUM_THREADS": "1"}, **pipes) as process:
        try:
            _, errors = process.communicate(timeout=250)
        finally:
            process.terminate()  # torchrun ends its ranks, which are in groups of their own
            process.wait(30)
    assert process.returncode == 0, errors
