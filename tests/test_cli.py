"""The ``fdsl`` command: every command does its work, and every mistake is a sentence."""

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
from fdsl.cli import bar as bars
from fdsl.preview import contact_sheet

COMMANDS = ("search", "render", "preview", "export", "finalize", "convert", "info", "bench")
FOUND = ["--fill-rate", "0.1", "--size", "64", "--num-points", "3000", "--seed", "1"]
SMALL = ["--size", "32", "--num-points", "2000"]


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
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


def test_no_command_is_a_question_for_help(capsys):
    assert run() == 0
    assert said(capsys).startswith("usage: fdsl")


def test_the_examples_of_the_help_are_understood(capsys, monkeypatch):
    """Every one but for the work itself."""
    done = []
    for module in (fdsl.cli.categories, fdsl.cli.pictures, fdsl.cli.files, fdsl.cli.bench):
        for name in [name for name in vars(module) if re.fullmatch(r"_[a-z]+", name)]:
            if f"add{name}" in vars(module):
                monkeypatch.setattr(module, name, lambda a: done.append(a))
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


def test_render_draws_what_the_library_draws(capsys, ifs):
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


def test_the_largest_index_can_be_drawn(ifs):
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
    monkeypatch.setattr(fdsl.cli.pictures, "render", lambda *a: seen.append(a) or fdsl.render(*a))
    assert run("render", "c.npz", *options, "--out", "x.png") == 0
    assert seen[0][4] == rendering


@pytest.mark.parametrize("source", ["c.npz", "perlin-16", "bezier-16"])
def test_preview_draws_a_sheet_of_any_family(ifs, source):
    small = SMALL if source == "c.npz" else SMALL[:2]  # points are of fractals alone
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


def test_export_writes_and_finalize_checks(capsys, ifs):
    pytest.importorskip("webdataset")
    options = ["c.npz", "shards", "--instances", "10", "--shard-size", "16", *SMALL]
    assert run("export", *options, "--job-index", "1", "--num-jobs", "2") == 0
    assert "28 pictures written" in said(capsys)
    assert run("finalize", "shards") == fdsl.cli.MISTAKE
    assert "2 of 4 shards are missing in shards: 000000.tar, 000002.tar" in capsys.readouterr().err
    assert run("export", *options) == 0
    assert "32 pictures written" in (text := said(capsys)) and "28 were there" in text
    assert run("export", *options) == 0
    assert "nothing to write, 60 were there" in said(capsys)
    assert run("finalize", "shards") == 0
    assert "60 pictures in 4 shards" in said(capsys)
    assert fdsl.load("shards") == ifs


@pytest.mark.parametrize("layout, file", [
    ("folders", "00001/000003.png"), ("released", "00001/00001_00_count_0_flip3.png"),
])  # fmt: skip
def test_export_writes_folders(ifs, layout, file):
    assert run("export", "c.npz", "f", "--layout", layout, "--instances", "4", *SMALL) == 0
    small = fdsl.Rendering(size=32, num_points=2000)
    np.testing.assert_array_equal(read(f"f/{file}"), fdsl.render(ifs, 1, 3, 0, small))


def test_convert_changes_the_form_and_not_the_numbers(ifs):
    assert run("convert", "c.npz", "csv") == 0
    assert run("convert", "csv", "back.npz") == 0
    assert fdsl.IFS.load("back.npz") == ifs
    system = np.random.default_rng(0).uniform(-1, 1, (3, 2, 3))
    Path("theirs.pkl").write_bytes(pickle.dumps({"params": [{"system": system}]}))
    assert run("convert", "theirs.pkl", "theirs") == 0
    assert fdsl.IFS.from_csv("theirs") == fdsl.IFS.from_pickle("theirs.pkl")
    assert run("convert", "bezier-16", "curves.npz") == 0
    assert fdsl.load("curves.npz") == fdsl.Bezier(16)


def test_info_says_what_is_known(capsys, ifs):
    assert run("info", "c.npz", "--pictures", "300", "--size", "64", "--num-points", "5000") == 0
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
    assert len(set((indices // 40).tolist())) == 25  # every weight row
    assert (redraws > 0).any()
    assert lines["drawn again"] == f"{(redraws > 0).mean():.2%} of them"
    assert (
        run("info", "perlin-16", "--pictures", "20", "--no-resample-degenerate", "--size", "32")
        == 0
    )
    assert "redrawing is off" in (text := said(capsys)) and "16 of Perlin" in text


def test_bench_says_how_fast_every_path_is(capsys, ifs):
    assert run("bench", "c.npz", *SMALL, "--seconds", "0.01") == 0
    text = said(capsys)
    for path in fdsl._core.simd_paths():
        assert re.search(rf"^{path} +1 +[\d,]+ ", text, re.M)


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        ("info nowhere.npz", "fdsl info: error: no categories at nowhere.npz: expected a name"),
        ("info perlin-7", "square number, such as 100, got 7"),
        ("info empty", "no CSV file in empty"),
        ("info text.npz", "text.npz is not a file that Family.save wrote"),
        ("render c.npz --category 6 --out x.png", "category 6 is out of range: there are 6"),
        ("render c.npz --index 0,1 --out x.png", "2 pictures do not fit x.png"),
        ("render c.npz --out x.jpg", "OUT must be a file .png or a folder, got x.jpg"),
        ("render c.npz --out no/x.png", "cannot write: No such file or directory: no/x.png"),
        ("render c.npz --index 0-7 --category 0-6 --out d", "category 6 is out of range"),
        ("render c.npz --octaves 2 --out x.png", "--octaves is for Perlin noise, got <IFS"),
        ("render perlin-9 --octaves 99 --out x.png", "octaves must be between 1 and 16, got 99"),
        ("info perlin-1000000000000000000", "categories must be at most 4096² = 16,777,216"),
        ("info bezier-4096", "categories must be at most 63² = 3,969, got 4,096"),
        ("info c.npz --pictures 0", "pictures must be at least 1, got 0"),
        ("preview c.npz --instances 100000000000 --out x.png", "instances must be at most 1000"),
        ("preview c.npz --category 0,6 --out x.png", "category 6 is out of range: there are 6"),
        ("preview c.npz --index 0-9999 --out x.png", "a sheet may have at most 268,435,456 pixels"),
        ("search --out csvs", "csvs holds other categories"),
        ("search --out text.npz/c.npz", "there is no folder text.npz to write c.npz to"),
        ("convert c.npz empty.npz", "empty.npz is a folder: a file .npz cannot take its place"),
        ("convert c.npz plain", "plain is a file: a folder for CSV files cannot take its place"),
        ("render c.npz --size 8 --out x.png", "size must be between 16 and 4096"),
        ("render c.npz --mask-seed 3 --out x.png", "mask_seed is for compat='released' alone"),
        ("render c.npz --seed -1 --out x.png", "seed must be 0 or more, got -1"),
        ("preview c.npz --out sheet", "OUT must be a file .png, got sheet"),
        ("preview c.npz --categories 0 --out x.png", "categories must be at least 1"),
        ("search --fill-rate 0.9 --max-tries 20 --out x.npz", "gave up after 20 candidates"),
        ("search --categories 0 --out x.npz", "categories must be at least 1, got 0"),
        ("search --out x.txt", "OUT must be a file .npz or a folder for CSV files, got x.txt"),
        ("search --out no/x.npz", "there is no folder no to write x.npz to"),
        ("search --sampler released --seed 4294967296 --out x.npz", "between 0 and 2**32 - 1"),
        ("convert bezier-16 folder", "CSV files hold IFS alone"),
        ("convert c.npz csvs", "csvs holds other categories"),
        ("export c.npz text.npz", "text.npz"),
        ("export c.npz f --layout folders --instances 0", "instances must be at least 1, got 0"),
        ("export bezier-16 f --layout released", "file names are for IFS"),
        ("export c.npz f --job-index 2 --num-jobs 2", "job_index must be below num_jobs"),
        ("finalize empty", "no export in empty: it has no plan.json"),
        ("finalize nowhere", "no export in nowhere"),
        ("bench c.npz --seed -1", "seed must be 0 or more, got -1"),
        ("info perlin-9 --seed 18446744073709551616", "got 18446744073709551616"),
        ("export c.npz f --layout folders --shard-size 3", "--shard-size is for webdataset shards"),
        ("bench c.npz --seconds 0", "seconds must be above 0, got 0"),
    ],
)
def test_a_mistake_is_a_sentence_and_exit_code_2(ifs, capsys, arguments, sentence):
    Path("empty").mkdir()
    Path("empty.npz").mkdir()
    Path("plain").write_text("text")
    Path("csvs").mkdir()
    Path("csvs/other.csv").write_text("0.5,0,0,0.5,0,0,1\n")
    Path("text.npz").write_text("text")
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
        ("render c.npz --size 2x3x4 --out x", "must be 256 or, height first, 256x320; got '2x3x4'"),
        ("render c.npz --variation much --out x", "must be a number or none, got 'much'"),
        ("render c.npz --category one --out x", "must be numbers such as 3 or 0-7,159; got 'one'"),
        ("render c.npz --category 5-3 --out x", "must be numbers such as 3 or 0-7,159; got '5-3'"),
        ("render c.npz --index 3- --out x", "must be numbers such as 3 or 0-7,159; got '3-'"),
        ("render c.npz --index 0-9999999999999 --out x", "must be at most 1,000,000"),
        (
            "render c.npz --index 18446744073709551616 --out x",
            "must be less than 2**64; got",
        ),
        ("render c.npz --preset mine --out x", "invalid choice: 'mine'"),
    ],
)
def test_a_misuse_is_explained_by_argparse(ifs, capsys, arguments, sentence):
    with pytest.raises(SystemExit, match="2"):
        run(*arguments.split())
    assert sentence in capsys.readouterr().err


def command(*arguments: str, without: tuple[str, ...] = (), **how) -> subprocess.CompletedProcess:
    """Runs the command in a process of its own, where some libraries are not installed."""
    hide = "".join(f"sys.modules[{name!r}] = None; " for name in without)
    code = f"import sys; {hide}from fdsl.cli import main; sys.exit(main(sys.argv[1:]))"
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        **{"capture_output": True, "text": True, "timeout": 300, **how},
    )


def test_it_is_useful_with_numpy_alone(ifs):
    """Nothing but labels and shards needs more, and they say what."""
    without = ("torch", "torchvision", "PIL", "tqdm", "webdataset", "matplotlib")
    for arguments in (
        ("info", "c.npz", "--pictures", "20"),
        ("render", "c.npz", "--out", "x.png"),
        ("preview", "c.npz", *SMALL, "--no-labels", "--out", "y.png"),
        ("export", "c.npz", "f", "--layout", "folders", "--instances", "2"),
        ("finalize", "f"),
        ("convert", "c.npz", "csv"),
    ):
        done = command(*arguments, without=without)
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
    for arguments, words in (
        (("preview", "c.npz", "--labels", "--out", "z.png"), "labels are written with Pillow"),
        (("export", "c.npz", "s", "--instances", "2"), "shards are written by the webdataset"),
    ):
        done = command(*arguments, without=without)
        assert done.returncode == 2 and words in done.stderr and "fdsl[export]" in done.stderr


def test_a_full_disk_is_a_sentence(ifs):
    """A limit on the size of files stands for a full disk."""
    pytest.importorskip("webdataset")
    resource = pytest.importorskip("resource")

    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))

    done = command("export", "c.npz", "s", "--instances", "200", *SMALL, preexec_fn=limit)
    assert done.returncode == 2 and done.stdout == ""
    categories = f"categories-{ifs.digest()[:16]}.npz"
    assert re.fullmatch(r"fdsl export: error: cannot write: .*: s/000000\.tar\n", done.stderr)
    assert sorted(file.name for file in Path("s").iterdir()) == [categories, "plan.json"]


def test_the_command_is_installed_and_is_a_module():
    script = Path(sys.executable).with_name("fdsl")
    for start in ([str(script)], [sys.executable, "-m", "fdsl"]):
        done = subprocess.run([*start, "--version"], capture_output=True, text=True)
        assert done.stdout == f"fdsl {fdsl.__version__}\n"


def test_a_reader_that_has_seen_enough_is_no_error(ifs):
    done = command("info", "c.npz", "--pictures", "5")
    assert done.returncode == 0
    read_end, write_end = os.pipe()
    os.close(read_end)
    code = "import sys; from fdsl.cli import main; sys.exit(main(sys.argv[1:]))"
    quiet = subprocess.run(
        [sys.executable, "-c", code, "info", "c.npz", "--pictures", "5"],
        stdout=write_end, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert (quiet.returncode, quiet.stderr) == (0, "")
    # ... and no reason to leave work half done.
    subprocess.run(
        [sys.executable, "-c", code, "render", "c.npz", "--index", "0-599", *SMALL, "--out", "f"],
        stdout=write_end, check=True,
    )  # fmt: skip
    os.close(write_end)
    assert len(list(Path("f").iterdir())) == 600


@pytest.mark.parametrize("arguments, code", [
    ("info c.npz --pictures 5", 0),
    ("render c.npz --out x.png", 0),
    ("--help", 0),
    ("info --help", 0),
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
        assert "error" not in done.stdout  # which is no place for it


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("arguments", ["info c.npz --pictures 5", "--help", "info --help"])
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
def test_output_that_cannot_be_written_is_a_sentence(ifs, unbuffered):
    with Path("/dev/full").open("w") as full:
        done = command(
            "info", "c.npz", "--pictures", "5",
            capture_output=False, stdout=full, stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
        )  # fmt: skip
    assert done.returncode == 2
    assert re.fullmatch(r"fdsl.*: error: .*No space left on device\n", done.stderr)


@pytest.mark.parametrize("kind", [TypeError, IndexError, KeyError, AttributeError])
def test_a_mistake_of_ours_shows_its_traceback(ifs, monkeypatch, kind):
    def render(*arguments, **settings):
        raise kind("of the library")

    monkeypatch.setattr(fdsl.cli.pictures, "render", render)
    with pytest.raises(kind, match="of the library"):
        run("render", "c.npz", "--out", "x.png")


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
            "shards may hold at most 1,000,000 images each, got 6,000,000,000",
        ),
        (
            "export c.npz folder --instances 1000000000000000 --layout folders",
            "folders may hold at most 1,000,000 images each, got 1,000,000,000,000,000",
        ),
        (
            "render c.npz --index 0-999999 --category 0-1 --out folder",
            "a folder may take at most 1,000,000 images, got 2,000,000; fdsl export writes more",
        ),
    ],
)
def test_what_no_folder_can_hold_is_refused_before_anything_grows(ifs, arguments, sentence):
    resource = pytest.importorskip("resource")
    most = 16 << 30  # of address space: libraries reserve much that they do not use
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


def test_a_sheet_takes_numbers_of_any_size_for_how_many():
    curves, small = fdsl.Bezier(4), fdsl.Frame(size=16)
    sheet = contact_sheet(curves, 2**63, [2**63, 2**64 - 1], rendering=small, label=False)
    assert sheet.shape == (4 * 18, 2 * 18)
    with pytest.raises(TypeError, match=r"must be an integer or a list of them, got 1\.5"):
        contact_sheet(curves, 1.5)


def test_a_terminal_that_knows_few_letters_shows_others_instead():
    for arguments in (("render", "--help"), ("info", "perlin-9", "--pictures", "9")):
        done = command(*arguments, env={**os.environ, "PYTHONIOENCODING": "ascii"})
        assert done.returncode == 0, done.stderr


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("tqdm", [True, False])
def test_progress_is_shown_on_a_terminal_alone(monkeypatch, tqdm):
    if tqdm:
        pytest.importorskip("tqdm")
    else:
        monkeypatch.setitem(sys.modules, "tqdm", None)
    clock = iter(range(1000))
    monkeypatch.setattr(bars.time, "monotonic", lambda: float(next(clock)))
    for stream, shown in ((Terminal(), True), (io.StringIO(), False)):
        monkeypatch.setattr(sys, "stderr", stream)
        with bars.bar("export", "pictures") as progress:
            for done in range(0, 101, 50):
                progress(done, 100)
                if tqdm and shown:
                    bars.time.sleep(0.3)
        assert ("export" in stream.getvalue() and "100" in stream.getvalue()) == shown
