"""Stopping a training script: signals, limits, and what ends with it."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from packages import TRAINING, need

need(*TRAINING)

from fdsl.torch.training import GracefulStop


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_requests_a_stop_and_interrupts_nothing(number: signal.Signals) -> None:
    before = signal.signal(number, signal.default_int_handler)
    try:
        with GracefulStop() as stop:
            assert not stop.requested()
            signal.raise_signal(number)
            assert stop.requested() and stop.requested()
            assert stop.exit_code == 128 + number
        assert signal.getsignal(number) is signal.default_int_handler
    finally:
        signal.signal(number, before)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_that_was_ignored_stays_ignored(number: signal.Signals) -> None:
    before = signal.signal(number, signal.SIG_IGN)
    try:
        with GracefulStop() as stop:
            assert signal.getsignal(number) is signal.SIG_IGN
            signal.raise_signal(number)
            assert not stop.requested()
        assert signal.getsignal(number) is signal.SIG_IGN
    finally:
        signal.signal(number, before)


def test_a_handler_that_python_did_not_set_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    handlers: dict[int, Any] = {signal.SIGINT: None, signal.SIGTERM: signal.SIG_DFL}

    def set_handler(number: int, handler: Any) -> Any:
        if handler is None:
            raise TypeError("signal handler must be signal.SIG_IGN, signal.SIG_DFL, or a callable")
        before, handlers[number] = handlers[number], handler
        return before

    with monkeypatch.context() as patch:  # undone before pytest-timeout takes its own one down
        patch.setattr(signal, "signal", set_handler)
        patch.setattr(signal, "getsignal", handlers.get)
        with GracefulStop():
            assert callable(handlers[signal.SIGTERM])
    assert handlers == {signal.SIGINT: None, signal.SIGTERM: signal.SIG_DFL}


def test_limits_request_a_stop_that_is_a_success() -> None:
    with GracefulStop(max_steps=3) as stop:
        assert [stop.requested(step) for step in (0, 2, 3, 4)] == [False, False, True, True]
    with GracefulStop(max_minutes=0.0) as late:
        assert late.requested()
    assert stop.exit_code == late.exit_code == 0


# Windows, which cannot fork, ends a process without running its handler of SIGTERM.
@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_daemon_may_end_in_its_own_way_at_exit(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        """
import multiprocessing, pathlib, signal, sys, time
import fdsl.torch.training

def daemon(ready):
    def save(*_):
        time.sleep(1.5)
        pathlib.Path(sys.argv[1]).write_text("saved")
        sys.exit()
    signal.signal(signal.SIGTERM, save)
    ready.set()
    time.sleep(60)

if __name__ == "__main__":
    context = multiprocessing.get_context("fork")
    ready = context.Event()
    context.Process(target=daemon, args=(ready,), daemon=True).start()
    ready.wait()
"""
    )
    subprocess.run([sys.executable, script, tmp_path / "file"], check=True, timeout=60)
    assert (tmp_path / "file").read_text() == "saved"


@pytest.mark.slow
def test_an_unforeseen_error_does_not_wait_for_workers_that_ignore_signals(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        """
from fdsl.torch.training import ignore_signals
from torch.utils.data import DataLoader

if __name__ == "__main__":
    kept = {"num_workers": 1, "persistent_workers": True}
    feed = iter(DataLoader(range(99), worker_init_fn=ignore_signals, **kept))
    next(feed)
    raise RuntimeError("out of memory")
"""
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "RuntimeError: out of memory" in done.stderr
