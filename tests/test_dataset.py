"""The data set in NumPy: the same items in every process, with and without a cache."""

import copy
import os
import pickle
import subprocess
import sys
import threading

import fdsl
import fdsl.dataset
import numpy as np
import pytest
from families_in_python import Disks, Scenes

TINY = fdsl.Rendering(size=32, num_points=500)


def data_of(ifs, **changes):
    return fdsl.Dataset(ifs, 3, **{"rendering": TINY, "seed": 8, **changes})


def equal(one, other):
    return len(one) == len(other) and all(
        np.array_equal(a, b) and c == d for (a, c), (b, d) in zip(one, other, strict=True)
    )


@pytest.mark.parametrize("cache", [False, True])
def test_items_are_what_render_returns(ifs, cache):
    data = data_of(ifs, cache=cache)
    assert len(data) == 15
    expected = fdsl.render(ifs, np.repeat(np.arange(5), 3), np.tile(np.arange(3), 5), 8, TINY)
    for item in range(15):
        image, label = data[item]
        assert (image.dtype, image.shape, type(label)) == (np.uint8, (32, 32), int)
        assert label == item // 3
        np.testing.assert_array_equal(image, expected[item])
    assert equal(data.__getitems__([14, 0, -1, 7, 7]), [data[i] for i in (14, 0, 14, 7, 7)])
    assert data.__getitems__([]) == []
    assert equal(list(data), [data[item] for item in range(15)])  # a loop ends


@pytest.mark.parametrize("cache", [False, True])
def test_items_out_of_range_are_refused(ifs, cache):
    data = data_of(ifs, cache=cache)
    assert equal([data[-1], data[-15]], [data[14], data[0]])
    for item in (15, -16):
        with pytest.raises(IndexError, match=f"item {item} is out of range: there are 15"):
            data[item]
    for item in (1.5, "1", None):
        with pytest.raises(TypeError):
            data[item]


def test_color_has_its_channels_last():
    data = fdsl.Dataset(Disks(3), 2, rendering=fdsl.Frame(size=(20, 24), color=True), cache=True)
    assert data[0][0].shape == (20, 24, 3)


@pytest.mark.parametrize("cache", [False, True])
def test_label_noise_is_that_of_the_stream(ifs, cache):
    data = fdsl.Dataset(ifs, 40, rendering=TINY, seed=8, label_noise=0.5, cache=cache)
    labels = [label for _, label in data.__getitems__(range(200))]
    numbers = np.arange(200, dtype=np.uint64)
    assert labels == ifs.labels((numbers // 40, numbers % 40), 8, 0.5).tolist()
    assert 60 < sum(label != item // 40 for item, label in enumerate(labels)) < 120


def test_a_cache_renders_each_image_once(monkeypatch):
    rendered = []
    draw = Scenes.draw
    monkeypatch.setattr(Scenes, "draw", lambda *a: (rendered.append(1), draw(*a))[1])
    frame = fdsl.Frame(size=24, resample_degenerate=False)
    for target in ("label", "labels", "mask", "boxes"):
        settings = {"rendering": frame, "target": target}
        plain = fdsl.Dataset(Scenes(4), 3, **settings)
        expected = [repr(plain[item]) for item in range(12)]
        rendered.clear()
        data = fdsl.Dataset(Scenes(4), 3, cache=True, **settings)
        for _ in range(2):
            assert [repr(data[item]) for item in range(12)] == expected
            assert data.__getitems__([]) == []
        assert len(rendered) == 12


def test_what_a_caller_does_to_an_item_does_not_change_the_cache(ifs):
    data = data_of(ifs, cache=True)
    before = data[4][0].copy()
    data[4][0][:] = 77
    np.testing.assert_array_equal(data[4][0], before)


def test_a_cache_that_is_too_large_is_refused():
    family = fdsl.Perlin(100)
    with pytest.raises(ValueError, match=r"at most 34,359,738,368 bytes, got 10,000,000 images of"):
        fdsl.Dataset(family, 100_000, cache=True)
    frame = fdsl.Frame(size=4096)
    fits = fdsl.dataset.MAX_CACHED // 4096**2
    with pytest.raises(ValueError, match=f"got {fits + 1:,} images of 4096×4096"):
        fdsl.Dataset(fdsl.Perlin([(1, 1)]), fits + 1, rendering=frame, cache=True)
    with pytest.raises(TypeError, match="cache must be bool, got 3"):
        fdsl.Dataset(family, cache=3)


@pytest.mark.parametrize("cache", [False, True])
def test_threads_may_share_it(ifs, cache):
    expected = list(data_of(ifs))
    data = pickle.loads(pickle.dumps(data_of(ifs, cache=cache)))  # rendered when first asked
    found, start = {}, threading.Barrier(4)

    def read(number):
        start.wait()
        found[number] = [data[(item + 3 * number) % 15] for item in range(15)]

    threads = [threading.Thread(target=read, args=[number]) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number in range(4):
        wanted = [expected[(item + 3 * number) % 15] for item in range(15)]
        assert equal(found[number], wanted)


def test_a_pickle_does_not_hold_the_cache(ifs):
    data = fdsl.Dataset(ifs, 200, rendering=TINY, cache=True)
    content = pickle.dumps(data)
    assert len(content) < 20_000  # of a megabyte of images
    other = pickle.loads(content)
    assert equal([other[777]], [data[777]]) and len(other) == 1000
    assert repr(other) == repr(data) == "<Dataset: 5 categories of 200>"


def _sum(data, item):
    return int(data[item][0].sum())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_forked_workers_read_the_cache_and_render_nothing(monkeypatch):
    frame = fdsl.Frame(size=24)
    expected = [_sum(fdsl.Dataset(Disks(3), 4, rendering=frame), item) for item in range(12)]
    data = fdsl.Dataset(Disks(3), 4, rendering=frame, cache=True)

    def refuse(*_):
        raise AssertionError("a worker rendered")

    monkeypatch.setattr(Disks, "draw", refuse)
    results = []
    for item in range(12):
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                os.write(write, str(_sum(data, item)).encode())
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        os.close(write)
        results.append(int(os.read(read, 100) or -1))
        os.close(read)
    assert results == expected


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        ({"instances": 0}, ValueError, "instances must be at least 1, got 0"),
        ({"instances": 2**62}, ValueError, "instances must be at most"),
        ({"family": "categories"}, TypeError, "family must be Family, got 'categories'"),
        ({"rendering": 224}, TypeError, "rendering must be Frame, got 224"),
        ({"rendering": fdsl.Strokes()}, TypeError, "IFS takes a Rendering .* got a Strokes"),
        ({"seed": -1}, ValueError, "seed must be 0 or more, got -1"),
        ({"num_threads": 0}, ValueError, "num_threads must be None or lie between"),
        ({"label_noise": 2}, ValueError, "label_noise must lie between 0 and 1, got 2"),
    ],
)
def test_bad_arguments_are_refused(ifs, arguments, error, said):
    with pytest.raises(error, match=said):
        fdsl.Dataset(**{"family": ifs, **arguments})


@pytest.mark.parametrize("cache", [False, True])
def test_numbers_out_of_range_are_refused(ifs, cache):
    data = fdsl.Dataset(ifs, 2, rendering=TINY, cache=cache)
    for number in (-1, len(data)):
        with pytest.raises(IndexError, match=f"item {number} is out of range"):
            data.take(np.array([0, number]))


def test_what_a_data_set_is_made_of_cannot_be_changed(ifs):
    data = fdsl.Dataset(ifs, 2, rendering=TINY, cache=True)
    for name in ("family", "instances", "rendering", "target", "seed", "label_noise", "cache"):
        with pytest.raises(AttributeError, match=f"the {name} of a Dataset cannot be changed"):
            setattr(data, name, getattr(data, name))


def test_a_subclass_may_keep_its_arguments_first(ifs):
    class Seeded(fdsl.Dataset):
        def __init__(self, family, seed):
            self.seed = seed
            super().__init__(family, 2, rendering=TINY, seed=seed)

    data = Seeded(ifs, 3)
    assert equal(data, fdsl.Dataset(ifs, 2, rendering=TINY, seed=3))
    with pytest.raises(AttributeError, match="the seed of a Dataset cannot be changed"):
        copy.copy(data).seed = 4


def test_it_needs_no_torch():
    code = (
        "import fdsl, sys; d = fdsl.Dataset(fdsl.Perlin(4), 2, rendering=fdsl.Frame(size=16));"
        "d[3]; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=100)


class Numbered(fdsl.Dataset):
    def __getitem__(self, item):
        return (*super().__getitem__(item), item)


class Together(fdsl.Dataset):
    def __getitems__(self, items):
        found = super().__getitems__(items)
        return [(*one, item) for one, item in zip(found, items, strict=True)]


class Both(Together):
    def __getitem__(self, item):
        return (*super().__getitem__(item), item)


class ByBatch(Together):
    def __getitem__(self, item):
        return self.__getitems__([item])[0]


class OneByOne(Numbered):
    def __getitems__(self, items):
        return [self[item] for item in items]


class Logged(Numbered):
    def __getitems__(self, items):
        return super().__getitems__(items)


@pytest.mark.parametrize("base", ["numpy", "torch"])
@pytest.mark.parametrize("kind", [Numbered, Both, ByBatch, OneByOne, Logged])
def test_an_item_of_a_subclass_is_the_same_one_by_one_and_in_batches(ifs, kind, base):
    if base == "torch":
        torch_dataset = pytest.importorskip("fdsl.torch").Dataset
        kind = type(kind.__name__, (kind, torch_dataset), {})
    data = kind(ifs, 3, rendering=TINY)
    assert [data[item][1:] for item in (4, 7)] == [(1, 4), (2, 7)]
    found = data.__getitems__([4, 7])
    assert [(label, number) for _, label, number in found] == [(1, 4), (2, 7)]
    expected = data_of(ifs, seed=0)[7][0]
    np.testing.assert_array_equal(np.asarray(found[1][0]).reshape(expected.shape), expected)


def test_a_batch_of_a_subclass_may_be_anything(ifs):
    class Stacked(fdsl.Dataset):
        def __getitems__(self, items):
            images, labels = zip(*super().__getitems__(items), strict=True)
            return np.stack(images), np.array(labels)

    data = Stacked(ifs, 3, rendering=TINY)
    assert data.__getitems__([4, 7])[1].tolist() == [1, 2] and data[4][1] == 1


class Stateful(fdsl.Dataset):
    def __getstate__(self):
        return {"base": super().__getstate__(), "note": "kept"}

    def __setstate__(self, state):
        super().__setstate__(state["base"])


def test_a_data_set_with_a_state_of_its_own_is_copied(ifs):
    data = copy.copy(Stateful(ifs, 3, rendering=TINY, cache=True))
    assert data[7][1] == 2


def test_a_shallow_copy_shares_the_images_in_memory(ifs):
    data = data_of(ifs, cache=True)
    copied = copy.copy(data)
    assert copied._cached is data._cached and copied._lock is not data._lock
    assert equal(list(copied), list(data))
    assert copy.copy(data_of(ifs))._cached is None
