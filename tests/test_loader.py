"""The loader: a stream's batches, rendered ahead by a thread that always ends."""

import contextlib
import copy
import gc
import itertools
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

import fdsl
from fdsl.targets import render_batch
from fdsl.torch import Dataset, Loader, Normalize, Stream
from processes import started
from torch.utils.data import DataLoader

TINY = fdsl.Rendering(size=32, num_points=500)


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    yield
    gc.collect()
    assert all_threads_end()


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "fdsl-loader"]


def all_threads_end() -> bool:
    """Whether all threads have ended: a thread that is stopped first finishes its batch."""
    return soon(lambda: not threads())


def soon(true: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 20
    while not true() and time.monotonic() < deadline:
        time.sleep(0.01)
    return true()


def stream_of(ifs: fdsl.IFS, **changes: Any) -> Stream:
    return Stream(ifs, **{"rendering": TINY, "batch_size": 4, "seed": 3, **changes})


def equal(one: Any, other: Any) -> bool:
    return len(one) == len(other) and all(
        torch.equal(a, b)
        for pair in zip(one, other, strict=True)
        for a, b in zip(*pair, strict=True)
    )


@pytest.mark.parametrize("color", [False, True])
@pytest.mark.parametrize("prefetch", [1, 3])
def test_the_batches_are_those_of_a_data_loader(ifs, prefetch, color) -> None:
    rendering = fdsl.Rendering(size=32, num_points=500, crop=24, color=color)
    stream = stream_of(ifs, steps_per_epoch=7, rendering=rendering)
    expected = list(DataLoader(stream, batch_size=None, num_workers=2))
    with Loader(
        stream_of(ifs, steps_per_epoch=7, rendering=rendering), prefetch_batches=prefetch
    ) as loader:
        assert len(loader) == 7
        got = list(loader)
        assert equal(got, expected)
        assert [image.stride() for image, _ in got] == [image.stride() for image, _ in expected]
        loader.set_epoch(1)
        stream.set_epoch(1)
        assert equal(list(loader), list(stream))


def test_an_endless_stream_does_not_end(ifs) -> None:
    stream = stream_of(ifs)
    expected = list(itertools.islice(iter(stream_of(ifs)), 20))
    with Loader(stream) as loader:
        assert equal(list(itertools.islice(loader, 20)), expected)
        with pytest.raises(TypeError, match="endless"):
            len(loader)


def test_threads_do_not_change_batches(ifs) -> None:
    one, five = (Loader(stream_of(ifs, num_threads=n, steps_per_epoch=3)) for n in (1, 5))
    assert equal(list(one), list(five))


def test_ranks_are_disjoint_and_complete(ifs) -> None:
    halves = [
        list(Loader(stream_of(ifs, rank=rank, world_size=2, steps_per_epoch=4))) for rank in (0, 1)
    ]
    whole = list(stream_of(ifs, batch_size=8, steps_per_epoch=4))
    for (a, la), (b, lb), (images, labels) in zip(*halves, whole, strict=True):
        assert torch.equal(torch.cat([a, b]), images)
        assert torch.equal(torch.cat([la, lb]), labels)


@pytest.mark.parametrize("steps", [None, 10])
def test_resume_equals_never_having_stopped(ifs, steps) -> None:
    whole = list(itertools.islice(stream_of(ifs, steps_per_epoch=steps), 10))
    loader = Loader(stream_of(ifs, steps_per_epoch=steps))
    first = list(itertools.islice(loader, 3))
    assert loader.state_dict() == {"samples": 12}  # though more are rendered
    for make in (Loader, lambda stream: stream):
        again = make(stream_of(ifs, steps_per_epoch=steps))
        again.load_state_dict(loader.state_dict())
        if steps:
            assert len(again) == 10
        assert equal(first + list(itertools.islice(again, 7)), whole)


def test_a_state_is_that_of_the_stream(ifs) -> None:
    stream = stream_of(ifs, steps_per_epoch=5)
    stream.load_state_dict({"samples": 32})  # in the second epoch
    loader = Loader(stream)
    assert loader.state_dict() == {"samples": 32}
    batches = iter(loader)
    next(batches)
    assert loader.state_dict() == batches.state_dict() == {"samples": 36}
    with pytest.raises(RuntimeError, match=r"call state_dict\(\) on the Loader"):
        stream.state_dict()
    assert stream.state_dict(batches=1) == {"samples": 36}
    list(batches)
    assert loader.state_dict() == {"samples": 40}
    loader.set_epoch(0)
    assert loader.state_dict() == {"samples": 0}
    with pytest.raises(ValueError, match="what a stream's state_dict returns"):
        loader.load_state_dict({"batches": 3})


def test_two_iterators_do_not_disturb_each_other(ifs) -> None:
    loader = Loader(stream_of(ifs, steps_per_epoch=6))
    pairs = list(zip(loader, loader, strict=True))
    whole = list(itertools.islice(stream_of(ifs), 12))
    assert equal([one for one, _ in pairs], whole[:6])
    assert equal([other for _, other in pairs], whole[6:])  # the next epoch
    loader.close()


def test_batches_stay_on_the_cpu_whatever_the_default_device(ifs: fdsl.IFS) -> None:
    stream = stream_of(ifs)
    expected = next(iter(stream))[0]
    torch.set_default_device("meta")
    try:
        for source in (stream_of(ifs), Loader(stream_of(ifs))):
            assert torch.equal(next(iter(source))[0], expected)
        scenes = Dataset(fdsl.Scene(2), 1, target="boxes", transforms=lambda *both: both)
        image, target = scenes[0]
        assert {image.device.type, *(part.device.type for part in target.values())} == {"cpu"}
        normalize = Normalize(mean=0.3).to_empty(device="cpu")  # as a network built on "meta"
    finally:
        torch.set_default_device(None)
    assert torch.equal(normalize(expected), Normalize(mean=0.3)(expected))


def test_the_memory_of_a_batch_that_is_held_is_not_reused(ifs) -> None:
    with Loader(stream_of(ifs), prefetch_batches=1) as loader:
        held = []
        for images, labels in itertools.islice(loader, 40):
            held.append((images[1:2], images.clone(), labels))  # a view keeps all of it
            del images, labels
        for view, kept, _ in held:
            assert torch.equal(view, kept[1:2])


def test_no_more_is_rendered_ahead_than_asked_for(ifs, monkeypatch) -> None:
    rendered: list[int] = []
    monkeypatch.setattr(
        "fdsl.torch.stream.render_batch",
        lambda *args, **how: (rendered.append(1), render_batch(*args, **how))[1],
    )
    with Loader(stream_of(ifs), prefetch_batches=2) as loader:
        batches = iter(loader)
        next(batches)
        # The loop has one, two are ready, and one more is rendered and waits.
        assert soon(lambda: len(rendered) == 4)
        time.sleep(0.2)
        assert len(rendered) == 4


def test_a_transform_is_applied_on_the_device(ifs) -> None:
    normalize = Normalize(mean=0.3, std=0.4, dtype=torch.bfloat16)
    with Loader(stream_of(ifs, steps_per_epoch=3), device="cpu", transform=normalize) as loader:
        for (images, labels), (bytes_, expected) in zip(
            loader, stream_of(ifs, steps_per_epoch=3), strict=True
        ):
            assert images.dtype == torch.bfloat16 and not images.requires_grad
            assert torch.equal(images, normalize(bytes_))
            assert torch.equal(labels, expected)


def test_a_loader_mixes_images_and_labels_in_its_thread(ifs) -> None:
    v2 = pytest.importorskip("torchvision.transforms.v2")

    class Mixed(Normalize):
        def __init__(self) -> None:
            super().__init__(mean=0.3)
            self.mix = v2.MixUp(num_classes=5)

        def forward(self, images: Any, labels: Any) -> Any:
            return self.mix(super().forward(images), labels)

    with Loader(stream_of(ifs), device="cpu", transforms=Mixed()) as loader:
        for images, targets in itertools.islice(loader, 3):
            assert images.dtype == torch.float32 and targets.shape == (len(images), 5)
            torch.testing.assert_close(targets.sum(1), torch.ones(len(images)))


def test_the_transform_of_a_stream_comes_first(ifs) -> None:
    def inverted(images: Any) -> Any:
        return 255 - images

    stream = stream_of(ifs, steps_per_epoch=3, transform=inverted)
    with Loader(stream, device="cpu", transform=Normalize()) as loader:
        for (images, _), (plain, _) in zip(loader, stream_of(ifs), strict=False):
            assert torch.equal(images, Normalize()(255 - plain))


@pytest.mark.parametrize("where", ["stream", "loader"])
def test_a_transform_may_return_several_views(ifs, where: str) -> None:
    def views(images: Any) -> Any:
        return {"global": images, "local": [images[..., :16], images[..., 16:]]}

    stream = stream_of(ifs, steps_per_epoch=2, transform=views if where == "stream" else None)
    transform = views if where == "loader" else None
    with Loader(stream, device="cpu", transform=transform) as loader:
        for (found, _), (plain, _) in zip(loader, stream_of(ifs), strict=False):
            assert torch.equal(found["global"], plain)
            assert torch.equal(torch.cat(found["local"], -1), plain)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_batches_arrive_whole_on_a_gpu(ifs) -> None:
    normalize = Normalize()
    expected = list(stream_of(ifs, steps_per_epoch=50))
    busy = torch.zeros(2048, 2048, device="cuda")
    with Loader(stream_of(ifs, steps_per_epoch=50), device="cuda", transform=normalize) as loader:
        for (images, labels), (bytes_, right) in zip(loader, expected, strict=True):
            busy @= busy  # computation that copies overlap with
            assert images.device.type == "cuda"
            assert torch.equal(images, normalize(bytes_.cuda()))
            assert torch.equal(labels.cpu(), right)


def test_epochs_advance_and_a_loaded_position_is_used_once(ifs) -> None:
    whole = list(itertools.islice(stream_of(ifs), 16))
    with Loader(stream_of(ifs, steps_per_epoch=4)) as loader:
        loader.load_state_dict({"samples": 24})
        assert equal(list(loader), whole[6:8])
        assert loader.state_dict() == {"samples": 32}
        assert equal(list(loader), whole[8:12])
        assert equal(list(loader), whole[12:])
        assert len(loader) == 4


# What trainers read from a DataLoader


@pytest.mark.parametrize("steps", [4, None])
def test_a_loader_has_the_attributes_of_a_data_loader(ifs, steps) -> None:
    loader = Loader(stream_of(ifs, steps_per_epoch=steps))
    plain = DataLoader(torch.arange(16), batch_size=4)
    for name, value in vars(plain).items():
        if not name.startswith("_"):
            assert hasattr(loader, name), name
            assert (
                isinstance(value, type(getattr(loader, name)))
                or "sampler" in name
                or (name in ("dataset", "collate_fn"))
            ), name
    assert loader.dataset is loader.stream
    assert (loader.batch_size, loader.num_workers, loader.drop_last) == (4, 0, False)
    assert loader.batch_sampler.sampler is loader.sampler
    assert loader.batch_sampler.batch_size == 4
    assert (loader.in_order, loader.pin_memory) == (True, False)
    batch = next(iter(loader))
    assert all(map(torch.equal, loader.collate_fn(batch), batch))
    if steps:
        assert (len(loader.sampler), len(loader.batch_sampler)) == (16, 4)
        assert list(loader.sampler) == list(range(16))
    else:
        assert list(itertools.islice(loader.sampler, 3)) == [0, 1, 2]
    loader.close()


def as_lightning(loader: Any, epoch: int) -> None:
    """Does what its trainer does before each epoch."""
    samplers = [getattr(loader, "sampler", None)]
    samplers.append(getattr(getattr(loader, "batch_sampler", None), "sampler", None))
    for sampler in {id(sampler): sampler for sampler in samplers}.values():
        if callable(getattr(sampler, "set_epoch", None)):
            sampler.set_epoch(epoch)


def as_timm(loader: Any, epoch: int) -> None:
    if hasattr(loader.sampler, "set_epoch"):
        loader.sampler.set_epoch(epoch)


@pytest.mark.parametrize("set_epoch", [as_lightning, as_timm])
@pytest.mark.parametrize("iterated_first", [False, True])
def test_trainers_set_epochs_and_resume(ifs, set_epoch, iterated_first: bool) -> None:
    whole = list(itertools.islice(stream_of(ifs), 16))
    loader = Loader(stream_of(ifs, steps_per_epoch=4))
    loader.load_state_dict({"samples": 24})
    most, taken = len(loader), []  # asked once
    for epoch in (1, 2, 2, 3):
        if iterated_first:  # Lightning makes its first iterator before it sets the epoch
            batches = iter(loader)
            set_epoch(loader, epoch)
        else:
            set_epoch(loader, epoch)
            batches = iter(loader)
        assert loader.sampler.epoch == loader.stream.epoch == epoch
        taken += itertools.islice(batches, most)
    assert equal(taken, whole[6:12] + whole[8:16])
    loader.close()


def test_setting_an_epoch_does_not_change_an_endless_loader(ifs) -> None:
    with Loader(stream_of(ifs)) as loader:
        batches = iter(loader)
        next(batches)
        loader.set_epoch(3)
        loader.sampler.set_epoch(4)
        assert loader.state_dict() == {"samples": 4}
        assert equal([next(batches)], list(itertools.islice(stream_of(ifs), 2))[1:])


# The thread ends.


def leave(loader: Loader) -> None:
    for _ in loader:
        break


def fail(loader: Loader) -> None:
    with pytest.raises(ZeroDivisionError):
        for _ in loader:
            raise ZeroDivisionError


def drop(loader: Loader) -> None:
    next(iter(loader))


def exit_context(loader: Loader) -> None:
    with loader:
        batches = iter(loader)
        next(batches)
    with pytest.raises(StopIteration):
        next(batches)


def close_twice(loader: Loader) -> None:
    batches = iter(loader)
    loader.close()
    batches.close()
    assert list(batches) == []


def forget_in_a_cycle(loader: Loader) -> None:
    cycle: list[Any] = [iter(loader)]
    cycle.append(cycle)
    del cycle
    gc.collect()


@pytest.mark.parametrize("way", [leave, fail, drop, exit_context, close_twice, forget_in_a_cycle])
@pytest.mark.parametrize("prefetch", [1, 4])
def test_the_thread_ends(ifs, way: Callable[[Loader], None], prefetch: int) -> None:
    loader = Loader(stream_of(ifs), prefetch_batches=prefetch)
    way(loader)
    assert all_threads_end()
    # The loader can be iterated again.
    assert equal(list(itertools.islice(loader, 2)), list(itertools.islice(stream_of(ifs), 2)))


def test_the_thread_ends_with_the_epoch(ifs) -> None:
    batches = iter(Loader(stream_of(ifs, steps_per_epoch=2)))
    assert len(list(batches)) == 2
    assert not threads()
    with pytest.raises(StopIteration):
        next(batches)


def test_threads_that_share_an_iterator_all_end(ifs) -> None:
    batches = iter(Loader(stream_of(ifs, steps_per_epoch=20)))
    taken: list[Any] = []
    loops = [threading.Thread(target=lambda: taken.extend(batches), daemon=True) for _ in range(4)]
    for loop in loops:
        loop.start()
    for loop in loops:
        loop.join(20)
        assert not loop.is_alive()
    assert len(taken) == 20
    assert batches.state_dict() == {"samples": 80}


@pytest.mark.slow
@pytest.mark.parametrize("started", [False, True])
def test_ctrl_c_while_the_thread_starts_leaves_nothing_behind(started: bool) -> None:
    code = f"""
import gc
start = threading.Thread.start
def interrupted(thread):
    if {started}:
        start(thread)
    raise KeyboardInterrupt
threading.Thread.start = interrupted
for _ in range(3):
    stream.load_state_dict({{"samples": 0}})
    loader = Loader(stream)
    left = iter(loader)
    try:
        next(left)
    except KeyboardInterrupt:
        print('interrupted')
    print(list(left))
    loader.close()
threading.Thread.start = start
"""
    with script(code) as process:
        out, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, "")
    assert out.split() == ["interrupted", "[]"] * 3


def test_an_error_in_the_thread_is_raised_in_the_loop(ifs, monkeypatch) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise OSError("no room")

    loader = Loader(stream_of(ifs))
    monkeypatch.setattr("fdsl.torch.stream.render_batch", broken)
    with pytest.raises(OSError, match="no room"):
        list(loader)
    assert not threads()


def test_a_stop_iteration_of_a_transform_does_not_end_the_epoch(ifs) -> None:
    class Broken(torch.nn.Module):
        def forward(self, images: Any) -> Any:
            return images + next(self.parameters())  # it has none

    with pytest.raises(RuntimeError, match="StopIteration"):
        list(Loader(stream_of(ifs, steps_per_epoch=5), transform=Broken()))


def test_closing_from_another_thread_ends_a_waiting_loop(ifs, monkeypatch) -> None:
    entered, go = threading.Event(), threading.Event()

    def slow(*args: Any, **how: Any) -> Any:
        entered.set()
        go.wait(20)
        return render_batch(*args, **how)

    monkeypatch.setattr("fdsl.torch.stream.render_batch", slow)
    loader = Loader(stream_of(ifs))
    batches = iter(loader)
    left: list[list[Any]] = []
    loops = [threading.Thread(target=lambda: left.append(list(batches))) for _ in range(3)]
    for loop in loops:
        loop.start()
    assert entered.wait(20)
    closer = threading.Thread(target=loader.close)
    closer.start()
    threading.Timer(0.2, go.set).start()
    for thread in (closer, *loops):
        thread.join(20)
        assert not thread.is_alive()
    assert left == [[], [], []]  # they were waiting for the first batch


def test_a_signal_handler_may_close_the_loader(ifs) -> None:
    loader = Loader(stream_of(ifs))
    before = signal.signal(signal.SIGTERM, lambda *_: loader.close())
    try:
        batches = iter(loader)
        next(batches)
        threading.Timer(0.3, signal.raise_signal, [signal.SIGTERM]).start()
        for _ in batches:
            pass
    finally:
        signal.signal(signal.SIGTERM, before)


def test_garbage_may_be_collected_whatever_lock_is_held(ifs) -> None:
    cycle: list[Any] = [iter(Loader(stream_of(ifs)))]
    cycle.append(cycle)
    with threading._active_limbo_lock:  # an ending thread needs this lock
        del cycle
        gc.collect()


def test_the_state_is_right_when_the_position_of_the_stream_is_set(ifs) -> None:
    stream = stream_of(ifs, steps_per_epoch=5)
    loader = Loader(stream)
    next(iter(loader))
    stream.set_epoch(3)
    assert loader.state_dict() == {"samples": 60}
    next(iter(loader))
    stream.load_state_dict({"samples": 32})
    assert loader.state_dict() == {"samples": 32}


def test_nothing_keeps_the_loader_alive(ifs) -> None:
    loader = Loader(stream_of(ifs), device="cpu", transform=Normalize())
    batches = iter(loader)
    next(batches)
    seen = weakref.ref(loader)
    del loader
    assert seen() is None
    batches.close()


def test_a_copy_starts_where_its_stream_does(ifs) -> None:
    loader = Loader(stream_of(ifs, steps_per_epoch=4), prefetch_batches=1)
    next(iter(loader))
    for twin in (pickle.loads(pickle.dumps(loader)), copy.deepcopy(loader)):
        assert twin.prefetch_batches == 1
        loader.set_epoch(0)
        twin.set_epoch(0)
        assert equal(list(twin), list(stream_of(ifs, steps_per_epoch=4)))
        assert twin.sampler.epoch == 0


@contextlib.contextmanager
def script(code: str) -> "Iterator[subprocess.Popen[str]]":
    """Starts a script with a loader in the middle of its stream."""
    start = """
import fdsl, os, signal, sys, threading, time, torch
from fdsl.torch import Loader, Stream
ifs = fdsl.IFS.search(categories=5, fill_rate=0.05, seed=1, size=64, num_points=2000)
stream = Stream(ifs, rendering=fdsl.Rendering(size=64, num_points=50_000), batch_size=16)
batches = iter(Loader(stream))
next(batches)
"""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with started([sys.executable, "-c", start + code], **pipes) as process:
        yield process


@pytest.mark.slow
@pytest.mark.parametrize(
    ("code", "status", "error"),
    [
        ("", 0, ""),
        ("sys.exit(3)", 3, ""),
        ("raise OSError('mine')", 1, "OSError: mine"),
        pytest.param(
            "signal.raise_signal(signal.SIGINT)",
            -2,
            "KeyboardInterrupt",
            # A process that SIGINT ends has no negative status there, but 0xC000013A.
            marks=pytest.mark.skipif(sys.platform == "win32", reason="Windows has its own status"),
        ),
    ],
)
def test_a_script_with_a_running_loader_can_end_in_any_way(
    code: str, status: int, error: str
) -> None:
    with script(code) as process:
        _, errors = process.communicate(timeout=60)
    assert process.returncode in (status, 128 - status), errors
    assert error in errors
    assert "Fatal" not in errors and "Aborted" not in errors


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT to send")
def test_ctrl_c_ends_a_loop() -> None:
    with script("print('looping', flush=True)\nfor _ in batches: pass") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "looping\n"
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert "KeyboardInterrupt" in errors


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_forked_child_gets_an_error_and_can_iterate_again() -> None:
    code = """
child = os.fork()
if child == 0:
    try:
        next(batches)
    except RuntimeError as error:
        print(error, flush=True)
    images, _ = next(iter(Loader(stream)))
    print(tuple(images.shape), flush=True)
    os._exit(0)
os.waitpid(child, 0)
next(batches)
"""
    with script(code) as process:
        out, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert "create a new iterator of the loader" in out
    assert "(16, 1, 64, 64)" in out


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"stream": 3}, TypeError, "stream must be Stream, got 3"),
        ({"prefetch_batches": 0}, ValueError, "prefetch_batches must be at least 1, got 0"),
        (
            {"prefetch": 2},
            TypeError,
            "Loader: the argument 'prefetch' was renamed to 'prefetch_batches'",
        ),
        ({"device": "gpu"}, ValueError, "device must be one that torch knows, got 'gpu'"),
        ({"device": "xpu"}, ValueError, "device is 'xpu', which does not work here"),
        ({"device": "meta"}, ValueError, "device is 'meta', which cannot hold images"),
        ({"transform": 0.5}, TypeError, "transform must be callable, got 0.5"),
        ({"transforms": 0.5}, TypeError, "transforms must be callable, got 0.5"),
        ({"transforms": abs, "transform": abs}, ValueError, "give transforms, or transform, not"),
        (
            {"normalize": Normalize()},
            TypeError,
            "Loader: the argument 'normalize' was renamed to 'transform'",
        ),
        ({"pin_memory": 1}, TypeError, "pin_memory must be bool, got 1"),
    ],
)
def test_bad_arguments_are_refused(ifs, arguments, error, message) -> None:
    with pytest.raises(error, match=message.replace("(", r"\(")):
        Loader(**{"stream": stream_of(ifs), **arguments})


def test_single_samples_are_refused(ifs) -> None:
    with pytest.raises(ValueError, match="its stream needs a batch_size"):
        Loader(stream_of(ifs, batch_size=None))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize("arguments", [{"device": "cuda"}, {"pin_memory": True}])
def test_without_a_gpu_what_needs_one_is_refused(ifs, arguments) -> None:
    with pytest.raises(ValueError, match="torch sees no"):
        Loader(stream_of(ifs), **arguments)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_memory_stays_flat(ifs) -> None:
    def resident() -> int:
        pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    rendering = fdsl.Rendering(size=64, num_points=500, resample_degenerate=False)
    stream = stream_of(ifs, rendering=rendering, batch_size=256)
    with Loader(stream) as loader:
        batches = iter(loader)
        for _ in range(20):
            next(batches)
        before = resident()
        for _ in range(200):
            next(batches)
        # 200 batches are 200 MB.
        assert resident() - before < 20e6


def test_a_loader_that_is_rebuilt_as_a_data_loader_says_what_to_do(ifs) -> None:
    accelerate = pytest.importorskip("accelerate")
    loader = Loader(stream_of(ifs, steps_per_epoch=6))
    with pytest.raises(ValueError, match=r"accelerate\.skip_first_batches does: load_state_dict"):
        list(accelerate.skip_first_batches(loader, 2))
