"""The training examples, a few steps of each."""

import ast
import csv
import dataclasses
import json
import os
import re
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pages import blocks
from processes import started, torchrun
from scripts import EXAMPLES, need, ran

need()

import cluster
import demo
import fdsl
import finetune
import model_card
import pretrain
import safetensors.torch
import score
import segment
import settings
import torch
import torchvision
from fdsl._files import part_of
from fdsl.torch.training import (
    MetricsLog,
    Ranks,
    build_model,
    load_weights,
    read_checkpoint,
)
from metrics import read
from PIL import Image
from studies import study

Weights = dict[str, torch.Tensor]

# mobilenet_v3_small is small, and has dropout: resuming must bring back torch's random state too.
PRETRAIN = [
    "--model", "mobilenet_v3_small", "--categories", "4", "--fill-rate", "0.05", "--size", "36",
    "--crop", "32", "--num-points", "1000", "--batch-size", "8", "--steps-per-epoch", "4",
    "--epochs", "2", "--log-every", "3", "--milestones", "1", "--device", "cpu",
]  # fmt: skip
FINETUNE = [
    "--data", "digits", "--per-class", "2", "--size", "32", "--batch-size", "8",
    "--epochs", "2", "--log-every", "2", "--device", "cpu",
]  # fmt: skip


PAGE = EXAMPLES / "README.md"
#: The function that does the work of each script, which the commands of the page name.
WORK = {
    "demo.py": (demo, "demo"),
    "pretrain.py": (pretrain, "pretrain"),
    "finetune.py": (finetune, "finetune"),
    "cluster.py": (cluster, "train_on_clusters"),
    "segment.py": (segment, "segment"),
    "score.py": (score, "report"),
    "studies": (study, "study"),
}
COMMANDS = [
    (script, options)
    for script, options in re.findall(
        r"(?:python|torchrun --nproc-per-node 8) examples/([\w.]+) ([^`\n]+)",
        PAGE.read_text(encoding="utf-8"),
    )
    if script in WORK
]

NETWORK = """
from torch import nn

def flat(num_classes):
    return nn.Sequential(nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(48, num_classes))

def dropping(num_classes):
    return nn.Sequential(*flat(num_classes)[:2], nn.Dropout(0.5), flat(num_classes)[2])
"""

# Times differ from run to run; all else of a resumed run equals that of one never stopped.
TIMINGS = ("images_per_second", "data_wait")


pytestmark = pytest.mark.usefixtures("two_threads")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a pre-training that was never stopped."""
    out = tmp_path_factory.mktemp("examples") / "finished"
    assert pretrain.main([*PRETRAIN, "--out", str(out)]) == 0
    return out


@pytest.fixture(scope="module")
def resnet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pre-trained weights of a ResNet-18."""
    out = tmp_path_factory.mktemp("examples") / "resnet"
    options = ["--model", "resnet18", "--epochs", "1", "--steps-per-epoch", "2"]
    assert pretrain.main([*PRETRAIN, *options, "--out", str(out)]) == 0
    return out / "weights.safetensors"


def weights(path: Path) -> Weights:
    return load_weights(path)[0]


def rows(out: Path) -> list[dict[str, str]]:
    """metrics.csv without the times."""
    return [{k: v for k, v in row.items() if k not in TIMINGS} for row in read(out / "metrics.csv")]


def assert_same(first: Weights, second: Weights) -> None:
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


def exit_code(main: Any, words: list[str]) -> Any:
    """What a script ends with, also where the reader of its options ends it."""
    try:
        return main(words)
    except SystemExit as end:
        return end.code


def said(capsys: pytest.CaptureFixture[str]) -> str:
    """What was printed, on one line and without frames."""
    out, err = capsys.readouterr()
    return " ".join(re.sub("[│╭╮╰╯─]", " ", out + err).split())


# Pre-training


@pytest.mark.parametrize("step, workers", [("2", "0"), ("4", "0"), ("6", "2")])
def test_resume_equals_never_having_stopped(
    finished: Path, tmp_path: Path, step: str, workers: str
) -> None:
    run = [*PRETRAIN, "--out", str(tmp_path), "--resume", "auto"]
    assert pretrain.main([*run, "--max-steps", step]) == 0
    assert pretrain.main([*run, "--workers", workers]) == 0
    assert_same(
        weights(tmp_path / "weights.safetensors"), weights(finished / "weights.safetensors")
    )
    assert rows(tmp_path) == rows(finished)


def test_a_resume_drops_the_rows_that_came_after_the_checkpoint(
    finished: Path, tmp_path: Path
) -> None:
    run = [*PRETRAIN, "--out", str(tmp_path), "--resume", "auto"]
    assert pretrain.main([*run, "--max-steps", "3"]) == 0
    with (tmp_path / "metrics.csv").open("a") as file:
        file.write("5,1,0.1,9.9,0,1,1\n6,1,0.")  # a crash: one row too many, and half a row
    assert pretrain.main(run) == 0
    assert rows(tmp_path) == rows(finished)


def test_rows_come_at_their_steps_with_their_learning_rate(finished: Path) -> None:
    found = [(int(row["step"]), float(row["lr"])) for row in rows(finished)]
    assert found == [(3, 0.01), (4, 0.01), (6, 0.001), (8, 0.001)]


@pytest.mark.slow
def test_sigterm_saves_and_the_run_goes_on_later(tmp_path: Path) -> None:
    run = [*PRETRAIN, "--out", str(tmp_path), "--epochs", "100000", "--log-every", "1"]
    with started([sys.executable, EXAMPLES / "pretrain.py", *run]) as process:
        while process.poll() is None and not read(tmp_path / "metrics.csv"):
            time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 143
    step = read_checkpoint(tmp_path / "last.pt")["step"]
    assert step == int(rows(tmp_path)[-1]["step"]) > 0
    assert pretrain.main([*run, "--resume", "auto", "--max-steps", str(step + 1)]) == 0
    assert int(rows(tmp_path)[-1]["step"]) == step + 1


def train_with_two_processes(
    out: Path, *options: str, script: str = "pretrain.py", base: Sequence[str] = PRETRAIN
) -> None:
    torchrun(EXAMPLES / script, *base, "--out", out, *options)


@pytest.mark.slow
def test_two_processes_train_one_model(tmp_path: Path) -> None:
    train_with_two_processes(tmp_path)
    assert [row["step"] for row in rows(tmp_path)] == ["3", "4", "6", "8"]
    model = torchvision.models.mobilenet_v3_small(num_classes=4)
    model.load_state_dict(weights(tmp_path / "weights.safetensors"))


@pytest.mark.slow
def test_two_processes_fine_tune_as_one_also_with_unequal_parts(tmp_path: Path) -> None:
    for number in range(10):  # of one color each, so that crops and flips change nothing
        image = Image.new("RGB", (36, 36), (25 * number, 255 - 25 * number, 7 * number))
        for part in ("train", "val"):
            file = tmp_path / "data" / part / f"class {number % 2}" / f"{number}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            image.save(file)
    (tmp_path / "networks.py").write_text(
        "from torch import nn\n\n\ndef linear(num_classes):\n"
        "    pooled = nn.AdaptiveAvgPool2d(1), nn.Flatten()\n"
        "    return nn.Sequential(*pooled, nn.Linear(3, num_classes))\n"
    )
    run = ["--from", "scratch", "--data", str(tmp_path / "data"), "--size", "32"]
    run += ["--model", f"{tmp_path / 'networks.py'}:linear", "--batch-size", "5", "--lr", "0.3"]
    run += ["--epochs", "3", "--device", "cpu", "--workers", "0"]
    assert finetune.main([*run, "--out", str(tmp_path / "one")]) == 0
    train_with_two_processes(tmp_path / "two", script="finetune.py", base=run)
    one, two = (read_checkpoint(tmp_path / n / "last.pt")["weights"] for n in ("one", "two"))
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, atol=1e-6, rtol=1e-5)


@pytest.mark.slow
def test_one_process_goes_on_from_two_with_all_that_they_counted(tmp_path: Path) -> None:
    train_with_two_processes(tmp_path, "--max-steps", "2")  # a row comes after step 3
    log = read_checkpoint(tmp_path / "last.pt")["log"]
    assert set(log["counts"].values()) == {16}  # images, of both processes
    assert pretrain.main([*PRETRAIN, "--out", str(tmp_path), "--resume", "auto"]) == 0
    assert [row["step"] for row in rows(tmp_path)] == ["3", "4", "6", "8"]
    # Of 24 images, not of 16: an accuracy is a whole number of them.
    right = float(rows(tmp_path)[0]["accuracy"]) * 24
    assert right == pytest.approx(round(right), abs=1e-3)


def test_weights_load_in_torchvision_and_timm(resnet: Path) -> None:
    torchvision.models.resnet18(num_classes=4).load_state_dict(weights(resnet))
    timm = pytest.importorskip("timm")
    timm.create_model("resnet18", num_classes=4).load_state_dict(weights(resnet))
    loaded = timm.create_model(f"local-dir:{resnet.parent}", pretrained=True).state_dict()
    assert_same(loaded, weights(resnet))
    overlay = {"file": str(resnet), "num_classes": 4}
    named = timm.create_model("resnet18", pretrained=True, pretrained_cfg_overlay=overlay)
    assert_same(named.state_dict(), weights(resnet))


@pytest.mark.slow
def test_a_network_of_timm_is_trained_resumed_fine_tuned_and_loaded(tmp_path: Path) -> None:
    timm = pytest.importorskip("timm")
    out = tmp_path / "vit"
    run = [*PRETRAIN, "--model", "timm:vit_tiny_patch16_224", "--out", str(out)]
    for step in ("3", "8"):
        assert pretrain.main([*run, "--resume", "auto", "--max-steps", step]) == 0
    file = out / "weights.safetensors"
    local = timm.create_model(f"local-dir:{out}", pretrained=True)
    assert_same(local.state_dict(), weights(file))
    overlay = {"file": str(file), "num_classes": 4, "custom_load": False}  # see examples/README.md
    named = timm.create_model(
        "vit_tiny_patch16_224", pretrained=True, img_size=32, pretrained_cfg_overlay=overlay
    )
    assert_same(named.state_dict(), weights(file))
    tune = [*FINETUNE, "--from", str(file), "--epochs", "1", "--head-lr", "0.1"]
    assert finetune.main([*tune, "--lr", "0", "--out", str(tmp_path / "tuned")]) == 0
    before, after = weights(file), weights(tmp_path / "tuned/last.pt")
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"head.weight", "head.bias"}


def test_the_examples_page_loads_weights_in_torchvision_and_timm(
    resnet: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("timm")
    loaded, *lines = blocks(PAGE, "python")
    first, second = loaded.split("import timm\n")
    shutil.copytree(resnet.parent, tmp_path / "runs/fractaldb1k")
    monkeypatch.chdir(tmp_path)
    images = torch.rand(2, 3, 64, 64)
    seen = []
    names: dict[str, Any] = {}
    for code in (first, "import timm\n" + second, *lines):
        exec(code.replace("resnet50", "resnet18").replace(": 1000", ": 4"), names)
        if "missing" in code:
            assert sorted(names["missing"]) == ["fc.bias", "fc.weight"]
        model = names["model"].eval()
        model.fc = torch.nn.Identity()
        seen.append(model(images))
    assert len(seen) == 4
    for other in seen[1:]:
        torch.testing.assert_close(seen[0], other)


@pytest.mark.parametrize(("script", "options"), COMMANDS)
def test_the_commands_of_the_examples_page_have_the_scripts_options(
    script: str, options: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, work = WORK[script]
    given: list[Any] = []
    monkeypatch.setattr(module, work, lambda settings: given.append(settings) or 7)
    assert module.main(options.split()) == 7 and len(given) == 1


@pytest.mark.slow
def test_all_labels_of_an_image_are_learned_and_resumed(tmp_path: Path) -> None:
    source = f"{EXAMPLES.parent / 'tests' / 'families_in_python.py'}:scenes-6"
    run = ["--source", source, "--target", "labels", "--size", "32", "--crop", "32"]
    run += ["--model", "resnet18", "--batch-size", "8", "--steps-per-epoch", "4", "--epochs", "1"]
    run += ["--log-every", "1", "--device", "cpu", "--resume", "auto"]
    for steps in ("1", "2"):
        assert pretrain.main([*run, "--out", str(tmp_path / "a"), "--max-steps", steps]) == 0
    assert pretrain.main([*run, "--out", str(tmp_path / "b"), "--max-steps", "2"]) == 0
    assert rows(tmp_path / "a") == rows(tmp_path / "b") and len(rows(tmp_path / "a")) == 2
    # Six binary cross-entropies of random weights, summed.
    assert 2 < float(rows(tmp_path / "a")[0]["loss"]) < 10
    before, after = (weights(tmp_path / name / "last.pt") for name in ("a", "b"))
    assert_same(before, after)
    code = pretrain.main([*run, "--target", "label", "--out", str(tmp_path / "a")])
    assert code == 2  # a run does not change what it learns


@pytest.mark.parametrize("name", ["mixup", "cutmix", "label_smoothing"])
def test_what_needs_one_label_is_refused_where_there_are_several(tmp_path: Path, name: str) -> None:
    pretrain.Settings(out=tmp_path, **{name: 0.1})
    with pytest.raises(ValueError, match=f"--{name.replace('_', '-')} is for --target label"):
        pretrain.Settings(out=tmp_path, target="labels", **{name: 0.1})


def test_a_preset_may_give_zero_for_a_share(tmp_path: Path) -> None:
    pretrain.Settings(out=tmp_path, mixup=0, erasing=0)
    with pytest.raises(ValueError, match="--batch-size must be 1 or more, got 0"):
        pretrain.Settings(out=tmp_path, batch_size=0)


def test_a_finetuning_resumes_from_its_own_weights_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for seed in (1, 2):
        model = build_model("resnet10s", 4, seed=seed)
        torch.save(model.state_dict(), tmp_path / f"{seed}.pth")
    run = [*FINETUNE, "--model", "resnet10s", "--out", str(tmp_path / "run"), "--from"]
    assert finetune.main([*run, str(tmp_path / "1.pth"), "--max-steps", "2"]) == 0
    assert finetune.main([*run, str(tmp_path / "2.pth"), "--resume", "auto"]) == 2
    assert "from" in capsys.readouterr().err


def test_clusters_refuse_what_they_do_not_use() -> None:
    for option in ({"workers": 2}, {"mixup": 0.8}, {"drop_path": 0.1}, {"target": "labels"}):
        name = next(iter(option)).replace("_", "-")
        with pytest.raises(ValueError, match=rf"--{name} does not apply to cluster\.py"):
            cluster.Settings(**option)


def test_a_source_without_labels_of_objects_is_refused_in_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = ["--source", "perlin-4", "--target", "labels", "--out", str(tmp_path)]
    assert pretrain.main(run) == 2
    assert "Perlin has no target 'labels'; it has 'label'" in capsys.readouterr().err


def test_the_accuracy_of_several_labels_is_that_of_one_where_there_is_one() -> None:
    logits = torch.randn(50, 7, generator=torch.Generator().manual_seed(0))
    logits[::3, 2] += 5
    one = torch.full((50,), 2)
    single, several = pretrain.Settings(), pretrain.Settings(target="labels")
    accuracy, shares = pretrain.compute_accuracy(single, logits, one), torch.eye(7)[one]
    assert accuracy == pretrain.compute_accuracy(several, logits, shares)
    # An image that was mixed with another counts as the one with the larger share.
    mixed = 0.7 * shares + 0.3 * shares.roll(1, dims=1)
    assert accuracy == pretrain.compute_accuracy(single, logits, mixed)
    assert 0.3 < accuracy < 0.6
    logits = torch.tensor([[3.0, 2.0, 1.0, 0.0], [0.0, 1.0, 2.0, 3.0], [9.0, 0.0, 0.0, 0.0]])
    labels = torch.tensor([[1.0, 0.0, 1.0, 0.0], [0.0, 1.0, 1.0, 1.0], [0.0] * 4])
    # One of the first image's two labels and all three of the second's; the third has none.
    assert pretrain.compute_accuracy(several, logits, labels) == pytest.approx(4 / 5)
    assert pretrain.compute_accuracy(several, logits, torch.zeros(3, 4)) == 0


def test_a_loss_that_is_no_number_stops_the_run_and_keeps_the_checkpoint(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = [*PRETRAIN, "--out", str(tmp_path), "--resume", "auto"]
    assert pretrain.main([*run, "--max-steps", "4"]) == 0
    before = (tmp_path / "last.pt").read_bytes()
    assert pretrain.main([*run, "--lr", "1e30", "--milestones", "9"]) == 1
    assert "the loss is nan at step" in capsys.readouterr().err
    assert (tmp_path / "last.pt").read_bytes() == before


def same(one: Any, other: Any) -> bool:
    """Whether two states are equal, tensor by tensor."""
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def contents(out: Path) -> dict[str, bytes]:
    """All files of a run but its lock, which says nothing."""
    return {file.name: file.read_bytes() for file in out.iterdir() if file.name != ".lock"}


@pytest.mark.parametrize(
    "options", [["--categories", "5"], ["--model", "resnet18"], ["--source", "bezier-4"]]
)
def test_a_refused_resume_changes_nothing(
    finished: Path, tmp_path: Path, options: list[str]
) -> None:
    out = shutil.copytree(finished, tmp_path / "out")
    before = contents(out)
    assert pretrain.main([*PRETRAIN, "--out", str(out), "--resume", "auto", *options]) == 2
    assert contents(out) == before


def test_a_run_that_would_end_before_its_checkpoint_is_refused(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = shutil.copytree(finished, tmp_path / "out")
    before = contents(out)
    resumed = ["--epochs", "1", "--resume", "auto"]
    assert pretrain.main([*PRETRAIN, *resumed, "--out", str(out)]) == 2
    says = f"{out / 'last.pt'} is at step 8, but the run ends at step 4: "
    assert says in capsys.readouterr().err
    assert contents(out) == before
    run = [*FINETUNE, "--from", "scratch", "--model", "resnet10s", "--out", str(tmp_path / "tuned")]
    assert finetune.main([*run, "--max-steps", "4"]) == 0
    assert finetune.main([*run, *resumed]) == 2
    assert "is at step 4, but the run ends at step 3: " in capsys.readouterr().err


def test_a_resume_reads_the_categories_instead_of_searching_them(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = shutil.copytree(finished, tmp_path / "out")
    (out / "weights.safetensors").unlink()

    def search(*_: object, **__: object) -> None:
        raise AssertionError("searched")

    monkeypatch.setattr(fdsl.IFS, "search", search)
    run = [*PRETRAIN, "--resume", "auto", "--out", str(out)]
    assert pretrain.main(run) == 0
    assert_same(weights(out / "weights.safetensors"), weights(finished / "weights.safetensors"))
    with pytest.raises(AssertionError, match="searched"):  # as others are asked for
        pretrain.main([*run, "--categories", "5"])
    (out / "categories.npz").unlink()
    with pytest.raises(AssertionError, match="searched"):
        pretrain.main(run)


def test_a_flipped_bit_in_a_checkpoint_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "last.pt"
    tensors = {str(i): torch.randn(size) for i, size in enumerate((1, 100, 5000))}
    good = {"made": {"model": "resnet50"}, "step": 7, "weights": tensors}
    torch.save(good, path)
    whole = path.read_bytes()
    rng, refused = np.random.default_rng(0), 0
    ends = [*range(100), *range(len(whole) - 100, len(whole))]
    for position in [*ends, *rng.integers(len(whole), size=300)]:
        flipped = bytearray(whole)
        flipped[position] ^= 1 << int(rng.integers(8))
        path.write_bytes(flipped)
        try:
            state = read_checkpoint(path)
        except ValueError as error:
            assert str(error).startswith(f"{path} is ")
            refused += 1
        else:  # a bit that says nothing, such as a date
            assert same(state, good), position
    assert refused > 300


def test_a_damaged_checkpoint_is_one_sentence(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = shutil.copytree(finished, tmp_path / "out")
    content = bytearray((out / "last.pt").read_bytes())
    content[len(content) // 2] ^= 1
    (out / "last.pt").write_bytes(content)
    before = contents(out)
    assert pretrain.main([*PRETRAIN, "--out", str(out), "--resume", "auto"]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith(f"pretrain.py: error: {out / 'last.pt'} is damaged")
    assert error.endswith("does not match its checksum")
    assert contents(out) == before


@pytest.mark.parametrize("key", ["step", "log", "search", "made"])
def test_a_checkpoint_that_lacks_a_key_is_one_sentence(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], key: str
) -> None:
    state = read_checkpoint(finished / "last.pt")
    del state[key]
    torch.save(state, tmp_path / "last.pt")
    before = contents(tmp_path)
    assert pretrain.main([*PRETRAIN, "--out", str(tmp_path), "--resume", "auto"]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith(f"pretrain.py: error: cannot resume: the checkpoint has no {key!r}; ")
    assert contents(tmp_path) == before


# The limit on the size of files stands for a full disk; Windows has none, and no module `resource`.
@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit on the size of files")
def test_a_full_disk_is_one_sentence_and_keeps_the_checkpoint(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import resource

    run = [*PRETRAIN, "--out", str(tmp_path), "--resume", "auto"]
    assert pretrain.main([*run, "--max-steps", "2"]) == 0
    before = (tmp_path / "last.pt").read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, limits[1]))
    try:
        assert pretrain.main([*run, "--max-steps", "3"]) == 2
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("pretrain.py: error: cannot write: ")
    assert error.endswith(str(tmp_path / "last.pt"))
    assert (tmp_path / "last.pt").read_bytes() == before
    assert not list(tmp_path.glob("*.part"))
    assert pretrain.main([*run, "--max-steps", "3"]) == 0


@pytest.mark.slow
def test_a_second_run_in_the_same_folder_is_refused_and_a_killed_one_leaves_no_lock(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = [*PRETRAIN, "--out", str(tmp_path), "--epochs", "100000", "--resume", "auto"]
    with started([sys.executable, EXAMPLES / "pretrain.py", *run]) as process:
        while process.poll() is None and not (tmp_path / "last.pt").exists():
            time.sleep(0.1)
        assert pretrain.main([*run, "--max-steps", "1"]) == 2
        sentence = f"another process is training in {tmp_path}: wait until it ends"
        assert sentence in capsys.readouterr().err
        tune = [*FINETUNE, "--from", "scratch", "--out", str(tmp_path), "--resume", "auto"]
        assert finetune.main(tune) == 2
        assert sentence in capsys.readouterr().err
        assert process.poll() is None
        process.kill()
        process.wait()
    for name in ("last.pt", "best.pt", "weights.safetensors"):  # wherever it was killed
        part_of(tmp_path / name).touch()
    assert pretrain.main([*run, "--max-steps", "1"]) == 0
    assert not list(tmp_path.glob("*.part"))


@pytest.mark.slow
def test_a_deterministic_run_asks_torch_for_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    seen, update = [], MetricsLog.update

    def watched(self: MetricsLog, count: int, **metrics: torch.Tensor) -> None:
        benchmark = torch.backends.cudnn.benchmark
        seen.append((torch.are_deterministic_algorithms_enabled(), benchmark))
        update(self, count, **metrics)

    monkeypatch.setattr(MetricsLog, "update", watched)
    run = [*PRETRAIN, "--out", str(tmp_path), "--resume", "auto", "--max-steps"]
    assert pretrain.main([*run, "1", "--deterministic"]) == 0
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    assert pretrain.main([*run, "2"]) == 0
    assert not torch.are_deterministic_algorithms_enabled()
    assert seen == [(True, False), (False, True)]


@pytest.mark.slow
def test_a_family_of_a_script_is_trained_on_and_a_new_process_goes_on(tmp_path: Path) -> None:
    """The family is known only once its script was imported, in each process again."""
    script = Path(__file__).with_name("families_in_python.py")
    run = [sys.executable, EXAMPLES / "pretrain.py", "--source", f"{script}:disks-4"]
    run += ["--model", "mobilenet_v3_small", "--size", "36", "--crop", "32", "--batch-size", "8"]
    run += ["--steps-per-epoch", "3", "--log-every", "1", "--device", "cpu", "--lr", "0.01"]
    for out, epochs in (("whole", "2"), ("parts", "1"), ("parts", "2")):
        more = [
            "--out",
            tmp_path / out,
            "--epochs",
            epochs,
            "--resume",
            "auto",
            "--milestones",
            "9",
        ]
        done = ran([*run, *more])
        assert done.returncode == 0, done.stderr
    whole, parts = (contents(tmp_path / out)["weights.safetensors"] for out in ("whole", "parts"))
    tensors = [safetensors.torch.load(content) for content in (whole, parts)]
    assert all(torch.equal(tensors[0][name], tensors[1][name]) for name in tensors[0])


@pytest.mark.slow
def test_the_published_weights_are_small_and_load_in_the_line_of_their_card(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = ["--epochs", "1", "--steps-per-epoch", "2", "--device", "cpu"]
    assert pretrain.main(["--preset", "resnet10s", *few, "--out", str(tmp_path)]) == 0
    assert model_card.main([str(tmp_path)]) == 0
    assert (tmp_path / "weights.safetensors").stat().st_size < 5_000_000
    card = (tmp_path / "README.md").read_text(encoding="utf-8")
    about = json.loads((tmp_path / "weights.json").read_text(encoding="utf-8"))
    assert about["categories"] in card and "256 images" in card
    names: dict[str, Any] = {}
    monkeypatch.chdir(tmp_path)
    exec(re.findall(r"```python\n(.*?)```", card, re.S)[0], names)
    assert names["model"](torch.zeros(2, 3, 32, 32)).shape == (2, 10)
    found = weights(tmp_path / "weights.safetensors")["conv1.weight"]
    assert torch.equal(names["model"].conv1.weight, found)
    assert "run `examples/pretrain.py`" in card  # not make weights, which has more epochs
    whole = {**about, "samples_seen": 10 * 820 * 128}
    whole["settings"] = {**about["settings"], "epochs": 10, "steps_per_epoch": 820}
    (tmp_path / "weights.json").write_text(json.dumps(whole))
    assert model_card.main([str(tmp_path)]) == 0
    assert "run `make weights`" in (tmp_path / "README.md").read_text(encoding="utf-8")
    more = ["--epochs", "2", "--resume", "auto", "--lr", "0.01", "--out", str(tmp_path)]
    assert pretrain.main(["--preset", "resnet10s", *few, *more]) == 0
    assert model_card.main([str(tmp_path)]) == 0
    card = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert "resumed with other settings at step 2" in card and "`make weights`" not in card
    history = json.loads((tmp_path / "weights.json").read_text(encoding="utf-8"))["history"]
    assert [one["settings"]["lr"] for one in history] == [0.3, 0.01]


def test_a_card_tells_of_an_unfinished_run_and_describes_no_other_script(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script = tmp_path / "networks.py"
    script.write_text(NETWORK)
    run = [*PRETRAIN, "--model", f"{script}:flat", "--steps-per-epoch", "4", "--max-steps", "3"]
    assert pretrain.main([*run, "--out", str(tmp_path)]) == 0
    assert model_card.main([str(tmp_path)]) == 0
    card = (tmp_path / "README.md").read_text(encoding="utf-8")
    batch = json.loads((tmp_path / "weights.json").read_text(encoding="utf-8"))["settings"]
    seen = 3 * batch["batch_size"]
    assert f"after {seen:,} of {batch['epochs'] * seen * 4 // 3:,} images" in card
    assert f'name="{script}:flat", input_size' in card and "bit for bit" not in card
    about = json.loads((tmp_path / "weights.json").read_text(encoding="utf-8"))
    about["settings"]["clusters"] = 5
    (tmp_path / "weights.json").write_text(json.dumps(about))
    assert model_card.main([str(tmp_path)]) == 2
    assert "does not hold a run of pretrain.py" in capsys.readouterr().err
    for words, says in (
        ("{}", "'settings' is missing or unknown"),
        ("", "Expecting value: line 1"),
    ):
        (tmp_path / "weights.json").write_text(words)
        assert model_card.main([str(tmp_path)]) == 2
        assert f"cannot read {tmp_path / 'weights.json'}: {says}" in capsys.readouterr().err


# Fine-tuning


@pytest.mark.slow
def test_every_epoch_is_validated_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps, validate = [], finetune.validate

    def watched(s: finetune.Settings, *rest: Any) -> Any:
        rows = read(s.out / "metrics.csv")
        steps.append(int(rows[-1]["step"]))
        return validate(s, *rest)

    monkeypatch.setattr(finetune, "validate", watched)
    run = [*FINETUNE, "--from", "scratch", "--model", "resnet10s", "--out", str(tmp_path)]
    assert finetune.main(run) == 0
    assert steps == [3, 6]
    written = contents(tmp_path)
    (tmp_path / "result.json").unlink()  # as if killed before it was written
    assert finetune.main([*run, "--resume", "auto"]) == 0
    assert steps == [3, 6, 6]
    assert contents(tmp_path)["result.json"] == written["result.json"]
    assert contents(tmp_path)["per_class.csv"] == written["per_class.csv"]


@pytest.mark.slow
@pytest.mark.parametrize("mixing", [[], ["--mixup", "0.8", "--cutmix", "1"]])
def test_a_finetuning_resumed_equals_one_never_stopped(
    resnet: Path, tmp_path: Path, mixing: list[str]
) -> None:
    run = [*FINETUNE, "--from", str(resnet), "--resume", "auto", *mixing]
    assert finetune.main([*run, "--out", str(tmp_path / "a")]) == 0
    assert finetune.main([*run, "--out", str(tmp_path / "b"), "--max-steps", "4"]) == 0
    assert finetune.main([*run, "--out", str(tmp_path / "b")]) == 0
    assert_same(weights(tmp_path / "a/last.pt"), weights(tmp_path / "b/last.pt"))
    assert_same(weights(tmp_path / "a/best.pt"), weights(tmp_path / "b/best.pt"))
    assert rows(tmp_path / "a") == rows(tmp_path / "b")
    assert (tmp_path / "a/result.json").read_text() == (tmp_path / "b/result.json").read_text()
    with (tmp_path / "a/per_class.csv").open(newline="") as file:
        assert sum(int(row["images"]) for row in csv.DictReader(file)) == 500


def test_a_mixed_image_counts_for_its_larger_share() -> None:
    logits, shares = torch.eye(3), torch.tensor([[0.7, 0.3, 0], [0.6, 0.4, 0], [0, 0, 1]])
    assert float(finetune.compute_accuracy(logits, shares)) == pytest.approx(2 / 3)
    expected = -(logits.log_softmax(1) * shares).sum(1).mean()
    assert float(finetune.compute_loss(logits, shares)) == pytest.approx(float(expected))


@pytest.mark.slow
def test_what_is_frozen_stays_as_it_was_pretrained(resnet: Path, tmp_path: Path) -> None:
    run = [*FINETUNE, "--from", str(resnet), "--freeze", "conv3", "--out", str(tmp_path)]
    assert finetune.main(run) == 0
    before, after = weights(resnet), weights(tmp_path / "last.pt")
    for name in before:  # batch-norm statistics among them
        frozen = name.startswith(("conv1.", "bn1.", "layer1.", "layer2."))
        same = before[name].shape == after[name].shape and torch.equal(before[name], after[name])
        assert same == frozen, name


@pytest.mark.slow
def test_the_head_has_its_own_learning_rate(resnet: Path, tmp_path: Path) -> None:
    run = [*FINETUNE, "--from", str(resnet), "--out", str(tmp_path)]
    assert finetune.main([*run, "--head-lr", "0", "--epochs", "1"]) == 0
    torch.manual_seed(0)
    fresh = torchvision.models.resnet18(num_classes=10)
    assert torch.equal(weights(tmp_path / "last.pt")["fc.weight"], fresh.fc.weight)
    assert not torch.equal(
        weights(tmp_path / "last.pt")["conv1.weight"], weights(resnet)["conv1.weight"]
    )


def test_folders_of_images_are_learned_too(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for part, count in (("train", 4), ("test", 2)):
        for name in ("cats", "dogs"):
            folder = tmp_path / "pets" / part / name
            folder.mkdir(parents=True)
            for i in range(count):
                pixels = rng.integers(0, 256, (40, 50, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / f"{i}.png")
    run = ["--data", str(tmp_path / "pets"), "--from", "scratch", "--model", "mobilenet_v3_small"]
    run += ["--size", "32", "--batch-size", "4", "--epochs", "1", "--workers", "1"]
    assert finetune.main([*run, "--device", "cpu", "--out", str(tmp_path / "out")]) == 0
    assert (tmp_path / "out/per_class.csv").read_text().startswith("class,accuracy,images\ncats,")


# Mistakes are sentences


@pytest.mark.parametrize(
    "options, sentence",
    [
        (["--resume", "nowhere.pt"], "no checkpoint at nowhere.pt"),
        (
            ["--model", "resnet18", "--resume", "LAST"],
            "model is mobilenet_v3_small, yours resnet18",
        ),
        (["--categories", "5", "--resume", "LAST"], "categories"),
        (["--num-points", "999", "--resume", "LAST"], "num_points is 1000, yours 999"),
        (["--batch-size", "16", "--resume", "LAST"], "batch_size is 8, yours 16"),
        (["--resume", str(EXAMPLES / "settings.py")], "not a checkpoint"),
        (["--out", str(EXAMPLES / "settings.py" / "out")], "cannot write to "),
        (["--out", "FINISHED"], "already holds a run"),
        (["--model", "resnet19"], "resnet19"),
        (["--model", "timm:resnet19"], "resnet19"),
        (["--source", "nowhere.npz"], "no categories at nowhere.npz"),
        (["--batch-size", "0"], "--batch-size must be 1 or more, got 0"),
        (["--fill-rate", "1.5"], "1.5"),
        (["--device", "toaster"], "toaster"),
    ],
)
def test_a_mistake_in_pretraining_is_one_sentence(
    finished: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    sentence: str,
) -> None:
    places = {"LAST": str(finished / "last.pt"), "FINISHED": str(finished)}
    options = [places.get(option, option) for option in options]
    code = exit_code(pretrain.main, [*PRETRAIN, "--out", str(tmp_path), *options])
    assert code == 2 and sentence in said(capsys)


@pytest.mark.parametrize(
    "options, sentence",
    [
        (["--from", "nowhere.safetensors"], "no weights at nowhere.safetensors"),
        (
            ["--from", "RESNET", "--model", "resnet50"],
            "holds a resnet18, not a resnet50",
        ),
        (["--data", "nowhere"], "no such data set: neither nowhere nor"),
        (
            ["--data", "fashion-mnist", "--data-root", "nowhere"],
            "no complete fashion-mnist in nowhere",
        ),
        (["--data", "cifar10", "--data-root", "nowhere"], "no complete cifar10 in nowhere"),
        (["--per-class", "5000"], "5000 images per class: class 0 has only"),
        (["--per-class", "1", "--label-fraction", "0.5"], "not both"),
        (["--model", "mobilenet_v3_small", "--freeze", "conv1"], "--freeze conv1 is for ResNets"),
    ],
)
def test_a_mistake_in_finetuning_is_one_sentence(
    resnet: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    sentence: str,
) -> None:
    options = [str(resnet) if option == "RESNET" else option for option in options]
    words = [*FINETUNE, "--from", "scratch", "--out", str(tmp_path), *options]
    assert exit_code(finetune.main, words) == 2 and sentence in said(capsys)


def test_weights_without_a_name_that_do_not_fit_are_refused(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from safetensors.torch import save_file

    save_file(weights(finished / "weights.safetensors"), tmp_path / "plain.safetensors")
    run = [*FINETUNE, "--from", str(tmp_path / "plain.safetensors"), "--model", "resnet18"]
    assert finetune.main([*run, "--out", str(tmp_path)]) == 2
    assert "plain.safetensors does not hold a resnet18" in capsys.readouterr().err


# The rest


@pytest.mark.parametrize("script", [pretrain, finetune, segment, cluster, score, demo])
def test_every_option_explains_itself_in_a_sentence(
    script: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code(script.main, ["--help"]) == 0
    page = said(capsys)
    assert "--out PATH" in page
    for field in dataclasses.fields(script.Settings):
        # An option, and then its comment: not the default, and not the next option.
        option = field.name.rstrip("_").replace("_", "-")
        values = rf"( \S+| \[.*?\]\]?|, --no-{option})?"
        assert re.search(rf"--{option}{values} [A-Z][^()]+(\([^()]+\))?[^()]*\. \(", page), option


@pytest.mark.parametrize(
    "old, new",
    [
        (["--weights", "0.1"], "--weights is now --variation"),
        (["--points=9"], "--points is now --num-points"),
        (["--pad", "1"], "--pad is now --margin"),
        (["--recipe", "paper"], "--recipe is now --preset"),
        (["--no-redraw"], "--no-redraw is now --resample-degenerate False"),
    ],
)
def test_an_old_option_names_the_new_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], old: list[str], new: str
) -> None:
    assert pretrain.main([*PRETRAIN, "--out", str(tmp_path), *old]) == 2
    assert capsys.readouterr().err == f"pretrain.py: error: {new}\n"


def settings_of(monkeypatch: pytest.MonkeyPatch, *words: str) -> pretrain.Settings:
    """The settings that pretrain.py is started with."""
    found: list[pretrain.Settings] = []

    def keep(s: pretrain.Settings) -> int:
        found.append(s)
        return 0

    keep.__module__ = pretrain.__name__
    monkeypatch.setattr(pretrain, "pretrain", keep)
    assert pretrain.main(words) == 0
    return found[0]


def test_a_preset_sets_all_that_it_means(monkeypatch: pytest.MonkeyPatch) -> None:
    usual, paper, released = (
        settings_of(monkeypatch, *words)
        for words in ((), ("--preset", "paper"), ("--preset", "released"))
    )
    assert dataclasses.replace(paper, preset=(), instances=None) == usual
    assert (paper.lr, paper.fill_rate, paper.instances) == (0.01, 0.1, 1000)
    assert (released.lr, released.fill_rate, released.instances) == (0.1, 0.2, 1000)
    ifs = fdsl.fractaldb(10)
    assert pretrain.choose_rendering(paper, ifs) == fdsl.Rendering.paper()
    assert pretrain.choose_rendering(released, ifs) == fdsl.Rendering.released(crop=224)
    assert pretrain.search_options(released)["sampler"] == "released"
    given = settings_of(monkeypatch, "--preset", "released", "--lr", "0.3", "--variation", "0.1")
    assert (given.lr, given.fill_rate) == (0.3, 0.2)
    assert pretrain.choose_rendering(given, ifs).variation == 0.1
    with pytest.raises(ValueError, match="variation does not apply to <Perlin: 4 categories"):
        pretrain.choose_rendering(given, fdsl.Perlin(4))
    noise = pretrain.choose_rendering(pretrain.Settings(), fdsl.Perlin(4))
    assert noise == fdsl.Frame.paper()


def test_presets_add_up_and_the_later_one_prevails(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    own = tmp_path / "mine.toml"
    own.write_text("lr = 0.25\nmilestones = [1, 2]\n")
    both = settings_of(monkeypatch, "--preset", "fixed", "deit", str(own), "--epochs", "3")
    assert (both.instances, both.cache, both.optimizer, both.rand_augment) == (1, True, "adamw", 27)
    assert (both.lr, both.milestones, both.epochs) == (0.25, (1, 2), 3)
    assert both.preset == ("fixed", "deit", str(own))


def test_a_preset_may_give_an_integer_for_a_number_and_a_string_for_a_path(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    own = tmp_path / "mine.toml"
    own.write_text('lr = 1\nvariation = 0\nout = "runs"\nresume = "auto"\n')
    given = settings_of(monkeypatch, "--preset", str(own))
    assert (given.lr, given.variation, given.out, given.resume) == (1, 0, Path("runs"), "auto")


@pytest.mark.parametrize(
    "text, says",
    [
        (
            None,
            "no preset 'mine.toml': give one of augmented, deit, fixed, paper, released, ",
        ),
        ("lr: 3", "mine.toml is not TOML"),
        ("a = " + "[" * 3000 + "]" * 3000, "mine.toml is nested too deep for a preset"),
        ("learning_rate = 3", "mine.toml sets 'learning_rate', which is not an option of this "),
        ('optimizer = "adam"', "mine.toml: optimizer must be 'sgd' or 'adamw', got 'adam'"),
        ("optimizer = 5", "mine.toml: optimizer must be 'sgd' or 'adamw', got 5"),
        ('patch = "both"', "mine.toml: patch must be 'random' or 'fixed' or 'solid', got 'both'"),
        ('flip = "false"', "mine.toml: flip must be true or false, got 'false'"),
        ("color = 1", "mine.toml: color must be true or false, got 1"),
        ("epochs = true", "mine.toml: epochs must be an integer, got True"),
        ("batch_size = 6.0", "mine.toml: batch_size must be an integer, got 6.0"),
        ('lr = "0.1"', "mine.toml: lr must be a number, got '0.1'"),
        ("resume = 5", "mine.toml: resume must be a string, got 5"),
        ("out = 5", "mine.toml: out must be a string, got 5"),
        ("milestones = 5", "mine.toml: milestones must be a list, each item an integer, got 5"),
        ("set = [5]", "mine.toml: set must be a list, each item a string, got (5,)"),
    ],
)
def test_a_mistake_in_a_preset_is_one_sentence(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    text: str | None,
    says: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    if text is not None:
        Path("mine.toml").write_text(text, encoding="utf-8")
    assert pretrain.main(["--preset", "mine.toml"]) == 2
    assert says in capsys.readouterr().err


@pytest.mark.slow
def test_a_published_set_is_rendered_as_it_was_published() -> None:
    given = pretrain.Settings(source="3d-ofdb-1k", style="published", size=64)
    family = fdsl.IFS3D(4)
    assert pretrain.choose_rendering(given, family) == fdsl.Views(size=64)
    with pytest.raises(ValueError, match="--style published needs --source fractaldb-1k, "):
        pretrain.choose_rendering(dataclasses.replace(given, source="perlin-4"), fdsl.Perlin(4))


def test_a_published_set_has_its_own_number_of_instances(tmp_path: Path) -> None:
    words = ["--source", "2d-ofdb-1k", "--style", "published", "--size", "32", "--num-points", "9"]
    words += ["--crop", "32", "--model", "resnet10s", "--batch-size", "8", "--max-steps", "1"]
    words += ["--variation", "None", "--out", str(tmp_path), "--device", "cpu"]
    assert pretrain.main(words) == 0
    assert json.loads((tmp_path / "weights.json").read_text())["settings"]["instances"] == 1


@pytest.mark.parametrize("preset", ["resnet10s", "vit6s"])
@pytest.mark.parametrize("source", ["rcdb-4", "perlin-4", "ifs3d-4"])
def test_a_preset_goes_with_another_source(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], preset: str, source: str
) -> None:
    words = ["--preset", preset, "--source", source, "--out", str(tmp_path), "--device", "cpu"]
    assert pretrain.main([*words, "--max-steps", "1", "--batch-size", "4"]) == 0
    told = "the preset's --set is for multi-fractal-1k, so it is left out: min_scale=0.5 "
    assert (told in capsys.readouterr().err) == (preset == "resnet10s")


def test_a_preset_keeps_its_settings_for_a_source_that_has_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--preset", "resnet10s", "--source", "multi-fractal-4", "--out", str(tmp_path / "a")]
    assert pretrain.main([*words, "--max-steps", "1", "--batch-size", "4", "--device", "cpu"]) == 0
    own = tmp_path / "mine.toml"
    own.write_text('set = ["octaves=3"]\nsize = 32\nmodel = "resnet10s"\n')
    words = ["--preset", str(own), "--source", "perlin-4", "--out", str(tmp_path / "b")]
    assert pretrain.main([*words, "--max-steps", "1", "--batch-size", "4", "--device", "cpu"]) == 0
    assert "left out" not in capsys.readouterr().err
    settings = [
        json.loads((tmp_path / run / "weights.json").read_text())["settings"]["set"] for run in "ab"
    ]
    assert "min_scale=0.5" in settings[0] and settings[1] == ["octaves=3"]


def test_a_published_set_may_be_endless(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    seen: dict[str, Any] = {}

    class Seen(Exception):
        pass

    def stream(family: Any, **about: Any) -> Any:
        seen.update(about)
        raise Seen

    monkeypatch.setattr(pretrain, "Stream", stream)
    for given, expected in (("0", None), ("3", 3), (None, 1)):
        words = ["--source", "2d-ofdb-1k", "--style", "published", "--out", str(tmp_path / "run")]
        with pytest.raises(Seen):
            pretrain.main([*words, *(["--instances", given] if given else [])])
        assert seen["instances"] == expected


def test_a_run_that_ends_early_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tune = [*FINETUNE, "--from", "scratch", "--model", "resnet10s", "--out", str(tmp_path)]
    assert finetune.main([*tune, "--max-steps", "1"]) == 0
    assert "stopped at step 1; --resume auto continues" in capsys.readouterr().out
    words = ["--from", str(tmp_path / "weights.safetensors"), "--out", str(tmp_path / "next")]
    assert finetune.main([*FINETUNE, *words]) == 2
    assert f"; there is {tmp_path / 'last.pt'}" in capsys.readouterr().err


def test_options_of_a_source_can_be_given(tmp_path: Path) -> None:
    given = pretrain.Settings(out=tmp_path, source="perlin-4", set=("octaves=3", "size=240"))
    with Ranks("cpu") as ranks:
        family = pretrain.choose_categories(given, ranks, None)
    assert family == fdsl.Perlin(4, octaves=3)
    assert pretrain.choose_rendering(given, family) == fdsl.Frame.paper(size=240)


def test_every_setting_of_a_source_can_be_given() -> None:
    words = ("min_objects=2", "object_color=random", "blur=0.25", "backdrop=None", "crop=(48, 40)")
    given = pretrain.Settings(source="multi-fractal-4", size=64, set=words)
    expected = fdsl.Scenes.paper(
        size=64, crop=(48, 40), min_objects=2, object_color="random", blur=0.25, backdrop=None
    )
    scene = fdsl.load("multi-fractal-4")
    assert pretrain.choose_rendering(given, scene) == expected
    for word, says in (
        ("wings=2", "wings does not apply to <Scene: 4 "),
        ("wings", "a setting must be NAME=VALUE, such as max_objects=2, got 'wings'"),
        ("min_objects=0", "min_objects must be"),
        ("min_objects=few", "min_objects must be an integer, got 'few'"),
        ("size=32", "--size and --set size=32 set the same thing: give one of them"),
        ("object_color=3", "object_color must be 'own' or 'random', got 3"),
    ):
        with pytest.raises(ValueError, match=says):
            pretrain.choose_rendering(dataclasses.replace(given, set=(word,)), scene)


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("octave=3", "perlin-4 has no option or setting 'octave': it takes octaves, persistence, "),
        ("octaves=1.5", "octaves must be an integer, got 1.5"),
        ("octaves=100", "octaves must be between 1 and 16, got 100"),
    ],
)
def test_a_wrong_option_of_a_family_is_one_sentence(word, says, tmp_path, capsys):
    run = ["--source", "perlin-4", "--set", word, "--out", str(tmp_path / "run")]
    assert pretrain.main(run) == 2
    assert capsys.readouterr().err.startswith(f"pretrain.py: error: {says}")


@pytest.mark.parametrize("option", ["--fill-rate", "--label-smoothing", "--erasing"])
def test_a_fraction_above_one_is_one_sentence(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], option: str
) -> None:
    with pytest.raises(SystemExit):
        pretrain.main([*PRETRAIN, option, "2", "--out", str(tmp_path)])
    assert f"{option} must be 0 to 1, got 2" in capfd.readouterr().err


def test_a_fixed_set_is_augmented_and_resumes_exactly(tmp_path: Path) -> None:
    run = [*PRETRAIN, "--preset", "fixed", "--rand-augment", "9", "--erasing", "0.5"]
    run += ["--model", "vit6s", "--optimizer", "adamw", "--label-smoothing", "0.1"]
    for steps in ("3", "8"):
        resumed = [*run, "--resume", "auto", "--max-steps", steps, "--out", str(tmp_path / "a")]
        assert pretrain.main(resumed) == 0
    assert pretrain.main([*run, "--out", str(tmp_path / "b")]) == 0
    assert rows(tmp_path / "a") == rows(tmp_path / "b") and rows(tmp_path / "a")
    assert_same(*(weights(tmp_path / name / "weights.safetensors") for name in ("a", "b")))


def test_settings_can_be_chosen_on_images_that_are_held_out(tmp_path: Path) -> None:
    tune = [*FINETUNE, "--from", "scratch", "--model", "resnet10s", "--out", str(tmp_path)]
    assert finetune.main([*tune, "--held-out", "0.25"]) == 0
    result = json.loads((tmp_path / "result.json").read_text())
    # The digits have 1,297 training images and 500 to validate on.
    assert (result["num_val_images"], result["num_labels"]) == (324, 20)
    assert finetune.main([*tune, "--held-out", "1e-9"]) == 2


def test_the_released_style_is_that_of_the_family() -> None:
    released = pretrain.Settings(source="rcdb-1k", style="released", size=64, crop=None)
    found = pretrain.choose_rendering(released, fdsl.load("rcdb-1k"))
    assert found == fdsl.Contours.released(size=64)
    with pytest.raises(ValueError, match="'released' does not apply to <Perlin"):
        pretrain.choose_rendering(pretrain.Settings(style="released"), fdsl.Perlin(4))


def test_a_score_is_not_blurred_by_dropout(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script = tmp_path / "networks.py"
    script.write_text(NETWORK)
    source = ["--source", "fractaldb-10", "--size", "36", "--crop", "32", "--num-points", "500"]
    found = []
    for name in ("flat", "dropping"):
        model = ["--model", f"{script}:{name}", "--images", "2", "--device", "cpu"]
        assert score.main([*source, *model]) == 0
        found.append(capsys.readouterr().out)
    assert found[0] == found[1]


def test_the_score_tells_categories_apart_from_none(capsys: pytest.CaptureFixture[str]) -> None:
    rng = torch.Generator().manual_seed(0)
    labels, noise = torch.arange(50).repeat(6), torch.randn(300, 8, generator=rng).double()
    assert score.intraclass_correlation(noise, labels) == pytest.approx(0, abs=0.03)
    # Two thirds of the variance lie between the classes.
    apart = noise + 2**0.5 * torch.randn(50, 8, generator=rng).double().repeat(6, 1)
    assert score.intraclass_correlation(apart, labels) == pytest.approx(2 / 3, abs=0.07)
    run = ["--source", "perlin-16", "--model", "resnet10s", "--size", "32", "--images", "4"]
    assert score.main([*run, "--crop", "32", "--device", "cpu"]) == 0
    assert 0.05 < float(capsys.readouterr().out.split()[-1]) < 1
    # An option here, though the other scripts had it as the old name of another.
    assert score.main([*run, "--crop", "32", "--weights", "nowhere.safetensors"]) == 2
    assert "no weights at nowhere.safetensors" in capsys.readouterr().err


def closure(script: str) -> dict[str, int]:
    """The lines of a script and of all that it imports from examples/, by file."""
    lines: dict[str, int] = {}
    waiting = [script]
    while waiting:
        file = waiting.pop()
        if file in lines or not (EXAMPLES / file).exists():
            continue
        text = (EXAMPLES / file).read_text(encoding="utf-8")
        lines[file] = len(text.splitlines())
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Import):
                waiting += [f"{name.name.split('.')[0]}.py" for name in node.names]
            if isinstance(node, ast.ImportFrom) and node.module:
                waiting.append(f"{node.module.split('.')[0]}.py")
    return lines


@pytest.mark.parametrize(
    "script, most", [("pretrain.py", 350), ("finetune.py", 500), ("segment.py", 450)]
)
def test_a_script_and_what_it_imports_stay_short(script: str, most: int) -> None:
    lines = closure(script)
    print(f"{script}: {sum(lines.values())} lines: {lines}")
    assert sum(lines.values()) <= most
    text = (EXAMPLES / script).read_text(encoding="utf-8")
    assert "loss.backward()" in text and "optimizer.step()" in text


def test_the_schedules_are_the_papers_and_a_cosine() -> None:
    paper = settings.Training()
    rates = [paper.lr_factor(epoch * 10, 10) for epoch in (0, 29, 30, 59, 60, 89)]
    assert rates == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01])
    cosine = settings.Training(schedule="cosine", warmup_steps=5)
    rates = [cosine.lr_factor(step, 10) for step in (0, 450, 899)]
    assert rates == pytest.approx([0.2, 0.5, 3e-6], rel=0.02)
