"""Every table and figure of the paper runs, and what a study reports is what its runs did."""

import csv
import dataclasses
import json
import os
import signal
import threading
import time
from collections import Counter
from typing import ClassVar

import pytest
from scripts import EXAMPLES, need

need("filelock", "pytorch_grad_cam")

import cluster
import data
import fdsl
import finetune
import metrics
import numpy as np
import pretrain
import torch
from fdsl.torch import Dataset
from fdsl.torch.training import build_model, load_weights, read_presets
from matplotlib.figure import Figure
from settings import recorded
from studies import charts, lab, report, study
from studies.plan import Line, Study
from studies.scales import FULL, SCALES, SMALL, View
from studies.table import STUDIES

# The first test runs all studies.
# One fixture runs all studies, which took 15 minutes on a busy machine.
pytestmark = [pytest.mark.timeout(2700), pytest.mark.usefixtures("two_threads")]

SMOKE = ["--scale", "smoke", "--device", "cpu"]


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """The folder of all studies, run once."""
    out = tmp_path_factory.mktemp("studies")
    assert study.main(["all", *SMOKE, "--out", str(out)]) == 0
    return out / "smoke"


def rows(folder, name):
    with (folder / f"{name}.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def accuracy_of_all_classes(run):
    classes = metrics.read(run / "per_class.csv")
    right = sum(float(row["accuracy"] or 0) * int(row["images"]) for row in classes)
    return right / sum(int(row["images"]) for row in classes)


@pytest.mark.slow
@pytest.mark.parametrize("name", STUDIES)
def test_every_study_has_its_rows_and_its_figure(done, name):
    lines = [
        line.name for line in STUDIES[name].lines if line.start != "against" and not line.on_demand
    ]
    found = rows(done, name)
    assert list(dict.fromkeys(row["line"] for row in found)) == lines
    for row in found:
        if row["data"]:
            run = done / "finetune" / row["pretraining"] / row["data"] / row["settings"]
            assert float(row["accuracy"]) == pytest.approx(accuracy_of_all_classes(run), abs=1e-4)
        scratch = row["pretraining"].startswith("scratch")
        if not scratch:
            last = metrics.read(done / "pretrain" / row["pretraining"] / "metrics.csv")[-1]
            assert float(row["pretraining_accuracy"]) == float(last["accuracy"])
        assert scratch == (row["line"] == "scratch")
    assert (done / f"{name}.md").read_text().startswith(STUDIES[name].title)
    assert (done / f"{name}.png").stat().st_size > 5000


@pytest.mark.slow
def test_what_is_done_is_not_done_again(done, capsys):
    assert study.main(["all", *SMOKE, "--out", str(done.parent)]) == 0
    assert "running" not in capsys.readouterr().out


@pytest.mark.slow
def test_studies_share_their_runs(done):
    usual = [row for name in STUDIES for row in rows(done, name) if row["pretraining"] == "usual"]
    assert len({row["study"] for row in usual}) > 5
    folders = Counter((row["pretraining"], row["data"], row["settings"]) for row in usual)
    assert max(folders.values()) > 5


@pytest.mark.slow
def test_another_checkpoint_is_a_line_of_its_own(done, tmp_path):
    weights = done / "pretrain/usual/weights.safetensors"
    run = ["table10", *SMOKE, "--out", str(tmp_path), "--against", str(weights)]
    assert study.main(run) == 0
    assert [row["line"] for row in rows(tmp_path / "smoke", "table10")] == [
        "FractalDB-1k",
        "scratch",
        "usual",
    ]
    assert (tmp_path / "smoke/table10.png").stat().st_size > 5000
    assert "FractalDB-1k does better than usual" in (tmp_path / "smoke/table10.md").read_text()
    # Another file of the same name is another checkpoint.
    other = done / "pretrain/patch=random/weights.safetensors"
    assert study.main([*run[:-1], str(other), "--lines", "another"]) == 0
    assert len({row["pretraining"] for row in rows(tmp_path / "smoke", "table10")}) == 4


@pytest.mark.slow
def test_a_study_that_was_stopped_goes_on(tmp_path, monkeypatch, capsys):
    whole, calls = finetune.finetune, []

    def stopped(settings):
        calls.append(settings)
        return 143 if len(calls) == 2 else whole(settings)

    run = ["table1", *SMOKE, "--out", str(tmp_path)]
    monkeypatch.setattr(lab.finetune, "finetune", stopped)
    assert study.main(run) == 143
    assert [row["line"] for row in rows(tmp_path / "smoke", "table1")] == ["point"]
    capsys.readouterr()
    assert study.main(run) == 0
    again = [line for line in capsys.readouterr().out.splitlines() if line.startswith("running")]
    assert [line.split("smoke/")[1].split("/digits")[0] for line in again] == [
        "finetune/patch=random",
        "pretrain/usual",
        "finetune/usual",
    ]
    assert len(rows(tmp_path / "smoke", "table1")) == 3


@pytest.fixture
def room(tmp_path):
    return lab.Lab(out=tmp_path, scale=SCALES["smoke"], device="cpu")


def begun(room, **changes):
    """Pre-trains for one step in the folder of the usual run."""
    settings = {**SCALES["smoke"].pretraining({}), "max_steps": 1, "device": "cpu", **changes}
    assert pretrain.pretrain(pretrain.Settings(out=room.out / "pretrain/usual", **settings)) == 0


@pytest.mark.slow
def test_a_pre_training_that_a_limit_ended_is_continued(room):
    begun(room)
    assert metrics.read(room.out / "pretrain/usual/metrics.csv")[-1]["step"] == "1"
    assert room.pretrained({}).images == 16
    assert metrics.read(room.out / "pretrain/usual/metrics.csv")[-1]["step"] == "2"


@pytest.mark.slow
@pytest.mark.parametrize("recorded", [2, None])
def test_a_run_with_the_usual_length_of_an_epoch_is_recognized(room, monkeypatch, recorded):
    monkeypatch.setattr(pretrain, "count_steps", lambda s, family: 2)
    room = dataclasses.replace(room, scale=dataclasses.replace(room.scale, steps={}))
    assert room.pretrained({}).images == 16
    file = room.out / "pretrain/usual/weights.json"
    about = json.loads(file.read_text())
    about["settings"]["steps_per_epoch"] = recorded  # it was None in an earlier version
    file.write_text(json.dumps(about))
    monkeypatch.setattr(lab, "_run", None)
    assert room.pretrained({}).images == 16


def test_a_run_is_not_continued_with_other_settings(room):
    begun(room, lr=0.5)
    (room.out / "pretrain/usual/weights.json").unlink()
    with pytest.raises(ValueError, match=r"usual holds a run with lr = 0.5, but 0.01 is asked for"):
        room.pretrained({})
    assert metrics.read(room.out / "pretrain/usual/metrics.csv")[-1]["step"] == "1"


@pytest.mark.slow
def test_a_result_whose_settings_changed_on_the_way_is_noticed(room):
    weights = room.scratch()
    (result,) = room.finetuned(weights, "digits", View(label="", settings={}), {})
    assert [part["first_step"] for part in result["history"]] == [0]
    file = result["out"] / "result.json"
    file.write_text(file.read_text().replace('"weight_decay": 0.0001', '"weight_decay": 0.5', 1))
    with pytest.raises(ValueError, match=r"holds a run with weight_decay = 0.5, but 0.0001 is"):
        list(room.finetuned(weights, "digits", View(label="", settings={}), {}))


@pytest.mark.slow
def test_a_line_that_diverges_in_pre_training_is_left_out(tmp_path, monkeypatch, capsys):
    whole = lab.pretrain.pretrain

    def broken(settings):
        if settings.draw == "point":
            raise FloatingPointError("the weights are not finite at step 1")
        return whole(settings)

    monkeypatch.setattr(lab.pretrain, "pretrain", broken)
    assert study.main(["table1", *SMOKE, "--out", str(tmp_path)]) == 0
    found = [row["line"] for row in rows(tmp_path / "smoke", "table1")]
    assert found == [line.name for line in STUDIES["table1"].lines if line.name != "point"]
    assert "left out 'point', which diverged in pre-training: the weights are" in (
        capsys.readouterr().out
    )


def test_a_study_whose_only_line_diverges_has_no_figure(tmp_path, monkeypatch, capsys):
    def broken(settings):
        raise FloatingPointError("the weights are not finite at step 1")

    monkeypatch.setattr(lab.pretrain, "pretrain", broken)
    run = ["figure6", *SMOKE, "--out", str(tmp_path), "--lines", "FractalDB-1k"]
    assert study.main(run) == 0
    assert "left out 'FractalDB-1k'" in capsys.readouterr().out
    assert not (tmp_path / "smoke/figure6.png").exists()


def test_one_more_seed_chooses_the_learning_rate(tmp_path, monkeypatch):
    rates = (0.01, 0.02, 0.03)
    scale = SCALES["smoke"]
    room = lab.Lab(out=tmp_path, scale=scale, device="cpu")
    accuracies = {(0.01, 100): 0.2, (0.02, 100): 0.5, (0.03, 100): 0.4, (0.02, 0): 0.3}

    def finetuned(self, weights, data, view, given):
        return {"accuracy": accuracies[given["lr"], given["seed"]], **given}

    monkeypatch.setattr(lab.Lab, "_finetuned", finetuned)
    weights = lab.Weights(name="scratch", source="scratch")
    found = list(
        room.finetuned(weights, "digits", View(label="", settings={}, lrs=rates), {}, tuned=True)
    )
    assert [(one["lr"], one["seed"], one.get("tuning", False)) for one in found] == [
        (0.01, 100, True),
        (0.02, 100, True),
        (0.03, 100, True),
        (0.02, 0, False),
    ]


def test_a_table_has_means_spreads_and_the_papers_numbers():
    what = STUDIES["table1"]
    usual = {"data": "cifar10", "view": "1 %", "line": "point", "paper": 87.4}
    text = report.table(
        what,
        [
            {**usual, "accuracy": 0.90, "tuning": "yes"},
            {**usual, "accuracy": 0.50, "tuning": ""},
            {**usual, "accuracy": 0.52, "tuning": ""},
        ],
    )
    assert text.splitlines() == [
        "| | cifar10, 1 % | cifar10, the paper |",
        "|---|---|---|",
        "| point | 51.0 ± 1.4 | 87.4 |",
    ]


@pytest.mark.parametrize("name", STUDIES)
def test_the_papers_numbers_stand_under_their_data(name):
    for line in STUDIES[name].lines:
        assert len(line.paper) in (0, len(STUDIES[name].data)), line.name


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("name", STUDIES)
def test_every_line_has_settings_of_its_own(name, scale, tmp_path):
    found = []
    for line in STUDIES[name].lines:
        settings = SCALES[scale].pretraining(line.pretrain, budget=STUDIES[name].budget)
        kind = cluster.Settings if "clusters" in settings else pretrain.Settings
        kind(out=tmp_path, **settings)
        found.append((line.start, str(settings), str(dict(line.finetune))))
    # No room for all of them; at the small scale no instance comes twice where there are many.
    if scale != "smoke" and (scale, name) != ("small", "figure4-instances"):
        assert len({*found}) == len(found)


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("cifar10", ("cifar10", "")),
        ("imagenet:lists/100.txt", ("imagenet", "lists/100.txt")),
        (r"D:\photos", (r"D:\photos", "")),
        (r"D:\photos:D:\100.txt", (r"D:\photos", r"D:\100.txt")),
        ("a:b", ("a", "b")),
    ],
)
def test_the_drive_of_a_folder_names_no_classes(given, found):
    assert lab.data_and_classes(given) == found


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("name", STUDIES)
def test_the_name_of_a_folder_is_short_and_allowed_on_every_system(name, scale, tmp_path):
    place = lab.Lab(out=tmp_path, scale=SCALES[scale], network=STUDIES[name].network)
    names = set()
    for line in STUDIES[name].lines:
        settings = place.own.pretraining(line.pretrain, budget=STUDIES[name].budget)
        names.add(lab._name(settings, place.scale.pretraining({})))
        for view in place.own.views.values():
            rated = {
                **place.own.finetune,
                **view.settings,
                **lab.HELD_OUT,
                "lr": 0.003,
                "seed": 100,
            }
            names.add(lab._name({**rated, **line.finetune}, place.scale.finetune))
    names.add(place.scratch().name)
    assert not any(character in name for name in names for character in '/\\:*?"<>|')
    assert max(len(f"{name}.lock.part") for name in names) <= 255
    assert all(lab.current(name) == name for name in names)


def pretend(monkeypatch):
    """Replaces every training by writing its records; returns the settings of each."""
    ran = []

    def metrics_of(settings):
        ran.append(settings)
        (settings.out / "metrics.csv").write_text("step,images_per_second,accuracy\n2,9.0,0.5\n")

    def record(settings, name, /, **about):
        own = recorded(settings)
        about = {"history": [{"first_step": 0, "settings": own}], "settings": own, **about}
        (settings.out / name).write_text(json.dumps(about, default=str))
        return 0

    def pretrained(settings):
        metrics_of(settings)
        steps = settings.steps_per_epoch or 7
        seen = settings.epochs * steps * settings.batch_size
        own = recorded(settings) | {"steps_per_epoch": steps}
        return record(settings, "weights.json", settings=own, samples_seen=seen)

    def finetuned(settings):
        metrics_of(settings)
        return record(settings, "result.json", accuracy=0.5, num_labels=9, measure="accuracy")

    monkeypatch.setattr(lab.pretrain, "pretrain", pretrained)
    monkeypatch.setattr(lab.cluster, "train_on_clusters", pretrained)
    monkeypatch.setattr(lab.finetune, "finetune", finetuned)
    return ran


@pytest.mark.slow
@pytest.mark.parametrize("scale", ["gpu", "full"])
@pytest.mark.parametrize("name", STUDIES)
def test_runs_are_recognized_at_scales_that_were_not_run(name, scale, tmp_path, monkeypatch):
    ran, what = pretend(monkeypatch), STUDIES[name]
    room = lab.Lab(out=tmp_path, scale=SCALES[scale], network=what.network)

    def conducted():
        views = room.own.views if what.data else ()
        lines = [line for line in what.lines if line.start == "formula"]
        for line in lines:
            room.pretrained(line.pretrain, budget=what.budget)
        for view in views:
            start = room.scratch()
            list(room.finetuned(start, "digits", room.own.view(view), {}, tuned=what.tuned))

    conducted()
    assert ran
    ran.clear()
    conducted()
    assert not ran


@pytest.mark.parametrize("name", ["formulas", "formulas-vit"])
def test_formulas_get_the_same_number_of_images(name):
    scale = FULL.of(STUDIES[name].network)
    for line in STUDIES[name].lines:
        settings = scale.pretraining(line.pretrain, budget="formulas")
        images = settings["steps_per_epoch"] * settings.get("batch_size", 256)
        assert images == pytest.approx(1_000_000 * (line.x or 1), rel=0.02), line.name


def test_a_network_keeps_its_learning_rates():
    assert FULL.of("vit").views["some labels"].lrs == (1e-3, 3e-4, 3e-3)
    assert SMALL.of("vit").views["some labels"].lrs == (1e-3, 3e-4, 3e-3, 1e-2)
    assert SMALL.of("vit").views["curve"].lrs == (1e-3,)
    assert SMALL.of("vit").views["probe"].lrs == SMALL.views["probe"].lrs


def test_systems_in_space_are_rendered_as_published():
    line = next(line for line in STUDIES["formulas"].lines if line.name == "3D IFS")
    given = pretrain.Settings(**SMALL.pretraining(line.pretrain, budget="formulas"))
    published = fdsl.published("ex-fractaldb-1k")
    rendering = pretrain.choose_rendering(given, published.family)
    size = {"size": given.size, "crop": given.crop, "num_points": given.num_points}
    assert rendering == dataclasses.replace(published.rendering, **size)
    assert given.instances is None


class Trials(lab.Lab):
    """Runs whose accuracies are given, by learning rate and seed."""

    accuracies: ClassVar = {
        (0.1, 100): 0.5,
        (0.1, 101): 0.1,
        (0.3, 100): 0.4,
        (0.3, 101): 0.4,
        (1.0, 100): 0.9,
        (1.0, 101): None,
    }

    def _finetuned(self, weights, data, view, given):
        return {
            "accuracy": self.accuracies.get((given["lr"], given["seed"]), 0.0),
            "lr": given["lr"],
        }


def test_a_learning_rate_is_chosen_by_the_mean_over_trials(tmp_path):
    view = dataclasses.replace(SMALL.views["few labels"], lrs=(0.1, 0.3, 1.0), trials=2)
    trials = Trials(out=tmp_path, scale=SMALL)
    runs = list(trials.finetuned(trials.scratch(), "digits", view, {}, tuned=True))
    assert [one["lr"] for one in runs if not one.get("tuning")] == [0.3] * 3
    assert len(runs) == 6 + 3


def test_a_newer_run_of_a_seed_replaces_the_older_one():
    def row(lr, accuracy, **more):
        own = {"line": "a", "data": "digits", "view": "10%", "seed": 0, "tuning": "", "lr": lr}
        return {**own, "pretraining": "p", "accuracy": accuracy, **more}

    rows = [row(0.1, 0.5), row(0.1, 0.4, tuning="yes"), row(0.3, 0.4, tuning="yes")]
    found = report.merged(rows, [row(0.3, 0.6)], order=["a"])
    assert [(one["lr"], one["accuracy"]) for one in found] == [(0.3, 0.6), (0.1, 0.4), (0.3, 0.4)]
    other = row(0.3, 0.7, view="1%", pretraining="q")
    assert report.merged(rows, [other], order=["a"]) == [other]


def test_runs_that_diverged_are_counted_in_the_table():
    rows = [
        {
            **dict.fromkeys(report.COLUMNS, ""),
            "line": "scratch",
            "data": "digits",
            "view": "10%",
            "seed": seed,
            "accuracy": accuracy,
        }
        for seed, accuracy in enumerate([0.5, "", 0.7])
    ]
    one = Study(title="", lines=())
    assert report.table(one, rows).splitlines()[-1] == "| scratch | 60.0 ± 14.1 (1 diverged) |"


def test_the_full_scale_is_the_papers():
    settings = pretrain.Settings(**FULL.pretraining({}, budget="long"))
    usual = pretrain.Settings(categories=1000, fill_rate=0.1, instances=1000)
    assert (usual.model, usual.epochs, usual.batch_size) == ("resnet50", 90, 256)
    assert (usual.optimizer, usual.momentum, usual.weight_decay) == ("sgd", 0.9, 1e-4)
    assert (usual.lr, usual.schedule, usual.milestones) == (0.01, "step", (30, 60))
    assert pretrain.choose_rendering(settings, fdsl.fractaldb(10)) == fdsl.Rendering.paper()
    for name in (
        "model",
        "epochs",
        "batch_size",
        "lr",
        "categories",
        "fill_rate",
        "shrink",
        "instances",
    ):
        assert getattr(settings, name) == getattr(usual, name)
    # A line with the usual number of instances is the usual run.
    assert FULL.pretraining({"instances": 1000}) == FULL.pretraining({})
    assert FULL.pretraining({"instances": 100})["steps_per_epoch"] == 390
    large = FULL.pretraining({"size": 1024})
    assert (large["size"], large["crop"], large["shrink"]) == (1024, 896, 224)
    assert large["num_points"] == 200_000


@pytest.mark.parametrize("scale", SCALES)
def test_a_transformers_lines_are_augmented_only_where_they_say_so(scale):
    lines = {line.name: line.pretrain for line in STUDIES["formulas-vit"].lines}
    own = SCALES[scale].of("vit")
    for name, augmented in (("FractalDB", False), ("FractalDB, augmented", True)):
        found = pretrain.Settings(**own.pretraining(lines[name], budget="formulas"))
        changes = (found.crop_scale, found.flip, found.rand_augment, found.mixup, found.cutmix)
        assert all(map(bool, (*changes, found.erasing))) == augmented
        assert any(map(bool, (*changes, found.erasing))) == augmented


def test_weights_of_another_network_are_refused_at_full_scale(tmp_path, capsys):
    torch.save(build_model("resnet18", 2).state_dict(), tmp_path / "weights.pth")
    run = ["table6", "--scale", "full", "--against", str(tmp_path / "weights.pth")]
    assert study.main([*run, "--out", str(tmp_path / "out")]) == 2
    assert "resnet50" in capsys.readouterr().err


def test_the_small_scale_keeps_the_papers_proportions():
    usual = SMALL.pretraining({})
    assert usual["num_points"] / usual["size"] ** 2 == pytest.approx(200_000 / 256**2, rel=0.02)
    assert usual["crop"] / usual["size"] == pytest.approx(224 / 256, abs=0.02)
    finer = SMALL.pretraining({"finer": 2})
    assert finer["num_points"] == 4 * usual["num_points"] and finer["crop"] == 2 * usual["crop"]
    assert SMALL.pretraining({"num_points": 400_000})["num_points"] == 2 * usual["num_points"]


@pytest.mark.parametrize(
    "preset, name, line",
    [
        ("resnet10s", "formulas", "density-shaded fractals, augmented"),
        ("vit6s", "formulas-vit", "FractalDB, fixed"),
    ],
)
def test_the_recommended_presets_are_rows_of_the_study(preset, name, line):
    what = STUDIES[name]
    row = next(one for one in what.lines if one.name == line)
    ran = pretrain.Settings(**SMALL.of(what.network).pretraining(row.pretrain, budget=what.budget))
    recommended = pretrain.Settings(**read_presets(pretrain.PRESETS, [preset]))
    family = fdsl.load("multi-fractal-4") if ran.source else fdsl.IFS.sample(4)
    assert pretrain.choose_rendering(ran, family) == pretrain.choose_rendering(recommended, family)
    rendered = {"set": (), "variation": None}  # compared as a rendering, above
    assert dataclasses.replace(ran, **rendered) == dataclasses.replace(recommended, **rendered)


@pytest.mark.slow
def test_settings_that_changed_since_a_run_are_noticed(done):
    scale = SCALES["smoke"]
    faster = dataclasses.replace(scale, pretrain={**scale.pretrain, "lr": 0.5})
    with pytest.raises(ValueError, match=r"usual holds a run with lr = 0.01, but 0.5 is asked for"):
        lab.Lab(out=done, scale=faster, device="cpu").pretrained({})
    # What an older version did not know was as it is by default.
    about = done / "pretrain/usual/weights.json"
    words = json.loads(about.read_text())
    del words["settings"]["clip_grad"]
    about.write_text(json.dumps(words))
    lab.Lab(out=done, scale=scale, device="cpu").pretrained({})


def as_part_4_left_it(out):
    """Gives a study's finished runs the names, keys and words that part 4 wrote."""
    old = {new: name for name, new in lab.OLD.items()}
    for file in out.rglob("weights.json"):
        about = json.loads(file.read_text())
        words = about["settings"].items()
        about["settings"] = {old.get(k, k): lab._word(v) for k, v in words}
        file.write_text(json.dumps(about))
    for file in out.rglob("result.json"):
        result = json.loads(file.read_text())
        settings = result["settings"]
        file.write_text(json.dumps({
            "training_pictures": result["num_labels"],
            "frozen_part": "none",
            **{name: settings[name] for name in ("lr", "seed")},
            "measure": "accuracy",
            "accuracy": result["accuracy"],
            "settings": {name: lab._word(value) for name, value in settings.items()},
        }))  # fmt: skip
    for file in out.rglob("metrics.csv"):
        file.write_text(file.read_text().replace("images_per_second", "pictures_per_second"))
    for folder in [*out.glob("pretrain/*"), *out.glob("finetune/*")]:
        if folder.is_dir():
            folder.rename(folder.with_name(folder.name.replace("resample_degenerate", "redraw")))
    for file in out.glob("*.csv"):
        text = file.read_text().replace("resample_degenerate", "redraw")
        file.write_text(text.replace(",images,", ",pictures,"))


@pytest.mark.slow
def test_finished_runs_of_part_4_are_recognised(tmp_path, capsys):
    run = ["redraw", *SMOKE, "--out", str(tmp_path)]
    assert study.main(run) == 0
    before = (tmp_path / "smoke/redraw.csv").read_text()
    as_part_4_left_it(tmp_path / "smoke")
    assert ",redraw=False," in (tmp_path / "smoke/redraw.csv").read_text()
    capsys.readouterr()
    assert study.main(run) == 0
    assert "running" not in capsys.readouterr().out
    assert (tmp_path / "smoke/redraw.csv").read_text() == before


@pytest.mark.slow
def test_parts_of_a_study_join(tmp_path):
    run = ["table2", *SMOKE, "--out", str(tmp_path), "--lines"]
    for part in (["0.2", "0.25"], ["0.05"], ["0.2"]):
        assert study.main([*run, *part]) == 0
    assert [row["line"] for row in rows(tmp_path / "smoke", "table2")] == ["0.05", "0.2", "0.25"]


def test_rows_of_two_studies_side_by_side_are_all_kept(tmp_path, monkeypatch):
    path, read = tmp_path / "table1.csv", report.read
    one, two = (
        dict.fromkeys(report.COLUMNS, "") | {"line": line, "accuracy": 0.5} for line in "ab"
    )
    other = threading.Thread(target=report.join, args=(path, [two]), kwargs={"order": "ab"})

    def read_slowly(path):
        found = read(path)
        if other.ident is None:  # another study writes between our reading and our writing
            other.start()
            other.join(timeout=1)
        return found

    monkeypatch.setattr(report, "read", read_slowly)
    report.join(path, [one], order="ab")
    other.join()
    assert [row["line"] for row in read(path)] == ["a", "b"]


@pytest.mark.parametrize("values", [(0, 1, 10), (1, 10, 100), (0,)])
def test_a_curve_shows_each_of_its_points(values):
    what = Study(
        title="",
        lines=tuple(Line(name=f"{x}", x=x) for x in values),
        data=("digits",),
        figure="curve",
    )
    axes = Figure().subplots()
    charts._curve(axes, what, {f"{x}": [50.0, 60.0] for x in values})
    curve = axes.get_lines()[0].get_xdata()
    assert list(curve) == list(axes.get_xticks()) == list(values)
    shown = axes.transData.transform([(x, 55.0) for x in values])[:, 0]
    box = axes.get_window_extent()
    assert ((shown >= box.x0) & (shown <= box.x1)).all()


@pytest.mark.parametrize("gains", [[5.0] * 9, [-9.0, 0.0, 0.1, 14.0], range(40)])
def test_names_at_the_ends_of_curves_keep_apart_and_in_order(gains):
    axes = Figure().subplots()
    axes.set_ylim(-10, 15)
    ends = {f"{i}": (1000, float(gain)) for i, gain in enumerate(gains)}
    charts._name_ends(axes, ends, {name: {"color": "C0"} for name in ends})
    heights = [name.xyann[1] for name in axes.texts]
    assert [name.get_text() for name in axes.texts] == sorted(ends, key=lambda name: ends[name][1])
    apart = 25 / max(24, len(ends))
    assert np.diff(heights).min() > 0.99 * apart
    assert min(heights) >= -10 and max(heights) <= 15 + 1e-9
    offsets = np.array(heights) - sorted(gains)
    free = np.diff(sorted(gains), prepend=-99, append=99) > 2 * apart  # far from its neighbors
    assert offsets[free[:-1] & free[1:]] == pytest.approx(0)
    if len(ends) < 24:
        assert offsets.mean() == pytest.approx(0)  # names of equal ends are around them


def test_a_formula_has_the_same_height_in_every_panel():
    what = STUDIES["formulas-vit"]
    every = rows(EXAMPLES.parent / "docs/experiments", "formulas-vit")
    lowest = "FractalDB, augmented"
    kept = [row for row in every if row["line"] != lowest or row["data"] == "cifar10"]
    _, below = charts._gains(what, kept).subfigs
    assert any(axes.get_title().startswith("fashion-mnist") for axes in below.axes)
    assert len({axes.get_ylim() for axes in below.axes}) == 1


@pytest.mark.slow
def test_a_loss_that_is_no_number_is_left_out(room, monkeypatch, capsys):
    whole = finetune.finetune

    def broken(settings):
        if settings.lr == 0.02:
            raise FloatingPointError("the loss is nan")
        return whole(settings)

    monkeypatch.setattr(lab.finetune, "finetune", broken)
    view = View(label="", settings={}, lrs=(0.02, 0.01))
    weights = lab.Weights(name="scratch", source="scratch")
    found = list(room.finetuned(weights, "digits", view, {}, tuned=True))
    line = Line(name="scratch", start="scratch")
    assert report.row("s", line, weights, data="digits", view=view, result=found[0])["lr"] == 0.02
    runs = [(one["settings"]["lr"], one["settings"]["seed"]) for one in found]
    assert runs == [(0.02, 100), (0.01, 100), (0.01, 0)]
    assert [one["accuracy"] is None for one in found] == [True, False, False]
    assert "diverged: the loss is nan" in capsys.readouterr().out
    monkeypatch.setattr(lab.finetune, "finetune", whole)
    again = list(room.finetuned(weights, "digits", view, {}, tuned=True))
    assert [one["accuracy"] for one in again] == [one["accuracy"] for one in found]
    file = found[0]["out"] / "diverged.json"
    file.write_text(file.read_text().replace('"weights": "scratch"', '"weights": "123"'))
    with pytest.raises(ValueError, match="holds a run with different weights: remove"):
        list(room.finetuned(weights, "digits", view, {}, tuned=True))


@pytest.mark.slow
def test_a_data_set_may_be_a_list_of_its_classes(tmp_path, capsys):
    names = tmp_path / "even.txt"
    names.write_text("0\n2\n4\n")
    run = [
        "table1",
        *SMOKE,
        "--out",
        str(tmp_path),
        "--lines",
        "point",
        "--data",
        f"digits:{names}",
    ]
    assert study.main(run) == 0
    assert [row["labels"] for row in rows(tmp_path / "smoke", "table1")] == ["6"]
    names.write_text("0\n2\n4\n6\n")
    capsys.readouterr()
    assert study.main(run) == 2
    assert "holds a run with different classes: remove the folder" in (capsys.readouterr().err)


@pytest.mark.slow
def test_download_reaches_the_data(tmp_path, monkeypatch):
    asked, whole = [], data.load

    def load(*which, **options):
        asked.append(options["download"])
        return whole(*which, **options)

    monkeypatch.setattr(data, "load", load)
    run = ["table1", *SMOKE, "--out", str(tmp_path), "--lines", "point", "--download"]
    assert study.main(run) == 0
    assert len(asked) == 2 and all(asked)  # to check, and to fine-tune


@pytest.mark.slow
def test_heat_maps_of_images_of_ones_own(done):
    run = ["figure6", *SMOKE, "--out", str(done.parent), "--images", str(done / "table1.png")]
    before = (done / "figure6-heatmaps.png").read_bytes()
    assert study.main(run) == 0
    assert (done / "figure6-heatmaps.png").read_bytes() != before


def test_a_study_under_torchrun_is_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert study.main(["table1", *SMOKE, "--out", str(tmp_path)]) == 2
    assert "a study runs in one process" in capsys.readouterr().err


@pytest.mark.parametrize(
    "name, column",
    [
        ("imagenet:some/classes.txt", "imagenet-100"),
        ("places365:classes.txt", "places-30"),
        ("imagenet", "imagenet"),
        ("cifar10:animals.txt", "cifar10:animals.txt"),
    ],
)
def test_part_of_a_data_set_is_compared_with_the_papers_part(name, column):
    assert study.column_of(name) == column


@pytest.mark.parametrize(
    "words, sentence",
    [
        (["table11", *SMOKE], "no study 'table11'; known: all, figure1b"),
        ([*SMOKE], "name a study first"),
        (["table1", *SMOKE, "--lines", "square"], "table1 has no line 'square'; it has point"),
        (
            ["table1", *SMOKE, "--data", "imagenet-100"],
            "or give --data imagenet:FILE, where FILE lists the names of its classes",
        ),
        (["table1", *SMOKE, "--views", "sideways"], "no view 'sideways'; there are few labels"),
        (
            ["table1", *SMOKE, "--views", "some labels", "curve"],
            "--views has two that tables call '2 per class': give only one of them",
        ),
        (["table1", *SMOKE, "--against", "nowhere.pth"], "no weights at nowhere.pth"),
        (
            ["table1", "--scale", "small", "--data-root", "nowhere"],
            "no complete cifar10 in nowhere: put cifar-10-batches-py/ there",
        ),
        (
            ["table6", "--scale", "full", "--data", "voc2012", "--data-root", "nowhere"],
            "no complete voc2012 in nowhere: put VOCdevkit/VOC2012/ there",
        ),
    ],
)
def test_a_mistake_is_one_sentence_before_anything_runs(tmp_path, capsys, words, sentence):
    assert study.main([*words, "--out", str(tmp_path)]) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("study.py: error: ") and sentence in last
    assert not list(tmp_path.iterdir())


# What was found


PAGE = EXAMPLES.parent / "docs/experiments.md"
FOUND = sorted((EXAMPLES.parent / "docs/experiments").glob("*.csv"))


@pytest.mark.parametrize("file", FOUND, ids=lambda file: file.stem)
def test_the_page_says_what_the_runs_did(file):
    page, rows = PAGE.read_text(encoding="utf-8"), report.read(file)
    assert report.table(STUDIES[file.stem], rows) in page
    assert f"experiments/{file.stem}.png" in page
    if file.stem == "formulas":  # that of the transformers is summed up in a sentence
        assert report.correlations(STUDIES[file.stem], rows) in page


def test_the_cost_of_a_line_is_that_of_its_first_pre_training():
    again = {"line": "a", "images": "600", "pretraining_minutes": "5.0"}
    columns = report.costs([{**again, "pretraining_minutes": "1.0"}, again])
    assert (columns["minutes"]["a"], columns["images/s"]["a"]) == ("1", "10")


def test_the_page_names_every_study():
    page = PAGE.read_text(encoding="utf-8")
    assert all(f"`{name}`" in page for name in STUDIES)


# Clusters instead of the formula's labels


CLUSTERS = [
    "--model", "resnet10s", "--categories", "4", "--fill-rate", "0.05", "--size", "36",
    "--crop", "32", "--num-points", "1000", "--batch-size", "8", "--steps-per-epoch", "4",
    "--epochs", "3", "--clusters", "5", "--device", "cpu", "--log-every", "2",
]  # fmt: skip


@pytest.mark.slow
def test_clusters_resumed_equal_clusters_never_stopped(tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert cluster.main([*CLUSTERS, "--out", str(whole)]) == 0
    for step in ("3", "4", "9", "12"):
        run = [*CLUSTERS, "--out", str(parts), "--resume", "auto", "--max-steps", step]
        assert cluster.main(run) == 0
    first, second = (load_weights(at / "weights.safetensors")[0] for at in (whole, parts))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.slow
def test_clustering_is_interrupted_at_once(tmp_path, monkeypatch):
    """Between two epochs nothing is lost, so nothing waits for a long pass over the images."""

    def interrupted(*_):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(5)  # ends at the signal
        raise AssertionError("the pass went on")

    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert cluster.main([*CLUSTERS, "--out", str(whole)]) == 0
    run = [*CLUSTERS, "--out", str(parts), "--resume", "auto"]
    assert cluster.main([*run, "--max-steps", "4"]) == 0
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # workers of pytest ignore it
    try:
        with monkeypatch.context() as patched:
            patched.setattr(cluster, "features", interrupted)
            assert cluster.main(run) == 130
    finally:
        signal.signal(signal.SIGINT, before)
    assert cluster.main(run) == 0
    first, second = (load_weights(at / "weights.safetensors")[0] for at in (whole, parts))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_refused_resume_of_clusters_changes_nothing(tmp_path, capsys):
    run = [*CLUSTERS, "--resume", "auto", "--out", str(tmp_path), "--max-steps"]
    assert cluster.main([*run, "1"]) == 0
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    assert cluster.main([*run, "2", "--clusters", "4"]) == 2
    assert cluster.main([*run, "2", "--category-seed", "2"]) == 2
    assert "cannot resume" in capsys.readouterr().err
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_clusters_find_what_is_similar():
    rng = np.random.default_rng(0)
    centers = np.array([[20.0, 0], [-10, 17], [-10, -17]])
    features = np.repeat(centers, 50, axis=0) + rng.normal(size=(150, 2))
    labels = cluster.clustered(features.astype(np.float32), 3, seed=0)
    assert [len({*labels[i : i + 50]}) for i in (0, 50, 100)] == [1, 1, 1]
    assert len({*labels}) == 3


def test_each_cluster_comes_as_often_as_the_others():
    labels = np.repeat([0, 1, 2], [80, 15, 5])
    order = cluster.balanced(labels, 60, (0, 0))
    assert len(order) == 60
    assert np.bincount(labels[order]).tolist() == [20, 20, 20]
    assert len({*order[labels[order] == 0]}) == 20  # none twice while there are others


def test_an_epoch_of_clusters_has_images_of_its_own():
    images = Dataset(fdsl.Bezier(4), 1000)
    epochs = [cluster.positions(images, 1600, seed=5, epoch=epoch) for epoch in range(4)]
    for chosen in epochs:
        assert np.bincount(chosen // 1000).tolist() == [400, 400, 400, 400]
        assert len({*chosen}) == 1600
    assert not {*epochs[0]} & {*epochs[1]}
    # Rows of weights come mixed, as in the stream.
    assert len({*(epochs[0][:400] // 40)}) == 25
    assert {*epochs[0], *epochs[1], *epochs[2]} == {*range(4000)}  # and then they come again


def test_a_linear_probe_beats_chance(tmp_path):
    run = ["--from", "scratch", "--model", "resnet10s", "--data", "digits", "--size", "32"]
    run += ["--per-class", "20", "--probe", "--device", "cpu", "--out", str(tmp_path)]
    assert finetune.main(run) == 0
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["settings"]["probe"] is True
    assert result["accuracy"] > 0.3
    assert not (tmp_path / "last.pt").exists()
