"""A family in Python works wherever a family of the core does."""

import copy
import dataclasses
import functools
import importlib
import importlib.util
import json
import multiprocessing
import operator
import os
import pickle
import subprocess
import sys
import textwrap
from pathlib import Path

import fdsl
import fdsl.cli
import fdsl.export
import numpy as np
import pytest
from families_in_python import Disks, Scenes
from fdsl import _core, _scripts
from fdsl.families import registry
from fdsl.preview import contact_sheet
from pages import blocks

PAGE = Path(__file__).parents[1] / "docs" / "families.md"
FRAME = fdsl.Frame(size=(30, 40), crop=(24, 28))
DISKS = Disks(6)


@pytest.fixture(autouse=True)
def _known_names():
    """Unregisters the families that a test registers."""
    known, scripts, modules, path = (
        dict(registry._known), dict(_scripts._scripts), set(sys.modules), list(sys.path),
    )  # fmt: skip
    yield
    registry._known.clear()
    registry._known.update(known)
    _scripts._scripts.clear()
    _scripts._scripts.update(scripts)
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        if name.startswith(("fdsl_script_", "disks", "spots")):
            del sys.modules[name]


def slow(family, category, index, frame=FRAME, seed=0):
    """One image, cropped and flipped by hand."""
    whole = fdsl.Frame(size=frame.size, flips=False)
    if frame.flips:
        image = fdsl.render(family, category, index - index % 4, seed, whole)
        return image[:: -1 if index & 1 else 1, :: -1 if index & 2 else 1]
    return fdsl.render(family, category, index, seed, whole)


# Rendering


def test_images_depend_only_on_their_address():
    together = fdsl.render(DISKS, [0, 3, 5, 3], [7, 0, 9, 1], 4, FRAME)
    assert together.shape == (4, 24, 28)
    for number, (category, index) in enumerate([(0, 7), (3, 0), (5, 9), (3, 1)]):
        alone = fdsl.render(DISKS, category, index, 4, FRAME, num_threads=1)
        np.testing.assert_array_equal(alone, together[number])
    everything = fdsl.render(DISKS, np.repeat(range(6), 20), np.tile(range(20), 6), 4, FRAME)
    assert len({image.tobytes() for image in everything}) > 110
    assert not np.array_equal(fdsl.render(DISKS, 3, 1, 5, FRAME), together[3])


def test_flips_share_their_random_numbers_and_crops_do_not():
    for index in range(8):
        frame = fdsl.Frame(size=(30, 40))
        image = fdsl.render(DISKS, 5, index, 0, frame)
        np.testing.assert_array_equal(image, slow(DISKS, 5, index, frame))
    central = fdsl.Frame(size=(30, 40), crop=(24, 28), crop_position="center")
    np.testing.assert_array_equal(
        fdsl.render(DISKS, 5, 6, 0, central), slow(DISKS, 5, 6, central)[3:27, 6:34]
    )
    windows = set()
    for index in range(40):
        whole, image = slow(DISKS, 5, index), fdsl.render(DISKS, 5, index, 0, FRAME)
        every = [(y, x) for y in range(7) for x in range(13)]
        fits = [(y, x) for y, x in every if np.array_equal(whole[y : y + 24, x : x + 28], image)]
        assert fits
        windows.update(fits[:1])
    assert len(windows) > 20


def test_black_images_are_re_rendered(monkeypatch):
    draws = []

    def draw(self, category, rng, frame):
        draws.append(category)
        return np.full((frame.height, frame.width), rng.random() > 0.7, np.uint8)

    monkeypatch.setattr(Disks, "draw", draw)
    frame = fdsl.Frame(size=16, flips=False)
    images, retries = fdsl.render(
        DISKS, np.zeros(200, int), np.arange(200), 0, frame, return_retries=True
    )
    assert images.any((1, 2)).sum() > 180 and len(draws) == 200 + retries.sum() > 400
    assert retries.max() == 8
    once = fdsl.Frame(size=16, flips=False, resample_degenerate=False)
    plain = fdsl.render(DISKS, np.zeros(200, int), np.arange(200), 0, once)
    assert 30 < plain.any((1, 2)).sum() < 90
    np.testing.assert_array_equal(plain[retries == 0], images[retries == 0])


@pytest.mark.parametrize(
    ("family", "returned", "error", "said"),
    [
        (DISKS, None, TypeError, r"Disks\.draw must return a uint8 array, got NoneType"),
        (DISKS, np.zeros((30, 40)), TypeError, "must return a uint8 array, got float64"),
        (DISKS, np.zeros((40, 30), np.uint8), ValueError, r"shape \(30, 40\), got \(40, 30\)"),
        (Scenes(3), np.zeros((30, 40), np.uint8), TypeError, "must return an fdsl.Sample, since"),
        (Scenes(3), (None, [0]), TypeError, "objects of Scenes.draw must be an array of integers"),
        (Scenes(3), (np.zeros((30, 40)), [0]), TypeError, "array of integers, got float64"),
        (Scenes(3), (np.zeros((3, 4), int), [0]), ValueError, r"shape \(30, 40\), got \(3, 4\)"),
        (Scenes(3), (np.full((30, 40), 2), [0]), ValueError, "from 1 to 1, .*; got 2"),
        (Scenes(3), (np.full((30, 40), -1), [0]), ValueError, "from 1 to 1, .*; got -1"),
        (Scenes(3), (np.ones((30, 40), int), [3]), ValueError, "between 0 and 2, got 3"),
        (Scenes(3), (np.ones((30, 40), int), [-1]), ValueError, "between 0 and 2, got -1"),
    ],
)
def test_invalid_results_of_draw_are_refused(monkeypatch, family, returned, error, said):
    if isinstance(returned, tuple):
        returned = fdsl.Sample(np.zeros((30, 40), np.uint8), *returned)
    monkeypatch.setattr(type(family), "draw", lambda *_: returned)
    with pytest.raises(error, match=said):
        fdsl.render(family, 0, 0, 0, FRAME)


def test_a_family_without_draw_and_foreign_settings_are_refused():
    class Nothing(fdsl.Family):
        pass

    with pytest.raises(NotImplementedError, match=r"Nothing has no draw\(category, rng, frame\)"):
        fdsl.render(Nothing(2), 0, 0)
    with pytest.raises(TypeError, match=r"Disks takes a Frame .* Rendering, whose num_points"):
        fdsl.render(DISKS, 0, 0, 0, fdsl.Rendering())
    with pytest.raises(ValueError, match="categories must lie between 1 and"):
        Disks(0)
    with pytest.raises(TypeError, match="an integer or an array of numbers"):
        Disks("ten")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Shade(fdsl.Frame):
    """A style with a setting of its own."""

    shade: int = 255
    note: str = ""


class Shaded(Disks):
    name = "shaded"
    style = Shade

    def draw(self, category, rng, frame):
        return np.minimum(super().draw(category, rng, frame), frame.shade).astype(np.uint8)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Dots(fdsl.Frame):
    """A style whose settings have names that settings of fdsl once had."""

    points: int = 5
    weights: tuple[float, float] = (0.5, 0.5)


def test_a_setting_with_an_old_name_is_kept():
    style = Dots(size=16, points=8, weights=(0.1, 0.9))
    for same in (pickle.loads(pickle.dumps(style)), copy.deepcopy(style)):
        assert same == style and same.points == 8
    assert Dots.from_dict({"points": 8}).points == 8


def test_a_setting_that_would_hide_one_of_frame_is_refused():
    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Lines(fdsl.Frame):
        width: float = 3.0

    with pytest.raises(TypeError, match="Lines: a setting cannot be called 'width'"):
        Lines()


def test_a_family_can_have_a_style_of_its_own(tmp_path):
    family, style = Shaded(3), Shade(size=24, shade=99)
    image = fdsl.render(family, 2, 5, 0, style)
    assert set(np.unique(image)) == {0, 99}
    plain = fdsl.render(family, 2, 5, 0, fdsl.Frame(size=24))
    np.testing.assert_array_equal(plain > 0, image > 0)
    assert plain.max() == 255
    assert pickle.loads(pickle.dumps(style)) == style != Shade(size=24)
    assert Shade.from_dict(json.loads(json.dumps(style.to_dict()))) == style
    with pytest.raises(TypeError, match=r"Shaded takes a Shade .*shade.* got a Strokes"):
        fdsl.render(family, 2, 5, 0, fdsl.Strokes())
    with pytest.raises(TypeError, match="shade must be an integer"):
        Shade(shade="gray")
    with pytest.raises(TypeError, match="note must be str, got 3"):
        Shade(note=3)
    assert Shade(shade=-3).shade == -3
    pytest.importorskip("webdataset")
    fdsl.export.folders(family, tmp_path, instances=2, rendering=style)
    assert fdsl.export.finalize(tmp_path)["rendering"]["shade"] == 99


def test_a_contact_sheet_shows_it():
    sheet = contact_sheet(DISKS, [5], [3], rendering=FRAME, label=False)
    np.testing.assert_array_equal(sheet[:24, :28], fdsl.render(DISKS, 5, 3, 0, FRAME))


# Streams


def batches(stream, workers=0, method=None):
    torch = pytest.importorskip("torch")
    if method is not None and method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"this system cannot {method}")
    loader = torch.utils.data.DataLoader(
        stream, batch_size=None, num_workers=workers, multiprocessing_context=method
    )
    return [(images.numpy().tobytes(), targets.tolist()) for images, targets in loader]


def stream_of(family=DISKS, **changes):
    fdsl_torch = pytest.importorskip("fdsl.torch")
    settings = {"rendering": FRAME, "batch_size": 4, "seed": 2, "steps_per_epoch": 5}
    return fdsl_torch.Stream(family, **{**settings, **changes})


@pytest.mark.slow
def test_spawned_workers_yield_the_same_bytes():
    expected = batches(stream_of())
    assert len(expected) == 5
    order = DISKS.order(np.arange(20, dtype=np.uint64), None, 2)
    images = fdsl.render(DISKS, *order, 2, FRAME)
    assert [image for image, _ in expected] == [
        images[at : at + 4].tobytes() for at in range(0, 20, 4)
    ]
    assert batches(stream_of(), 2, "spawn") == expected
    assert batches(stream_of(num_threads=3)) == expected


@pytest.mark.parametrize(("before", "after"), [(0, 2), (2, 0), (2, 5)])
def test_an_epoch_resumes_with_another_number_of_workers(before, after):
    torch = pytest.importorskip("torch")
    expected = batches(stream_of()) + batches(stream_of(steps_per_epoch=10))[5:]
    stream = stream_of()
    method = "fork" if before else None
    loader = torch.utils.data.DataLoader(
        stream, batch_size=None, num_workers=before, multiprocessing_context=method
    )
    iterator = iter(loader)
    for _ in range(3):
        next(iterator)
    state = json.loads(json.dumps(stream.state_dict(batches=3)))
    del iterator
    resumed = stream_of()
    resumed.load_state_dict(state)
    method = "fork" if after else None
    rest = batches(resumed, after, method) + batches(resumed, after, method)
    assert rest == expected[3:]


def test_a_loader_and_a_pickled_stream_yield_the_same_bytes():
    fdsl_torch = pytest.importorskip("fdsl.torch")
    expected = batches(stream_of())
    with fdsl_torch.Loader(stream_of()) as loader:
        assert [
            (images.numpy().tobytes(), labels.tolist()) for images, labels in loader
        ] == expected
    assert batches(pickle.loads(pickle.dumps(stream_of()))) == expected


class Counted:
    """Wraps a module or an object of the core and counts the calls into it."""

    def __init__(self, inner, calls):
        self.inner, self.calls = inner, calls

    def __getattr__(self, name):
        found = getattr(self.inner, name)
        if not callable(found):
            return found

        def call(*args, **more):
            self.calls.append(name)
            return found(*args, **more)

        return call


@pytest.mark.parametrize(
    "family", [fdsl.Perlin(4), fdsl.Bezier(4), fdsl.fractaldb(4)], ids=lambda f: f.name
)
def test_a_batch_of_a_core_family_is_one_call_into_the_core(family, monkeypatch):
    calls = []
    core = family.core(family.style())
    for module in ("fdsl.families.base", "fdsl.frame", "fdsl.families.drawing"):
        monkeypatch.setattr(f"{module}._core", Counted(sys.modules["fdsl._core"], calls))
    monkeypatch.setattr(type(family), "core", lambda self, frame=None: Counted(core, calls))
    frame = family.style(size=32)
    stream = stream_of(family, rendering=frame, label_noise=0.5, instances=7)
    calls.clear()
    assert len(list(stream)) == 5
    assert calls == ["batch"] * 5


# Files


def test_an_export_can_be_read(tmp_path):
    wds = pytest.importorskip("webdataset")
    Image = pytest.importorskip("PIL.Image")
    import io

    fdsl.export.shards(
        DISKS, tmp_path, instances=5, rendering=FRAME, seed=3, shard_size=20, num_threads=2
    )
    metadata = fdsl.export.finalize(tmp_path)
    assert (metadata["images"], metadata["family"]) == (30, "disks")
    count = 0
    urls = [str(file) for file in sorted(tmp_path.glob("*.tar"))]
    for sample in wds.WebDataset(urls, shardshuffle=False):
        address = json.loads(sample["json"])
        category = int(sample["cls"])
        assert address["parameters"] == {"parameters": category}
        image = np.array(Image.open(io.BytesIO(sample["png"])).convert("L"))
        expected = fdsl.render(DISKS, category, address["index"], 3, FRAME)
        np.testing.assert_array_equal(image, expected)
        count += 1
    assert count == 30
    assert fdsl.load(tmp_path) == DISKS


def test_a_family_is_saved_compared_and_pickled_with_its_settings(tmp_path):
    numbers = np.random.default_rng(0).uniform(size=(4, 3))
    for family in (Disks(6, radius=2.5), Disks([3, 1, 4], radius=7), Scenes(numbers)):
        family.save(tmp_path / "family.npz")
        for other in (fdsl.load(tmp_path / "family.npz"), pickle.loads(pickle.dumps(family))):
            assert type(other) is type(family) and other == family
            assert hash(other) == hash(family) and len(other) == len(family)
            if isinstance(family, Disks):
                assert other.radius == family.radius
                np.testing.assert_array_equal(
                    fdsl.render(other, 2, 5, 0, FRAME), fdsl.render(family, 2, 5, 0, FRAME)
                )
    assert Disks(6) == Disks(6) != Disks(7)
    assert Disks(6, radius=2.5) != Disks(6) and Disks(6).key() != Disks(6, radius=2.5).key()
    scalar = Disks(6, radius=np.float32(2.5))
    assert scalar == pickle.loads(pickle.dumps(scalar)) == Disks(6, radius=2.5)
    more = Disks(6)
    more.kind = "round"
    assert more != Disks(6) and Disks(6, radius=4) != Disks(6, radius=4.0)
    part = Disks([3, 1, 4], radius=7.0)[1:]
    assert (len(part), part[0], part.radius) == (2, 1, 7.0)
    with pytest.raises(ValueError, match=r"not a file that Scenes\.save wrote"):
        Disks(3).save(tmp_path / "family.npz")
        Scenes.load(tmp_path / "family.npz")


def test_a_setting_that_cannot_be_saved_is_refused(tmp_path):
    family = Disks(3)
    for value in (object(), None, [[1], [2, 3]]):
        with pytest.raises(TypeError, match=r"Disks\.helper must be a number, a string or an arra"):
            family.helper = value
    family.period = 4  # would change the order of a stream
    with pytest.raises(TypeError, match=r"Disks\.period: every family has an attribute of this na"):
        family.save(tmp_path / "family.npz")
    del family.period
    family._helper = object()
    family.filled, family.kind = True, "round"
    family.save(tmp_path / "family.npz")
    other = fdsl.load(tmp_path / "family.npz")
    assert (other.filled, other.kind) == (True, "round")
    with pytest.raises(AttributeError, match="no attribute '_helper'; copies and workers of a "):
        operator.attrgetter("_helper")(other)


@pytest.mark.parametrize("name", ["draw", "name", "digest", "period", "_parameters"])
def test_an_array_of_a_file_replaces_no_attribute_of_every_family(tmp_path, name):
    file = tmp_path / "family.npz"
    np.savez(file, **{"family": "disks", "categories": np.arange(3), "radius": 4.0, name: 1})
    with pytest.raises(ValueError, match=rf"family\.npz .*Disks\.{name}: every family has an attr"):
        fdsl.load(file)


def test_a_file_has_a_row_per_category(tmp_path):
    np.savez(tmp_path / "family.npz", family="disks", categories=3, radius=4.0)
    with pytest.raises(ValueError, match="categories must be an array with a row per category"):
        fdsl.load(tmp_path / "family.npz")


def test_a_file_from_before_an_option_needs_a_default_of_the_class(tmp_path):
    np.savez(tmp_path / "family.npz", family="disks", categories=np.arange(3))
    older = fdsl.load(tmp_path / "family.npz")
    with pytest.raises(AttributeError, match=r"or a file is older .* a default, radius = …"):
        fdsl.render(older, 0, 0, rendering=fdsl.Frame(size=16))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Disks, "radius", 4.0, raising=False)
        assert fdsl.render(older, 0, 0, rendering=fdsl.Frame(size=16)).any()


def test_masked_options_and_categories_are_refused():
    masked = np.ma.masked_array([1, 2], mask=[False, True])
    for name, called in (("radius", r"Disks\.radius"), ("categories", "categories")):
        with pytest.raises(TypeError, match=f"{called} must have no masked values, got 1 masked v"):
            Disks(**{name: masked})


def test_a_file_sets_no_method_and_no_table_of_a_family(tmp_path):
    class Painted(Disks):
        def paint(self):
            """Is not an option."""

        @functools.cached_property
        def table(self):
            return np.arange(3)

    for name in ("paint", "table"):
        np.savez(tmp_path / "family.npz", family="painted", categories=np.arange(3), **{name: 1})
        with pytest.raises(ValueError, match=rf"Painted\.{name} is not an option"):
            fdsl.load(tmp_path / "family.npz")


@pytest.mark.parametrize("family", [fdsl.Perlin(4), Disks(3)], ids=repr)
def test_the_error_for_an_unknown_attribute_gives_no_useless_advice(family):
    with pytest.raises(AttributeError, match=r"has no attribute 'categories'$"):
        _ = family.categories


def test_a_family_that_does_not_initialize_its_base_is_refused():
    class Forgetful(Disks):
        def __init__(self, spots=2):
            self.spots = spots

    for use in (len, repr, lambda family: fdsl.render(family, 0, 0)):
        with pytest.raises(AttributeError, match=r"; Forgetful\.__init__ must call super\(\)\.__i"):
            use(Forgetful())
    assert not hasattr(fdsl.IFS.sample(2), "_parameters")


def test_an_error_in_a_derived_attribute_is_not_hidden():
    class Derived(Disks):
        @functools.cached_property
        def table(self):
            return self.nothing

    with pytest.raises(AttributeError, match=r"^'Derived' object has no attribute 'nothing'$"):
        operator.attrgetter("table")(Derived())
    filled = Derived()
    filled.table = {"a": 1}  # which is not stored
    assert Derived() == filled


@pytest.mark.skipif(sys.version_info < (3, 11), reason="exceptions have notes from Python 3.11 on")
def test_a_failure_tells_its_address():
    class Failing(Disks):
        def draw(self, category, rng, frame):
            return super().draw(category, rng, frame) // np.uint8(1 // (3 - category))

    with pytest.raises(ZeroDivisionError) as failure:
        fdsl.render(Failing(5), [2, 3], [4, 7], seed=9)
    (note,) = failure.value.__notes__
    assert note.startswith("In Failing.draw, for the image at seed=9, category=3, index=7, Frame(")


# Names


def test_a_family_is_known_by_its_name():
    assert fdsl.load("disks-10") == Disks(10)

    class Spots(Disks):
        pass

    assert type(fdsl.load("spots-3")) is Spots

    class Spots(Disks):  # as when a notebook cell is run again
        name = "spots"

    assert type(fdsl.load("spots-3")) is Spots
    assert fdsl.load("disks-3000") == Disks(3000)
    with pytest.raises(
        FileNotFoundError, match="disks lacks the number of categories, as in disks-1"
    ):
        fdsl.load("disks")
    for unknown in ("squares-3", "ifs-3", "disks-3m", "disks-"):
        with pytest.raises(FileNotFoundError, match=f"no categories at {unknown}: expected a"):
            fdsl.load(unknown)


def test_a_subclass_of_a_core_family_renders_the_same(tmp_path):
    class Fine(fdsl.Perlin):
        def __init__(self, number):
            super().__init__([(20 + n, 20 + n) for n in range(number)])

    pairs = [(20, 20), (21, 21)]
    expected = fdsl.render(fdsl.Perlin(pairs), [0, 1], 3, rendering=FRAME)
    np.testing.assert_array_equal(fdsl.render(Fine(2), [0, 1], 3, rendering=FRAME), expected)
    assert type(fdsl.load("perlin-4")) is fdsl.Perlin
    Fine(2).save(tmp_path / "fine.npz")
    assert fdsl.load(tmp_path / "fine.npz") == fdsl.Perlin(pairs)


@pytest.mark.parametrize("name", ["perlin", "ifs", "fractaldb", "my disks", "", "3d", "a/b"])
def test_an_invalid_name_of_a_family_is_refused(name):
    with pytest.raises(ValueError, match="Mine"):
        type("Mine", (fdsl.Family,), {"name": name})
    assert fdsl.load("perlin-4") == fdsl.Perlin(4)
    with pytest.raises(ValueError, match="cannot be called 'bezier', which is a family of this"):
        type("Bezier", (fdsl.Family,), {})


SPOTS = """
import fdsl, numpy as np
class Spots(fdsl.Family):
    name = "spots"
    def draw(self, category, rng, frame):
        image = np.zeros((frame.height, frame.width), np.uint8)
        image[rng.integers(0, frame.height, 9), rng.integers(0, frame.width, 9)] = category + 1
        return image
"""


@pytest.fixture
def installed(tmp_path):
    """Installs a package like pip, in a folder on the path."""

    def install(entry):
        (tmp_path / "spots_package.py").write_text(SPOTS)
        info = tmp_path / "spots-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: spots\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[fdsl.families]\n{entry}\n")
        sys.path.insert(0, str(tmp_path))
        importlib.invalidate_caches()

    return install


def test_an_installed_package_brings_a_family(installed, tmp_path):
    with pytest.raises(FileNotFoundError):
        fdsl.load("spots-3")
    installed("spots = spots_package:Spots")
    assert "spots" in registry.names()
    assert "spots_package" not in sys.modules
    family = fdsl.load("spots-3")
    assert len(family) == 3 and type(family).__module__ == "spots_package"
    family.save(tmp_path / "spots.npz")
    code = "import fdsl, sys; print(len(fdsl.load(sys.argv[1])), len(fdsl.load('spots-4')))"
    run = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "spots.npz")],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])},
        capture_output=True, text=True, timeout=100,
    )  # fmt: skip
    assert run.stdout.split() == ["3", "4"], run.stderr


def test_an_entry_point_that_is_no_family_of_its_name_is_refused(installed):
    installed("dots = spots_package:Spots")
    said = "entry point 'dots' of fdsl.families must be a family of this name, got spots_package:Sp"
    with pytest.raises(ValueError, match=said):
        fdsl.load("dots-3")


def test_a_script_is_imported_once(tmp_path):
    script = tmp_path / "spots.py"
    script.write_text(
        "import builtins\nbuiltins._runs = getattr(builtins, '_runs', 0) + 1\n" + SPOTS
    )
    family = fdsl.load(f"{script}:spots-3")
    assert len(family) == 3 and fdsl.load(f"{script}:spots-3") == family
    assert fdsl.load("spots-3") == family
    import builtins

    assert builtins._runs == 1
    del builtins._runs
    with pytest.raises(ValueError, match=r"there is no family 'squares'.* known: .*spots"):
        fdsl.load(f"{script}:squares-3")
    with pytest.raises(ValueError, match=r"no family 'Spots'; .*; did you mean spots\?$"):
        fdsl.load(f"{script}:Spots-3")
    family.save(tmp_path / "spots.npz")
    del registry._known["spots"]
    with pytest.raises(ValueError, match=r"no family 'spots'; import its module, or"):
        fdsl.load(tmp_path / "spots.npz")
    code = "import fdsl, sys; print(len(fdsl.load(sys.argv[1])))"
    command = [sys.executable, "-c", code, f"{script}:{tmp_path / 'spots.npz'}"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert run.stdout.strip() == "3", run.stderr
    with pytest.raises(FileNotFoundError, match=r"no script at .*none\.py"):
        fdsl.load(f"{tmp_path / 'none.py'}:spots-3")
    script.with_name("broken.py").write_text("1 / 0")
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            fdsl.load(f"{tmp_path / 'broken.py'}:spots-3")


@pytest.mark.slow
def test_an_export_of_a_script_is_checked_by_a_command_that_names_it(tmp_path):
    script, folder = tmp_path / "spots.py", tmp_path / "shards"
    script.write_text(SPOTS)
    command = [sys.executable, "-m", "fdsl"]
    options = ["--instances", "2", "--size", "32"]
    export = [*command, "export", f"{script}:spots-3", str(folder), *options]
    subprocess.run(export, check=True, capture_output=True, timeout=100)
    ran = [
        subprocess.run([*command, "finalize", name], capture_output=True, text=True, timeout=100)
        for name in (str(folder), f"{script}:{folder}")
    ]
    assert [one.returncode for one in ran] == [2, 0] and "SCRIPT.py:" in ran[0].stderr
    assert "6 images in 1 shard" in ran[1].stdout and (folder / "metadata.json").is_file()


def test_an_option_has_the_same_type_in_every_process():
    class Sized(fdsl.Family):
        def __init__(self, categories, sizes, gain):
            super().__init__(categories)
            self.sizes, self.gain = sizes, gain

        def draw(self, category, rng, frame):
            sizes = np.array(self.sizes + self.sizes)  # a tuple would be twice as long
            gray = np.arange(frame.width, dtype=np.uint8) * self.gain + sizes.sum()
            return np.broadcast_to(gray, (frame.height, frame.width)).astype(np.uint8)

    for sizes in ((1, 2, 3), [1, 2, 3], np.array([1, 2, 3])):
        family = Sized(2, sizes, np.float32(0.3))
        assert type(family.gain) is float and type(family.sizes) is np.ndarray
        copied = copy.deepcopy(family)
        assert family == copied
        images = [fdsl.render(one, 0, 0, rendering=FRAME) for one in (family, copied)]
        assert (images[0] == images[1]).all()
    for wrong in ([[1, 2], [3]], [object()]):
        with pytest.raises(TypeError, match=r"Sized\.sizes must be a number, a string or an array"):
            Sized(2, wrong, 0.3).key()


def test_an_option_of_another_type_is_an_array_everywhere_and_does_not_change_later():
    torch = pytest.importorskip("torch")

    class Sharp(fdsl.Family):
        def __init__(self, categories, kernel):
            super().__init__(categories)
            self.kernel = kernel

        def draw(self, category, rng, frame):
            # torch's standard deviation would be that of a sample
            return np.full((frame.height, frame.width), self.kernel.std() * 50, np.uint8)

    kernel = np.array([1.0, 5.0])
    for given in (torch.tensor([1, 5]), range(1, 6, 4), kernel):
        family = Sharp(2, given)
        copied = copy.deepcopy(family)
        assert type(family.kernel) is np.ndarray and family == copied
        images = [fdsl.render(one, 0, 0, rendering=FRAME) for one in (family, copied)]
        assert (images[0] == images[1]).all() and images[0].max() == 100
    known = {family}
    kernel[0] = 9
    assert family in known and fdsl.render(family, 0, 0, rendering=FRAME).max() == 100
    with pytest.raises(ValueError, match="read-only"):
        family.kernel[0] = 9


def test_a_subclass_of_a_built_in_family_has_no_attributes_that_files_would_lose():
    class Tinted(fdsl.IFS):
        gain = 1

        def __init__(self, systems, **options):
            super().__init__(systems)
            for name, value in options.items():
                setattr(self, name, value)

        @functools.cached_property
        def probabilities_sum(self):
            return sum(sum(category.probabilities) for category in self)

    systems = fdsl.fractaldb(2)
    assert Tinted(systems).probabilities_sum == pytest.approx(2)
    for option in ({"tint": 3}, {"gain": 3}):
        with pytest.raises(TypeError, match=r"Tinted\.\w+ cannot be set: .* subclass fdsl\.Family"):
            Tinted(systems, **option)


def test_tables_in_cached_properties_survive_copies_and_workers():
    class Shaded(fdsl.Family):
        @functools.cached_property
        def table(self):
            return np.arange(256, dtype=np.uint8)

        def draw(self, category, rng, frame):
            return self.table[rng.integers(1, 200, (frame.height, frame.width))]

    family = Shaded(3)
    first = fdsl.render(family, 0, 0, rendering=FRAME)
    for same in (family[:2], copy.deepcopy(family)):
        np.testing.assert_array_equal(fdsl.render(same, 0, 0, rendering=FRAME), first)


def test_a_family_of_a_script_can_be_pickled_to_another_process(tmp_path):
    script = tmp_path / "spots.py"
    script.write_text("from beside import brightness\n" + SPOTS)
    (tmp_path / "beside.py").write_text("brightness = 3")
    family = fdsl.load(f"{script}:spots-3")
    (tmp_path / "family.pkl").write_bytes(pickle.dumps(family))
    code = (
        "import fdsl, pickle, sys\n"
        "family = pickle.load(open(sys.argv[1], 'rb'))\n"
        "print(fdsl.render(family, 2, 5, rendering=fdsl.Frame(size=24)).tobytes().hex())"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "family.pkl")],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path[:-1])},
        capture_output=True, text=True, timeout=100, cwd=tmp_path.parent,
    )  # fmt: skip
    expected = fdsl.render(family, 2, 5, rendering=fdsl.Frame(size=24)).tobytes().hex()
    assert run.stdout.strip() == expected, run.stderr


def test_its_settings_can_be_pickled_to_another_process_without_it(tmp_path):
    script = tmp_path / "spots.py"
    style = (
        "import dataclasses, fdsl\n"
        "@dataclasses.dataclass(frozen=True, kw_only=True)\n"
        "class Spots(fdsl.Frame):\n"
        "    radius: int = 3\n"
        "class Sized(fdsl.Family):\n"
        "    style = Spots\n"
    )
    script.write_text(style)
    settings = fdsl.load(f"{script}:sized-3").style(radius=7)
    (tmp_path / "settings.pkl").write_bytes(pickle.dumps(settings))
    code = "import fdsl, pickle, sys; print(pickle.load(open(sys.argv[1], 'rb')))"
    run = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "settings.pkl")],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path[:-1])},
        capture_output=True, text=True, timeout=100, cwd=tmp_path.parent,
    )  # fmt: skip
    assert run.stdout.strip() == str(settings), run.stderr


def test_known_families_are_loaded_without_looking_through_all_packages(monkeypatch):
    def looked_through(**where):
        raise AssertionError(f"looked for {where}")

    monkeypatch.setattr(registry, "entry_points", looked_through)
    assert len(fdsl.load("perlin-9")) == 9


# The page


@pytest.fixture
def disks(tmp_path, monkeypatch):
    """The script of the page, in the current folder."""
    script = tmp_path / "disks.py"
    script.write_text(blocks(PAGE, "python")[0], encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return script


def test_the_script_of_the_page_is_short(disks):
    lines = [line for line in disks.read_text().splitlines() if line.strip()]
    assert len(lines) <= 26
    assert sum("def " in line for line in lines) == 1


@pytest.mark.slow
def test_the_script_of_the_page_trains(disks):
    pytest.importorskip("torch")
    subprocess.run([sys.executable, str(disks)], check=True, timeout=200)


@pytest.mark.slow
def test_the_commands_of_the_page_run(disks, tmp_path):
    pytest.importorskip("webdataset")
    (block,) = blocks(PAGE, "sh")
    for line in block.splitlines():
        words = line.replace("--instances 100", "--instances 2").split()
        assert words[0] == "fdsl"
        assert fdsl.cli.main(words[1:]) == 0, line
    assert (tmp_path / "disks.png").exists() and (tmp_path / "shards" / "metadata.json").exists()


def test_the_other_blocks_of_the_page_run(disks):
    code = "\n".join(blocks(PAGE, "python"))
    code = code.replace("__main__", "not this")  # another test trains
    code += textwrap.dedent("""
        assert image.shape == mask.shape == (64, 64)
        assert 6 in mask and mask.max() <= 10
    """)
    subprocess.run([sys.executable, "-c", code], check=True, timeout=100)


class Grains(fdsl.Family):
    """Often black; otherwise each pixel tells its object."""

    name = "grains"
    targets = ("labels", "mask", "boxes")

    def draw(self, category, rng, frame):
        image = rng.integers(1, 255, (frame.height, frame.width), dtype=np.uint8)
        image *= rng.random() < 0.3
        return fdsl.Sample(image, image.astype(np.uint16), [*range(len(self))] * 64)


def test_the_mask_of_a_re_rendered_image_has_the_same_crop():
    frame = fdsl.Frame(size=40, crop=24)
    images, retries = fdsl.render(Grains(4), 0, range(40), 0, frame, return_retries=True)
    assert (retries > 0).sum() > 10
    masks = fdsl.Dataset(Grains(4), 40, rendering=frame, target="mask")
    for index, image in enumerate(images.astype(int)):
        shown, mask = masks[index]
        np.testing.assert_array_equal(np.squeeze(shown), image)
        np.testing.assert_array_equal(mask, np.where(image == 0, 0, (image - 1) % 4 + 1))


class Places(fdsl.Family):
    """Often black; otherwise the first pixel of a crop tells where it was taken."""

    name = "places"

    def __init__(self, categories, black):
        super().__init__(categories)
        self.black = black

    def draw(self, category, rng, frame):
        rows, columns = np.ogrid[: frame.height, : frame.width]
        black = rng.random() < self.black
        return ((rows * 13 + columns + 1) % 256 * (not black)).astype(np.uint8)


def test_a_re_rendered_image_has_a_crop_of_its_own():
    frame = fdsl.Frame(size=40, crop=28, flips=False)  # at one of 13 × 13 places
    addresses = np.zeros(100, int), np.arange(100)
    first = fdsl.render(Places(1, black=0.0), *addresses, 0, frame)[:, 0, 0]
    images, retries = fdsl.render(Places(1, black=0.6), *addresses, 0, frame, return_retries=True)
    same = images[:, 0, 0] == first
    assert len({*first.tolist()}) > 50 and same[retries == 0].all()
    assert (retries > 0).sum() > 30 and same[retries > 0].sum() < 5


def test_a_name_means_the_same_beside_a_folder_of_that_name(disks, tmp_path):
    curves = fdsl.Bezier(4)
    for name in ("visualatom-1k", "fractaldb-10", "disks.py:disks-10"):
        before = fdsl.load(name)
        folder = Path(name.partition(":")[2] or name)
        folder.mkdir()  # as an export makes it, before it holds anything
        assert fdsl.load(name) == before
        curves.save(folder / "categories-0.npz")
        assert fdsl.load(name) == before
        assert fdsl.load(f"./{folder}") == fdsl.load(folder) == curves


def test_a_file_may_have_any_name_that_is_not_known(disks, tmp_path):
    saved = fdsl.load("disks.py:disks-10")
    (tmp_path / "saved-10").mkdir()
    saved.save(tmp_path / "saved-10" / "categories-0.npz")
    assert fdsl.load("disks.py:saved-10") == saved
    assert fdsl.load("saved-10") == saved


def test_an_export_into_a_folder_with_the_name_of_its_categories_continues(disks, tmp_path):
    command = ["export", "bezier-4", "bezier-4", "--size", "32", "--instances", "2"]
    assert fdsl.cli.main(command) == 0
    assert fdsl.cli.main(command) == 0
    assert len(list((tmp_path / "bezier-4").glob("categories-*.npz"))) == 1


def test_the_random_numbers_of_a_family_are_what_they_always_were():
    words = [_core.address_key("disks", 1, 1, 2, 3, attempt) for attempt in (0, 1)]
    assert words == [
        [14582314045386544323, 12285435196579172408],
        [11337287499346215441, 14666238198783588789],
    ]
