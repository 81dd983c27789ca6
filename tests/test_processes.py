"""Imports, forked children and Ctrl-C."""

import multiprocessing
import signal
import subprocess
import sys
import time
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")  # an optional package, which all of this file needs

import fdsl
from processes import started
from scripts import ran
from streams import TINY, digest, needs_fork

pytestmark = pytest.mark.usefixtures("no_launcher")


@pytest.mark.slow
def test_the_parts_that_need_more_packages_are_imported_when_they_are_used() -> None:
    code = (
        "import fdsl, sys; assert not {'torch', 'fdsl.export'} & sys.modules.keys();"
        "fdsl.torch.Stream; fdsl.export.shards; assert not hasattr(fdsl, 'nothing')"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=100)


def _render_for_fork(ifs: fdsl.IFS) -> bytes:
    return digest(fdsl.render(ifs, np.arange(40) % 5, np.arange(40), 0, TINY, 4)).encode()


def _send(pipe: Any, ifs: fdsl.IFS) -> None:
    pipe.send_bytes(_render_for_fork(ifs))


@needs_fork
def test_forked_processes_render_after_their_parent_did(ifs: fdsl.IFS) -> None:
    expected = _render_for_fork(ifs)
    context = multiprocessing.get_context("fork")
    pipes = [context.Pipe(duplex=False) for _ in range(2)]
    children = [context.Process(target=_send, args=(sending, ifs)) for _, sending in pipes]
    for child in children:
        child.start()
    try:
        for receiving, _ in pipes:
            assert receiving.poll(30), "the child hangs"
            assert receiving.recv_bytes() == expected
        for child in children:
            child.join(30)
            assert child.exitcode == 0
    finally:
        for child in children:
            child.kill()
    assert _render_for_fork(ifs) == expected  # and the parent still does


def test_importing_fdsl_imports_no_torch() -> None:
    code = "import sys, fdsl; print(sorted({name.partition('.')[0] for name in sys.modules}))"
    done = ran([sys.executable, "-c", code])
    assert done.returncode == 0, done.stderr
    assert "'fdsl'" in done.stdout
    assert "'torch'" not in done.stdout
    assert "'torchvision'" not in done.stdout


# On Windows, Ctrl-C is an event of the console, which a test would send to itself, too.
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT to send")
@pytest.mark.parametrize("progress", ["None", "lambda found, tried: None"], ids=["", "progress"])
def test_ctrl_c_ends_a_search(progress: str) -> None:
    code = (
        "import signal, fdsl\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "print('searching', flush=True)\n"
        "fdsl.IFS.search(1, 0.9, size=64, num_points=5000, max_tries=10**12, progress="
        f"{progress})\n"
    )
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with started([sys.executable, "-c", code], **pipes) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "searching\n"
        time.sleep(0.5)  # long enough to be searching
        assert process.poll() is None, "the search ended on its own"
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    assert errors.rstrip().endswith("KeyboardInterrupt")
    assert "in search" in errors
