"""The example of segmentation: its three runs, resumed, and the data sets that it reads."""

import csv
import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scripts import EXAMPLES, need

need()

import segment
import torch
from fdsl.torch.training import Ranks, build_model, load_weights, read_checkpoint
from PIL import Image

TINY = ["--size", "32", "--batch-size", "4", "--steps", "2", "--epochs", "1", "--images", "8"]
TINY += ["--device", "cpu", "--warmup-steps", "0", "--log-every", "1"]


pytestmark = pytest.mark.usefixtures("two_threads")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that was never stopped."""
    out = tmp_path_factory.mktemp("segment") / "finished"
    assert segment.main([*TINY, "--out", str(out)]) == 0
    return out


@pytest.mark.slow
def test_both_networks_are_judged_by_their_mean_iou(finished: Path) -> None:
    result = json.loads((finished / "result.json").read_text())
    for name in ("finetune", "scratch"):
        found = result[name]
        assert found["images"] == 8 and found["val_images"] == 200
        assert list(found["iou"]) == ["background", "digit"]
        assert found["miou"] == pytest.approx(np.mean([*found["iou"].values()]))
        assert (finished / name / "curve.png").exists()
        optimizer = read_checkpoint(finished / name / "last.pt")["optimizer"]
        with (finished / name / "metrics.csv").open() as file:
            lr = float([*csv.DictReader(file)][-1]["lr"])
        assert [one["lr"] for one in optimizer["param_groups"]] == pytest.approx([lr, lr])
    settings = result["settings"]
    assert settings["model"] == "lraspp_mobilenet_v3_large" and settings["data"] == "digits"


def test_deeplab_needs_two_images_per_batch_for_its_batch_norm(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "x.safetensors").touch()
    run = ["--from", str(tmp_path / "x.safetensors"), "--images", "9", "--batch-size", "2"]
    run += ["--model", "deeplabv3_mobilenet_v3_large", "--device", "cpu", "--out", str(tmp_path)]
    assert segment.main(run) == 2
    said = "batches of 2 give a process too few images (DeepLab: 2)"
    assert said in capsys.readouterr().err


def test_the_iou_is_that_of_torchmetrics(monkeypatch: pytest.MonkeyPatch) -> None:
    from torchmetrics.classification import MulticlassJaccardIndex

    s = segment.Settings(size=32, device="cpu")
    images = segment.Masks(s, train=False)
    images.pairs, images.class_of = images.pairs[:20], np.arange(256)
    images.class_of[1], images.classes = segment.IGNORED, ["background", "digit", "none"]
    model = segment.build(s, 3)
    metric = MulticlassJaccardIndex(3, "none", ignore_index=segment.IGNORED)
    normalize = segment.Normalize(segment.MEAN, segment.STD)
    crop = segment.v2.CenterCrop(s.size)
    model.eval()
    with torch.no_grad():
        for image, mask in images:
            metric.update(model(normalize(crop(image[None])))["out"].argmax(1), crop(mask[None]))
    found = segment.validate(s, Ranks("cpu"), model, images)
    assert found == pytest.approx(metric.compute().tolist())


def test_missing_data_is_reported_before_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = [*TINY, "--data", "pets", "--data-root", str(tmp_path), "--out", str(tmp_path / "out")]
    assert segment.main(run) == 2
    assert "no pets in" in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_a_classifier_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert segment.main([*TINY, "--model", "resnet50", "--out", str(tmp_path)]) == 2
    assert "--model must be one of deeplabv3_mobilenet_v3_large, " in capsys.readouterr().err


@pytest.mark.slow
def test_stops_in_each_run_change_nothing(finished: Path, tmp_path: Path) -> None:
    run = [*TINY, "--out", str(tmp_path), "--resume", "auto"]
    for steps, last in (("1", "pretrain"), ("3", "finetune"), ("5", "scratch")):
        assert segment.main([*run, "--max-steps", steps]) == 0
        assert read_checkpoint(tmp_path / last / "last.pt")["step"] == 1
        assert not (tmp_path / "result.json").exists()
    assert segment.main(run) == 0
    ours, theirs = (json.loads((at / "result.json").read_text()) for at in (tmp_path, finished))
    for name in ("finetune", "scratch"):
        assert ours[name] == theirs[name]
        one, other = (read_checkpoint(at / name / "last.pt") for at in (tmp_path, finished))
        assert all(
            torch.equal(other["weights"][key], one["weights"][key]) for key in one["weights"]
        )


@pytest.mark.slow
def test_fine_tuning_continues_from_the_same_pre_training_only(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(finished, out := tmp_path / "out")
    (out / "result.json").unlink()
    run = [*TINY, "--out", str(out), "--resume", "auto"]
    assert segment.main([*run, "--lr", "1e-5"]) == 2
    assert "cannot resume: the checkpoint's lr is" in capsys.readouterr().err
    assert segment.main([*run, "--workers", "1"]) == 0  # what does not matter may change
    assert segment.main([*run, "--clip-grad", "0.1"]) == 2
    (out / "pretrain/last.pt").unlink()
    assert segment.main(run) == 2  # another network, though only its times differ
    assert "cannot resume: the checkpoint's from is" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("model", ["lraspp_mobilenet_v3_large", "deeplabv3_mobilenet_v3_large"])
def test_all_but_the_layers_that_classify_start_from_the_given_weights(
    tmp_path: Path, model: str
) -> None:
    file, out = tmp_path / "weights.pth", tmp_path / "out"
    given = segment.build(segment.Settings(model=model, seed=5), 17).state_dict()
    torch.save(given, file)
    run = [*TINY, "--model", model, "--from", str(file), "--lr", "1e-12", "--out", str(out)]
    assert segment.main([*run, "--max-steps", "1"]) == 0
    assert not (out / "pretrain").exists()
    tuned = load_weights(out / "finetune/last.pt")[0]
    learned = [key for key in given if key.endswith(("weight", "bias"))]
    others = {key for key in learned if given[key].shape != tuned[key].shape}
    assert others and {key for key in learned if key.startswith(segment.HEADS)} == others
    for key in set(learned) - others:
        torch.testing.assert_close(given[key], tuned[key], atol=1e-6, rtol=0)


def test_weights_of_another_network_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = build_model("resnet10s", 4).state_dict()
    key = "classifier.cbr.0.weight"
    own = segment.build(segment.Settings(), 17).state_dict()
    smaller, damaged = {**own, key: own[key][:1]}, {**own, key: own[key] * torch.nan}
    run = [*TINY, "--from", str(tmp_path / "weights.pth"), "--out", str(tmp_path / "out")]
    for given, sentence in (
        (other, "weights.pth does not hold a lraspp_mobilenet_v3_large: it lacks "),
        (smaller, f"weights.pth does not hold a lraspp_mobilenet_v3_large: {key} has the shape"),
        (damaged, f"weights.pth: {key} must be finite"),
    ):
        torch.save(given, tmp_path / "weights.pth")
        assert segment.main(run) == 2
        assert sentence in capsys.readouterr().err


def test_any_family_with_masks_is_a_source(tmp_path: Path) -> None:
    source = f"{EXAMPLES.parent / 'tests' / 'families_in_python.py'}:scenes-6"
    run = [*TINY, "--source", source, "--workers", "1", "--out", str(tmp_path)]
    assert segment.main([*run, "--max-steps", "2"]) == 0
    weights, name = load_weights(tmp_path / "pretrain/weights.safetensors")
    assert name == "lraspp_mobilenet_v3_large"
    assert len(weights["classifier.low_classifier.weight"]) == 7  # the background is one


def test_the_default_source_has_a_mask_on_every_curve() -> None:
    import fdsl

    family = segment.Curves(8)
    data = fdsl.Dataset(family, 2, rendering=fdsl.Frame(size=48), target="mask")
    assert {int(value) for _, mask in data for value in np.unique(mask)} == set(range(9))
    boxes = fdsl.Dataset(family, 2, rendering=fdsl.Frame(size=48), target="boxes")
    assert all(1 <= len(target["boxes"]) <= 4 for _, target in boxes)


def test_pets_are_told_from_their_background_and_border(tmp_path: Path) -> None:
    root = tmp_path / "oxford-iiit-pet"
    trimaps = root / "annotations/trimaps"
    trimaps.mkdir(parents=True)
    (root / "images").mkdir()
    for split in ("trainval", "test"):
        Image.fromarray(np.zeros((32, 40, 3), np.uint8)).save(root / f"images/Cat_{split}.jpg")
        trimap = np.repeat(np.array([[2] * 12 + [3] * 8 + [1] * 20], np.uint8), 32, axis=0)
        Image.fromarray(trimap).save(trimaps / f"Cat_{split}.png")
        (root / f"annotations/{split}.txt").write_text(f"Cat_{split} 1 1 1\n")
    settings = segment.Settings(data="pets", data_root=tmp_path, size=28)
    for train in (True, False):
        image, mask = segment.Masks(settings, train)[0]
        assert image.shape == (3, 32, 32) and image.dtype == torch.uint8
        assert mask.dtype == torch.int64
        assert mask[0].tolist() == [0] * 8 + [2] * 8 + [1] * 16  # the middle of 40 columns


def test_vocs_borders_do_not_count(tmp_path: Path) -> None:
    root = tmp_path / "VOCdevkit/VOC2012"
    for folder in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (root / folder).mkdir(parents=True)
    (root / "ImageSets/Segmentation/train.txt").write_text("a\n")
    Image.fromarray(np.zeros((32, 32, 3), np.uint8)).save(root / "JPEGImages/a.jpg")
    mask = np.full((32, 32), 255, np.uint8)
    mask[:16], mask[20:] = 0, 15
    palette = Image.fromarray(mask).convert("P")
    palette.putpalette(list(range(256)) * 3)
    palette.save(root / "SegmentationClass/a.png")
    found = segment.Masks(segment.Settings(data="voc2012", data_root=tmp_path, size=28), True)
    assert len(found.classes) == 21 and found.classes[15] == "person"
    np.testing.assert_array_equal(found[0][1], mask)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--source", "perlin-4"], "Perlin has no target 'mask'; it has 'label'"),
        (["--from", "nowhere.pth"], "no weights at nowhere.pth"),
        (["--from", "FILE", "--data", "pets"], "no pets in nowhere: --download it"),
        (["--resume", "last.pt"], "--resume takes auto here, for all three runs, got last.pt"),
        (["--model", "unet"], "unet"),
    ],
)
def test_a_mistake_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], sentence: str
) -> None:
    torch.save({}, tmp_path / "file.pth")
    options = [str(tmp_path / "file.pth") if one == "FILE" else one for one in options]
    run: list[Any] = [*TINY, "--data-root", "nowhere", "--out", str(tmp_path / "out"), *options]
    try:
        code: Any = segment.main(run)
    except SystemExit as end:  # from the reader of the options
        code = end.code
    error = " ".join(re.sub("[│╭╮╰╯─]", " ", capsys.readouterr().err).split())
    assert code == 2 and sentence in error and "Traceback" not in error
