"""Export: a shard is a pure function of its number, is written whole, and reads back exactly."""

import gzip
import hashlib
import io
import json
import operator
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import threading
import time
import warnings
import zlib
from contextlib import ExitStack
from pathlib import Path

import fdsl
import fdsl.export
import numpy as np
import pytest
from every_family import FAMILIES, small
from fdsl import _files, png
from processes import started

resource = pytest.importorskip("resource")  # also: the signals that are sent here
Image = pytest.importorskip("PIL.Image")

SMALL = fdsl.Rendering(size=32, num_points=2000)
#: For families other than IFS.
FRAME = fdsl.Frame(size=32)
#: The same export in another process.
SETTINGS = """
import fdsl, fdsl.export, sys
ifs = fdsl.IFS.search(categories=5, fill_rate=0.1, seed=1, size=64, num_points=3000)
small = fdsl.Rendering(size=32, num_points=2000)
settings = dict(instances=20, rendering=small, seed=3, shard_size=16)
"""


@pytest.fixture(scope="module")
def ifs():
    return fdsl.IFS.search(categories=5, fill_rate=0.1, seed=1, size=64, num_points=3000)


def write(ifs, folder, **changes):
    settings = {"instances": 20, "rendering": SMALL, "seed": 3, "shard_size": 16, **changes}
    return fdsl.export.shards(ifs, folder, **settings)


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def samples(folder: Path):
    for shard in sorted(folder.glob("*.tar")):
        with tarfile.open(shard) as tar:
            files = [(member.name, tar.extractfile(member).read()) for member in tar]
        for (cls, label), (about, address), (image, pixels) in zip(*[iter(files)] * 3, strict=True):
            assert {cls[-3:], about[-4:], image[-3:]} == {"cls", "json", "png"}
            assert len({cls[:-4], about[:-5], image[:-4]}) == 1
            yield (
                int(label),
                json.loads(address),
                np.array(Image.open(io.BytesIO(pixels)).convert("L")),
            )


# PNG


@pytest.mark.parametrize("color", [False, True])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_png_reads_back_to_the_pixel(family, color):
    images = fdsl.render(
        FAMILIES[family](), [0, 1, 2], 5, rendering=fdsl.Frame(size=(33, 45), color=color)
    )
    for file, image in zip(png.encode(images), images, strict=True):
        decoded = Image.open(io.BytesIO(file)).convert("RGB" if color else "L")
        np.testing.assert_array_equal(np.array(decoded), image)


def test_gray_fractals_take_one_bit_per_pixel(ifs):
    (file,) = png.encode(fdsl.render(ifs, [0], 0, rendering=SMALL))
    depth, kind = file[24], file[25]  # of the header
    assert (depth, kind) == (1, 3)  # one bit, into a palette
    (noise,) = png.encode(fdsl.render(fdsl.Perlin(4), [3], 0, rendering=fdsl.Frame(size=32)))
    assert (noise[24], noise[25]) == (8, 0)  # eight bits of gray


def test_threads_do_not_change_a_png(ifs):
    images = fdsl.render(ifs, np.arange(20) % 5, np.arange(20), rendering=SMALL)
    assert png.encode(images, num_threads=1) == png.encode(images, num_threads=4)
    assert png.encode(images[:0]) == []


@pytest.mark.parametrize(
    "images, kind, said",
    [
        (np.zeros((2, 4, 4)), TypeError, "must be uint8, got float64"),
        (np.zeros((4, 4), np.uint8), ValueError, r"got \(4, 4\)"),
        (np.zeros((2, 4, 4, 2), np.uint8), ValueError, r"got \(2, 4, 4, 2\)"),
        (np.zeros((2, 0, 4), np.uint8), ValueError, r"got \(2, 0, 4\)"),
    ],
)
def test_anything_but_a_batch_of_images_is_refused(images, kind, said):
    with pytest.raises(kind, match=said):
        png.encode(images)


# Shards


@pytest.mark.parametrize("family", FAMILIES)
def test_every_sample_is_the_image_that_its_address_renders(family, tmp_path):
    family = FAMILIES[family]()
    rendering = small(family, size=32)
    written = write(family, tmp_path, instances=12, rendering=rendering)
    assert (written.images, written.skipped) == (12 * len(family), 0)
    found = list(samples(tmp_path))
    addresses = [(address["category"], address["index"]) for _, address, _ in found]
    assert sorted(addresses) == [(c, i) for c in range(len(family)) for i in range(12)]
    for label, address, pixels in found:
        assert label == address["category"]
        assert address["parameters"] == family.parameters(label)
        assert (address["family"], address["seed"]) == (family.name, 3)
        again = fdsl.render(family, label, address["index"], address["seed"], rendering)
        np.testing.assert_array_equal(pixels, again)


def test_shards_are_in_the_order_of_the_stream(ifs, tmp_path):
    torch_part = pytest.importorskip("fdsl.torch")
    write(ifs, tmp_path)
    stream = torch_part.Stream(ifs, rendering=SMALL, batch_size=100, seed=3, instances=20)
    images, labels = next(iter(stream))
    found = list(samples(tmp_path))
    assert [label for label, _, _ in found] == labels.tolist()
    np.testing.assert_array_equal([pixels for _, _, pixels in found], images[:, 0].numpy())
    for at in range(0, 100, 5):  # every block holds each category once
        assert sorted(label for label, _, _ in found[at : at + 5]) == [0, 1, 2, 3, 4]


def test_processes_that_share_an_export_write_the_files_of_one(ifs, tmp_path):
    one, several = tmp_path / "one", tmp_path / "several"
    write(ifs, one)
    code = SETTINGS + (
        "i = int(sys.argv[2])\n"
        "part = dict(job_index=i, num_jobs=2, num_threads=i + 1)\n"
        "fdsl.export.shards(ifs, sys.argv[1], **part, **settings)"
    )
    with ExitStack() as ends:
        running = [
            ends.enter_context(started([sys.executable, "-c", code, str(several), str(i)]))
            for i in range(2)
        ]
        assert [process.wait(timeout=100) for process in running] == [0, 0]
    assert contents(several) == contents(one)
    assert len(contents(one)) == 7 + 2  # shards, plan and categories


@pytest.mark.slow
def test_an_export_whose_writers_were_killed_ends_with_the_same_bytes(ifs, tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    write(ifs, whole, instances=2000, shard_size=1000)
    code = SETTINGS + (
        "settings |= dict(instances=2000, shard_size=1000)\n"
        "fdsl.export.shards(ifs, sys.argv[1], **settings)"
    )
    for _ in range(3):
        with started([sys.executable, "-c", code, str(killed)]):
            before = len(list(killed.glob("*.tar")))
            deadline = time.monotonic() + 60
            # Kill it two shards later, in the middle of the next.
            while len(list(killed.glob("*.tar"))) < before + 2 and time.monotonic() < deadline:
                time.sleep(0.005)
        shards = sorted(killed.glob("*.tar"))
        assert before < len(shards) < 10
        for shard in shards:
            assert shard.read_bytes() == (whole / shard.name).read_bytes()
    written = write(ifs, killed, instances=2000, shard_size=1000)
    assert written.skipped >= 4000
    fdsl.export.finalize(killed)  # removes what the killed processes left
    fdsl.export.finalize(whole)
    assert contents(killed) == contents(whole)


def test_existing_shards_are_not_written_again(ifs, tmp_path):
    write(ifs, tmp_path)
    (tmp_path / "000002.tar").unlink()
    before = {file.name: file.stat().st_mtime_ns for file in tmp_path.glob("*.tar")}
    written = write(ifs, tmp_path)
    assert (written.images, written.skipped) == (16, 84)
    after = {file.name: file.stat().st_mtime_ns for file in tmp_path.glob("*.tar")}
    assert {name: after[name] for name in before} == before and "000002.tar" in after


def test_the_old_name_of_a_count_is_answered_with_the_new_one(ifs, tmp_path):
    written = write(ifs, tmp_path)
    with pytest.raises(AttributeError, match="'pictures' was renamed to 'images'"):
        operator.attrgetter("pictures")(written)


def test_progress_counts_the_images_of_this_process(ifs, tmp_path):
    calls = []
    write(ifs, tmp_path, job_index=1, num_jobs=2, progress=lambda *at: calls.append(at))
    assert calls == sorted(calls) and calls[-1] == (48, 48)


@pytest.mark.parametrize(
    "change, said",
    [
        ({"seed": 4}, "seed is 3 there and 4 here"),
        ({"instances": 21}, "instances is 20 there and 21 here"),
        ({"shard_size": 10}, "shard_size is 16 there and 10 here"),
        (
            {"rendering": fdsl.Rendering(size=33, num_points=2000)},
            "settings: rendering is {'size': 32} there and {'size': 33} here; choose",
        ),
    ],
)
def test_two_exports_are_not_mixed(ifs, tmp_path, change, said):
    write(ifs, tmp_path)
    before = contents(tmp_path)
    with pytest.raises(ValueError, match=said):
        write(ifs, tmp_path, **change)
    with pytest.raises(ValueError, match="categories_sha256 is"):
        write(ifs[::-1], tmp_path)
    with pytest.raises(ValueError, match="family is 'ifs' there and 'perlin' here"):
        write(fdsl.Perlin(4), tmp_path, rendering=FRAME)
    assert contents(tmp_path) == before


def test_categories_with_other_borders_are_other_categories(ifs, tmp_path):
    """The same maps, but the first category has one more."""
    maps = [np.full((n, 6), 0.1 * n) for n in (2, 2)]
    rows, chances = np.concatenate(maps), np.array([0.5, 0.5, 0.0, 1.0])
    two = fdsl.IFS([rows[:2], rows[2:]], [chances[:2], chances[2:]])
    other = fdsl.IFS([rows[:3], rows[3:]], [chances[:3], chances[3:]])
    assert two.digest() == other.digest()
    write(two, tmp_path)
    with pytest.raises(ValueError, match="categories_key is"):
        write(other, tmp_path)


def test_an_export_continues_after_an_upgrade(ifs, tmp_path):
    """The version in the plan is for people to read; the format numbers decide."""
    write(ifs, tmp_path, num_jobs=2)
    plan = json.loads((tmp_path / "plan.json").read_text())
    # As written by versions that had no layout format.
    old = {name: plan[name] for name in plan if name != "layout_format"} | {"fdsl": "0.0.1"}
    (tmp_path / "plan.json").write_text(json.dumps(old))
    assert write(ifs, tmp_path).skipped > 0
    metadata = fdsl.export.finalize(tmp_path)
    assert metadata["fdsl"] == "0.0.1" and metadata["format"] == plan["format"]
    assert json.loads((tmp_path / "plan.json").read_text()) == old
    for name in ("format", "layout_format"):
        (tmp_path / "plan.json").write_text(json.dumps(old | {name: 7}))
        with pytest.raises(ValueError, match=f"{name} is 7 there and {plan[name]} here"):
            write(ifs, tmp_path)


def test_an_export_fails_if_its_files_are_removed_while_it_runs(ifs, tmp_path):
    for kept in (0, 3):
        folder = tmp_path / str(kept)

        def clear(written, total, folder=folder, kept=kept):
            """What ``rm -rf`` does when it cannot remove the folder itself."""
            for file in [file for file in folder.iterdir() if not file.name.endswith(".part")]:
                if kept == 0 or (written == total and file.name == "000000.tar"):
                    file.unlink()

        said = (
            r"plan\.json is gone"
            if kept == 0
            else r"1 shard of this export disappeared .*000000\.tar"
        )
        with pytest.raises(FileNotFoundError, match=said):
            write(ifs, folder, progress=clear)
    with pytest.raises(OSError, match="cannot write: No such file or directory"):
        write(ifs, tmp_path / "all", progress=lambda *_: shutil.rmtree(tmp_path / "all"))


@pytest.mark.parametrize(
    "wrong, kind, said",
    [
        ({"instances": 0}, ValueError, "instances must be at least 1, got 0"),
        ({"instances": 1.5}, TypeError, "instances must be an integer, got 1.5"),
        ({"shard_size": 0}, ValueError, "shard_size must be at least 1, got 0"),
        ({"num_jobs": 0}, ValueError, "num_jobs must be at least 1, got 0"),
        ({"job_index": 2, "num_jobs": 2}, ValueError, "got 2 of 2"),
        ({"seed": -1}, ValueError, "seed must be 0 or more, got -1"),
        ({"rendering": 224}, TypeError, "rendering must be Frame, got 224"),
        (
            {"num_threads": 0},
            ValueError,
            "num_threads must be None or lie between 1 and 1024, got 0",
        ),
    ],
)
def test_a_wrong_argument_is_refused_before_anything_is_written(ifs, tmp_path, wrong, kind, said):
    with pytest.raises(kind, match=said):
        write(ifs, tmp_path / "new", **wrong)
    assert not (tmp_path / "new").exists()
    with pytest.raises(TypeError, match="family must be Family, got 'ifs'"):
        write("ifs", tmp_path / "new")


def test_of_two_exports_to_one_folder_one_wins_and_the_other_is_told(ifs, tmp_path):
    for number in range(20):
        folder, found = tmp_path / str(number), {}
        start = threading.Barrier(2)

        def export(seed, folder=folder, found=found, start=start):
            start.wait()
            try:
                found[seed] = write(ifs, folder, seed=seed, instances=2).images
            except ValueError as error:
                found[seed] = str(error)

        threads = [threading.Thread(target=export, args=[seed]) for seed in (1, 2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(map(type, found.values()), key=str) == [int, str], found
        winner = min(found, key=lambda seed: isinstance(found[seed], str))
        assert fdsl.export.finalize(folder)["seed"] == winner


def test_a_plan_is_written_whole_or_not_at_all(tmp_path):
    code = """
import resource, signal, sys
from pathlib import Path
from fdsl._files import write_once
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
try:
    write_once(Path(sys.argv[1]) / "plan.json", b"x" * 5000)
except OSError as error:
    print(error)
    sys.exit(7)
"""
    run = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, timeout=100
    )
    assert run.returncode == 7 and "cannot write: File too large" in run.stdout
    assert contents(tmp_path) == {}


def test_a_lost_categories_file_is_written_again(ifs, tmp_path):
    write(ifs, tmp_path)
    (kept,) = tmp_path.glob("categories-*.npz")
    kept.unlink()
    write(ifs, tmp_path)
    assert fdsl.load(tmp_path) == ifs
    fdsl.export.finalize(tmp_path)
    ifs[:2].save(tmp_path / "categories-0000000000000000.npz")
    with pytest.raises(ValueError, match="holds 2 files of categories: name one"):
        fdsl.load(tmp_path)


def test_other_files_in_the_folder_are_left_alone(ifs, tmp_path):
    (tmp_path / "categories.npz").write_text("mine")
    (tmp_path / ".download.part").write_text("mine")
    write(ifs, tmp_path)
    fdsl.export.finalize(tmp_path)
    for name in ("categories.npz", ".download.part"):
        assert (tmp_path / name).read_text() == "mine"
    other = tmp_path / "other"
    other.mkdir()
    (other / "000003.tar").write_text("mine")
    with pytest.raises(ValueError, match=r"holds a 000003\.tar but no plan\.json"):
        write(ifs, other)
    assert contents(other) == {"000003.tar": b"mine"}


def test_a_folder_that_another_process_finished_first_is_no_error(ifs, tmp_path):
    plan = fdsl.export.write.Plan(
        family=ifs, rendering=SMALL, seed=0, instances=3, layout="folders", shard_size=3
    )
    entries = plan.files.entries(1)

    def files():
        for entry in entries:
            yield entry, {"png": b"png"}
        (tmp_path / "00001").mkdir()
        (tmp_path / "00001" / "theirs.png").write_bytes(b"png")

    plan.files.write(tmp_path / "00001", files())
    assert contents(tmp_path) == {"00001/theirs.png": b"png"}


def released_settings(size, **more):
    """Settings as the releases before targets wrote them, for every family."""
    return {
        "size": size, "crop": None, "points": 200_000, "draw": "patch", "patch": "random",
        "color": False, "weights": 0.4, "pad": 6, "crop_position": "random", "variation": "grid",
        "flips": True, "redraw": True, "sampler": "fdsl", "mask_seed": None, **more,
    }  # fmt: skip


@pytest.mark.parametrize("family", ["ifs", "perlin", "bezier"])  # which older releases had
def test_an_export_of_an_older_release_continues(family, tmp_path):
    family = FAMILIES[family]()
    rendering = SMALL if isinstance(family, fdsl.IFS) else fdsl.Frame(size=32)
    settings = {"instances": 12, "rendering": rendering}
    write(family, tmp_path, **settings)
    fdsl.export.finalize(tmp_path)
    for name in ("plan.json", "metadata.json"):
        found = json.loads((tmp_path / name).read_text())
        found["rendering"] = released_settings(32, points=2000)
        del found["target"]
        for shard in found.get("shards", []):
            shard["pictures"] = shard.pop("images")
        (tmp_path / name).write_text(json.dumps(found))
    (tmp_path / "000001.tar").unlink()
    assert write(family, tmp_path, **settings).images > 0
    metadata = fdsl.export.finalize(tmp_path)
    assert type(family.checked_style(rendering)).from_dict(metadata["rendering"]).size == 32
    plan = json.loads((tmp_path / "plan.json").read_text())
    plan["rendering"]["size"] = 40
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    with pytest.raises(ValueError, match=r"rendering is .*40.* there"):
        write(family, tmp_path, **settings)


def test_names_sort_in_numerical_order_however_many_there_are():
    layout = fdsl.export.plan.LAYOUTS["webdataset"](fdsl.Bezier(3969), 0, 2**50, 10_000)
    assert layout.name(0) == "0" * 15 + ".tar" and len(layout.name(layout.units() - 1)) == 19
    assert [len(entry.key) for entry in layout.entries(7)[:2]] == [19, 19]
    folders = fdsl.export.plan.LAYOUTS["folders"](fdsl.Bezier(4), 0, 2_000_000, 2_000_000)
    assert (folders.key(0, 3), folders.key(0, 1_999_999)) == ("0000003", "1999999")


def test_a_folder_that_cannot_be_written_is_reported(ifs, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OSError, match="file"):
        write(ifs, tmp_path / "file" / "export")


def test_numbers_of_numpy_are_numbers(ifs, tmp_path):
    numbers = {"instances": np.int64(20), "seed": np.uint64(3), "shard_size": np.int32(16)}
    write(ifs, tmp_path / "numpy", **numbers)
    write(ifs, tmp_path / "python")
    assert contents(tmp_path / "numpy") == contents(tmp_path / "python")


class Textured(fdsl.Family):
    """Shows a image from a file that is gone."""

    name = "textured-in-a-test"

    def draw(self, category, rng, frame):
        return Image.open("/nowhere/texture.png")


@pytest.mark.parametrize("writes", [fdsl.export.shards, fdsl.export.folders])
def test_a_family_that_misses_a_file_says_so(tmp_path, writes):
    with pytest.raises(FileNotFoundError) as caught:
        writes(Textured(2), tmp_path, instances=2, rendering=FRAME)
    assert caught.value.filename == "/nowhere/texture.png"
    assert not [name for name in contents(tmp_path) if "part" in name]


def test_an_empty_name_is_not_the_current_folder(ifs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for writes in (fdsl.export.shards, fdsl.export.folders, fdsl.export.coco):
        with pytest.raises(ValueError, match=r"or \. for this folder; got ''"):
            writes(fdsl.Scene(ifs), "", instances=2)
    with pytest.raises(ValueError, match="got ''"):
        fdsl.export.finalize("")
    assert not contents(tmp_path)
    write(ifs, ".")
    fdsl.export.finalize(".")


def test_an_export_in_another_layout_is_refused_for_that_reason(tmp_path):
    family = fdsl.DiamondSquare(1100)
    fdsl.export.folders(family, tmp_path, instances=1, rendering=FRAME, job_index=0, num_jobs=1100)
    with pytest.raises(ValueError, match="an export with other settings: layout is 'folders'"):
        fdsl.export.shards(family, tmp_path, instances=1000, rendering=FRAME)


def test_damaged_categories_are_noticed_before_anything_is_rendered(ifs, tmp_path):
    write(ifs, tmp_path)
    (kept,) = tmp_path.glob("categories-*.npz")
    kept.write_bytes(kept.read_bytes()[:-30])
    with pytest.raises(ValueError, match=r"categories-.*\.npz is damaged: delete it, and export"):
        write(ifs, tmp_path)
    kept.unlink()
    write(ifs, tmp_path)
    fdsl.export.finalize(tmp_path)


def test_of_two_writers_of_csv_files_one_comes_after_the_other(tmp_path, monkeypatch):
    """Not in between, which would leave files of both."""
    renaming, other = threading.Event(), threading.Event()
    replace = Path.replace

    def slow(self, target):
        if self.name.startswith("0.csv") and not renaming.is_set():
            renaming.set()
            other.wait(0.5)  # the second writer's chance to come in between
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", slow)
    files = {who: [(f"{k}.csv", who) for k in range(3)] for who in (b"a", b"b")}
    first = threading.Thread(target=_files.write_all, args=(tmp_path, files[b"a"]))
    first.start()
    assert renaming.wait(10)
    _files.write_all(tmp_path, files[b"b"])
    other.set()
    first.join()
    assert set(contents(tmp_path).values()) == {b"b"} and len(contents(tmp_path)) == 3


def test_a_folder_with_the_name_of_a_csv_file_leaves_the_others_unchanged(ifs, tmp_path):
    ifs[2:].to_csv(tmp_path)
    (tmp_path / "00002.csv").unlink()
    (tmp_path / "00002.csv").mkdir()
    before = contents(tmp_path)
    with pytest.raises(FileExistsError, match=r"00002\.csv must be a file, but is a folder"):
        ifs.to_csv(tmp_path)
    assert contents(tmp_path) == before


# One shard, to a file or pipe


@pytest.mark.parametrize("family", FAMILIES)
def test_a_single_shard_has_the_bytes_of_its_file(family, tmp_path):
    family = FAMILIES[family]()
    settings = {"instances": 12, "rendering": small(family, size=32), "seed": 3, "shard_size": 40}
    fdsl.export.shards(family, tmp_path, **settings)
    files = sorted(tmp_path.glob("*.tar"))
    assert len(files) > 1
    for number, path in enumerate(files):
        file = io.BytesIO()
        written = fdsl.export.write_shard(family, number, file, **settings)
        assert file.getvalue() == path.read_bytes()
        assert written.images == len(list(fdsl.export.plan.Plan.of(tmp_path).files.entries(number)))


#: What webdataset adds to a sample that it reads.
SOURCE_KEYS = ("__url__", "__local_path__")


def test_a_shard_is_the_archive_that_webdataset_would_write(ifs, tmp_path):
    wds = pytest.importorskip("webdataset")
    write(ifs, tmp_path)
    written = io.BytesIO()
    with wds.TarWriter(written, mtime=0, encoder=False) as tar:
        for sample in wds.WebDataset(str(tmp_path / "000001.tar"), shardshuffle=False):
            tar.write({key: value for key, value in sample.items() if key not in SOURCE_KEYS})
    assert written.getvalue() == (tmp_path / "000001.tar").read_bytes()


@pytest.mark.parametrize("shard, said", [
    (7, "shard must be below 7, the number of shards, got 7"),
    (-1, "shard must be 0 or more, got -1"),
])  # fmt: skip
def test_a_shard_that_does_not_exist_is_refused(ifs, shard, said):
    file = io.BytesIO()
    with pytest.raises(ValueError, match=said):
        fdsl.export.write_shard(ifs, shard, file, instances=20, shard_size=16)
    assert file.getvalue() == b""


def test_a_shard_is_written_to_an_open_file(ifs):
    with pytest.raises(TypeError, match=r"file must be open, as by open\(…, 'wb'\), got '0\.tar'"):
        fdsl.export.write_shard(ifs, 0, "0.tar")


# How many shards


@pytest.mark.parametrize("images", [1, 99, 6400, 6401, 60_000, 123_457, 640_000, 1_000_000, 10**7])
def test_default_shards_feed_8_workers_on_each_of_8_ranks(images):
    size = fdsl.export.layout.default_shard_size(images)
    shards = -(-images // size)
    assert 100 <= size <= 10_000
    assert shards % 64 == 0 if images >= 6400 else size == 100


def test_an_export_continues_with_the_shard_size_of_its_plan(ifs, tmp_path):
    """The default of the first releases was 10,000."""
    write(ifs, tmp_path, shard_size=16, num_jobs=2)
    written = write(ifs, tmp_path, shard_size=None)
    assert (written.images, written.skipped) == (48, 52)
    assert json.loads((tmp_path / "plan.json").read_text())["shard_size"] == 16
    assert len(list(tmp_path.glob("*.tar"))) == 7


def test_a_plan_whose_shard_size_is_no_number_is_another_plan(ifs, tmp_path):
    write(ifs, tmp_path)
    plan = json.loads((tmp_path / "plan.json").read_text())
    (tmp_path / "plan.json").write_text(json.dumps(plan | {"shard_size": True}))
    with pytest.raises(ValueError, match="other settings: shard_size is True there and 100 here"):
        write(ifs, tmp_path, shard_size=None)


@pytest.mark.parametrize("shard_size, warns", [(1, False), (2, True), (100, True)])
def test_finalize_warns_of_fewer_shards_than_64(ifs, tmp_path, shard_size, warns):
    write(ifs, tmp_path, shard_size=shard_size)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fdsl.export.finalize(tmp_path)
    counts = {2: "only 50 shards: ", 100: "only 1 shard: "}
    assert [str(warning.message).startswith(counts[shard_size]) for warning in caught] == (
        [True] if warns else []
    )


# Folders


def test_torchvision_reads_class_folders(ifs, tmp_path):
    datasets = pytest.importorskip("torchvision.datasets")
    written = fdsl.export.folders(ifs, tmp_path, instances=7, rendering=SMALL, seed=3)
    assert written.images == 35
    found = datasets.ImageFolder(str(tmp_path))
    assert found.classes == ["00000", "00001", "00002", "00003", "00004"]
    for (file, label), (image, _) in zip(found.samples, found, strict=True):
        index = int(Path(file).stem)
        expected = fdsl.render(ifs, label, index, 3, SMALL)
        np.testing.assert_array_equal(np.array(image)[..., 0], expected)


def test_released_folders_have_the_authors_file_names(ifs, tmp_path):
    fdsl.export.folders(ifs[:2], tmp_path, instances=1000, names="released", rendering=SMALL)
    files = sorted(file.name for file in (tmp_path / "00001").iterdir())
    assert len(files) == 1000
    assert files[0] == "00001_00_count_0_flip0.png" and files[-1] == "00001_24_count_9_flip3.png"
    for weight, patch, flip in ((0, 0, 0), (2, 7, 3), (24, 9, 1)):
        file = tmp_path / "00001" / f"00001_{weight:02d}_count_{patch}_flip{flip}.png"
        expected = fdsl.render(ifs, 1, weight * 40 + patch * 4 + flip, rendering=SMALL)
        np.testing.assert_array_equal(np.array(Image.open(file).convert("L")), expected)
    with pytest.raises(ValueError, match="end at 1,000 instances, got instances=1001"):
        fdsl.export.folders(ifs, tmp_path / "b", instances=1001, names="released")
    with pytest.raises(ValueError, match="for an IFS, got <Bezier"):
        fdsl.export.folders(fdsl.Bezier(4), tmp_path / "b", names="released")
    with pytest.raises(ValueError, match="names must be 'plain' or 'released', got 'theirs'"):
        fdsl.export.folders(ifs, tmp_path / "b", names="theirs")


def test_folders_are_divided_skipped_and_finalized_like_shards(ifs, tmp_path):
    one, several = tmp_path / "one", tmp_path / "several"
    settings = {"instances": 6, "rendering": SMALL}
    fdsl.export.folders(ifs, one, **settings)
    for part in (1, 0, 2, 0):
        written = fdsl.export.folders(ifs, several, job_index=part, num_jobs=3, **settings)
    assert (written.images, written.skipped) == (0, 12)
    assert contents(one) == contents(several)
    metadata = fdsl.export.finalize(one)
    assert metadata == fdsl.export.finalize(several)
    assert (metadata["images"], len(metadata["shards"])) == (30, 5)


# finalize


def test_finalize_describes_the_export(ifs, tmp_path):
    write(ifs, tmp_path)
    calls = []
    metadata = fdsl.export.finalize(tmp_path, progress=lambda *at: calls.append(at))
    assert json.loads((tmp_path / "metadata.json").read_text()) == metadata
    assert metadata["images"] == 100 and metadata["seed"] == 3
    assert metadata["categories_sha256"] == ifs.digest()
    assert fdsl.Rendering.from_dict(metadata["rendering"]) == SMALL
    assert metadata["fdsl"] == fdsl.__version__
    for shard in metadata["shards"]:
        content = (tmp_path / shard["name"]).read_bytes()
        assert shard["sha256"] == hashlib.sha256(content).hexdigest()
        assert shard["bytes"] == len(content)
    assert [shard["images"] for shard in metadata["shards"]] == [16] * 6 + [4]
    assert calls == [(n, 7) for n in range(1, 8)]
    train = json.loads((tmp_path / "_info.json").read_text())["splits"]["train"]  # what timm reads
    assert train["filenames"] == [f"{number:06d}.tar" for number in range(7)]
    assert train["shard_lengths"] == [16] * 6 + [4] and train["num_samples"] == 100
    assert fdsl.export.finalize(tmp_path) == metadata


def test_an_interrupted_finalize_goes_on(ifs, tmp_path, monkeypatch):
    write(ifs, tmp_path)
    check, checked = fdsl.export.check._check_unit, []

    def counted(plan, unit, path, **more):
        checked.append(unit)
        return check(plan, unit, path, **more)

    def interrupted(done, _):
        if done == 4:
            raise KeyboardInterrupt

    monkeypatch.setattr(fdsl.export.check, "_check_unit", counted)
    for _ in range(2):  # the second one stops where the first did
        with pytest.raises(KeyboardInterrupt):
            fdsl.export.finalize(tmp_path, progress=interrupted)
    assert checked == [0, 1, 2, 3]
    with (tmp_path / ".checked.jsonl").open("a") as file:
        file.write('\n{"state": "cut')
    os.utime(tmp_path / "000001.tar")  # written again, perhaps
    metadata = fdsl.export.finalize(tmp_path)
    assert checked == [0, 1, 2, 3, 1, 4, 5, 6]
    assert not (tmp_path / ".checked.jsonl").exists()
    assert fdsl.export.finalize(tmp_path) == metadata
    assert checked[8:] == [*range(7)]  # a check that was not interrupted is a new one
    (tmp_path / ".checked.jsonl").symlink_to(tmp_path / "theirs")
    (tmp_path / "theirs").write_text("theirs")
    with pytest.raises(KeyboardInterrupt):
        fdsl.export.finalize(tmp_path, progress=interrupted)
    assert (tmp_path / "theirs").read_text() == "theirs"


def test_finalize_refuses_an_incomplete_export(ifs, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no export in .*plan\.json"):
        fdsl.export.finalize(tmp_path)
    write(ifs, tmp_path, job_index=0, num_jobs=4)
    with pytest.raises(FileNotFoundError, match=r"5 of 7 shards \(000001\.tar, 000002\.tar"):
        fdsl.export.finalize(tmp_path)
    write(ifs, tmp_path)
    (tmp_path / "000099.tar").write_bytes(b"")
    with pytest.raises(ValueError, match=r"000099\.tar does not belong to the export"):
        fdsl.export.finalize(tmp_path)
    assert not (tmp_path / "metadata.json").exists()


def rewrite(shard: Path, change):
    """Rewrites a shard with other files."""
    with tarfile.open(shard) as tar:
        files = [(member.name, tar.extractfile(member).read()) for member in tar]
    with tarfile.open(shard, "w") as tar:
        for name, content in change(files):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))


def flipped(content):
    """Flips one bit in the middle."""
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


#: An empty header chunk.
NO_HEADER = b"\0\0\0\0IHDR" + zlib.crc32(b"IHDR").to_bytes(4, "big")
LARGER = png.encode(np.zeros((1, 40, 40), np.uint8))[0]


ANOTHER = png.encode(np.zeros((1, 32, 32), np.uint8))[0]


def other_label(files):
    return [
        (n, b"4" if n == "000000017.cls" and c != b"4" else b"0" if n == "000000017.cls" else c)
        for n, c in files
    ]


@pytest.mark.parametrize(
    "change, said",
    [
        (lambda files: files[:-1], r"ends before 000000031\.png"),
        (lambda files: [*files, ("extra.txt", b"")], r"expected the end, found extra\.txt"),
        (lambda files: files[3:] + files[:3], r"expected 000000016\.cls, found 000000017\.cls"),
        (other_label, r"000000017\.cls does not match its address"),
        (lambda files: [(n, files[5][1] if n == "000000016.png" else c) for n, c in files],
         r"000000016\.png does not match its address"),
        (lambda files: [(n, c[:-9] if n == "000000020.png" else c) for n, c in files],
         r"000000020\.png is not an intact PNG"),
        (lambda files: [(n, c[:-12] if n == "000000020.png" else c) for n, c in files],
         r"000000020\.png is not an intact PNG"),
        (lambda files: [(n, c + b"x" if n == "000000020.png" else c) for n, c in files],
         r"000000020\.png is not an intact PNG"),
        (lambda files: [(n, b"x" + c[1:] if n == "000000020.png" else c) for n, c in files],
         r"000000020\.png is not an intact PNG"),
        (lambda files: [(n, c[:8] + NO_HEADER if n == "000000020.png" else c) for n, c in files],
         r"000000020\.png is not an intact PNG"),
        (lambda files: [(n, flipped(c) if n == "000000020.png" else c) for n, c in files],
         r"000000020\.png is not an intact PNG"),
        (lambda files: [(n, LARGER if n == "000000020.png" else c) for n, c in files],
         r"000000020\.png is not an intact PNG file of 32×32"),
        (lambda files: [(n, ANOTHER if n == "000000020.png" else c) for n, c in files],
         r"000000020\.png does not match its address"),
    ],
)  # fmt: skip
def test_finalize_finds_a_wrong_file_in_a_shard(ifs, tmp_path, change, said):
    write(ifs, tmp_path)
    rewrite(tmp_path / "000001.tar", change)
    with pytest.raises(ValueError, match=rf"000001\.tar.*{said}.*Remove it and export again"):
        fdsl.export.finalize(tmp_path)


def test_finalize_finds_a_truncated_shard_and_a_damaged_plan(ifs, tmp_path):
    write(ifs, tmp_path)
    shard = tmp_path / "000001.tar"
    content = shard.read_bytes()
    compressed = gzip.compress(content)
    for damaged in (content[:5000], b"", b"no tar file" * 100, compressed, compressed[:900]):
        shard.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"000001\.tar") as error:
            fdsl.export.finalize(tmp_path)
        assert "\n" not in str(error.value)
    shard.write_bytes(content)
    plan = json.loads((tmp_path / "plan.json").read_text())
    for wrong, said in (
        ("{", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("3", "is not the plan"),
        ("{}", "lacks 'categories_sha256'"),
        (json.dumps(plan | {"layout": "heap"}), "layout must be one of webdataset, folders"),
        (json.dumps(plan | {"shard_size": 0}), "shard_size must be at least 1, got 0"),
        (json.dumps(plan | {"seed": "a"}), "seed must be an integer, got 'a'"),
        (json.dumps(plan | {"rendering": 3}), "is not the plan of an export"),
        (json.dumps(plan | {"format": 0}), "format is 0 there and 1 here"),
        (json.dumps(plan | {"layout_format": 2}), "layout_format is 2 there and 1 here"),
        (json.dumps(plan | {"layout": "folders"}), "got shard_size=16 and instances=20"),
    ):
        (tmp_path / "plan.json").write_text(wrong)
        with pytest.raises(ValueError, match=said):
            fdsl.export.finalize(tmp_path)


@pytest.mark.slow
def test_finalize_finds_a_replaced_image_by_the_digest_of_the_shard(ifs, tmp_path):
    """Also if it is not among those that are re-rendered."""
    write(ifs, tmp_path, shard_size=1000)
    fdsl.export.finalize(tmp_path)
    shard, content = tmp_path / "000000.tar", (tmp_path / "000000.tar").read_bytes()

    def another(number):
        name = f"{number:09d}.png"
        return lambda files: [(n, ANOTHER if n == name else c) for n, c in files]

    metadata, found = tmp_path / "metadata.json", []
    for number in range(100):
        shard.write_bytes(content)
        rewrite(shard, another(number))
        said = rf"{number:09d}\.png does not match its address.*Remove it and export again"
        with pytest.raises(ValueError, match=said):
            fdsl.export.finalize(tmp_path)
        kept = metadata.read_bytes()
        metadata.unlink()
        try:
            fdsl.export.finalize(tmp_path)  # as the first time
        except ValueError:
            found.append(number)
        metadata.write_bytes(kept)
    assert len(found) == 64 and {0, 99} < set(found)
    shard.unlink()  # as the message says
    write(ifs, tmp_path, shard_size=1000)
    assert shard.read_bytes() == content
    fdsl.export.finalize(tmp_path)


def test_a_shard_with_the_right_files_and_another_digest_is_kept(ifs, tmp_path):
    """Writing it again would change nothing: metadata.json is outdated."""
    write(ifs, tmp_path)
    fdsl.export.finalize(tmp_path)
    rewrite(tmp_path / "000001.tar", lambda files: files)  # with other owners and modes
    said = r"000001\.tar holds the right files, but its SHA-256 .* Remove metadata\.json, then"
    with pytest.raises(ValueError, match=said) as error:
        fdsl.export.finalize(tmp_path)
    assert "export again" not in str(error.value)
    (tmp_path / "metadata.json").unlink()
    fdsl.export.finalize(tmp_path)


@pytest.mark.parametrize("damage, said", [
    (lambda tar: tar + b"behind", "bytes are missing or left over after its last file"),
    (lambda tar: tar + bytes(10240), "bytes are missing or left over after its last file"),
    (lambda tar: tar[:-512], "bytes are missing or left over after its last file"),
    (lambda tar: tar[:-7] + b"behind\0", "bytes are missing or left over after its last file"),
    (lambda tar: tar + tar, "bytes are missing or left over after its last file"),
    (lambda tar: tar[:1000] + b"!" + tar[1001:], "extra bytes between 000000000.cls and the next"),
    (lambda tar: b"x" + tar, "no tar header at byte 0"),
])  # fmt: skip
def test_finalize_finds_bytes_outside_of_the_files(ifs, tmp_path, damage, said):
    write(ifs, tmp_path, instances=3)
    shard = tmp_path / "000000.tar"
    shard.write_bytes(damage(shard.read_bytes()))
    with pytest.raises(ValueError, match=rf"000000\.tar cannot be read: .*{said}.*Remove it"):
        fdsl.export.finalize(tmp_path)


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE,
                                  tarfile.DIRTYPE, tarfile.GNUTYPE_SPARSE])  # fmt: skip
def test_finalize_finds_a_link_in_a_shard(ifs, tmp_path, kind):
    write(ifs, tmp_path)
    with tarfile.open(tmp_path / "000001.tar", "w") as tar:
        member = tarfile.TarInfo("000000016.cls")
        member.type, member.linkname = kind, "nothing"
        tar.addfile(member)
    with pytest.raises(ValueError, match=r"000000016\.cls/? is a link .*Remove it"):
        fdsl.export.finalize(tmp_path)


def test_finalize_survives_nested_and_huge_headers(ifs, tmp_path):
    write(ifs, tmp_path)
    shard = tmp_path / "000001.tar"
    long_name = tarfile.TarInfo("x")
    long_name.type = tarfile.GNUTYPE_LONGNAME
    shard.write_bytes(long_name.tobuf() * 5000)
    with pytest.raises(ValueError, match=r"000001\.tar cannot be read: x is a link"):
        fdsl.export.finalize(tmp_path)
    huge = tarfile.TarInfo("000000016.cls")
    huge.size = 2**63 + 1
    shard.write_bytes(huge.tobuf(tarfile.GNU_FORMAT) + bytes(20_000))
    with pytest.raises(ValueError, match=r"it ends inside 000000016\.cls"):
        fdsl.export.finalize(tmp_path)


def test_finalize_does_not_wait_for_a_pipe(ifs, tmp_path):
    write(ifs, tmp_path / "shards")
    fdsl.export.folders(ifs, tmp_path / "folders", instances=3, rendering=SMALL)
    for file in (tmp_path / "shards" / "000001.tar", tmp_path / "folders" / "00001" / "000001.png"):
        file.unlink()
        os.mkfifo(file)
        code = "import fdsl.export, sys; fdsl.export.finalize(sys.argv[1])"
        folder = tmp_path / file.relative_to(tmp_path).parts[0]
        run = subprocess.run(
            [sys.executable, "-c", code, str(folder)], capture_output=True, text=True, timeout=100
        )
        assert "is not a plain file. Remove it and export again" in run.stderr


@pytest.mark.parametrize("left", ["[" * 100_000, "{", "3", "[]", '{"shards": 3}'])
def test_finalize_replaces_unreadable_metadata(ifs, tmp_path, left):
    write(ifs, tmp_path)
    (tmp_path / "metadata.json").write_text(left)
    metadata = fdsl.export.finalize(tmp_path)
    assert json.loads((tmp_path / "metadata.json").read_text()) == metadata


def test_finalize_finds_a_damaged_folder(ifs, tmp_path):
    fdsl.export.folders(ifs, tmp_path, instances=6, rendering=SMALL)
    (tmp_path / "00002" / ".DS_Store").write_bytes(b"left by a file browser")
    fdsl.export.finalize(tmp_path)
    (tmp_path / "00002" / "000003.png").unlink()
    with pytest.raises(ValueError, match=r"00002: expected 000003\.png, found 000004\.png"):
        fdsl.export.finalize(tmp_path)


# Readers


def test_timm_reads_every_sample(ifs, tmp_path):
    timm_data = pytest.importorskip("timm.data")
    write(ifs, tmp_path)
    fdsl.export.finalize(tmp_path)
    dataset = timm_data.create_dataset(
        "wds/fractals", root=str(tmp_path), split="train", is_training=False, batch_size=10
    )
    found = [(np.array(image), label) for image, label in dataset]
    assert len(found) == len(dataset) == 100
    expected = list(samples(tmp_path))
    for (image, label), (wanted, _, pixels) in zip(found, expected, strict=True):
        assert label == wanted
        np.testing.assert_array_equal(image[..., 0], pixels)


def test_an_export_imports_numpy_alone(tmp_path):
    code = SETTINGS + (
        "fdsl.export.shards(ifs, sys.argv[1] + '/shards', **settings)\n"
        "fdsl.export.folders(ifs, sys.argv[1] + '/folders', instances=2, rendering=small)\n"
        "assert not {'torch', 'PIL', 'webdataset'} & sys.modules.keys()"
    )
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path)]).returncode == 0


def test_ctrl_c_ends_an_export_and_leaves_no_partial_file(tmp_path):
    code = SETTINGS + "fdsl.export.shards(ifs, sys.argv[1], **settings | dict(instances=10**6))"
    command = [sys.executable, "-c", code, str(tmp_path)]
    with started(command, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 60
        while len(list(tmp_path.glob("*.tar"))) < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode != 0 and said.rstrip().endswith("KeyboardInterrupt")
    assert not list(tmp_path.glob(".*.part"))
