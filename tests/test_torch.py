"""Streams and data sets in torch: the same samples for any workers, ranks and starting point."""

import contextlib
import copy
import hashlib
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import fdsl
from fdsl import _core
from fdsl.torch import Dataset, Loader, Normalize, Stream
from fdsl.torch.position import Position, pool_number
from fdsl.torch.tensors import pinned
from torch.utils.data import DataLoader, IterableDataset, random_split

TINY = fdsl.Rendering(size=32, num_points=500)
BATCH = 4

# Five workers on two cores are intended here.
pytestmark = [
    pytest.mark.usefixtures("no_launcher"),
    pytest.mark.filterwarnings("ignore:This DataLoader will create"),
]

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")

Contents = list[tuple[tuple[int, ...], Any, Any]]


def stream_of(ifs: fdsl.IFS, **changes: Any) -> Stream:
    return Stream(ifs, **{"rendering": TINY, "batch_size": BATCH, "seed": 3, **changes})


def loader_of(stream: Stream, workers: int = 0, method: str = "fork", **more: Any) -> DataLoader:
    if workers:
        if method not in multiprocessing.get_all_start_methods():
            pytest.skip(f"this system cannot {method}")
        more["multiprocessing_context"] = method
    return DataLoader(stream, **{"batch_size": None, "num_workers": workers, **more})


def contents(samples: Iterable[Any], most: int | None = None) -> Contents:
    """Returns what == can compare: for each batch its shape, its images' digests and its labels."""
    return [
        (
            tuple(images.shape),
            [digest(image) for image in images] if images.ndim == 4 else digest(images),
            torch.as_tensor(labels).tolist(),
        )
        for images, labels in islice(samples, most)
    ]


def digest(image: Any) -> str:
    return hashlib.sha256(np.ascontiguousarray(image)).hexdigest()[:16]


def singles(batches: Contents) -> Contents:
    """Returns the same samples one by one."""
    return [
        (shape[1:], image, label)
        for shape, images, labels in batches
        for image, label in zip(images, labels, strict=True)
    ]


def images_of(samples: Contents) -> list[Any]:
    return [image for _, image, _ in samples]


# Workers


@pytest.mark.parametrize(
    "workers, method",
    [(2, "fork"), (5, "fork"), pytest.param(5, "spawn", marks=pytest.mark.slow)],
)
def test_the_sequence_is_the_same_for_any_number_of_workers(
    ifs: fdsl.IFS, workers: int, method: str
) -> None:
    expected = contents(loader_of(stream_of(ifs, steps_per_epoch=7)))
    assert len(expected) == 7
    assert contents(loader_of(stream_of(ifs, steps_per_epoch=7), workers, method)) == expected


def test_an_endless_stream_is_the_same_from_workers(ifs: fdsl.IFS) -> None:
    expected = contents(stream_of(ifs), 7)
    assert contents(loader_of(stream_of(ifs), workers=2), 7) == expected


@pytest.mark.slow
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_persistent_workers_see_a_new_epoch(ifs: fdsl.IFS, method: str) -> None:
    expected = contents(stream_of(ifs), 15)
    stream = stream_of(ifs, steps_per_epoch=5)
    loader = loader_of(stream, 2, method, persistent_workers=True)
    for epoch in (0, 2):
        stream.set_epoch(epoch)
        assert contents(loader) == expected[5 * epoch : 5 * epoch + 5]


@needs_fork
def test_persistent_workers_see_a_position_that_was_loaded(ifs: fdsl.IFS) -> None:
    expected = contents(stream_of(ifs), 10)
    stream = stream_of(ifs, steps_per_epoch=5)
    loader = loader_of(stream, workers=2, persistent_workers=True)
    assert contents(loader) == expected[:5]
    stream.load_state_dict({"samples": 7 * BATCH})
    assert contents(loader) == expected[7:]


# What the samples are


@pytest.mark.parametrize("rank, world_size", [(0, 1), (1, 2)])
def test_a_batch_is_what_render_returns_for_its_addresses(
    ifs: fdsl.IFS, rank: int, world_size: int
) -> None:
    stream = stream_of(ifs, seed=9, rank=rank, world_size=world_size)
    for number, (images, labels) in enumerate(islice(stream, 3)):
        first = (number * world_size + rank) * BATCH
        categories, indices = _core.stream_order(
            np.arange(first, first + BATCH, dtype=np.uint64), len(ifs), None, ifs.period, 9
        )
        assert (images.dtype, images.shape) == (torch.uint8, (BATCH, 1, 32, 32))
        assert (labels.dtype, labels.tolist()) == (torch.int64, categories.tolist())
        expected = fdsl.render(ifs, categories, indices, 9, TINY)
        np.testing.assert_array_equal(images[:, 0].numpy(), expected)


def test_every_block_has_each_category_once(ifs: fdsl.IFS) -> None:
    labels = torch.cat([labels for _, labels in islice(stream_of(ifs), 20)]).reshape(-1, len(ifs))
    assert labels.sort(dim=1).values.tolist() == [[0, 1, 2, 3, 4]] * 16
    assert len({tuple(block) for block in labels.tolist()}) > 1  # in an order of its own


def test_no_image_repeats(ifs: fdsl.IFS) -> None:
    assert len(set(images_of(singles(contents(stream_of(ifs), 25))))) == 100


def test_a_limited_number_of_instances_repeats(ifs: fdsl.IFS) -> None:
    numbers = np.arange(60, dtype=np.uint64)
    categories, indices = _core.stream_order(numbers, len(ifs), 3, 1000, 3)
    addresses = list(zip(categories.tolist(), indices.tolist(), strict=True))
    everything = {(category, index) for category in range(5) for index in range(3)}
    for first in range(0, 60, 15):
        assert set(addresses[first : first + 15]) == everything
    found = singles(contents(stream_of(ifs, instances=3), 15))
    expected = fdsl.render(ifs, categories, indices, 3, TINY)
    assert images_of(found) == [digest(image) for image in expected]


def test_label_noise_changes_labels_alone(ifs: fdsl.IFS) -> None:
    streams = [contents(stream_of(ifs, label_noise=noise), 50) for noise in (0.0, 0.3, 1.0)]
    assert images_of(streams[0]) == images_of(streams[1]) == images_of(streams[2])
    plain, some, all_random = (
        torch.tensor([label for *_, labels in stream for label in labels]) for stream in streams
    )
    # A random label is right in one of five cases.
    assert (some != plain).float().mean().item() == pytest.approx(0.3 * 0.8, abs=0.1)
    assert (all_random != plain).float().mean().item() == pytest.approx(0.8, abs=0.1)
    changed = some != plain
    assert torch.equal(some[changed], all_random[changed])


@pytest.mark.parametrize("workers", [0, 2])
def test_a_noisy_label_belongs_to_its_address(ifs: fdsl.IFS, workers: int) -> None:
    stream = stream_of(ifs, label_noise=0.5, steps_per_epoch=20, instances=4)
    labels: dict[bytes, int] = {}
    for images, targets in loader_of(stream, workers):
        for image, label in zip(images, targets.tolist(), strict=True):  # images repeat
            assert labels.setdefault(image.numpy().tobytes(), label) == label
    items = Dataset(ifs, 4, rendering=TINY, seed=3, label_noise=0.5)
    assert items.targets == [label for _, label in items]
    assert {image.numpy().tobytes(): label for image, label in items} == labels
    assert items.targets != Dataset(ifs, 4, rendering=TINY, seed=3).targets


def test_seeds_differ(ifs: fdsl.IFS) -> None:
    assert contents(stream_of(ifs, seed=0), 2) != contents(stream_of(ifs, seed=2**64 - 1), 2)


def test_threads_do_not_change_images(ifs: fdsl.IFS) -> None:
    assert contents(stream_of(ifs, num_threads=1), 3) == contents(stream_of(ifs, num_threads=3), 3)


def test_without_a_rendering_the_default_of_the_family_is_used(ifs: fdsl.IFS) -> None:
    stream = Stream(ifs, batch_size=1)
    assert stream.rendering == Dataset(ifs).rendering == fdsl.Rendering()
    images, _ = next(iter(stream))
    assert images.shape == (1, 1, 256, 256)
    assert Dataset(ifs)[0][0].shape == (1, 256, 256)


def test_color_has_three_channels(ifs: fdsl.IFS) -> None:
    rendering = fdsl.Rendering(size=(32, 40), num_points=500, color=True)
    images, _ = next(iter(stream_of(ifs, rendering=rendering)))
    assert images.shape == (BATCH, 3, 32, 40)
    assert images.is_contiguous(memory_format=torch.channels_last)
    categories, indices = _core.stream_order(
        np.arange(BATCH, dtype=np.uint64), len(ifs), None, 1000, 3
    )
    expected = fdsl.render(ifs, categories, indices, 3, rendering)
    np.testing.assert_array_equal(images.permute(0, 2, 3, 1).numpy(), expected)
    assert len({channel.numpy().tobytes() for channel in images.unbind(1)}) > 1
    assert Dataset(ifs, 2, rendering=rendering)[0][0].shape == (3, 32, 40)


# Single samples


def test_single_samples_are_those_of_the_batches(ifs: fdsl.IFS) -> None:
    whole = contents(stream_of(ifs), 20)
    stream = stream_of(ifs, batch_size=None)
    assert contents(stream, 80) == singles(whole)
    image, label = next(iter(stream))
    assert (image.dtype, image.shape) == (torch.uint8, (1, 32, 32))
    assert (label.dtype, label.shape) == (torch.int64, ())
    assert contents(DataLoader(stream, batch_size=BATCH), 20) == whole


def test_single_samples_end_with_the_epoch(ifs: fdsl.IFS) -> None:
    expected = singles(contents(stream_of(ifs), 10))[:37]
    stream = stream_of(ifs, batch_size=None, steps_per_epoch=37)
    assert len(stream) == 37
    assert contents(stream) == expected
    stream.set_epoch(0)
    # Workers fill batches of their own, of the same samples.
    batches = contents(loader_of(stream, workers=2, batch_size=BATCH))
    assert sorted(singles(batches)) == sorted(expected)
    assert singles(batches)[:BATCH] == expected[: 2 * BATCH : 2]


def test_single_samples_resume(ifs: fdsl.IFS) -> None:
    expected = contents(stream_of(ifs, batch_size=None), 50)
    stream = stream_of(ifs, batch_size=None)
    contents(stream, 13)
    resumed = stream_of(ifs, batch_size=None)
    resumed.load_state_dict(stream.state_dict())
    assert contents(resumed, 37) == expected[13:]
    running = iter(stream_of(ifs, batch_size=None))
    start = running.state_dict()
    list(islice(running, 3))  # others are rendered by now
    running.load_state_dict(start)
    assert contents(running, 13) == expected[:13]


def test_a_worker_renders_with_one_thread(ifs: fdsl.IFS, monkeypatch: pytest.MonkeyPatch) -> None:
    from fdsl.torch import stream as module

    streams = [stream_of(ifs), stream_of(ifs, num_threads=3)]
    assert [one._threads() for one in streams] == [None, 3]
    monkeypatch.setattr(module, "get_worker_info", lambda: object())
    assert [one._threads() for one in streams] == [1, 3]


# Ranks


def test_ranks_are_disjoint_and_complete(ifs: fdsl.IFS) -> None:
    whole = contents(stream_of(ifs, batch_size=2 * BATCH), 6)
    ranks = [contents(stream_of(ifs, rank=rank, world_size=2), 6) for rank in range(2)]
    assert set(images_of(singles(ranks[0]))).isdisjoint(images_of(singles(ranks[1])))
    interleaved = [batch for both in zip(*ranks, strict=True) for batch in both]
    assert singles(interleaved) == singles(whole)


def test_the_ranks_of_a_launcher_are_found(ifs: fdsl.IFS, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = contents(stream_of(ifs, rank=1, world_size=3), 4)
    stream = stream_of(ifs)  # made before the launcher's variables are set
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "3")
    assert contents(stream, 4) == expected
    assert contents(loader_of(stream_of(ifs), workers=2), 4) == expected
    # Arguments take precedence over the launcher.
    alone = contents(stream_of(ifs, rank=0, world_size=1), 4)
    monkeypatch.delenv("RANK")
    monkeypatch.delenv("WORLD_SIZE")
    assert alone == contents(stream_of(ifs), 4) != expected


def test_asking_for_the_length_does_not_fix_the_rank(
    ifs: fdsl.IFS, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = stream_of(ifs, steps_per_epoch=4)
    assert len(stream) == 4
    assert stream.state_dict() == {"samples": 0}
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert contents(stream) == contents(stream_of(ifs, rank=1, world_size=2), 4)


def test_impossible_ranks_are_refused(ifs: fdsl.IFS, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "3")
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with pytest.raises(ValueError, match="RANK=3 is set without WORLD_SIZE"):
        next(iter(stream_of(ifs)))
    monkeypatch.delenv("RANK")
    monkeypatch.setenv("WORLD_SIZE", "4")
    with pytest.raises(ValueError, match="WORLD_SIZE=4 is set without RANK"):
        next(iter(stream_of(ifs)))
    monkeypatch.setenv("RANK", "3")
    monkeypatch.setenv("WORLD_SIZE", "many")
    with pytest.raises(ValueError, match="WORLD_SIZE must be a whole number, got 'many'"):
        next(iter(stream_of(ifs)))
    monkeypatch.setenv("WORLD_SIZE", "3")
    with pytest.raises(ValueError, match="3 of 3"):
        next(iter(stream_of(ifs)))


def test_the_ranks_may_be_known_only_when_a_pass_begins(
    ifs: fdsl.IFS, monkeypatch: pytest.MonkeyPatch
) -> None:
    def restored(samples: int, **ranks: int) -> Stream:
        stream = stream_of(ifs, steps_per_epoch=3, **ranks)
        stream.load_state_dict({"samples": samples})
        return stream

    batch = 2 * stream_of(ifs)._global_batch()  # of two ranks
    early = restored(4 * batch)
    expected = contents(restored(4 * batch, rank=1, world_size=2))
    assert len(expected) == 2
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert (early.epoch, early.state_dict()) == (1, {"samples": 4 * batch})
    assert contents(early) == expected
    assert (early.epoch, early.state_dict()) == (1, {"samples": 6 * batch})
    early = restored(4 * batch)
    early.set_epoch(1)
    assert contents(early) == expected
    early = restored(4 * batch)
    monkeypatch.setenv("WORLD_SIZE", "3")
    with pytest.raises(ValueError, match="not a whole number of batches"):
        next(iter(early))


def test_what_only_moves_the_position_needs_no_rank(
    ifs: fdsl.IFS, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")  # as in Lightning's children, which have no RANK at first
    monkeypatch.delenv("RANK", raising=False)
    stream = stream_of(ifs, steps_per_epoch=3)
    stream.set_epoch(2)
    moved = copy.deepcopy(stream)
    assert moved.epoch == 2
    moved.load_state_dict(stream.state_dict())
    monkeypatch.setenv("RANK", "1")
    expected = stream_of(ifs, steps_per_epoch=3, rank=1, world_size=2)
    expected.set_epoch(2)
    assert contents(stream) == contents(expected)


def test_a_copy_has_its_own_position(ifs: fdsl.IFS) -> None:
    stream = stream_of(ifs, steps_per_epoch=3)
    for other in (copy.copy(stream), copy.deepcopy(stream)):
        other.set_epoch(5)
        assert (stream.epoch, other.epoch) == (0, 5)


@contextlib.contextmanager
def _group(rank: int, folder: str) -> Iterator[None]:
    """Joins two ranks of torch.distributed, which leave together."""
    if sys.platform == "linux":
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2
    )
    try:
        yield
        torch.distributed.barrier()  # a rank that leaves early breaks the other's connection
    finally:
        torch.distributed.destroy_process_group()


def _collect_as_rank(rank: int, folder: str, ifs: fdsl.IFS) -> None:
    # torch.distributed takes precedence over the launcher's variables.
    os.environ.update(RANK="0", WORLD_SIZE="1")
    stream = stream_of(ifs, steps_per_epoch=3)
    with _group(rank, folder):
        found = contents(stream)
        stream.set_epoch(0)
        found = found, pickle.dumps(stream)  # as a spawned worker gets it
    Path(folder, str(rank)).write_bytes(pickle.dumps(found))


needs_gloo = pytest.mark.skipif(
    not (torch.distributed.is_available() and torch.distributed.is_gloo_available()),
    reason="this torch has no gloo",
)


@pytest.mark.slow
@needs_gloo
def test_the_ranks_of_torch_distributed_are_found(ifs: fdsl.IFS, tmp_path: Path) -> None:
    torch.multiprocessing.spawn(_collect_as_rank, args=(str(tmp_path), ifs), nprocs=2)
    for rank in range(2):
        expected = contents(stream_of(ifs, rank=rank, world_size=2), 3)
        found, stream = pickle.loads((tmp_path / str(rank)).read_bytes())
        assert found == expected
        assert contents(pickle.loads(stream)) == expected


def _train_as_rank(rank: int, folder: str, stream: Stream) -> None:
    with _group(rank, folder):
        found = contents(stream) + contents(loader_of(stream, 1, "spawn"))
        if hasattr(os, "fork"):
            found += contents(loader_of(stream, 2, "fork"))
    Path(folder, str(rank)).write_bytes(pickle.dumps(found))


@pytest.mark.slow
@needs_gloo
@pytest.mark.parametrize(
    "method",
    [
        pytest.param("spawn", marks=pytest.mark.slow),
        pytest.param("fork", marks=needs_fork),
    ],
)
def test_ranks_that_are_started_with_a_stream_see_their_slices(
    ifs: fdsl.IFS, tmp_path: Path, method: str
) -> None:
    stream = stream_of(ifs, steps_per_epoch=3)
    for copied in (stream, copy.deepcopy(stream)):
        (tmp_path / "store").unlink(missing_ok=True)
        torch.multiprocessing.start_processes(
            _train_as_rank, args=(str(tmp_path), copied), nprocs=2, start_method=method
        )
        for rank in range(2):
            # Each of them counts its own epochs.
            expected = contents(stream_of(ifs, rank=rank, world_size=2), 9)
            found = pickle.loads((tmp_path / str(rank)).read_bytes())
            assert found == expected[: len(found)]
            assert len(found) >= 6
        if method == "fork":
            break
    assert contents(stream) == contents(stream_of(ifs), 3)


# Epochs


@pytest.mark.parametrize(
    "workers, method, more",
    [
        (0, "fork", {}),
        (2, "fork", {}),
        (5, "fork", {"persistent_workers": True}),
        pytest.param(2, "spawn", {"persistent_workers": True}, marks=pytest.mark.slow),
        pytest.param(1, "spawn", {}, marks=pytest.mark.slow),
    ],
)
def test_epochs_advance_and_a_loaded_position_is_used_once(
    ifs: fdsl.IFS, workers: int, method: str, more: dict[str, Any]
) -> None:
    endless = contents(stream_of(ifs), 24)
    stream = stream_of(ifs, steps_per_epoch=4)
    loader = loader_of(stream, workers, method, **more)
    stream.load_state_dict({"samples": 6 * BATCH})
    assert contents(loader) == endless[6:8]
    assert len(loader) == len(stream) == 4
    assert contents(loader) == endless[8:12]
    assert stream.state_dict(batches=4) == {"samples": 12 * BATCH}
    assert contents(loader) == endless[12:16]
    for epoch in (3, 1):
        stream.set_epoch(epoch)
        assert contents(loader) == endless[4 * epoch : 4 * epoch + 4]
    stream.load_state_dict({"samples": 21 * BATCH})
    stream.set_epoch(5)
    assert contents(loader) == endless[21:]
    stream.set_epoch(0)
    assert contents(loader) == endless[:4]
    assert stream.epoch == 0


@needs_fork
def test_epochs_advance_when_all_workers_have_the_same_seeds(ifs: fdsl.IFS) -> None:
    endless = contents(stream_of(ifs), 12)
    stream = stream_of(ifs, steps_per_epoch=4)
    for epoch in range(3):
        torch.manual_seed(0)
        assert contents(loader_of(stream, workers=2)) == endless[4 * epoch : 4 * epoch + 4]


@pytest.mark.slow
@needs_fork
@pytest.mark.parametrize("persistent", [False, True])
def test_several_loaders_of_one_stream_may_run_at_once(ifs: fdsl.IFS, persistent: bool) -> None:
    endless = contents(stream_of(ifs), 40)
    epochs = [endless[first : first + 4] for first in range(0, 40, 4)]
    stream = stream_of(ifs, steps_per_epoch=4)
    loaders = [loader_of(stream, workers=3, persistent_workers=persistent) for _ in range(2)]
    for _ in range(3):
        for found in zip(*zip(*loaders, strict=True), strict=True):
            assert contents(found) in epochs


@needs_fork
@pytest.mark.parametrize("workers", [[2] * 5, [2, 3, 2, 3, 2]])
def test_epochs_advance_when_loaders_take_turns(ifs: fdsl.IFS, workers: list[int]) -> None:
    """Each is made again with the seeds of an earlier one, after another has run."""
    endless = contents(stream_of(ifs), 10)
    stream = stream_of(ifs, steps_per_epoch=2)
    for epoch, count in enumerate(workers):
        seed = torch.Generator().manual_seed(epoch % 2 if len({*workers}) == 1 else 0)
        found = contents(loader_of(stream, workers=count, generator=seed))
        assert found == endless[2 * epoch : 2 * epoch + 2]


@needs_fork
def test_a_late_worker_joins_its_own_loader(ifs: fdsl.IFS) -> None:
    """Even if another loader would take the same slot of the shared memory, and has begun."""

    def slot(seed: int) -> int:  # where the loader whose generator has this seed looks first
        base_seed = torch.empty((), dtype=torch.int64).random_(generator=generator(seed)).item()
        return pool_number(int(base_seed), 2) % 64

    def generator(seed: int) -> torch.Generator:
        return torch.Generator().manual_seed(seed)

    other_has_begun = multiprocessing.get_context("fork").Event()

    def second_is_late(worker: int) -> None:
        if worker == 1:
            assert other_has_begun.wait(60)

    same_slot = next(seed for seed in range(1, 10_000) if slot(seed) == slot(0))
    endless = contents(stream_of(ifs), 8)
    stream = stream_of(ifs, steps_per_epoch=4)
    late = loader_of(stream, workers=2, generator=generator(0), worker_init_fn=second_is_late)
    other = loader_of(stream, workers=2, generator=generator(same_slot))
    first = iter(late)
    begun = contents(first, 1)
    found = contents(other)
    other_has_begun.set()
    assert begun + contents(first) == endless[:4]
    assert found == endless[4:]


@pytest.mark.parametrize("workers", [0, 2])
def test_an_iteration_that_was_left_early_is_over(ifs: fdsl.IFS, workers: int) -> None:
    endless = contents(stream_of(ifs), 8)
    loader = loader_of(stream_of(ifs, steps_per_epoch=4), workers)
    assert contents(loader, 2) == endless[:2]
    assert contents(loader) == endless[4:]


def test_an_iteration_begins_with_its_first_batch(ifs: fdsl.IFS) -> None:
    endless = contents(stream_of(ifs), 8)
    stream = stream_of(ifs, steps_per_epoch=4)
    iter(stream)  # without asking for a batch
    batches = iter(stream)
    stream.set_epoch(1)
    assert contents(batches) == endless[4:]


@needs_fork
def test_an_epoch_set_while_workers_start_is_that_of_the_next_iteration(ifs: fdsl.IFS) -> None:
    endless = contents(stream_of(ifs), 40)
    stream = stream_of(ifs, steps_per_epoch=8)
    loader = loader_of(stream, workers=4, persistent_workers=True)
    for epoch in range(4):
        batches = iter(loader)
        found = contents(batches, 1)
        stream.set_epoch(epoch + 1)
        assert found + contents(batches) == endless[8 * epoch : 8 * epoch + 8]


@needs_fork
def test_a_forked_process_that_is_no_worker_has_its_own_position(ifs: fdsl.IFS) -> None:
    stream = stream_of(ifs, steps_per_epoch=3)
    stream.set_epoch(1)
    context = multiprocessing.get_context("fork")
    receiving, sending = context.Pipe(duplex=False)
    child = context.Process(target=lambda: sending.send(contents(stream)))
    child.start()
    try:
        assert receiving.poll(30), "the child hangs"
        assert receiving.recv() == contents(stream_of(ifs), 6)[3:]
    finally:
        child.kill()
        child.join()
    assert contents(stream) == contents(stream_of(ifs), 6)[3:]


def test_an_epoch_has_the_given_number_of_steps(ifs: fdsl.IFS) -> None:
    stream = stream_of(ifs, steps_per_epoch=3)
    assert len(stream) == len(loader_of(stream)) == 3
    batches = iter(stream)
    assert len(contents(batches)) == 3
    for _ in range(2):
        with pytest.raises(StopIteration):
            next(batches)


def test_an_endless_stream_has_no_length(ifs: fdsl.IFS) -> None:
    stream = stream_of(ifs)
    with pytest.raises(TypeError, match="steps_per_epoch"):
        len(stream)
    assert "endless" in repr(stream)


def test_a_stream_is_true_with_or_without_a_length(ifs: fdsl.IFS) -> None:
    assert stream_of(ifs) and stream_of(ifs, steps_per_epoch=3) and Loader(stream_of(ifs))


def test_a_stream_tells_its_rank(ifs: fdsl.IFS) -> None:
    assert (stream_of(ifs).rank, stream_of(ifs).world_size) == (0, 1)
    stream = stream_of(ifs, rank=1, world_size=3)
    assert (stream.rank, stream.world_size) == (1, 3)
    for name in ("rank", "world_size", "num_threads"):
        with pytest.raises(AttributeError, match=name):
            setattr(stream, name, 2)


def test_a_single_sample_does_not_keep_others_in_memory(ifs: fdsl.IFS) -> None:
    image, label = next(iter(stream_of(ifs, batch_size=None)))
    assert image.untyped_storage().nbytes() == image.nbytes
    assert label.untyped_storage().nbytes() == label.nbytes


def test_setting_an_epoch_does_not_change_an_endless_stream(ifs: fdsl.IFS) -> None:
    stream = stream_of(ifs)
    stream.load_state_dict({"samples": 2 * BATCH})
    stream.set_epoch(1)
    batches = iter(stream)
    found = contents(batches, 1)
    stream.set_epoch(2)
    assert (stream.epoch, stream.state_dict()) == (0, {"samples": 3 * BATCH})
    assert found + contents(batches, 2) == contents(stream_of(ifs), 5)[2:]


@pytest.mark.parametrize("workers", [0, 2])
def test_an_endless_stream_starts_over_at_the_position_that_was_loaded(
    ifs: fdsl.IFS, workers: int
) -> None:
    endless = contents(stream_of(ifs), 6)
    stream = stream_of(ifs)
    loader = loader_of(stream, workers)
    assert contents(loader, 3) == contents(loader, 3) == endless[:3]
    stream.load_state_dict({"samples": 2 * BATCH})
    assert contents(loader, 3) == contents(loader, 3) == endless[2:5]


@pytest.mark.parametrize("kind", [lambda stream: stream, Loader])
def test_an_endless_stream_that_repeats_its_images_warns(ifs: fdsl.IFS, kind: Any) -> None:
    stream = stream_of(ifs)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        next(iter(kind(stream)))
        stream.load_state_dict({"samples": BATCH})
        next(iter(kind(stream)))
    with pytest.warns(UserWarning, match=f"stream starts again at sample {BATCH}, so its images"):
        next(iter(kind(stream)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        batches = iter(stream)
        batches.load_state_dict({"samples": 3 * BATCH})
        next(batches)
        epochs = kind(stream_of(ifs, steps_per_epoch=3))
        for _ in range(3):
            next(iter(epochs))


def test_epochs_differ_and_each_repeats_when_asked_to(ifs: fdsl.IFS) -> None:
    endless = contents(stream_of(ifs), 9)
    stream = stream_of(ifs, steps_per_epoch=3)
    for epoch in (2, 0, 1, 1, 2):
        stream.set_epoch(epoch)
        assert stream.epoch == epoch
        assert contents(stream) == endless[3 * epoch : 3 * epoch + 3]
        assert stream.epoch == epoch
    assert len(set(images_of(singles(endless)))) == 9 * BATCH


@pytest.mark.parametrize("epoch, error", [(-1, ValueError), (1.5, TypeError)])
def test_an_impossible_epoch_is_refused(ifs: fdsl.IFS, epoch: Any, error: type[Exception]) -> None:
    stream = stream_of(ifs, steps_per_epoch=3)
    with pytest.raises(error, match=str(epoch)):
        stream.set_epoch(epoch)
    assert stream.epoch == 0


# Stopping and resuming


def test_resume_equals_never_having_stopped(ifs: fdsl.IFS) -> None:
    never_stopped = contents(stream_of(ifs), 9)
    for taken in (0, 1, 4):
        stream = stream_of(ifs)
        contents(stream, taken)
        state = stream.state_dict()
        assert state == {"samples": taken * BATCH}
        resumed = stream_of(ifs)
        resumed.load_state_dict(state)
        assert contents(resumed, 3) == never_stopped[taken : taken + 3]
        again = stream_of(ifs)  # and resumed once more
        again.load_state_dict(resumed.state_dict())
        assert contents(again, 2) == never_stopped[taken + 3 : taken + 5]


@pytest.mark.parametrize("before, after", [(0, 2), (2, 0), (2, 3)])
def test_resume_with_a_different_number_of_workers_equals_never_having_stopped(
    ifs: fdsl.IFS, before: int, after: int
) -> None:
    never_stopped = contents(stream_of(ifs), 10)
    stream = stream_of(ifs)
    contents(loader_of(stream, before), 3)
    state = stream.state_dict(batches=3)
    assert state == {"samples": 3 * BATCH}
    resumed = stream_of(ifs)
    resumed.load_state_dict(state)
    assert contents(loader_of(resumed, after), 5) == never_stopped[3:8]
    assert resumed.state_dict(batches=5) == {"samples": 8 * BATCH}


@pytest.mark.parametrize("workers, taken", [(0, 6), (1, 6), (2, 0), (2, 12)])
def test_single_samples_resume_where_those_taken_are_the_first(
    ifs: fdsl.IFS, workers: int, taken: int
) -> None:
    never_stopped = singles(contents(stream_of(ifs, batch_size=1), 24))
    about: dict[str, Any] = {"batch_size": None, "steps_per_epoch": 12}
    stream = stream_of(ifs, **about)
    found = singles(contents(loader_of(stream, workers, batch_size=3), taken // 3))
    resumed = stream_of(ifs, **about)
    resumed.load_state_dict(stream.state_dict(batches=taken))
    found += singles(contents(loader_of(resumed, 2, batch_size=3)))
    assert sorted(found) == sorted(never_stopped[: 24 if taken == 12 else 12])


def test_single_samples_of_several_workers_have_no_state_within_an_epoch(ifs: fdsl.IFS) -> None:
    stream = stream_of(ifs, batch_size=None, steps_per_epoch=12)
    loader = loader_of(stream, 2, batch_size=3)
    batches = iter(loader)
    next(batches)
    with pytest.raises(RuntimeError, match=r"2 workers deal out .* end of an epoch, .* batch_size"):
        stream.state_dict(batches=3)
    del batches
    endless = stream_of(ifs, batch_size=None)
    contents(loader_of(endless, 2, batch_size=3), 1)
    with pytest.raises(RuntimeError, match="may not be the first ones: use at most one worker"):
        endless.state_dict(batches=3)
    stream.set_epoch(3)  # of which nothing was taken
    assert stream.state_dict(batches=0) == {"samples": 36}
    assert stream.state_dict(batches=6) == {"samples": 42}


@pytest.mark.parametrize("workers", [0, 2])
def test_more_batches_than_a_pass_has_are_refused(ifs: fdsl.IFS, workers: int) -> None:
    stream = stream_of(ifs, steps_per_epoch=5)
    stream.load_state_dict({"samples": 2 * BATCH})
    contents(loader_of(stream, workers))
    assert stream.state_dict(batches=3) == {"samples": 5 * BATCH}
    with pytest.raises(ValueError, match="at most 3, what the current pass has, got 4: count from"):
        stream.state_dict(batches=4)
    contents(loader_of(stream, workers))
    assert stream.state_dict(batches=5) == {"samples": 10 * BATCH}


@pytest.mark.parametrize("workers", [0, 2])
def test_a_resumed_epoch_is_finished(ifs: fdsl.IFS, workers: int) -> None:
    never_stopped = contents(stream_of(ifs), 15)
    stream = stream_of(ifs, steps_per_epoch=5)
    stream.set_epoch(1)
    contents(loader_of(stream, workers), 2)
    resumed = stream_of(ifs, steps_per_epoch=5)
    resumed.load_state_dict(stream.state_dict(batches=2))
    loader = loader_of(resumed, workers)
    found = []
    assert resumed.epoch == 1
    for epoch in range(resumed.epoch, 3):
        resumed.set_epoch(epoch)
        assert len(resumed) == len(loader) == 5
        found += contents(loader)
    assert found == never_stopped[7:]


def test_a_state_taken_after_the_last_batch_starts_the_next_epoch(ifs: fdsl.IFS) -> None:
    stream = stream_of(ifs, steps_per_epoch=3)
    contents(stream)
    resumed = stream_of(ifs, steps_per_epoch=3)
    resumed.load_state_dict(stream.state_dict())
    assert (resumed.epoch, len(resumed)) == (1, 3)
    assert contents(resumed) == contents(stream_of(ifs), 6)[3:]


def test_setting_the_current_epoch_keeps_the_loaded_position(ifs: fdsl.IFS) -> None:
    stream = stream_of(ifs, steps_per_epoch=5)
    stream.load_state_dict({"samples": 7 * BATCH})
    stream.set_epoch(1)
    assert stream.state_dict() == {"samples": 7 * BATCH}
    assert len(contents(stream)) == 3
    stream.set_epoch(1)  # the loaded position is used up: this repeats the epoch
    assert len(contents(stream)) == 5
    stream.load_state_dict({"samples": 7 * BATCH})
    stream.set_epoch(0)
    stream.set_epoch(1)
    assert len(contents(stream)) == 5


@pytest.mark.parametrize("steps", [None, 3])
def test_ranks_may_change_while_the_global_batch_stays(ifs: fdsl.IFS, steps: int | None) -> None:
    one = stream_of(ifs, batch_size=8, steps_per_epoch=steps)
    never_stopped = singles(contents(stream_of(ifs, batch_size=8), 3))
    contents(one, 2)
    ranks = []
    for rank in range(4):
        stream = stream_of(ifs, batch_size=2, steps_per_epoch=steps, rank=rank, world_size=4)
        stream.load_state_dict(one.state_dict())
        ranks += contents(stream, 1)
    assert singles(ranks) == never_stopped[16:]


def test_the_state_needs_the_batches_taken_when_workers_iterate(ifs: fdsl.IFS) -> None:
    stream = stream_of(ifs, steps_per_epoch=5)
    contents(loader_of(stream, workers=2), 2)
    with pytest.raises(RuntimeError, match="batches"):
        stream.state_dict()
    assert stream.state_dict(batches=2) == {"samples": 2 * BATCH}
    stream.set_epoch(1)  # none of its batches has been taken
    assert stream.state_dict() == {"samples": 5 * BATCH}


def test_looking_at_a_batch_first_does_not_hide_that_workers_iterate(ifs: fdsl.IFS) -> None:
    stream = stream_of(ifs)
    next(iter(stream))
    contents(loader_of(stream, workers=2), 3)
    with pytest.raises(RuntimeError, match="batches"):
        stream.state_dict()


def test_iterating_in_this_process_after_workers_needs_no_batches(ifs: fdsl.IFS) -> None:
    stream = stream_of(ifs)
    contents(loader_of(stream, workers=2), 3)
    contents(stream, 2)
    assert stream.state_dict() == {"samples": 2 * BATCH}


@pytest.mark.parametrize(
    "state",
    [
        None,
        [],
        "samples",
        {},
        {"epoch": 1},
        {"samples": None},
        {"samples": "many"},
        {"samples": 1.5},
        {"samples": -BATCH},
    ],
    ids=str,
)
def test_a_bad_state_is_refused_and_changes_nothing(ifs: fdsl.IFS, state: Any) -> None:
    stream = stream_of(ifs)
    stream.load_state_dict({"samples": 2 * BATCH})
    with pytest.raises(ValueError):
        stream.load_state_dict(state)
    assert stream.state_dict() == {"samples": 2 * BATCH}


@pytest.mark.parametrize("batches, error", [(-1, ValueError), (0.5, TypeError)])
def test_an_impossible_number_of_batches_is_refused(
    ifs: fdsl.IFS, batches: Any, error: type[Exception]
) -> None:
    with pytest.raises(error, match=str(batches)):
        stream_of(ifs).state_dict(batches=batches)


def _stateful_loader(stream: Stream, workers: int) -> Any:
    stateful = pytest.importorskip("torchdata.stateful_dataloader")
    context = "fork" if workers else None
    return stateful.StatefulDataLoader(
        stream, batch_size=None, num_workers=workers, multiprocessing_context=context
    )


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=needs_fork)])
@pytest.mark.parametrize("taken", [1, 3])
@pytest.mark.parametrize("looked_at", [0, 6], ids=["", "after-looking"])
def test_the_loader_of_torchdata_resumes(
    ifs: fdsl.IFS, workers: int, taken: int, looked_at: int
) -> None:
    never_stopped = contents(stream_of(ifs), 18)
    stream = stream_of(ifs, steps_per_epoch=6)
    contents(stream, looked_at)
    loader = _stateful_loader(stream, workers)
    stream.set_epoch(1)
    batches = iter(loader)
    assert contents(batches, taken) == never_stopped[6 : 6 + taken]
    state = pickle.loads(pickle.dumps(loader.state_dict()))
    assert contents(batches) == never_stopped[6 + taken : 12]

    resumed = stream_of(ifs, steps_per_epoch=6)
    loader = _stateful_loader(resumed, workers)
    loader.load_state_dict(state)
    assert contents(loader) == never_stopped[6 + taken : 12]
    assert contents(loader) == never_stopped[12:]
    resumed.set_epoch(2)
    assert contents(loader) == never_stopped[12:]


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=needs_fork)])
def test_the_loader_of_torchdata_continues_after_a_whole_epoch(ifs: fdsl.IFS, workers: int) -> None:
    never_stopped = contents(stream_of(ifs), 12)
    loader = _stateful_loader(stream_of(ifs, steps_per_epoch=4), workers)
    assert contents(loader) == never_stopped[:4]
    loader_again = _stateful_loader(stream_of(ifs, steps_per_epoch=4), workers)
    loader_again.load_state_dict(loader.state_dict())
    for either in (loader, loader_again):
        assert contents(either) == never_stopped[4:8]
        assert contents(either) == never_stopped[8:]


@pytest.mark.parametrize(
    "state",
    [None, {}, *({"samples": n} for n in ("x", 9, 0, 40 * BATCH, 2**63))],
    ids=str,
)
@pytest.mark.parametrize("begun", [False, True])
def test_an_iterator_refuses_a_bad_state(ifs: fdsl.IFS, state: Any, begun: bool) -> None:
    stream = stream_of(ifs, steps_per_epoch=6)
    stream.load_state_dict({"samples": 6 * BATCH})
    batches: Any = iter(stream)
    contents(batches, int(begun))
    before = batches.state_dict()
    with pytest.raises(ValueError, match="samples"):
        batches.load_state_dict(state)
    assert batches.state_dict() == before
    batches.load_state_dict({"samples": 8 * BATCH})
    assert contents(batches) == contents(stream_of(ifs), 12)[8:]


# DataLoaders that collate


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("batch_size", [1, 3])
def test_batches_are_not_collated(ifs: fdsl.IFS, workers: int, batch_size: int) -> None:
    batches: Any = iter(loader_of(stream_of(ifs), workers, batch_size=batch_size))
    with pytest.raises(ValueError, match="batch_size=None"):
        next(batches)
    if workers:
        batches._shutdown_workers()  # now, and not during another test


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_a_batch_is_a_tuple_that_can_be_saved(ifs: fdsl.IFS, workers: int, tmp_path: Path) -> None:
    batch = next(iter(loader_of(stream_of(ifs), workers)))
    assert isinstance(batch, tuple)
    torch.save(batch, tmp_path / "batch.pt")
    saved = torch.load(tmp_path / "batch.pt")
    assert contents([saved, pickle.loads(pickle.dumps(batch))]) == contents(stream_of(ifs), 1) * 2


def test_the_settings_of_a_stream_cannot_be_changed(ifs: fdsl.IFS) -> None:
    stream = stream_of(ifs)
    for name in ("family", "target", "seed", "label_noise", "cache", "transform", "transforms"):
        with pytest.raises(AttributeError, match=f"the {name} of a Stream cannot be changed: cre"):
            setattr(stream, name, getattr(stream, name))
    assert contents(copy.deepcopy(stream), 2) == contents(pickle.loads(pickle.dumps(stream)), 2)


class Brightened(Stream):
    def __iter__(self) -> Iterator[Any]:
        for images, labels in super().__iter__():
            yield images + 1, labels


def test_what_would_bypass_a_loop_of_ones_own_is_refused(ifs: fdsl.IFS) -> None:
    about: dict[str, Any] = {"rendering": TINY, "batch_size": BATCH}
    assert len(list(islice(DataLoader(Brightened(ifs, **about), batch_size=None), 2))) == 2
    with pytest.raises(TypeError, match=r"a Loader renders .* without Brightened\.__iter__"):
        Loader(Brightened(ifs, **about))
    stateful = pytest.importorskip("torchdata.stateful_dataloader")
    stream = Brightened(ifs, **about, steps_per_epoch=4)
    loader = stateful.StatefulDataLoader(stream, batch_size=None, num_workers=1)
    with pytest.raises(TypeError, match=r"without Brightened\.__iter__"):
        list(loader)


class Inside(IterableDataset):
    """As a neighbor might write it: a loader in each worker."""

    def __init__(self, source: Any) -> None:
        self.source = source

    def __iter__(self) -> Iterator[Any]:
        yield from self.source


def test_a_loader_in_a_worker_is_refused(ifs: fdsl.IFS) -> None:
    inside = Inside(Loader(stream_of(ifs, steps_per_epoch=2)))
    assert len(list(DataLoader(inside, batch_size=None))) == 2
    with pytest.raises(RuntimeError, match="a Loader cannot be used in a DataLoader worker"):
        list(DataLoader(inside, batch_size=None, num_workers=2))


def test_a_worker_that_is_left_behind_does_not_skip_a_pass(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one = Position()
    other = Position.__new__(Position)
    other.__dict__.update(one.__dict__)  # as in a second worker, with the same shared memory

    def joined(position: Position) -> tuple[int, int]:
        worker = SimpleNamespace(id=int(position is other), num_workers=2, seed=9)
        worker.seed += worker.id
        monkeypatch.setattr("fdsl.torch.position.get_worker_info", lambda: worker)
        return position.join(length=8)[:2]

    assert [joined(one), joined(other), joined(one)] == [(0, 0), (0, 0), (1, 0)]
    assert [joined(other), joined(one), joined(one)] == [(1, 0), (2, 0), (3, 0)]
    with pytest.raises(RuntimeError, match="two passes over the stream ahead of this one"):
        joined(other)


@pytest.mark.parametrize("workers", [1, 2])
def test_two_loaders_with_the_same_seed_one_after_the_other_do_not_share_an_epoch(
    ifs: fdsl.IFS, workers: int, capfd: pytest.CaptureFixture[str]
) -> None:
    stream = stream_of(ifs, steps_per_epoch=3)
    about: dict[str, Any] = {"batch_size": None, "num_workers": workers, "persistent_workers": True}
    one, other = (
        DataLoader(stream, generator=torch.Generator().manual_seed(0), **about) for _ in range(2)
    )
    found = contents(one) + contents(other)
    assert found == contents(stream_of(ifs), 6)
    with pytest.raises(RuntimeError):  # torch only says that a worker ended, which printed why
        list(one)
    assert "two DataLoaders with the same seed iterate over this stream" in capfd.readouterr().err


@pytest.mark.parametrize("batch_size", [None, BATCH])
def test_a_batch_whose_transform_failed_is_the_next_one(
    ifs: fdsl.IFS, batch_size: int | None
) -> None:
    fails = [False, False, True, False]

    def transform(images: Any) -> Any:
        images += 1
        if fails and fails.pop(0):
            raise KeyboardInterrupt
        images -= 1
        return images

    expected = contents(stream_of(ifs, batch_size=batch_size), 5)
    stream = stream_of(ifs, batch_size=batch_size, transform=transform)
    batches = iter(stream)
    found = contents(batches, 2)
    with pytest.raises(KeyboardInterrupt):
        next(batches)
    assert stream.state_dict() == {"samples": 2 * (batch_size or 1)}
    assert found + contents(batches, 3) == expected


def test_a_stream_has_no_items(ifs: fdsl.IFS) -> None:
    part, _ = random_split(stream_of(ifs, steps_per_epoch=4), [1, 3])
    with pytest.raises(TypeError, match=r"a Stream has no items, .* fdsl\.torch\.Dataset has"):
        part[0]


def test_the_labels_of_a_data_set_are_read_only(ifs: fdsl.IFS) -> None:
    data = Dataset(ifs, 3, rendering=TINY)
    for name in ("targets", "samples"):
        assert getattr(data, name) is getattr(data, name)
        with pytest.raises(AttributeError):
            setattr(data, name, [])


# Addresses


@pytest.mark.parametrize("instances", [None, 3])
def test_addresses_render_the_images_of_a_stream(ifs: fdsl.IFS, instances: int | None) -> None:
    about: dict[str, Any] = {"steps_per_epoch": 2, "instances": instances, "world_size": 2}
    for rank in range(2):
        stream = stream_of(ifs, **about, rank=rank)
        for step, (images, labels) in enumerate([*stream, *stream]):
            first = (2 * step + rank) * BATCH
            categories, indices = stream.addresses(range(first, first + BATCH))
            expected = fdsl.render(ifs, categories, indices, stream.seed, TINY)
            np.testing.assert_array_equal(images[:, 0].numpy(), expected)
            assert torch.equal(torch.from_numpy(categories), labels)
    assert [len(part) for part in stream.addresses(7)] == [1, 1]
    assert [len(part) for part in stream.addresses([])] == [0, 0]


@pytest.mark.parametrize(
    "samples, error, message",
    [
        (-1, IndexError, "samples must be 0 or more, got -1"),
        ([0, 2**63], IndexError, "samples must be less than 2\\*\\*62, got 9223372036854775808"),
        (0.5, TypeError, "samples must be integers, got float64"),
    ],
)
def test_samples_that_do_not_exist_have_no_address(
    ifs: fdsl.IFS, samples: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        stream_of(ifs).addresses(samples)


# Transforms


def halved(images: Any) -> Any:
    return images[..., ::2]


def halves(labels: Any) -> Any:
    return labels // 2


@pytest.mark.slow
@pytest.mark.parametrize("workers, method", [(0, "fork"), (2, "fork"), (1, "spawn")])
def test_a_stream_transforms_batches_where_it_renders(
    ifs: fdsl.IFS, workers: int, method: str
) -> None:
    stream = stream_of(ifs, steps_per_epoch=3, transform=halved)
    batches = list(loader_of(stream, workers, method))
    expected = [(halved(images), labels) for images, labels in islice(stream_of(ifs), 3)]
    assert contents(batches) == contents(expected)
    assert [batch.images is batch[0] for batch in batches] == [True] * 3


def test_a_stream_of_single_samples_transforms_each_image(ifs: fdsl.IFS) -> None:
    shapes: list[Any] = []

    def noted(image: Any) -> Any:
        shapes.append(tuple(image.shape))
        return image

    stream = stream_of(ifs, batch_size=None, transform=noted)
    assert contents(stream, 5) == contents(stream_of(ifs, batch_size=None), 5)
    assert shapes == [(1, 32, 32)] * 5


@pytest.mark.parametrize("workers", [0, 2])
def test_a_stream_transforms_targets(ifs: fdsl.IFS, workers: int) -> None:
    stream = stream_of(ifs, steps_per_epoch=3, target_transform=halves, transform=halved)
    batches = list(loader_of(stream, workers))
    expected = [(halved(images), labels // 2) for images, labels in islice(stream_of(ifs), 3)]
    assert contents(batches) == contents(expected)
    singles = islice(stream_of(ifs, batch_size=None, target_transform=halves), 5)
    plain = islice(stream_of(ifs, batch_size=None), 5)
    assert [label for _, label in singles] == [label // 2 for _, label in plain]


def test_transforms_of_a_loader_take_the_targets_that_its_stream_transformed() -> None:
    pytest.importorskip("torchvision")  # which `transforms` needs
    scene = fdsl.Scene(5)
    stream = Stream(
        scene, rendering=WIDE, target="mask", batch_size=3, target_transform=torch.Tensor.sum
    )
    with Loader(stream, transforms=lambda images, total: (images, total)) as loader:
        images, total = next(iter(loader))
    assert type(total) is torch.Tensor and total.shape == ()
    assert type(images).__name__ == "Image" and len(images) == 3


def test_a_mask_that_the_target_transform_marks_is_cropped_with_its_image() -> None:
    # The transforms and the types of masks are torchvision's.
    v2, tv_tensors = map(
        pytest.importorskip, ("torchvision.transforms.v2", "torchvision.tv_tensors")
    )
    about: dict[str, Any] = {"rendering": WIDE, "target": "mask", "batch_size": 3}
    stream = Stream(
        fdsl.Scene(5), **about, target_transform=lambda mask: tv_tensors.Mask(mask.clamp(max=1))
    )
    with Loader(stream, transforms=v2.RandomCrop(16)) as loader:
        images, masks = next(iter(loader))
    assert images.shape[-2:] == masks.shape[-2:] == (16, 16)
    assert ((images.amax(1) > 0) <= (masks > 0)).all()  # what is lit belongs to an object


def test_the_transform_of_a_stream_records_no_gradients(ifs: fdsl.IFS) -> None:
    stream = stream_of(ifs, transform=lambda images: convolution(images.float()))
    convolution = torch.nn.Conv2d(1, 2, 3)
    images, _ = next(iter(stream))
    assert images.shape == (BATCH, 2, 30, 30) and not images.requires_grad


@pytest.mark.parametrize("argument", ["transform", "target_transform"])
def test_a_stop_iteration_of_a_transform_does_not_end_a_stream(
    ifs: fdsl.IFS, argument: str
) -> None:
    stream = stream_of(ifs, **{argument: lambda part: next(iter([]))})
    with pytest.raises(RuntimeError, match=f"{argument} raised StopIteration"):
        list(stream)


@pytest.mark.parametrize("argument", ["transform", "target_transform", "transforms"])
def test_a_stop_iteration_of_a_transform_does_not_end_a_data_set(
    ifs: fdsl.IFS, argument: str
) -> None:
    def stops(*values: Any) -> Any:
        return next(iter([]))

    arguments: dict[str, Any] = {argument: stops}
    data = Dataset(ifs, 2, rendering=TINY, **arguments)
    with pytest.raises(RuntimeError, match=f"{argument} raised StopIteration"):
        list(DataLoader(data, batch_size=2))


def test_mixup_and_cutmix_take_the_batches_of_a_stream(ifs: fdsl.IFS) -> None:
    v2 = pytest.importorskip("torchvision.transforms.v2")
    for images, labels in islice(stream_of(ifs, transform=Normalize()), 3):
        for mix in (v2.MixUp(num_classes=5), v2.CutMix(num_classes=5)):
            mixed, targets = mix(images, labels)
            assert (mixed.shape, targets.shape) == (images.shape, (BATCH, 5))
            torch.testing.assert_close(targets.sum(1), torch.ones(BATCH))


@pytest.mark.parametrize("mode, channels", [(True, 3), ("RGB", 3), ("L", 1)])
@pytest.mark.parametrize("color", [False, True])
def test_a_data_set_gives_pil_images_to_transforms_of_torchvision(
    ifs: fdsl.IFS, mode: Any, channels: int, color: bool
) -> None:
    transforms = pytest.importorskip("torchvision.transforms")
    rendering = fdsl.Rendering(size=(32, 40), num_points=500, color=color)
    plain = Dataset(ifs, 2, rendering=rendering, seed=8)
    data = Dataset(
        ifs, 2, rendering=rendering, seed=8, as_pil=mode, transform=transforms.ToTensor()
    )
    for (found, label), (image, expected) in zip(data, plain, strict=False):
        assert (found.dtype, found.shape, label) == (torch.float32, (channels, 32, 40), expected)
        if channels == 3 or not color:
            assert torch.equal(found, image.expand(channels, -1, -1) / 255)
    assert Dataset(ifs, 2, rendering=rendering, as_pil=mode)[0][0].size == (40, 32)


TARGETS = ("label", "labels", "mask", "boxes")
WIDE = fdsl.Scenes(size=(32, 48), backdrop="black")


def flip() -> Any:
    v2 = pytest.importorskip("torchvision.transforms.v2")
    return v2.Compose([v2.RandomHorizontalFlip(1.0), v2.ToImage()])


def assert_flipped(kind: str, plain: Any, flipped: Any) -> None:
    """Checks the target of a flipped image, or the targets of a batch of them."""
    if isinstance(plain, list):
        for one, other in zip(plain, flipped, strict=True):
            assert_flipped(kind, one, other)
    elif kind == "mask":
        assert torch.equal(plain.flip(-1), flipped)
    elif kind == "boxes":
        left, top, right, bottom = plain["boxes"].unbind(1)
        expected = torch.stack([48 - right, top, 48 - left, bottom], 1)
        torch.testing.assert_close(expected, torch.Tensor(flipped["boxes"]))
        assert torch.equal(plain["masks"].flip(-1), flipped["masks"])
        assert torch.equal(plain["labels"], flipped["labels"])
    else:
        assert torch.equal(torch.as_tensor(plain), torch.as_tensor(flipped))


@pytest.mark.parametrize("as_pil", [False, True])
@pytest.mark.parametrize("target", TARGETS)
def test_transforms_move_masks_and_boxes_with_the_image(target: str, as_pil: bool) -> None:
    v2 = pytest.importorskip("torchvision.transforms.v2")
    about: dict[str, Any] = {"rendering": WIDE, "target": target, "seed": 4, "as_pil": as_pil}
    plain = Dataset(fdsl.Scene(5), 2, **about)
    turned = Dataset(fdsl.Scene(5), 2, **about, transforms=flip())
    for (image, what), (flipped, same) in zip(plain, turned, strict=True):
        assert torch.equal(v2.functional.to_image(image).flip(-1), flipped)
        assert_flipped(target, what, same)


@pytest.mark.parametrize(
    "where",
    [
        *("stream", "workers", "single samples", "loader"),
        pytest.param("spawned worker", marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("target", TARGETS)
def test_a_stream_moves_masks_and_boxes_with_its_images(target: str, where: str) -> None:
    batch_size = None if where == "single samples" else 3
    about: dict[str, Any] = {"rendering": WIDE, "target": target, "batch_size": batch_size}
    plain = Stream(fdsl.Scene(5), seed=4, **about)
    if where == "loader":
        source: Any = Loader(Stream(fdsl.Scene(5), seed=4, **about), transforms=flip())
    else:
        source = Stream(fdsl.Scene(5), seed=4, **about, transforms=flip())
        if where.endswith(("workers", "worker")):
            method = "spawn" if where == "spawned worker" else "fork"
            source = loader_of(source, 1 if method == "spawn" else 2, method)
    found = list(islice(source, 3))
    for (images, targets), (flipped, same) in zip(islice(plain, 3), found, strict=True):
        assert torch.equal(images.flip(-1), flipped)
        assert_flipped(target, targets, same)
    if where == "loader":
        source.close()


def test_page_locked_masks_and_boxes_stay_what_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    tv_tensors = pytest.importorskip("torchvision.tv_tensors")
    # As in older versions of torchvision, and without a GPU.
    plain = torch.Tensor.as_subclass
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda given: plain(given, torch.Tensor))
    mask = tv_tensors.Mask(torch.arange(6).view(1, 2, 3))
    boxes = tv_tensors.BoundingBoxes([[0, 1, 2, 3]], format="XYXY", canvas_size=(5, 6))
    for part in (mask, boxes, torch.arange(3)):
        assert type(pinned(part)) is type(part) and torch.equal(pinned(part), part)
    assert pinned(boxes).canvas_size == (5, 6)


def test_transforms_of_a_loader_take_what_those_of_its_stream_return() -> None:
    def flattened(images: Any, masks: Any) -> Any:
        return images, masks.flatten(1)

    def noted(images: Any, masks: Any) -> Any:
        seen.append((type(images), type(masks), masks.shape))
        return images, masks

    seen: list[Any] = []
    stream = Stream(
        fdsl.Scene(5), rendering=WIDE, target="mask", batch_size=3, transforms=flattened
    )
    with Loader(stream, transforms=noted) as loader:
        next(iter(loader))
    tv_tensors = pytest.importorskip("torchvision.tv_tensors")
    assert seen[0] == (tv_tensors.Image, torch.Tensor, (3, 32 * 48))


@pytest.mark.parametrize("source", [Dataset, Stream, Loader])
def test_transforms_that_lose_the_targets_are_refused(ifs: fdsl.IFS, source: Any) -> None:
    def images_only(images: Any, _: Any) -> Any:
        return images

    with pytest.raises(TypeError, match="transforms must return images and targets, got "):
        if source is Loader:
            next(iter(Loader(stream_of(ifs), transforms=images_only)))
        else:
            next(iter(source(ifs, rendering=TINY, transforms=images_only)))


@pytest.mark.slow
def test_the_parts_that_need_more_packages_are_imported_when_they_are_used() -> None:
    code = (
        "import fdsl, sys; assert not {'torch', 'fdsl.export'} & sys.modules.keys();"
        "fdsl.torch.Stream; fdsl.export.shards; assert not hasattr(fdsl, 'nothing')"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=100)


@pytest.mark.parametrize("source", [Dataset, Stream, Loader])
def test_transforms_need_torchvision(
    ifs: fdsl.IFS, source: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torchvision", None)
    with pytest.raises(ModuleNotFoundError, match="transforms needs torchvision: pip install"):
        source(stream_of(ifs) if source is Loader else ifs, transforms=lambda *both: both)


def test_a_transform_for_pil_images_is_answered_by_what_to_write(ifs: fdsl.IFS) -> None:
    transforms = pytest.importorskip("torchvision.transforms")
    for transform in (transforms.ToTensor(), transforms.PILToTensor()):
        with pytest.raises(TypeError, match=r"create it with as_pil=True, or .* v2\.ToDtype"):
            Dataset(ifs, 2, rendering=TINY, transform=transform)[0]
    with pytest.raises(TypeError, match="my own"):  # another mistake stays what it is
        Dataset(ifs, 2, rendering=TINY, transform=_raise_my_own)[0]


def _raise_my_own(_: Any) -> None:
    raise TypeError("my own")


# Large numbers and many streams


def test_numbers_near_the_largest_are_refused_or_rendered(ifs: fdsl.IFS) -> None:
    for samples in (2**62, 2**63 - 1, 2**63, 2**64 - 1):
        with pytest.raises(ValueError, match=f"samples must be less than .*{samples}"):
            stream_of(ifs).load_state_dict({"samples": samples})
    with pytest.raises(ValueError, match=f"steps_per_epoch must be less than .*{2**63}"):
        stream_of(ifs, steps_per_epoch=2**63)
    stream = stream_of(ifs, steps_per_epoch=3)
    for epoch in (2**62 // 12 + 1, 2**63, 2**64 - 1):
        with pytest.raises(ValueError, match=f"epoch must start .* {epoch}"):
            stream.set_epoch(epoch)
    assert stream.epoch == 0
    stream.set_epoch(2**62 // 12)
    assert len(contents(stream)) == 3
    endless = stream_of(ifs)
    endless.load_state_dict({"samples": 2**62 - 1})
    assert len(contents(endless, 2)) == 2
    long = stream_of(ifs, steps_per_epoch=2**62 - 1)
    assert len(contents(long, 1)) == 1
    with pytest.raises(ValueError, match="2\\*\\*63"):
        contents(long, 1)  # the second epoch starts after the end
    most = (2**63 - 1) // 5
    assert len(Dataset(ifs, most)) == 5 * most
    for instances in (most + 1, 2**63):
        with pytest.raises(ValueError, match=f"at most {most} .*{instances}"):
            Dataset(ifs, instances)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_thousands_of_streams_need_few_files(ifs: fdsl.IFS) -> None:
    def files() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    before = files()
    streams = [stream_of(ifs, steps_per_epoch=2) for _ in range(3000)]
    assert files() - before < 50
    streams[-1].set_epoch(1)  # workers see it
    assert contents(loader_of(streams[-1], workers=2)) == contents(stream_of(ifs), 4)[2:]


# Copies


@pytest.mark.parametrize(
    "copied",
    [copy.deepcopy, lambda stream: pickle.loads(pickle.dumps(stream))],
    ids=["deep", "pickle"],
)
class TestCopies:
    def test_a_copy_continues_where_the_stream_would(
        self, ifs: fdsl.IFS, copied: Callable[[Stream], Stream]
    ) -> None:
        stream = stream_of(ifs, steps_per_epoch=5, rank=1, world_size=2)
        stream.load_state_dict({"samples": 7 * 2 * BATCH})
        other = copied(stream)
        assert contents(other) == contents(stream)
        assert repr(other) == repr(stream)

    def test_a_copy_may_be_made_during_an_iteration(
        self, ifs: fdsl.IFS, copied: Callable[[Stream], Stream]
    ) -> None:
        stream = stream_of(ifs)
        batches = iter(stream)
        contents(batches, 2)
        assert contents(copied(stream), 3) == contents(stream_of(ifs), 3)
        assert contents(batches, 1) == contents(stream_of(ifs), 3)[2:]

    def test_a_copy_has_its_own_epochs(
        self, ifs: fdsl.IFS, copied: Callable[[Stream], Stream]
    ) -> None:
        stream = stream_of(ifs, steps_per_epoch=3)
        other = copied(stream)
        other.set_epoch(2)
        assert (stream.epoch, other.epoch) == (0, 2)

    def test_the_workers_of_a_copy_see_a_new_epoch(
        self, ifs: fdsl.IFS, copied: Callable[[Stream], Stream]
    ) -> None:
        stream = copied(stream_of(ifs, steps_per_epoch=3))
        loader = loader_of(stream, workers=2, persistent_workers=True)
        expected = contents(stream_of(ifs), 6)
        for epoch in range(2):
            stream.set_epoch(epoch)
            assert contents(loader) == expected[3 * epoch : 3 * epoch + 3]


# Arguments


@pytest.mark.parametrize(
    "arguments, error, message",
    [
        ({"batch_size": 0}, ValueError, "batch_size .* 0"),
        ({"batch_size": 2.5}, TypeError, "batch_size .* 2.5"),
        ({"steps_per_epoch": -1}, ValueError, "steps_per_epoch .* -1"),
        ({"steps_per_epoch": 0}, ValueError, "steps_per_epoch .* 0"),
        ({"instances": 0}, ValueError, "instances .* 0"),
        ({"rank": 1}, ValueError, "1, None"),
        ({"world_size": 2}, ValueError, "None, 2"),
        ({"rank": 2, "world_size": 2}, ValueError, "2 of 2"),
        ({"rank": -1, "world_size": 2}, ValueError, "rank .* -1"),
        ({"rank": 0, "world_size": 0}, ValueError, "world_size .* 0"),
        ({"rank": "0", "world_size": 2}, TypeError, "rank .* '0'"),
        ({"family": [[1, 2]]}, TypeError, r"family must be Family, got \[\[1, 2\]\]"),
        ({"rendering": "paper"}, TypeError, "rendering must be Frame, got 'paper'"),
        ({"seed": -1}, ValueError, "seed .* -1"),
        ({"seed": 2**64}, ValueError, f"seed .* {2**64}"),
        ({"seed": "a"}, TypeError, "seed .* 'a'"),
        ({"label_noise": 1.5}, ValueError, "label_noise must lie between 0 and 1, got 1.5"),
        ({"label_noise": float("nan")}, ValueError, "label_noise .* nan"),
        ({"label_noise": True}, TypeError, "label_noise must be a number, got True"),
        ({"label_noise": "a lot"}, TypeError, "label_noise .* 'a lot'"),
        ({"transform": "flip"}, TypeError, "transform must be callable, got 'flip'"),
        ({"transforms": "flip"}, TypeError, "transforms must be callable, got 'flip'"),
        ({"transforms": abs, "transform": abs}, ValueError, "give transforms, or transform and "),
        ({"num_threads": 0}, ValueError, "num_threads .* 0"),
        ({"num_threads": 1.5}, TypeError, "num_threads .* 1.5"),
        ({"threads": 1}, TypeError, "'threads' was renamed to 'num_threads'"),
        ({"rendering": fdsl.Strokes()}, TypeError, "IFS takes a Rendering"),
    ],
    ids=str,
)
def test_a_stream_refuses_bad_arguments(
    ifs: fdsl.IFS, arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        Stream(**{"family": ifs, **arguments})


@pytest.mark.parametrize(
    "arguments, error, message",
    [
        ({"instances": 0}, ValueError, "instances .* 0"),
        ({"instances": -2}, ValueError, "instances .* -2"),
        ({"instances": 1.5}, TypeError, "instances .* 1.5"),
        ({"family": "categories"}, TypeError, "family must be Family, got 'categories'"),
        ({"rendering": 224}, TypeError, "rendering must be Frame, got 224"),
        ({"seed": -1}, ValueError, "seed .* -1"),
        ({"num_threads": 0}, ValueError, "threads .* 0"),
        ({"transform": 3}, TypeError, "transform must be callable, got 3"),
        ({"target_transform": 3}, TypeError, "target_transform must be callable, got 3"),
        ({"transforms": 3}, TypeError, "transforms must be callable, got 3"),
        ({"transforms": abs, "transform": abs}, ValueError, "give transforms, or transform and "),
        ({"as_pil": "CMYK"}, ValueError, "as_pil must be True, False, 'RGB' or 'L', got 'CMYK'"),
        ({"as_pil": 1}, ValueError, "as_pil must be .* got 1"),
    ],
    ids=str,
)
def test_a_data_set_refuses_bad_arguments(
    ifs: fdsl.IFS, arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        Dataset(**{"family": ifs, **arguments})


# Data sets with a length


@pytest.fixture
def data(ifs: fdsl.IFS) -> Dataset:
    return Dataset(ifs, 3, rendering=TINY, seed=8)


def test_items_are_what_render_returns(ifs: fdsl.IFS, data: Dataset) -> None:
    assert len(data) == 15
    expected = fdsl.render(ifs, np.repeat(np.arange(5), 3), np.tile(np.arange(3), 5), 8, TINY)
    for item in range(15):
        image, label = data[item]
        assert (image.dtype, image.shape) == (torch.uint8, (1, 32, 32))
        assert type(label) is int
        assert label == item // 3
        np.testing.assert_array_equal(image[0].numpy(), expected[item])


def test_items_rendered_together_equal_those_rendered_alone(data: Dataset) -> None:
    items = [14, 0, -1, 7, 7, 3]
    assert contents(data.__getitems__(items)) == contents(data[item] for item in items)
    assert data.__getitems__([]) == []


def test_items_can_be_counted_from_the_end(data: Dataset) -> None:
    assert contents([data[-1], data[-15]]) == contents([data[14], data[0]])
    for item in (15, -16):
        with pytest.raises(IndexError, match=str(item)):
            data[item]


def test_an_index_that_is_not_an_integer_is_refused(data: Dataset) -> None:
    for item in (1.5, "1", None):
        with pytest.raises(TypeError):
            data[item]


def test_a_data_set_has_the_attributes_of_an_image_folder(data: Dataset) -> None:
    assert data.classes == ["00000", "00001", "00002", "00003", "00004"]
    assert data.class_to_idx == {name: i for i, name in enumerate(data.classes)}
    assert data.targets == [data[item][1] for item in range(15)]
    assert data.targets is data.targets  # and not computed for each access
    addresses, labels = zip(*data.samples, strict=True)
    assert list(labels) == data.targets
    assert addresses == tuple((8, item // 3, item % 3) for item in range(15))


def test_transforms_see_each_image_and_label(ifs: fdsl.IFS, data: Dataset) -> None:
    changed = Dataset(
        ifs, 3, rendering=TINY, seed=8, transform=lambda image: image.sum().item(),
        target_transform=lambda label: f"category {label}",
    )  # fmt: skip
    expected = [(image.sum().item(), f"category {label}") for image, label in islice(data, 15)]
    assert changed.__getitems__(list(range(15))) == expected
    assert changed[4] == expected[4]


@needs_fork
def test_a_shuffled_loader_gives_each_item_once(data: Dataset) -> None:
    loader = DataLoader(data, BATCH, shuffle=True, num_workers=2, multiprocessing_context="fork")
    found = singles(contents(loader))
    expected = contents(data[item] for item in range(15))
    assert sorted(found) == sorted(expected)


def test_a_pickled_data_set_is_the_same(data: Dataset) -> None:
    other = pickle.loads(pickle.dumps(data))
    assert contents(other[item] for item in range(15)) == contents(data[item] for item in range(15))
    assert (repr(other), other.classes) == (repr(data), data.classes)


def test_the_old_name_of_the_class_answers_with_the_new_one() -> None:
    with pytest.raises(TypeError, match=r"Instances was renamed to fdsl\.torch\.Dataset"):
        from fdsl.torch import Instances  # noqa: F401
    with pytest.raises(AttributeError, match="no attribute 'Instance'"):
        fdsl.torch.Instance  # noqa: B018


# Normalize


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("mean, std", [(0.2, 0.5), ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))])
def test_normalize_is_the_obvious_formula(channels: int, mean: Any, std: Any) -> None:
    images = torch.arange(256, dtype=torch.uint8).repeat(2 * channels).reshape(2, channels, 16, 16)
    images[1] = 255 - images[1]
    rgb = images.expand(2, 3, 16, 16).double() / 255
    center, spread = (torch.tensor(x).double().expand(3).reshape(3, 1, 1) for x in (mean, std))
    normalized = Normalize(mean, std)(images)
    assert (normalized.dtype, normalized.shape) == (torch.float32, (2, 3, 16, 16))
    np.testing.assert_allclose(normalized, (rgb - center) / spread, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("channels", [1, 3])
def test_normalize_takes_a_single_image(channels: int) -> None:
    image = torch.randint(256, (channels, 8, 9), dtype=torch.uint8)
    normalize = Normalize((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    assert normalize(image).shape == (3, 8, 9)
    assert torch.equal(normalize(image), normalize(image[None])[0])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_normalize_returns_the_dtype_asked_for(dtype: torch.dtype) -> None:
    images = torch.randint(256, (2, 1, 8, 8), dtype=torch.uint8)
    normalized = Normalize(dtype=dtype)(images)
    assert normalized.dtype == dtype
    assert torch.equal(normalized, Normalize()(images).to(dtype))


def test_a_network_of_half_precision_keeps_the_precision_of_its_normalization() -> None:
    images = torch.randint(256, (2, 1, 8, 8), dtype=torch.uint8)
    constants = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    network = torch.nn.Sequential(Normalize(*constants), torch.nn.Conv2d(3, 4, 3))
    network.to(torch.bfloat16)
    assert network(images).dtype == torch.bfloat16
    assert torch.equal(network[0](images), Normalize(*constants)(images).to(torch.bfloat16))
    assert torch.equal(network.float()[0](images), Normalize(*constants)(images))


def test_normalize_leaves_nothing_in_a_checkpoint() -> None:
    normalize = Normalize()
    assert normalize.state_dict() == {}
    assert list(normalize.parameters()) == []
    assert {name for name, _ in normalize.named_buffers()} == {"mean", "std"}  # .to() moves them


@pytest.mark.parametrize(
    "images",
    [
        torch.zeros(2, 1, 8, 8),
        torch.zeros(8, 8, dtype=torch.uint8),
        torch.zeros(8, 8, 3, dtype=torch.uint8),
        torch.zeros(2, 2, 8, 8, dtype=torch.uint8),
        torch.zeros(2, 8, 8, 3, dtype=torch.uint8),
    ],
    ids=lambda images: f"{images.dtype}{tuple(images.shape)}",
)
def test_normalize_refuses_anything_but_a_batch_of_images(images: Any) -> None:
    with pytest.raises(ValueError) as refusal:
        Normalize()(images)
    assert str(images.dtype) in str(refusal.value)
    assert str(tuple(images.shape)) in str(refusal.value)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"std": 0}, "std .* 0"),
        ({"std": (0.5, -0.5, 0.5)}, r"std .* \(0.5, -0.5, 0.5\)"),
        ({"std": float("nan")}, "std .* nan"),
        ({"std": float("inf")}, "std .* inf"),
        ({"std": 1e-45}, "1 / std must be finite, .*1e-45"),
        ({"mean": 1, "std": 1e-40}, "mean / std .* must be finite, got mean=1, std=1e-40"),
        ({"mean": 127}, "mean must lie between 0 and 1, as 255 counts as 1, got 127"),
        ({"mean": (0.5, -0.1, 0.5)}, r"mean must lie between 0 and 1, .* got \(0.5, -0.1, 0.5\)"),
        ({"mean": float("nan")}, "mean must be finite, got nan"),
        ({"mean": (0.1, float("inf"), 0.1)}, "mean must be finite, .*inf"),
        ({"mean": "gray"}, "mean .* 'gray'"),
        ({"mean": 10**400}, "mean .*"),
        ({"mean": (0.1, 0.2)}, r"mean .* \(0.1, 0.2\)"),
        ({"mean": ((0.1, 0.2, 0.3),)}, "mean .*"),
    ],
    ids=str,
)
def test_normalize_refuses_bad_arguments(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Normalize(**arguments)


# Processes


def _render_for_fork(ifs: fdsl.IFS) -> bytes:
    return digest(fdsl.render(ifs, np.arange(40) % 5, np.arange(40), 0, TINY, 4)).encode()


def _send(pipe: Any, ifs: fdsl.IFS) -> None:
    pipe.send_bytes(_render_for_fork(ifs))


@needs_fork
def test_a_forked_child_renders_after_its_parent_did(ifs: fdsl.IFS) -> None:
    expected = _render_for_fork(ifs)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        with contextlib.suppress(BaseException), os.fdopen(writing, "wb") as pipe:
            pipe.write(_render_for_fork(ifs))
        os._exit(0)
    os.close(writing)
    # If the child hangs, the timer kills it, and the pipe is too short.
    timer = subprocess.Popen(["sh", "-c", f"sleep 30; kill -9 {child}"], start_new_session=True)
    try:
        with os.fdopen(reading, "rb") as pipe:
            assert pipe.read() == expected
    finally:
        os.waitpid(child, 0)
        os.killpg(timer.pid, signal.SIGKILL)
        timer.wait()
    assert _render_for_fork(ifs) == expected  # and the parent still does


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


def _python(script: str, **how: Any) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **how,
    )


def test_importing_fdsl_imports_no_torch() -> None:
    process = _python(
        "import sys, fdsl; print(sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    out, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert "'fdsl'" in out
    assert "'torch'" not in out
    assert "'torchvision'" not in out


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT to send")
@pytest.mark.parametrize("progress", ["None", "lambda found, tried: None"], ids=["", "progress"])
def test_ctrl_c_ends_a_search(progress: str) -> None:
    process = _python(
        "import signal, fdsl\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "print('searching', flush=True)\n"
        "fdsl.IFS.search(1, 0.9, size=64, num_points=5000, max_tries=10**12, progress="
        f"{progress})\n"
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "searching\n"
        time.sleep(0.5)  # long enough to be searching
        assert process.poll() is None, "the search ended on its own"
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    finally:
        process.kill()
        process.communicate()
    assert errors.rstrip().endswith("KeyboardInterrupt")
    assert "in search" in errors


def test_a_state_between_two_batches_is_refused(ifs: fdsl.IFS) -> None:
    stream = stream_of(ifs, steps_per_epoch=6)
    with pytest.raises(ValueError, match="not a whole number of batches"):
        stream.load_state_dict({"samples": BATCH + 1})


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("target", ["label", "labels"])
def test_a_stream_from_memory_has_the_same_batches(target, workers):
    family = fdsl.Scene([fdsl.Perlin(4), fdsl.Bezier(9)])
    options = {"batch_size": 5, "instances": 2, "steps_per_epoch": 6, "seed": 3, "target": target}
    options["rendering"] = fdsl.Scenes(size=32)
    if target == "label":
        options["label_noise"] = 0.5
    streams = [Stream(family, cache=cache, **options) for cache in (False, True)]
    rendered, kept = (
        [*DataLoader(stream, batch_size=None, num_workers=workers)] for stream in streams
    )
    assert len(rendered) == len(kept) == 6
    for one, other in zip(rendered, kept, strict=True):
        assert torch.equal(one.images, other.images) and torch.equal(one.targets, other.targets)
    # A copy renders its images again; what it does not have is the memory.
    copy = pickle.loads(pickle.dumps(streams[1]))
    copy.set_epoch(0)
    assert torch.equal(next(iter(copy)).images, kept[0].images)
    assert len(pickle.dumps(streams[1])) < 20_000


def test_a_stream_from_memory_needs_a_number_of_instances():
    with pytest.raises(ValueError, match="cache=True needs instances"):
        Stream(fdsl.Perlin(4), cache=True)
