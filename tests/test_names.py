"""Errors for old names give the new ones, and files of the first releases are still read."""

import dataclasses
import json
import re
from pathlib import Path

import fdsl
import fdsl.cli
import fdsl.export
import numpy as np
import pytest
from fdsl import IFS, Bezier, Family, Frame, Perlin, Rendering, Strokes, png, render
from fdsl.cli.options import RENAMED

SMALL = Rendering(size=32, num_points=2000)
FAMILIES = {
    "ifs": lambda: fdsl.fractaldb(3),
    "perlin": lambda: Perlin(4),
    "bezier": lambda: Bezier(4),
}


@pytest.fixture(params=FAMILIES)
def family(request) -> Family:
    return FAMILIES[request.param]()


# Arguments of the first releases


SETTINGS = {
    "weights": (0.3, "variation"),
    "points": (5000, "num_points"),
    "pad": (3, "margin"),
    "redraw": (False, "resample_degenerate"),
    "sampler": ("released", "compat"),
}


@pytest.mark.parametrize("old", SETTINGS)
@pytest.mark.parametrize(
    "make",
    [
        Rendering,
        Rendering.paper,
        Rendering.released,
        lambda **settings: dataclasses.replace(SMALL, **settings),
    ],
    ids=["Rendering", "paper", "released", "replace"],
)
def test_the_error_for_an_old_setting_names_the_new_one(make, old):
    value, new = SETTINGS[old]
    said = f"Rendering: the setting {old!r} was renamed to {new!r}"
    with pytest.raises(TypeError, match=re.escape(said)):
        make(**{old: value})


@pytest.mark.parametrize(
    "style, old, said",
    [
        (
            Frame,
            "redraw",
            "Frame: the setting 'redraw' was renamed to 'resample_degenerate'",
        ),
        (Strokes, "redraw", "was renamed to 'resample_degenerate'"),
        (Strokes, "pad", "Strokes: the setting 'pad' was renamed to 'margin'"),
        # Settings that they lack have no new name.
        (Frame, "points", "Frame has no setting 'points'; it has size, crop, crop_position, flips"),
        (Strokes, "weights", "Strokes has no setting 'weights'; it has size, crop"),
    ],
)
def test_a_style_names_new_settings_only_if_it_has_them(style, old, said):
    with pytest.raises(TypeError, match=re.escape(said)):
        style(**{old: SETTINGS[old][0]})


@pytest.mark.parametrize("old", ["grid", "continuous"])
def test_the_error_for_an_old_value_of_variation_names_the_new_setting(old):
    with pytest.raises(TypeError, match=f"variation is a number now: use variation_kind='{old}'"):
        Rendering(variation=old)


ARRAY = np.zeros((1, 8, 8), np.uint8)
CALLS = {
    "render, threads": (lambda **old: render(Bezier(4), 0, 0, **old), "threads", "num_threads"),
    "render, return_redraws": (
        lambda **old: render(Bezier(4), 0, 0, **old), "return_redraws", "return_retries",
    ),
    **{
        f"{name}, {old}": (call, old, new)
        for name, call in {
            "IFS.search": lambda **old: IFS.search(1, 0.05, seed=1, **old),
            "IFS.fill_rates": lambda **old: fdsl.fractaldb(1).fill_rates(**old),
        }.items()
        for old, new in {"points": "num_points", "pad": "margin", "threads": "num_threads"}.items()
    },
    "encode, threads": (lambda **old: png.encode(ARRAY, **old), "threads", "num_threads"),
    "encode, pictures": (png.encode, "pictures", "images"),
    **{
        f"{call.__name__}, {old}": (
            lambda call=call, **old: call(Bezier(4), "an export", **old), old, new,
        )
        for call in (fdsl.export.shards, fdsl.export.folders)
        for old, new in {
            "threads": "num_threads", "shard_index": "job_index", "num_shards": "num_jobs",
        }.items()
    },
}  # fmt: skip


@pytest.mark.parametrize("name", CALLS)
def test_the_error_for_an_old_argument_names_the_new_one(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    call, old, new = CALLS[name]
    function = name.split(",")[0]
    said = f"{function}: the argument {old!r} was renamed to {new!r}"
    with pytest.raises(TypeError, match=re.escape(said)):
        call(**{old: ARRAY if old == "pictures" else 1})
    assert list(tmp_path.iterdir()) == []


# Options of the first releases


#: A command that has each option; the others have most of them.
COMMANDS = {"--pictures": ["info", "bezier-4"]}


@pytest.mark.parametrize("value", [["1"], []], ids=["with a value", "without"])
@pytest.mark.parametrize("old", RENAMED)
def test_the_error_for_an_old_option_names_the_new_one(capsys, tmp_path, monkeypatch, old, value):
    monkeypatch.chdir(tmp_path)
    command = COMMANDS.get(old, ["export", "bezier-4", "folder"])
    with pytest.raises(SystemExit, match="2"):
        fdsl.cli.main([*command, old, *value])
    error = capsys.readouterr().err
    assert error.endswith(f"error: {old} was renamed to {RENAMED[old]}\n")
    assert list(tmp_path.iterdir()) == []


def test_an_old_option_of_another_command_is_unknown(capsys):
    with pytest.raises(SystemExit, match="2"):
        fdsl.cli.main(["render", "bezier-4", "--out", "x.png", "--pictures", "1"])
    assert "unrecognized arguments: --pictures" in capsys.readouterr().err


def test_the_new_name_of_every_old_option_exists(capsys):
    for old, new in RENAMED.items():
        with pytest.raises(SystemExit, match="0"):
            fdsl.cli.main([COMMANDS.get(old, ["export"])[0], "--help"])
        text = capsys.readouterr().out
        assert re.search(rf"{new}\b", text), new
        assert not re.search(rf"(?<!\w){old}\b(?!-)", text), old  # hidden


@pytest.mark.parametrize("old", ["grid", "continuous"])
def test_the_error_for_an_old_value_of_the_variation_option_names_the_new_option(capsys, old):
    with pytest.raises(SystemExit, match="2"):
        fdsl.cli.main(["render", "fractaldb-1", "--variation", old, "--out", "x.png"])
    assert "that is --variation-kind now" in capsys.readouterr().err


# Settings that do not apply to a family


FOREIGN = {
    "Perlin, Rendering": (
        lambda: Perlin(4), SMALL,
        "Perlin takes a Frame (size, crop, crop_position, flips, color, resample_degenerate), got "
        "a Rendering, whose num_points, draw, patch, shading, variation, variation_kind, margin, "
        "zoom, shift, transpose, background, blur, compat, mask_seed do not apply",
    ),
    "Perlin, Strokes": (
        lambda: Perlin(4), Strokes(size=32),
        "Perlin takes a Frame (size, crop, crop_position, flips, color, resample_degenerate), got "
        "a Strokes, whose draw, margin do not apply",
    ),
    "Bezier, Rendering": (
        lambda: Bezier(4), SMALL,
        "Bezier takes a Strokes (size, crop, crop_position, flips, color, resample_degenerate, "
        "draw, margin), got a Rendering, whose num_points, patch, shading, variation, "
        "variation_kind, zoom, shift, transpose, background, blur, compat, mask_seed do not apply",
    ),
    "IFS, Strokes": (
        lambda: fdsl.fractaldb(1), Strokes(size=32),
        "IFS takes a Rendering (size, crop, crop_position, flips, color, resample_degenerate, "
        "num_points, draw, patch, shading, variation, variation_kind, margin, zoom, shift, "
        "transpose, background, blur, compat, mask_seed), got a Strokes",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", FOREIGN)
def test_settings_that_mean_nothing_to_a_family_are_refused(case, tmp_path):
    make, rendering, said = FOREIGN[case]
    with pytest.raises(TypeError, match=re.escape(said)):
        render(make(), 0, 0, rendering=rendering)
    with pytest.raises(TypeError, match=re.escape(said)):
        fdsl.export.folders(make(), tmp_path / "export", rendering=rendering)
    assert not (tmp_path / "export").exists()


@pytest.mark.parametrize("case", FOREIGN)
def test_a_stream_refuses_settings_that_mean_nothing(case):
    pytest.importorskip("torch")
    from fdsl.torch import Stream

    make, rendering, said = FOREIGN[case]
    with pytest.raises(TypeError, match=re.escape(said)):
        Stream(make(), rendering=rendering)


@pytest.mark.parametrize(
    "arguments, said",
    [
        (
            "perlin-4 --num-points 5",
            "--num-points does not apply to Perlin, which takes --size, --crop, --crop-position, "
            "--flips, --color, --resample-degenerate",
        ),
        (
            "bezier-4 --variation none",
            "--variation does not apply to Bezier, which takes --size, --crop, --crop-position, "
            "--flips, --color, --resample-degenerate, --draw, --margin",
        ),
        ("perlin-4 --no-color --margin 3", "--margin does not apply to Perlin"),
        ("bezier-4 --patch fixed", "--patch does not apply to Bezier"),
        ("perlin-4 --preset released", "preset 'released' does not apply to <Perlin"),
    ],
)
@pytest.mark.parametrize("command", ["render", "preview"])
def test_an_option_that_means_nothing_is_refused(
    capsys, tmp_path, monkeypatch, command, arguments, said
):
    monkeypatch.chdir(tmp_path)
    assert fdsl.cli.main([command, *arguments.split(), "--out", "x.png"]) == 2
    assert said in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


# Files of the first releases


#: ``Rendering(…).to_dict()``, of every family.
OLD = {
    "size": 32, "points": 2000, "draw": "point", "patch": "fixed", "color": True, "weights": 0.3,
    "pad": 2, "crop": [20, 30], "crop_position": "center", "variation": "continuous",
    "flips": False, "redraw": False, "sampler": "fdsl", "mask_seed": None,
}  # fmt: skip
FRAME = {
    "size": 32, "crop": (20, 30), "crop_position": "center", "flips": False, "color": True,
    "resample_degenerate": False,
}  # fmt: skip
NEW = {
    Frame: Frame(**FRAME),
    Strokes: Strokes(**FRAME, draw="point", margin=2),
    Rendering: Rendering(
        **FRAME, num_points=2000, draw="point", patch="fixed", variation=0.3,
        variation_kind="continuous", margin=2,
    ),
}  # fmt: skip


@pytest.mark.parametrize("style", NEW)
def test_old_settings_are_read(style):
    read = style.from_dict(json.loads(json.dumps(OLD)))
    assert read == NEW[style]
    assert style.from_dict(json.loads(json.dumps(read.to_dict()))) == read
    before_there_were_samplers = {k: v for k, v in OLD.items() if k not in ("sampler", "mask_seed")}
    assert style.from_dict(before_there_were_samplers) == read
    with pytest.raises(ValueError, match="has no setting 'colour'"):
        style.from_dict({**OLD, "colour": True})  # misspelled, not of an old release
    unvaried = style.from_dict({**OLD, "weights": None, "variation": "grid"})
    if style is Rendering:
        assert (unvaried.variation, unvaried.variation_kind) == (None, "grid")


def test_old_settings_of_the_released_program_are_read():
    released = {"size": 362, "crop": None, "crop_position": "random", "patch": "random",
                "draw": "patch", "color": False, "flips": True, "points": 200_000, "pad": 6,
                "weights": 0.4, "variation": "grid", "sampler": "released",
                "mask_seed": 7}  # fmt: skip
    assert Rendering.from_dict({**OLD, **released}) == Rendering.released(mask_seed=7)


def old_plan(plan: dict, rendering: dict, *, early: bool) -> dict:
    """A plan or a ``metadata.json`` in the format of the first releases."""
    later = ("categories_key", "layout_format") if early else ()
    kept = {name: value for name, value in plan.items() if name not in later}
    return {**kept, "rendering": {**OLD, **rendering}, "fdsl": "0.1.0"}


#: The digest of the same categories in the first releases, and the settings of a plan for each.
PLANS = {
    "ifs": (
        "7b463e8a462c251824c25764a07026b67f09ca9f26f02f8f60567060d4df1a60",
        Rendering(size=32, num_points=2000),
        {"draw": "patch", "patch": "random", "weights": 0.4, "variation": "grid", "pad": 6},
    ),
    "perlin": (
        "48e4f09da00aeb4e59945d9fad667d6c31189b64bdaa0fae3f1de90cefdc6334",
        Frame(size=32),
        {},
    ),
    "bezier": (
        "73a174d8848448d8139b111e297145a5a55df21c1c200d52ea5c7485f8cacf33",
        Strokes(size=32, margin=3),
        {"draw": "patch", "pad": 3},
    ),
}
REST = {"color": False, "crop": None, "crop_position": "random", "flips": True, "redraw": True}


@pytest.mark.parametrize("early", [True, False], ids=["first release", "later"])
@pytest.mark.parametrize("layout", ["webdataset", "folders"])
@pytest.mark.parametrize("name", PLANS)
def test_an_old_export_can_be_continued_and_finalized(tmp_path, name, layout, early):
    pytest.importorskip("webdataset")
    digest, rendering, changes = PLANS[name]
    family = FAMILIES[name]()
    assert family.digest() == digest
    settings = {"instances": 8, "rendering": rendering, "seed": 3}

    def write(folder: Path, **more):
        if layout == "webdataset":
            return fdsl.export.shards(family, folder, shard_size=6, **settings, **more)
        return fdsl.export.folders(family, folder, **settings, **more)

    write(tmp_path, num_jobs=2)
    file = tmp_path / "plan.json"
    old = old_plan(json.loads(file.read_text()), {**REST, **changes}, early=early)
    file.write_text(json.dumps(old, indent=1) + "\n")
    written = write(tmp_path)
    assert written.images > 0 and written.skipped > 0
    assert json.loads(file.read_text()) == old
    metadata = fdsl.export.finalize(tmp_path)
    assert metadata["images"] == 8 * len(family)
    # ... and once more, against the description that the first release left.
    described = old_plan(metadata, {**REST, **changes}, early=early)
    (tmp_path / "metadata.json").write_text(json.dumps(described))
    assert fdsl.export.finalize(tmp_path)["shards"] == metadata["shards"]
    file.write_text(json.dumps({**old, "rendering": {**old["rendering"], "redraw": False}}))
    with pytest.raises(ValueError, match="rendering is"):
        write(tmp_path)
