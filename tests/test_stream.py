"""Streams: the same samples for any workers, threads and batch sizes, and as copies."""

import copy
import pickle
import sys
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")  # an optional package, which all of this file needs

import fdsl
from fdsl import _core
from fdsl.torch import Dataset, Loader, Stream
from streams import (
    BATCH,
    TINY,
    contents,
    digest,
    images_of,
    loader_of,
    needs_fork,
    singles,
    stream_of,
)
from torch.utils.data import DataLoader, IterableDataset, random_split

pytestmark = pytest.mark.usefixtures("no_launcher")


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


def test_a_copy_has_its_own_position(ifs: fdsl.IFS) -> None:
    stream = stream_of(ifs, steps_per_epoch=3)
    for other in (copy.copy(stream), copy.deepcopy(stream)):
        other.set_epoch(5)
        assert (stream.epoch, other.epoch) == (0, 5)


# Epochs


def test_a_stream_is_true_with_or_without_a_length(ifs: fdsl.IFS) -> None:
    assert stream_of(ifs) and stream_of(ifs, steps_per_epoch=3) and Loader(stream_of(ifs))


def test_a_single_sample_does_not_keep_others_in_memory(ifs: fdsl.IFS) -> None:
    image, label = next(iter(stream_of(ifs, batch_size=None)))
    assert image.untyped_storage().nbytes() == image.nbytes
    assert label.untyped_storage().nbytes() == label.nbytes


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


# Only Linux lists the open files of a process in a folder.
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
        ({"threads": 1}, TypeError, "Stream: the argument 'threads' was renamed to 'num_threads'"),
        ({"rendering": fdsl.Strokes()}, TypeError, "IFS takes a Rendering"),
    ],
    ids=str,
)
def test_a_stream_refuses_bad_arguments(
    ifs: fdsl.IFS, arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        Stream(**{"family": ifs, **arguments})


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
