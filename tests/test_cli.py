"""The ``fdsl`` command: every command does its work, and every mistake gets a sentence."""

import argparse
import io
import os
import pickle
import re
import signal
import subprocess
import sys
from pathlib import Path

import fdsl
import fdsl.cli
import numpy as np
import pytest
from fdsl import png
from fdsl._scripts import import_script
from fdsl.cli import progress as progress_module
from fdsl.cli.options import add_rendering, add_source, rendering_of
from fdsl.preview import contact_sheet
from processes import started

COMMANDS = ("search", "render", "preview", "export", "finalize", "convert", "info", "bench")
FOUND = ["--fill-rate", "0.1", "--size", "64", "--num-points", "3000", "--seed", "1"]
SMALL = ["--size", "32", "--num-points", "2000"]


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def ifs():
    found = fdsl.IFS.search(categories=6, fill_rate=0.1, seed=1, size=64, num_points=3000)
    found.save("c.npz")
    return found


def run(*arguments: str) -> int:
    return fdsl.cli.main(list(arguments))


def said(capsys) -> str:
    return capsys.readouterr().out


def read(path):
    Image = pytest.importorskip("PIL.Image")
    return np.array(Image.open(path).convert("L"))


def test_every_command_explains_itself_with_an_example(capsys):
    with pytest.raises(SystemExit, match="0"):
        run("--help")
    overview = said(capsys)
    for command in COMMANDS:
        assert re.search(rf"^    {command} ", overview, re.M)
        with pytest.raises(SystemExit, match="0"):
            run(command, "--help")
        assert f"example:\n  fdsl {command}" in said(capsys)


@pytest.mark.parametrize(
    "family, options, setting, value",
    [
        ("multi-fractal-3", ("--preset", "wacv22", "--render-scale", "none"), "render_scale", None),
        ("fractaldb-3", ("--preset", "paper", "--crop", "none"), "crop", None),
        ("fractaldb-3", ("--preset", "paper", "--variation", "none"), "variation", None),
        ("fractaldb-3", ("--preset", "released", "--mask-seed", "none"), "mask_seed", None),
        ("fractaldb-3", ("--crop", "20x24"), "crop", (20, 24)),
    ],
)
def test_none_is_a_value_of_options_that_may_be_none(family, options, setting, value):
    parser = argparse.ArgumentParser()
    add_source(parser)
    add_rendering(parser)
    arguments = parser.parse_args([family, *options])
    assert getattr(rendering_of(arguments, fdsl.load(family)), setting) == value


def test_no_command_shows_the_help(capsys):
    assert run() == 0
    assert said(capsys).startswith("usage: fdsl")


def test_the_examples_of_the_help_are_understood(capsys, monkeypatch):
    """Each is parsed; the work itself is left out."""
    done = []
    for command in COMMANDS:
        module = sys.modules[f"fdsl.cli.{'export' if command == 'finalize' else command}"]
        monkeypatch.setattr(module, f"_{command}", lambda a: done.append(a))
    for command in COMMANDS:
        with pytest.raises(SystemExit):
            run(command, "--help")
        examples = said(capsys).split("example:")[1]
        for line in filter(None, map(str.strip, examples.splitlines())):
            assert run(*line.split("#")[0].split()[1:]) == 0, line
    assert len(done) > 10


def test_search_finds_what_the_library_finds(capsys, ifs):
    assert run("search", "--categories", "6", *FOUND, "--out", "found.npz") == 0
    assert fdsl.IFS.load("found.npz") == ifs
    assert ifs.digest() in said(capsys)
    assert run("search", "--categories", "6", *FOUND, "--num-threads", "1", "--out", "csv") == 0
    assert fdsl.IFS.from_csv("csv") == ifs
    released = ["--sampler", "released", "--seed", "1", "--out", "r.npz"]
    assert run("search", "--categories", "10", *released) == 0
    assert fdsl.IFS.load("r.npz") == fdsl.fractaldb(10)


def test_render_writes_what_the_library_renders(capsys, ifs):
    assert run("render", "c.npz", "--category", "3", "--index", "7", "--seed", "5", *SMALL,
               "--out", "one.png") == 0  # fmt: skip
    small = fdsl.Rendering(size=32, num_points=2000)
    np.testing.assert_array_equal(read("one.png"), fdsl.render(ifs, 3, 7, 5, small))
    assert said(capsys) == "one.png\n"
    assert (
        run("render", "c.npz", "--category", "0-2,5", "--index", "1,9", *SMALL, "--out", "f") == 0
    )
    files = sorted(file.name for file in Path("f").iterdir())
    assert files == [f"{c:05d}_{i:06d}.png" for c in (0, 1, 2, 5) for i in (1, 9)]
    np.testing.assert_array_equal(read("f/00005_000009.png"), fdsl.render(ifs, 5, 9, 0, small))


def test_the_largest_index_can_be_rendered(ifs):
    last = 2**64 - 1
    assert run("render", "c.npz", "--index", f"0,{last}", *SMALL, "--out", "f") == 0
    expected = fdsl.render(ifs, 0, [0, last], 0, fdsl.Rendering(size=32, num_points=2000))
    np.testing.assert_array_equal(read(f"f/00000_{last}.png"), expected[1])
    assert run("preview", "c.npz", "--index", str(last), *SMALL, "--out", "s.png") == 0


def test_noise_has_options_of_its_own():
    noise = ["--octaves", "3", "--persistence", "0.7", "--contrast", "2"]
    assert run("render", "perlin-9", *noise, "--category", "5", "--size", "32",
               "--out", "n.png") == 0  # fmt: skip
    family = fdsl.Perlin(9, octaves=3, persistence=0.7, contrast=2)
    expected = fdsl.render(family, 5, 0, 0, fdsl.Frame(size=32))
    np.testing.assert_array_equal(read("n.png"), expected)


@pytest.mark.parametrize(
    "options, rendering",
    [
        ([], fdsl.Rendering()),
        (["--preset", "paper"], fdsl.Rendering.paper()),
        (["--preset", "paper", "--no-color"], fdsl.Rendering.paper()),
        (["--preset", "wacv22"], fdsl.Rendering.wacv22()),
        (
            ["--preset", "wacv22", "--background", "none", "--no-transpose", "--blur", "0"],
            fdsl.Rendering.wacv22(background=None, transpose=False, blur=0),
        ),
        (
            ["--shading", "density", "--zoom", "3", "--shift", "0.1", "--variation-kind", "map"],
            fdsl.Rendering(shading="density", zoom=3, shift=0.1, variation_kind="map"),
        ),
        (["--preset", "released", "--mask-seed", "3"], fdsl.Rendering.released(mask_seed=3)),
        (
            [
                "--size",
                "48x64",
                "--crop",
                "40",
                "--crop-position",
                "center",
                "--num-points",
                "1500",
            ],
            fdsl.Rendering(size=(48, 64), crop=40, crop_position="center", num_points=1500),
        ),
        (
            [
                "--draw",
                "point",
                "--patch",
                "fixed",
                "--color",
                "--variation",
                "none",
                "--margin",
                "3",
            ],
            fdsl.Rendering(draw="point", patch="fixed", color=True, variation=None, margin=3),
        ),
        (
            [
                "--variation",
                "0.2",
                "--variation-kind",
                "continuous",
                "--no-flips",
                "--no-resample-degenerate",
            ],
            fdsl.Rendering(
                variation=0.2, variation_kind="continuous", flips=False, resample_degenerate=False
            ),
        ),
    ],
)
def test_every_setting_of_a_rendering_is_an_option(ifs, monkeypatch, options, rendering):
    seen = []
    monkeypatch.setattr(fdsl.cli.render, "render", lambda *a: seen.append(a) or fdsl.render(*a))
    assert run("render", "c.npz", *options, "--out", "x.png") == 0
    assert seen[0][4] == rendering


@pytest.mark.parametrize("source", ["c.npz", "perlin-16", "bezier-16"])
def test_preview_renders_a_sheet_of_any_family(ifs, source):
    small = SMALL if source == "c.npz" else SMALL[:2]  # points are for fractals
    assert run("preview", source, "--categories", "3", "--instances", "4", *small, "--no-labels",
               "--out", "sheet.png") == 0  # fmt: skip
    family = fdsl.load(source)
    sheet = read("sheet.png")
    assert sheet.shape == (3 * 34, 4 * 34)
    rendering = fdsl.Rendering(size=32, num_points=2000) if small is SMALL else fdsl.Frame(size=32)
    last = fdsl.render(family, len(family) - 1, 0, 0, rendering)
    np.testing.assert_array_equal(sheet[68:100, :32], last)  # spread over all categories
    assert (
        run("preview", source, "--category", "1", "--index", "8-9", *small, "--out", "l.png") == 0
    )
    assert read("l.png").shape == (34 + 16, 2 * 34 + 48)


@pytest.mark.filterwarnings("default")
def test_export_writes_and_finalize_checks(capsys, ifs):
    options = ["c.npz", "shards", "--instances", "10", "--shard-size", "16", *SMALL]
    assert run("export", *options, "--job-index", "1", "--num-jobs", "2") == 0
    assert "28 images written" in said(capsys)
    assert run("finalize", "shards") == fdsl.cli.MISTAKE
    assert (
        "missing from shards: 2 of 4 shards (000000.tar, 000002.tar); export"
        in capsys.readouterr().err
    )
    assert run("export", *options) == 0
    assert "32 images written" in (text := said(capsys)) and "28 already existed" in text
    assert run("export", *options) == 0
    assert "nothing to write, 60 already existed" in said(capsys)
    assert run("finalize", "shards") == 0
    found = capsys.readouterr()
    assert "60 images in 4 shards" in found.out and found.out.endswith("all intact\n")
    assert found.err.startswith("warning: only 4 shards: ") and found.err.count("\n") == 1
    assert fdsl.load("shards") == ifs


@pytest.mark.parametrize("layout, file", [
    ("folders", "00001/000003.png"), ("released", "00001/00001_00_count_0_flip3.png"),
])  # fmt: skip
def test_export_writes_folders(ifs, layout, file):
    assert run("export", "c.npz", "f", "--layout", layout, "--instances", "4", *SMALL) == 0
    small = fdsl.Rendering(size=32, num_points=2000)
    np.testing.assert_array_equal(read(f"f/{file}"), fdsl.render(ifs, 1, 3, 0, small))


def test_convert_changes_the_format_and_not_the_numbers(ifs):
    assert run("convert", "c.npz", "csv") == 0
    assert run("convert", "csv", "back.npz") == 0
    assert fdsl.IFS.load("back.npz") == ifs
    system = np.random.default_rng(0).uniform(-1, 1, (3, 2, 3))
    Path("theirs.pkl").write_bytes(pickle.dumps({"params": [{"system": system}]}))
    assert run("convert", "theirs.pkl", "theirs") == 0
    assert fdsl.IFS.from_csv("theirs") == fdsl.IFS.from_pickle("theirs.pkl")
    assert run("convert", "bezier-16", "curves.npz") == 0
    assert fdsl.load("curves.npz") == fdsl.Bezier(16)


def test_info_describes_categories_and_images(capsys, ifs):
    assert run("info", "c.npz", "--images", "300", "--size", "64", "--num-points", "5000") == 0
    lines = dict(re.findall(r"^(\S.*?)  +(.*)$", said(capsys), re.M))
    assert lines["categories"] == "6 of IFS" and lines["SHA-256"] == ifs.digest()
    assert lines["candidates"] == f"{ifs.candidates_tried} tried"
    rates = ifs.fill_rates()
    assert lines["filling rate"].startswith(f"{rates.min():.3f} to {rates.max():.3f}")
    number = np.arange(300, dtype=np.uint64)
    categories, indices = fdsl._core.stream_order(number, 6, None, 1000, 0)
    _, redraws = fdsl.render(
        ifs, categories, indices, 0, fdsl.Rendering(size=64, num_points=5000), return_retries=True
    )
    assert len(set((indices // 40).tolist())) == 25  # every row of weights
    assert (redraws > 0).any()
    assert lines["degenerate"] == f"{(redraws > 0).mean():.2%} of them, re-rendered"
    assert (
        run("info", "perlin-16", "--images", "20", "--no-resample-degenerate", "--size", "32") == 0
    )
    assert "% of them, kept" in (text := said(capsys)) and "16 of Perlin" in text


def test_bench_measures_every_simd_path(capsys, ifs):
    assert run("bench", "c.npz", *SMALL, "--seconds", "0.01") == 0
    text = said(capsys)
    for path in fdsl._core.simd_paths():
        assert re.search(rf"^{path} +1 +[\d,]+ ", text, re.M)


def test_bench_measures_what_python_draws_on_one_thread(capsys):
    Path("knotted.py").write_text(KNOTTED, encoding="utf-8")
    about = ["knotted.py:knotted-3", "--size", "16", "--set", "knots=2"]
    assert run("bench", *about, "--seconds", "0.01") == 0
    rows = said(capsys).splitlines()[3:]
    assert len(rows) == 1 and re.match(r"python +1 +[\d,]+ ", rows[0])


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        (
            "info nowhere.npz",
            "fdsl info: error: no categories at nowhere.npz: expected a",
        ),
        ("info perlin-7", "square number, such as 100, got 7"),
        ("info empty", "no CSV file in empty"),
        ("info text.npz", "text.npz is not a file that Family.save wrote"),
        ("render c.npz --category 6 --out x.png", "category 6 is out of range: there are 6"),
        (
            "render c.npz --index 0,1 --out x.png",
            "x.png takes one image, got 2: give a folder as OUT",
        ),
        ("render c.npz --out x.jpg", "OUT must be a .png file, a folder or -, got x.jpg"),
        ("render c.npz --out no/x.png", "cannot write: No such file or directory: no/x.png"),
        ("render c.npz --index 0-7 --category 0-6 --out d", "category 6 is out of range"),
        ("render c.npz --octaves 2 --out x.png", "--octaves is for Perlin noise, got <IFS"),
        ("render perlin-9 --octaves 99 --out x.png", "octaves must be between 1 and 16, got 99"),
        ("info perlin-1000000000000000000", "categories must be at most 4096² = 16,777,216"),
        ("info bezier-4096", "categories must be at most 63² = 3,969, got 4,096"),
        ("info c.npz --images 0", "images must be at least 1, got 0"),
        ("preview c.npz --instances 100000000000 --out x.png", "instances must be at most 1000"),
        ("preview c.npz --category 0,6 --out x.png", "category 6 is out of range: there are 6"),
        ("preview c.npz --index 0-9999 --out x.png", "a sheet may have at most 268,435,456 pixels"),
        ("search --out csvs", "csvs holds other categories"),
        ("search --out text.npz/c.npz", "there is no folder text.npz to write c.npz to"),
        ("convert c.npz empty.npz", "empty.npz is a folder: choose another name for the .npz file"),
        ("convert c.npz plain", "plain is a file: choose another name for the folder of CSV"),
        ("render c.npz --size 8 --out x.png", "size must be between 16 and 4096"),
        ("render c.npz --mask-seed 3 --out x.png", "mask_seed works only with compat='released'"),
        ("render c.npz --seed -1 --out x.png", "seed must be 0 or more, got -1"),
        ("preview c.npz --out sheet", "OUT must be a .png file, got sheet"),
        ("preview c.npz --categories 0 --out x.png", "categories must be at least 1"),
        ("search --fill-rate 0.9 --max-tries 20 --out x.npz", "gave up after 20 candidates"),
        ("search --categories 0 --out x.npz", "categories must be at least 1, got 0"),
        ("search --out x.txt", "OUT must be a .npz file or a folder for CSV files, got x.txt"),
        ("search --out no/x.npz", "there is no folder no to write x.npz to"),
        ("search --sampler released --seed 4294967296 --out x.npz", "between 0 and 2**32 - 1"),
        ("convert bezier-16 folder", "CSV files hold an IFS only"),
        ("convert c.npz csvs", "csvs holds other categories"),
        ("export c.npz text.npz", "text.npz"),
        ("export c.npz f --layout folders --instances 0", "instances must be at least 1, got 0"),
        ("export bezier-16 f --layout released", "file names are for an IFS"),
        ("export c.npz f --job-index 2 --num-jobs 2", "job_index must be below num_jobs"),
        ("export c.npz -", "stdout takes one webdataset shard: choose it with --shard"),
        ("export c.npz - --layout folders --shard 0", "stdout takes one webdataset shard"),
        ("export c.npz - --shard 0 --num-jobs 2", "--job-index and --num-jobs are for folders"),
        ("export c.npz - --shard 64", "shard must be below 60, the number of shards, got 64"),
        ("export c.npz - --shard -1", "shard must be 0 or more, got -1"),
        ("export c.npz new --shard 0", "--shard writes to stdout: FOLDER must be -, got new"),
        ("export c.npz f --target mask", "IFS has no target 'mask'; it has 'label'"),
        ("export c.npz f --target mask --layout folders", "--target mask is for webdataset shards"),
        ("render c.npz --index 0,1 --out -", "stdout takes one image, got 2"),
        ("finalize empty", "no export in empty: it has no plan.json"),
        ("finalize nowhere", "no export in nowhere"),
        ("bench c.npz --seed -1", "seed must be 0 or more, got -1"),
        ("info perlin-9 --seed 18446744073709551616", "got 18446744073709551616"),
        (
            "export c.npz f --layout folders --shard-size 3",
            "--shard-size applies to webdataset and coco, not to",
        ),
        ("bench c.npz --seconds 0", "seconds must be above 0, got 0"),
    ],
)
def test_a_mistake_gets_a_sentence_and_exit_code_2(ifs, capsys, arguments, sentence):
    Path("empty").mkdir()
    Path("empty.npz").mkdir()
    Path("plain").write_text("text", encoding="utf-8")
    Path("csvs").mkdir()
    Path("csvs/other.csv").write_text("0.5,0,0,0.5,0,0,1\n", encoding="utf-8")
    Path("text.npz").write_text("text", encoding="utf-8")
    before = sorted(Path().rglob("*"))
    assert run(*arguments.split()) == 2
    found = capsys.readouterr()
    assert sentence in found.err and found.err.count("\n") == 1 and found.out == ""
    assert sorted(Path().rglob("*")) == before


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        ("draw", "invalid choice: 'draw'"),
        ("info", "required: CATEGORIES"),
        ("search", "required: --out"),
        ("search --categories many --out x", "invalid int value: 'many'"),
        (
            "render c.npz --size 2x3x4 --out x",
            "must be a size such as 256 or 256x320 (height first), got '2x3x4'",
        ),
        ("render c.npz --variation much --out x", "must be a number or none, got 'much'"),
        ("render c.npz --category one --out x", "must be numbers such as 3 or 0-7,159, got 'one'"),
        ("render c.npz --category 5-3 --out x", "must be numbers such as 3 or 0-7,159, got '5-3'"),
        ("render c.npz --index 3- --out x", "must be numbers such as 3 or 0-7,159, got '3-'"),
        ("render c.npz --index 0-9999999999999 --out x", "may list at most 1,000,000 numbers"),
        (
            "render c.npz --index 18446744073709551616 --out x",
            "must be less than 2**64, got",
        ),
        ("render c.npz --preset mine --out x", "invalid choice: 'mine'"),
    ],
)
def test_a_misuse_is_explained_by_argparse(ifs, capsys, arguments, sentence):
    with pytest.raises(SystemExit, match="2"):
        run(*arguments.split())
    assert sentence in capsys.readouterr().err


def command(*arguments: str, without: tuple[str, ...] = (), **how) -> subprocess.CompletedProcess:
    """Runs the command in another process, in which some libraries cannot be imported."""
    hide = "".join(f"sys.modules[{name!r}] = None; " for name in without)
    code = f"import sys; {hide}from fdsl.cli import main; sys.exit(main(sys.argv[1:]))"
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        **{"capture_output": True, "text": True, "timeout": 300, **how},
    )


def test_files_go_to_a_folder_whose_name_has_a_dot(ifs, capsys):
    Path("dir.v1").mkdir()
    assert run("render", "c.npz", "--index", "0,1", *SMALL, "--out", "dir.v1") == 0
    assert run("convert", "c.npz", "dir.v1") == 0
    assert len([*Path("dir.v1").glob("*.png")]) == 2 and len([*Path("dir.v1").glob("*.csv")]) == 6
    for command in (("render", "c.npz", "--out"), ("export", "c.npz"), ("convert", "c.npz")):
        assert run(*command, "") == 2
        assert "give the name of a file or folder, or . for this folder" in capsys.readouterr().err


def test_categories_are_counted_or_named(ifs, capsys):
    with pytest.raises(SystemExit, match="2"):
        run("preview", "c.npz", "--categories", "2", "--category", "3", "--out", "x.png")
    assert "not allowed with argument --categories" in capsys.readouterr().err


@pytest.mark.slow
def test_it_needs_numpy_alone(ifs):
    """Except for labels on sheets, which say what they need."""
    without = ("torch", "torchvision", "PIL", "tqdm", "webdataset", "matplotlib")
    for arguments in (
        ("info", "c.npz", "--images", "20"),
        ("render", "c.npz", "--out", "x.png"),
        ("preview", "c.npz", *SMALL, "--no-labels", "--out", "y.png"),
        ("export", "c.npz", "f", "--layout", "folders", "--instances", "2", *SMALL),
        ("finalize", "f"),
        ("export", "c.npz", "s", "--instances", "11", "--shard-size", "1", *SMALL),
        ("finalize", "s"),
        ("convert", "c.npz", "csv"),
    ):
        done = command(*arguments, without=without)
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
    done = command("preview", "c.npz", "--labels", "--out", "z.png", without=without)
    assert done.returncode == 2
    assert "labels are written with Pillow: pip install pillow" in done.stderr
    done = command("preview", "c.npz", *SMALL, "--out", "z.png", without=without)
    assert (done.returncode, done.stderr) == (0, "labels need Pillow: pip install pillow\n")


def test_a_full_disk_gets_a_sentence(ifs):
    """A limit on file sizes simulates the full disk."""
    resource = pytest.importorskip("resource")

    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))

    done = command("export", "c.npz", "s", "--instances", "200", *SMALL, preexec_fn=limit)
    assert done.returncode == 2 and done.stdout == ""
    categories = f"categories-{ifs.digest()[:16]}.npz"
    assert re.fullmatch(r"fdsl export: error: cannot write: .*: s/000000\.tar\n", done.stderr)
    assert sorted(file.name for file in Path("s").iterdir()) == [categories, "plan.json"]


def test_the_command_is_a_script_and_a_module():
    script = Path(sys.executable).with_name("fdsl")
    for start in ([str(script)], [sys.executable, "-m", "fdsl"]):
        done = subprocess.run([*start, "--version"], capture_output=True, text=True)
        assert done.stdout == f"fdsl {fdsl.__version__}\n"


@pytest.mark.slow
def test_a_reader_that_stops_early_does_not_stop_the_command_halfway(ifs):
    read_end, write_end = os.pipe()
    os.close(read_end)
    code = "import sys; from fdsl.cli import main; sys.exit(main(sys.argv[1:]))"
    subprocess.run(
        [sys.executable, "-c", code, "render", "c.npz", "--index", "0-599", *SMALL, "--out", "f"],
        stdout=write_end, check=True,
    )  # fmt: skip
    os.close(write_end)
    assert len(list(Path("f").iterdir())) == 600


@pytest.mark.slow
@pytest.mark.parametrize("arguments, code", [
    ("info c.npz --images 5", 0),
    ("--help", 0),
    ("info nowhere.npz", 2),
    ("info", 2),
])  # fmt: skip
@pytest.mark.parametrize("closed", [(1,), (2,), (1, 2)])
def test_closed_streams_are_no_error(ifs, arguments, code, closed):
    """``fdsl … >&-``"""

    def close():
        for stream in closed:
            os.close(stream)

    done = command(*arguments.split(), preexec_fn=close)
    assert done.returncode == code and "Traceback" not in done.stderr
    if closed == (1,):
        assert (done.stderr == "") == (code == 0)
    elif closed == (2,):
        assert "error" not in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("arguments", ["info c.npz --images 5", "--help"])
def test_a_reader_that_reads_nothing_is_no_error(ifs, arguments, unbuffered):
    """``fdsl … | head -0``"""
    read_end, write_end = os.pipe()
    os.close(read_end)
    done = command(
        *arguments.split(),
        capture_output=False, stdout=write_end, stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
    )  # fmt: skip
    os.close(write_end)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_output_that_cannot_be_written_gets_a_sentence(ifs, unbuffered):
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        done = command(
            "info", "c.npz", "--images", "5",
            capture_output=False, stdout=full, stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
        )  # fmt: skip
    assert done.returncode == 2
    assert re.fullmatch(r"fdsl.*: error: .*No space left on device\n", done.stderr)


@pytest.mark.parametrize("kind", [TypeError, IndexError, KeyError, AttributeError])
def test_a_bug_shows_its_traceback(ifs, monkeypatch, kind):
    def render(*arguments, **settings):
        raise kind("of the library")

    monkeypatch.setattr(fdsl.cli.render, "render", render)
    with pytest.raises(kind, match="of the library"):
        run("render", "c.npz", "--out", "x.png")


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments, sentence",
    [
        (
            "search --categories 1000000000000 --out folder",
            "categories must be at most 1,000,000, got 1,000,000,000,000",
        ),
        (
            "export c.npz folder --instances 1000000000000000 --shard-size 1",
            "an export may have at most 1,000,000 shards, got 6,000,000,000,000,000",
        ),
        (
            "export c.npz folder --instances 1000000000 --shard-size 6000000000",
            "a shard may hold at most 1,000,000 images, got 6,000,000,000",
        ),
        (
            "export c.npz folder --instances 1000000000000000 --layout folders",
            "a folder may hold at most 1,000,000 images, got 1,000,000,000,000,000",
        ),
        (
            "render c.npz --index 0-999999 --category 0-1 --out folder",
            "a folder may take at most 1,000,000 images, got 2,000,000; fdsl export writes more",
        ),
    ],
)
def test_more_than_a_folder_can_hold_is_refused_without_using_memory(ifs, arguments, sentence):
    resource = pytest.importorskip("resource")
    most = 16 << 30  # of address space, of which libraries reserve more than they use
    done = command(
        *arguments.split(),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (most, most)),
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.endswith(f": error: {sentence}\n") and done.stderr.count("\n") == 1
    assert not Path("folder").exists()


@pytest.mark.parametrize("endless", [range(2**63), range(2**40)])
def test_a_sheet_of_endless_ranges_is_refused(endless):
    curves = fdsl.Bezier(4)
    with pytest.raises(ValueError, match="categories must be at most 1,048,576 numbers, got more"):
        contact_sheet(curves, endless, 1)
    with pytest.raises(ValueError, match="instances must be at most 1,048,576 numbers, got more"):
        contact_sheet(curves, 1, endless)


def test_a_sheet_takes_counts_of_any_size():
    curves, small = fdsl.Bezier(4), fdsl.Frame(size=16)
    sheet = contact_sheet(curves, 2**63, [2**63, 2**64 - 1], rendering=small, label=False)
    assert sheet.shape == (4 * 18, 2 * 18)
    with pytest.raises(TypeError, match=r"must be an integer or a list of them, got 1\.5"):
        contact_sheet(curves, 1.5)


def test_an_ascii_terminal_is_no_error():
    for arguments in (("render", "--help"), ("info", "perlin-9", "--images", "9")):
        done = command(*arguments, env={**os.environ, "PYTHONIOENCODING": "ascii"})
        assert done.returncode == 0, done.stderr


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def clock(monkeypatch):
    """A clock that a test sets."""
    now = [1000.0]
    monkeypatch.setattr(progress_module.time, "monotonic", lambda: now[0])
    return now


@pytest.mark.parametrize("terminal", [False, True])
def test_work_goes_on_when_nobody_reads_its_progress(monkeypatch, clock, terminal):
    class Closed(io.StringIO):
        def isatty(self):
            return terminal

        def write(self, text):
            raise BrokenPipeError

    monkeypatch.setitem(sys.modules, "tqdm", None)
    monkeypatch.setattr(sys, "stderr", Closed())
    with progress_module.progress_bar("export", "images", 10) as update:
        clock[0] += 31
        update(5, None)


def test_a_terminal_has_a_progress_bar(monkeypatch):
    pytest.importorskip("tqdm")
    monkeypatch.setattr(progress_module, "TERMINAL_DELAY", 0.0)
    monkeypatch.setattr(sys, "stderr", Terminal())
    with progress_module.progress_bar("export", "images") as update:
        update(100, 100)
    assert re.search(r"export: 100%.*100/100 .* images/s", sys.stderr.getvalue())


def test_a_terminal_has_a_line_of_progress_without_tqdm(monkeypatch, clock):
    monkeypatch.setitem(sys.modules, "tqdm", None)
    monkeypatch.setattr(sys, "stderr", Terminal())
    with progress_module.progress_bar("export", "images") as update:
        for done in range(0, 101, 50):
            clock[0] += 1
            update(done, 100)
    lines = [line.strip() for line in re.split(r"[\r\n]+", sys.stderr.getvalue())]
    assert lines == [
        "",
        "export: 0 of 100 images, 0/s",
        "export: 50 of 100 images, 25/s, 2 s left",
        "export: 100 of 100 images, 33/s, 0 s left",
        "",
    ]


def test_a_log_file_has_a_line_of_progress_every_half_minute(monkeypatch, clock):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with progress_module.progress_bar("export", "images") as update:
        for done in range(0, 90_001, 1000):
            update(done, 1_000_000)
            clock[0] += 1
    assert sys.stderr.getvalue().splitlines() == [
        "export: 30,000 of 1,000,000 images, 1,000/s, 16 min left",
        "export: 60,000 of 1,000,000 images, 1,000/s, 16 min left",
        "export: 90,000 of 1,000,000 images, 1,000/s, 15 min left",
    ]


@pytest.mark.parametrize(
    "seconds, said", [(0.4, "0 s"), (59, "59 s"), (61, "1 min"), (3600, "1 h 0 min")]
)
def test_the_time_left_is_rounded(seconds, said):
    assert progress_module._duration(seconds) == said


# One shard or image on stdout


SHARD = ["export", "c.npz", "-", "--shard", "1", "--instances", "40", *SMALL]


def test_a_shard_on_stdout_is_the_file_of_the_export_and_needs_no_torch(ifs):
    assert run("export", "c.npz", "shards", *SHARD[5:]) == 0
    code = (
        "import sys; from fdsl.cli import main; code = main(sys.argv[1:]); "
        "sys.exit(code or 3 * bool({'torch', 'webdataset', 'PIL'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code, *SHARD], capture_output=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout == Path("shards/000001.tar").read_bytes()
    assert done.stderr == b""  # a loader reads many shards: its log stays readable


def test_an_image_on_stdout_is_its_file(ifs):
    options = ["render", "c.npz", "--category", "3", "--index", "7", *SMALL, "--out"]
    done = command(*options, "-", text=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert run(*options, "x.png") == 0
    assert done.stdout == Path("x.png").read_bytes()


@pytest.mark.parametrize("arguments", [SHARD, ["render", "c.npz", *SMALL, "--out", "-"]])
def test_a_reader_that_closes_the_pipe_of_a_shard_or_image_is_no_error(ifs, arguments):
    code = "import sys; from fdsl.cli import main; sys.exit(main(sys.argv[1:]))"
    with started(
        [sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        if arguments is SHARD:
            process.stdout.read(1000)
        process.stdout.close()
        assert process.wait(timeout=100) == 0
        assert b"rror" not in process.stderr.read()


@pytest.mark.parametrize("arguments", [SHARD, ["render", "c.npz", "--out", "-"]])
def test_a_terminal_is_not_sent_bytes(ifs, capsys, monkeypatch, arguments):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    assert run(*arguments) == 2
    assert "is binary: redirect it to a file or another program" in capsys.readouterr().err
    assert terminal.getvalue() == ""


# Language


def test_the_help_is_capitalized_and_speaks_of_images(capsys):
    for name in ("", *COMMANDS):
        with pytest.raises(SystemExit, match="0"):
            run(*name.split(), "--help")
        text = said(capsys)
        assert not re.search("picture|drawn|dots|anew|alike", text), name  # codespell:ignore
        # Options and commands, whose description may begin on the next line.
        rows = re.findall(r"^ {2,4}(-{1,2}\w.*?|[a-z]+)(?:  +|\n {8,})(\S)", text, re.M)
        assert rows and [row for row in rows if not row[1].isupper() and row[1] != "3"] == []


def test_settings_of_a_familys_own_style_are_options(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    arguments = "--line-width 3 --color --line-color random --background white --size 64"
    assert fdsl.cli.main(["render", "visualatom-3", "--out", "x.png", *arguments.split()]) == 0
    frame = fdsl.Contours(
        line_width=3, color=True, line_color="random", background="white", size=64
    )
    expected = fdsl.render(fdsl.VisualAtom(3), 0, 0, rendering=frame)
    assert Path("x.png").read_bytes() == png.encode(expected[None])[0]


WAVY = """
import dataclasses
import fdsl
import numpy as np


@dataclasses.dataclass(frozen=True, kw_only=True)
class Thick(fdsl.Frame):
    thickness: float = 1.0


class Wavy(fdsl.Family):
    style = Thick

    def __init__(self, categories=3, wiggle=0.1):
        super().__init__(categories)
        self.wiggle = wiggle

    def draw(self, category, rng, frame):
        image = np.zeros((frame.height, frame.width), np.uint8)
        image[category, :2] = 100 * self.wiggle, 10 * frame.thickness
        return image
"""


def test_set_reaches_the_options_and_the_style_of_a_family_in_a_script():
    Path("wavy_option.py").write_text(WAVY.replace("Wavy", "Wavyoption"), encoding="utf-8")
    about = ["wavy_option.py:wavyoption-3", "--category", "1", "--no-flips"]
    chosen = ["--set", "wiggle=2.0", "thickness=3", "--set", "size=16"]
    assert run("render", *about, "--out", "x.png", *chosen) == 0
    assert read("x.png")[:, :3].tolist() == [[0, 0, 0], [200, 30, 0], *[[0, 0, 0]] * 14]
    assert run("export", about[0], "out", "--instances", "1", *chosen) == 0
    assert fdsl.load("out").wiggle == 2.0


@pytest.mark.parametrize(
    "source, words, says",
    [
        ("perlin-9", "octave=3", "perlin-9 has no option or setting 'octave': it takes octaves, "),
        (
            "perlin-9 --octaves 2",
            "octaves=3",
            "--octaves and --set octaves=3 set the same thing: give",
        ),
        (
            "perlin-9 --size 8",
            "size=9",
            "--size and --set size=9 set the same thing: give one of them",
        ),
        ("perlin-9", "octaves", "a setting must be NAME=VALUE, such as max_objects=2, got 'oct"),
        ("perlin-9", "size=tall", "size must be"),
        ("perlin-9", "run=2", "perlin-9 has no option or setting 'run': it takes octaves, persist"),
        ("fractaldb-1k", "a=2", "fractaldb-1k has no option or setting 'a': it takes size, crop"),
    ],
)
def test_what_cannot_be_set_is_one_line(capsys, source, words, says):
    assert run("render", *source.split(), "--out", "-", "--set", *words.split()) == 2
    assert f"fdsl render: error: {says}" in capsys.readouterr().err


def test_convert_refuses_what_categories_do_not_hold(capsys):
    assert run("convert", "perlin-9", "noise.npz", "--set", "octaves=2", "size=9") == 2
    said = "perlin-9 has no option or setting 'size': it takes octaves, persistence, contrast\n"
    assert capsys.readouterr().err == f"fdsl convert: error: {said}"
    assert run("convert", "fractaldb-10", "fractals.npz", "--set", "seed=9") == 2
    assert capsys.readouterr().err.endswith("'seed': it takes none here\n")
    assert not list(Path().iterdir())


def test_set_gives_a_family_its_own_seed():
    for command in ("render rcdb-3 --size 32 --out a.png --set seed=4", "convert rcdb-3 a.npz"):
        assert run(*command.split()) == 0
    expected = fdsl.render(fdsl.RCDB(3, seed=4), 0, 0, rendering=fdsl.Contours(size=32))
    np.testing.assert_array_equal(read("a.png"), expected)
    assert run("convert", "rcdb-3", "b.npz", "--set", "seed=4") == 0
    assert fdsl.load("b.npz") == fdsl.RCDB(3, seed=4) != fdsl.load("a.npz")


def test_set_means_the_setting_if_an_option_has_the_same_name(capsys):
    """The backdrop of scenes is a family, which text cannot express, and a setting."""
    command = ["render", "scene-3", "--size", "32"]
    assert run(*command, "--out", "a.png", "--set", "backdrop=black") == 0
    assert run(*command, "--out", "b.png", "--backdrop", "black") == 0
    np.testing.assert_array_equal(read("a.png"), read("b.png"))
    assert run(*command, "--out", "c.png", "--backdrop", "black", "--set", "backdrop=black") == 2
    assert "--backdrop and --set backdrop=black set the same" in capsys.readouterr().err


KNOTTED = """
import dataclasses, numpy as np
from typing import Literal
import fdsl

@dataclasses.dataclass(frozen=True, kw_only=True)
class KnottedStyle(fdsl.Frame):
    '''How knots are drawn.

    Args:
        knots: knots of an image.
        ink: the color of its knots.
    '''

    knots: int = 3
    ink: Literal["none", "white"] | None = "white"

class Knotted(fdsl.Family):
    name = "knotted"
    style = KnottedStyle

    def __init__(self, categories, *, knots):
        super().__init__(categories)
        self.knots = knots

    def draw(self, category, rng, frame):
        ink = [None, "none", "white"].index(frame.ink)
        value = 100 * ink + 10 * self.knots + frame.knots
        return np.full((frame.height, frame.width), value, np.uint8)
"""


@pytest.mark.parametrize(
    "source, words, says",
    [
        ("perlin-9", "persistence=x", "persistence must be a number, such as 0.5, got 'x'"),
        ("perlin-9", "octaves=x", "octaves must be a number, such as 1, got 'x'"),
        ("deadleaves-4", "texture=x", "texture must be a family of the core"),
        (
            "knotted.py",
            "knots=3",
            "knotted.py is a script: name a family that it defines, as in knot",
        ),
        (
            "knotted.py:knotted",
            "knots=3",
            "knotted.py:knotted lacks the number of categories, as in knotted.py:knotted-100",
        ),
        ("perlin", "octaves=3", "perlin lacks the number of categories, as in perlin-100\n"),
    ],
)
def test_a_source_or_value_that_is_almost_right_is_one_line(capsys, source, words, says):
    Path("knotted.py").write_text(KNOTTED, encoding="utf-8")
    assert run("render", source, "--out", "-", "--set", words) == 2
    assert f"fdsl render: error: {says}" in capsys.readouterr().err


def test_set_means_the_option_of_the_family_if_text_can_express_both(capsys):
    Path("knotted.py").write_text(KNOTTED, encoding="utf-8")
    command = ["render", "knotted.py:knotted-3", "--out", "a.png", "--size", "16"]
    assert run(*command) == 2
    assert "knotted.py:knotted-3 needs --set knots=…" in capsys.readouterr().err
    assert run(*command, "--set", "knots=4") == 0
    assert read("a.png")[0, 0] == 243
    assert run("convert", "knotted.py:knotted-3", "a.npz", "--set", "knots=4") == 0


@pytest.mark.parametrize("given, ink", [("none", 0), ('"none"', 1), ("white", 2)])
def test_text_in_quotes_stays_text(given, ink):
    Path("knotted.py").write_text(KNOTTED, encoding="utf-8")
    command = ["render", "knotted.py:knotted-3", "--out", "a.png", "--size", "16"]
    assert run(*command, "--set", "knots=0", f"ink={given}") == 0
    assert read("a.png")[0, 0] == 100 * ink + 3


RINGS = """
import fdsl, numpy as np

MADE = []


class Rings(fdsl.Family):
    name = "NAME"

    def __init__(self, categories, width, filled=True):
        super().__init__(categories)
        self.width, self.filled = width, filled
        MADE.append(self)

    def draw(self, category, rng, frame):
        return np.full((frame.height, frame.width), 100 * self.width + self.filled, np.uint8)
"""


def test_a_family_is_made_once_with_all_that_it_needs(capsys):
    Path("needy.py").write_text(RINGS.replace("NAME", "needy"), encoding="utf-8")
    command = ["render", "needy.py:needy-3", "--size", "16", "--out", "a.png"]
    assert run(*command) == 2
    assert "error: needy.py:needy-3 needs --set width=…\n" in capsys.readouterr().err
    assert run(*command, "--set", "width=9", "width=2", "filled=false") == 0
    assert set(read("a.png").flat) == {200}
    assert len(import_script("needy.py").MADE) == 1  # which returns the module that is there


def test_a_search_that_cannot_write_ends_before_it_begins(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != tmp_path)
    assert fdsl.cli.main(["search", "--out", str(tmp_path / "c.npz")]) == 2
    assert capsys.readouterr().err.endswith(f"error: cannot write to the folder {tmp_path}\n")
