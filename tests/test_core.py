"""Guarantees of every call into the core: Ctrl-C, forks, threads, memory, panics."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import fdsl
import numpy as np
import pytest
from fdsl import _core

SETUP = """
import signal
import numpy as np
import fdsl, fdsl.png
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in a background job
rng = np.random.default_rng(0)
noise = fdsl.Perlin([[1000.0, 1000.0]], octaves=16)
large = fdsl.Frame(size=4096, color=True)
ifs = fdsl.IFS([rng.uniform(-0.5, 0.5, (4, 6)) for _ in range(3000)])
numbers = np.zeros(3 * 10**8, np.uint64)
"""

READY = "print('ready', flush=True)\n"

#: What only one of them needs: 800 MB.
BEFORE = {"encode": "images = rng.integers(0, 7, (1, 8192, 8192, 3), np.uint8).repeat(4, axis=0)\n"}

#: Each takes about a minute or more, the noise for a single image.
LONG_WORK = {
    "render, 1 thread": "fdsl.render(noise, 0, range(16), rendering=large, num_threads=1)",
    "render, 2 threads": "fdsl.render(noise, 0, range(16), rendering=large, num_threads=2)",
    "fill_rates": "ifs.fill_rates(size=4096, num_points=2**24)",
    "encode": "fdsl.png.encode(images, num_threads=1)",
    "stream_order": "fdsl._core.stream_order(numbers, 1000, None, 1000, 0)",
    "sample": "fdsl._core.sample_contractive(categories=10**7, seed=0, min_maps=256, max_maps=256, "
    "singular_sum=None)",
    "search": "fdsl.IFS.search(1000, 0.9, max_tries=10**9, size=4096, num_points=2**22)",
    "search, many threads": "fdsl.IFS.search(1000, 0.99, sampler='released', num_threads=64)",
}


def run(code: str, **settings: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, **settings},
    )


@pytest.mark.slow
@pytest.mark.parametrize("work", LONG_WORK)
def test_ctrl_c_stops_long_work(work: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", SETUP + BEFORE.get(work, "") + READY + LONG_WORK[work]],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as child:
        try:
            assert child.stdout is not None
            assert child.stdout.readline() == "ready\n"
            with pytest.raises(subprocess.TimeoutExpired):
                child.wait(1.0)  # it is working
            child.send_signal(signal.SIGINT)
            _, errors = child.communicate(timeout=20)
        finally:
            child.kill()
    assert "KeyboardInterrupt" in errors
    assert "panicked" not in errors


def test_a_small_image_does_not_wait_for_the_long_work_of_another_thread() -> None:
    noise, frame = fdsl.Perlin(4, octaves=8), fdsl.Frame(size=1024)
    numbers, calls = range(20), []
    begun, enough = threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        while not enough.is_set():
            fdsl.render(noise, 0, numbers, rendering=frame, num_threads=2)
            calls.append("done")

    worker = threading.Thread(target=work)
    worker.start()
    begun.wait()
    for _ in range(20):
        fdsl.render(noise, 0, [1, 2], rendering=fdsl.Frame(size=64), num_threads=2)
    meanwhile = len(calls)
    enough.set()
    worker.join()
    assert meanwhile < 10  # each small image would wait for one of them


@pytest.mark.skipif(not hasattr(signal, "SIGALRM"), reason="needs alarms")
def test_the_exception_of_a_signal_handler_reaches_the_caller() -> None:
    """Even if the work goes on for several checks after it was told to stop."""
    code = """
import signal
import numpy as np
import fdsl
def ring(*_):
    raise LookupError("time is over")
signal.signal(signal.SIGALRM, ring)
rng = np.random.default_rng(0)
ifs = fdsl.IFS([rng.uniform(-0.5, 0.5, (20, 6)) for _ in range(400)])
signal.setitimer(signal.ITIMER_REAL, 0.05)
ifs.fill_rates(size=4096, num_points=2**24, num_threads=2)
"""
    done = run(code)
    assert done.returncode == 1 and "LookupError: time is over" in done.stderr


def test_a_panic_in_the_core_is_a_runtime_error_that_asks_for_a_report() -> None:
    with pytest.raises(
        RuntimeError, match=r"internal error in fdsl: requested by a test\. This is a bug"
    ):
        _core.fail()
    fdsl.render(fdsl.Perlin(4), 0, range(4), num_threads=2)  # the threads still work


def test_a_daemon_thread_that_searches_at_exit_prints_nothing() -> None:
    code = """
import threading, time
import fdsl
endless = dict(fill_rate=0.9, max_tries=10**9)
threading.Thread(target=fdsl.IFS.search, args=(10,), kwargs=endless, daemon=True).start()
time.sleep(0.3)
"""
    done = run(code)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(not os.path.exists("/proc/self/task"), reason="needs Linux's /proc")  # noqa: PTH110
def test_trying_many_numbers_of_threads_keeps_few_threads() -> None:
    code = """
import os, time
import fdsl
before = len(os.listdir("/proc/self/task"))  # NumPy starts some
for threads in range(1, 33):
    fdsl.render(fdsl.Perlin(4), 0, range(4), rendering=fdsl.Frame(size=32), num_threads=threads)
for _ in range(100):
    if (kept := len(os.listdir("/proc/self/task")) - before) <= 32 + 31:
        break
    time.sleep(0.1)  # waits for threads to end
print(kept)
"""
    assert int(run(code).stdout) <= 32 + 31  # two pools; keeping all of them would be 527 threads


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="needs Linux's /proc")  # noqa: PTH110
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(
    "work",
    [
        "fdsl.render(ifs, 0, range(2), rendering=huge, num_threads=threads)",
        "fdsl.render(fdsl.Scene(ifs), 0, range(2), rendering=large, num_threads=threads)",
        "ifs.fill_rates(num_points=2**24, num_threads=threads)",
        "fdsl.IFS.search(1, 1e-5, num_points=2**23, num_threads=threads)",
        "fdsl.points3d(fdsl.IFS3D(1), 0, [0, 12], rendering=many, num_threads=threads)",
    ],
    ids=["render", "scene", "fill rates", "search", "points"],
)
def test_the_memory_of_a_huge_image_is_not_kept(threads: int, work: str) -> None:
    code = f"""
import os
import fdsl
def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") >> 20
ifs = fdsl.IFS([[[0.5, 0, 0, 0.5, 0, 0], [0.5, 0, 0, 0.5, 0.5, 0], [0.5, 0, 0, 0.5, 0.25, 0.5]]])
threads = {threads}
fdsl.render(ifs, 0, range(2), num_threads=threads)
before = resident()
huge = fdsl.Rendering(size=4096, num_points=2**24)
large = fdsl.Scenes(size=1024, min_scale=1, max_scale=1)  # of fractals of 200,000 points at 256²
many = fdsl.Views(num_points=2**23)
{work}
print(resident() - before)
"""
    assert int(run(code).stdout) < 60  # MiB; a thread once kept 200


def test_each_rank_of_torchrun_takes_its_share_of_the_cores() -> None:
    code = "import fdsl; print(fdsl.cores())"
    alone = int(run(code, LOCAL_WORLD_SIZE="1").stdout)
    assert int(run(code, LOCAL_WORLD_SIZE="2").stdout) == max(1, alone // 2)
    assert int(run(code, LOCAL_WORLD_SIZE="4096").stdout) == 1
    assert int(run(code, LOCAL_WORLD_SIZE="0").stdout) == alone


# Only Linux has namespaces in which a child gets the process id of its parent.
@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's namespaces")
def test_a_child_with_its_parents_pid_starts_its_own_threads() -> None:
    """The first process in every PID namespace has PID 1."""
    code = """
import ctypes, os, signal
import fdsl
CLONE_NEWPID = 0x20000000
def render():
    fdsl.render(fdsl.Perlin(4), 0, range(4), rendering=fdsl.Frame(size=32), num_threads=2)
def fork_in_new_namespace(child):
    if ctypes.CDLL(None).unshare(CLONE_NEWPID) != 0:
        os._exit(77)
    pid = os.fork()
    if pid == 0:
        assert os.getpid() == 1
        signal.alarm(20)  # ends a child that waits for its parent's threads
        child()
        os._exit(0)
    os._exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) != 0)
def render_and_fork():
    render()
    fork_in_new_namespace(render)
fork_in_new_namespace(render_and_fork)
"""
    done = run(code)
    if done.returncode == 77:
        pytest.skip("this user may not create a PID namespace")
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_forked_while_other_threads_create_pools_can_render() -> None:
    """A lock held by another thread at the fork would never be released in the child."""
    code = """
import os, signal, threading
import fdsl
def render(threads):
    fdsl.render(fdsl.Perlin(4), 0, range(4), rendering=fdsl.Frame(size=16), num_threads=threads)
done = False
def create_pools():
    threads = 2
    while not done:
        render(threads := 2 + (threads + 1) % 5)
others = [threading.Thread(target=create_pools) for _ in range(2)]
[other.start() for other in others]
failed = 0
for _ in range(300):
    pid = os.fork()
    if pid == 0:
        signal.alarm(20)
        render(2)
        os._exit(0)
    # In one child of thousands, glibc 2.36 frees the storage of a thread that was starting at the
    # fork a second time, in pthread_create, and aborts.
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    failed += code not in (0, -signal.SIGABRT)
done = True
[other.join() for other in others]
print(failed)
"""
    assert run(code).stdout == "0\n"


def test_the_core_refuses_a_family_without_categories() -> None:
    with pytest.raises(ValueError, match="categories must be at least 1, got 0"):
        _core.Categories("bezier", {"counts": np.zeros((0, 2), np.uint64)})


def test_the_core_refuses_a_part_that_needs_color() -> None:
    arrays = fdsl.Scene([fdsl.RCDB(3)])._core_arrays()
    scene = (
        str(arrays["scene"]).replace('"gray"', '"cycle"').replace('"color": false', '"color": true')
    )
    with pytest.raises(ValueError, match="line_color must be 'gray' unless color=True, got"):
        _core.Categories("scene", {**arrays, "scene": scene})


def test_the_core_refuses_a_scene_as_a_part() -> None:
    arrays = fdsl.Scene([fdsl.RCDB(3)])._core_arrays()
    scene = str(arrays["scene"]).replace('"rcdb"', '"segrcdb"')
    with pytest.raises(ValueError, match="images of segrcdb cannot be parts of other images"):
        _core.Categories("scene", {**arrays, "scene": scene})


def test_the_core_refuses_sizes_that_would_fill_the_memory() -> None:
    with pytest.raises(ValueError, match="pixels must have the length"):
        _core.encode_png(np.zeros(4, np.uint8), (4, 2**62 + 1), 1, 1)
    with pytest.raises(ValueError, match="channels must be 1 or 3, got 2"):
        _core.encode_png(np.zeros(8, np.uint8), (2, 2), 2, 1)


def test_the_core_refuses_maps_of_another_dimension() -> None:
    maps = np.full((12, 6), 0.5)  # as many numbers as six maps of space
    settings = fdsl.Views(size=32, num_points=100).settings
    with pytest.raises(ValueError, match='"maps" is missing, or has the wrong shape or type'):
        _core.draw_view(
            settings, maps, np.full(6, 1 / 6), 6, 0, 0, 0.0, np.zeros(32 * 32, np.uint8)
        )
    addresses, points = np.zeros(1, np.uint64), np.zeros(300, np.float32)
    with pytest.raises(ValueError, match='"maps" is missing, or has the wrong shape or type'):
        _core.points3d(
            settings, maps, np.full(6, 1 / 6), np.array([6]), addresses, addresses, 0, 1, points
        )
    with pytest.raises(ValueError, match='"maps" is missing, or has the wrong shape or type'):
        _core.released_patches(np.zeros((2, 3)), [1.0], 32, [511])


def test_a_frequency_too_low_or_too_high_to_be_visible_is_rejected() -> None:
    for frequency in (5e-324, 1e-5, 0.0, -1.0, 4097.0, float("nan")):
        with pytest.raises(ValueError, match="frequency must be between 1/4096 and 4096"):
            fdsl.Perlin([[frequency, 1.0]])
    coarse = fdsl.Perlin([[1 / 4096, 4096.0]])
    assert fdsl.render(coarse, 0, 0, rendering=fdsl.Frame(size=16)).any()


def test_a_variation_of_0_is_no_variation() -> None:
    ifs = fdsl.IFS.search(4, 0.2, seed=1)
    small = {"size": 64, "num_points": 5000}
    for kind in ("grid", "continuous"):
        images = [
            fdsl.render(
                ifs,
                range(4),
                [0, 40, 333, 999],
                rendering=fdsl.Rendering(variation=w, variation_kind=kind, **small),  # type: ignore[arg-type]
            )
            for w in (0, 0.0, None)
        ]
        assert np.array_equal(images[0], images[2]) and np.array_equal(images[1], images[2])
    with pytest.raises(ValueError, match=r"between 0 and 1.*got -0.1"):
        fdsl.Rendering(variation=-0.1)


def test_every_simd_path_can_be_selected_and_renders_the_same_image() -> None:
    noise, small = fdsl.Perlin(4), fdsl.Frame(size=32)
    images = [fdsl.render(noise, 0, 7, rendering=small, simd=path) for path in _core.simd_paths()]
    assert all(np.array_equal(image, images[0]) for image in images)
    with pytest.raises(ValueError, match="'plain', 'avx2', 'avx512' or 'neon', got \"sse\""):
        fdsl.render(noise, 0, 7, rendering=small, simd="sse")
