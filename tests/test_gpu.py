"""The training scripts on a GPU: `pytest -m gpu`. The tests of test_examples.py use the CPU.

`FDSL_GPU_TESTS_ON=cpu pytest tests/test_gpu.py` runs them without a GPU, to check the tests.
"""

import json
import math
import os
from pathlib import Path

# cuBLAS reads it once, and the first test is not deterministic.
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")

import pytest
from processes import torchrun
from scripts import EXAMPLES, need

need()

import cluster
import finetune
import pretrain
import segment
import torch
from fdsl.torch.training import load_weights, read_checkpoint
from metrics import read

DEVICE = os.environ.get("FDSL_GPU_TESTS_ON", "cuda")
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.slow,
    pytest.mark.timeout(900),  # compiling takes minutes
    # What they test is the GPU. test_examples.py and test_segment.py test the same on a CPU.
    pytest.mark.skipif(DEVICE == "cuda" and not torch.cuda.is_available(), reason="no GPU"),
]

PRETRAIN = [
    "--model", "resnet18", "--source", "perlin-4", "--size", "72", "--crop", "64",
    "--batch-size", "8", "--steps-per-epoch", "3", "--epochs", "2", "--log-every", "1",
    "--lr", "0.001", "--device", DEVICE,
]  # fmt: skip
AUGMENTED = [
    "--crop-scale", "0.3", "--flip", "--rand-augment", "9", "--erasing", "0.5", "--mixup", "0.8",
    "--cutmix", "1.0", "--label-smoothing", "0.1", "--clip-grad", "1.0", "--optimizer", "adamw",
]  # fmt: skip
FINETUNE = [
    "--data", "digits", "--per-class", "4", "--size", "64", "--batch-size", "20", "--epochs", "2",
    "--log-every", "1", "--device", DEVICE,
]  # fmt: skip
SEGMENT = [
    "--size", "64", "--batch-size", "4", "--steps", "3", "--epochs", "2", "--images", "8",
    "--log-every", "1", "--device", DEVICE,
]  # fmt: skip


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The weights of a short pre-training."""
    out = tmp_path_factory.mktemp("gpu") / "pretrained"
    assert pretrain.main([*PRETRAIN, "--out", str(out)]) == 0
    return out / "weights.safetensors"


def weights(folder: Path) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = read_checkpoint(folder / "last.pt")["weights"]
    return found


def assert_same(first: Path, second: Path) -> None:
    ours, theirs = weights(first), weights(second)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize("workers", ["0", "2"])
@pytest.mark.parametrize("options", [[], AUGMENTED], ids=["plain", "augmented"])
def test_pretraining_trains_on_the_stream(tmp_path: Path, options: list[str], workers: str) -> None:
    run = [*PRETRAIN, *options, "--workers", workers, "--out", str(tmp_path)]
    assert pretrain.main(run) == 0
    losses = [float(row["loss"]) for row in read(tmp_path / "metrics.csv")]
    assert len(losses) == 6 and all(map(math.isfinite, losses))
    names = load_weights(tmp_path / "weights.safetensors")[0].keys()
    assert "conv1.weight" in names and not any("_orig_mod" in name for name in names)


def test_the_first_loss_is_that_of_the_cpu(tmp_path: Path) -> None:
    first = []
    for device in (DEVICE, "cpu"):
        out = tmp_path / str(len(first))
        run = [*PRETRAIN, "--no-amp", "--max-steps", "1", "--out", str(out)]
        assert pretrain.main([*run, "--device", device]) == 0
        first.append(float(read(out / "metrics.csv")[0]["loss"]))
    assert first[0] == pytest.approx(first[1], rel=2e-3)  # TF32


@pytest.mark.parametrize("options", [[], AUGMENTED], ids=["plain", "augmented"])
def test_a_deterministic_pretraining_resumes_exactly(tmp_path: Path, options: list[str]) -> None:
    run = [*PRETRAIN, *options, "--deterministic", "--resume", "auto", "--out"]
    assert pretrain.main([*run, str(tmp_path / "whole")]) == 0
    for limit in (["--max-steps", "2"], ["--max-steps", "4", "--workers", "2"], []):
        assert pretrain.main([*run, str(tmp_path / "parts"), *limit]) == 0
    assert_same(tmp_path / "parts", tmp_path / "whole")


def test_a_compiled_network_is_trained_and_resumed_without(tmp_path: Path) -> None:
    run = [*PRETRAIN, "--out", str(tmp_path), "--resume", "auto"]
    assert pretrain.main([*run, "--compile", "--max-steps", "2"]) == 0
    assert pretrain.main(run) == 0
    assert len(read(tmp_path / "metrics.csv")) == 6


def test_a_deterministic_finetuning_resumes_exactly(pretrained: Path, tmp_path: Path) -> None:
    run = [*FINETUNE, "--from", str(pretrained), "--mixup", "0.8", "--cutmix", "1.0"]
    run += ["--deterministic", "--resume", "auto", "--out"]
    assert finetune.main([*run, str(tmp_path / "whole")]) == 0
    for limit in (["--max-steps", "1"], ["--max-steps", "3"], []):
        assert finetune.main([*run, str(tmp_path / "parts"), *limit]) == 0
    assert_same(tmp_path / "parts", tmp_path / "whole")
    accuracies = [
        json.loads((tmp_path / name / "result.json").read_text())["accuracy"]
        for name in ("parts", "whole")
    ]
    assert accuracies[0] == accuracies[1]


def test_frozen_features_are_probed(pretrained: Path, tmp_path: Path) -> None:
    run = [*FINETUNE, "--from", str(pretrained), "--probe", "--out", str(tmp_path)]
    assert finetune.main(run) == 0
    assert 0 < json.loads((tmp_path / "result.json").read_text())["accuracy"] <= 1


def test_a_deterministic_segmentation_resumes_exactly(tmp_path: Path) -> None:
    run = [*SEGMENT, "--deterministic", "--resume", "auto", "--out"]
    assert segment.main([*run, str(tmp_path / "whole")]) == 0
    for limit in (["--max-steps", "2"], ["--max-steps", "5"], []):
        assert segment.main([*run, str(tmp_path / "parts"), *limit]) == 0
    for name in ("pretrain", "finetune", "scratch"):
        assert_same(tmp_path / "parts" / name, tmp_path / "whole" / name)
    results = [
        json.loads((tmp_path / name / "result.json").read_text()) for name in ("parts", "whole")
    ]
    assert results[0]["finetune"] == results[1]["finetune"]


def test_images_are_clustered_and_their_clusters_learned(tmp_path: Path) -> None:
    assert cluster.main([*PRETRAIN, "--clusters", "5", "--out", str(tmp_path)]) == 0
    assert load_weights(tmp_path / "weights.safetensors")[1] == "resnet18"


def test_torchrun_trains_on_several_gpus(tmp_path: Path) -> None:
    found = torch.cuda.device_count() if DEVICE == "cuda" else 2
    if found < 2:  # one process starts no torch.distributed, which is what this tests
        pytest.skip("one GPU")
    ranks = max(number for number in (2, 4, 8) if number <= found)  # they share batches of 8
    torchrun(EXAMPLES / "pretrain.py", *PRETRAIN, "--out", tmp_path, ranks=ranks)
    assert len(read(tmp_path / "metrics.csv")) == 6
