"""Saved weights: what they come with, and what is refused."""

import argparse
import datetime
import gzip
import json
import re
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import pytest
from packages import TRAINING, need

need(*TRAINING)

import fdsl
import torch
from fdsl.torch import Normalize
from fdsl.torch.training import (
    build_model,
    last_layer,
    load_pretrained,
    load_weights,
    read_idx,
    save_weights,
)
from training import saved


def test_weights_come_with_what_reproduces_them(tmp_path: Path) -> None:
    model = saved(tmp_path, "resnet18", 4, 64, samples_seen=640)
    about = json.loads((tmp_path / "weights.json").read_text())
    assert about["model"] == "resnet18" and about["num_classes"] == 4
    assert about["categories"] == fdsl.Bezier(4).digest() and about["samples_seen"] == 640
    assert fdsl.Strokes.from_dict(about["rendering"]) == fdsl.Strokes(size=64)
    assert about["normalize"] == {"mean": 0.2, "std": 0.5}
    from safetensors import safe_open

    with safe_open(tmp_path / "weights.safetensors", framework="pt") as file:
        assert json.loads(file.metadata()["about"]) == about
    tensors, name = load_weights(tmp_path / "weights.safetensors")
    assert name == "resnet18" and tensors.keys() == model.state_dict().keys()


@pytest.mark.slow
@pytest.mark.parametrize(
    "name, size", [("resnet18", 64), ("timm:vit_tiny_patch16_224", 224), ("timm:resnet10t", 64)]
)
def test_timm_loads_the_weights_in_one_line(tmp_path: Path, name: str, size: int) -> None:
    timm = pytest.importorskip("timm")
    out = tmp_path / "out"
    model = saved(out, name, 4, size)
    images = torch.rand(2, 3, size, size)
    expected = model(images)
    local = timm.create_model(f"local-dir:{out}", pretrained=True).eval()
    torch.testing.assert_close(local(images), expected)
    # Without custom_load, timm before 1.0.31 reads the file of a transformer as one of JAX.
    overlay = {"file": str(out / "weights.safetensors"), "num_classes": 4, "custom_load": False}
    named = timm.create_model(
        name.removeprefix("timm:"), pretrained=True, pretrained_cfg_overlay=overlay
    ).eval()
    torch.testing.assert_close(named(images), expected)
    # With other classes the last layer is new, and the rest as it was trained.
    tuned = timm.create_model(f"local-dir:{out}", pretrained=True, num_classes=7).eval()
    assert tuned(images).shape == (2, 7)
    torch.testing.assert_close(tuned.forward_features(images), local.forward_features(images))
    config = timm.data.resolve_data_config({}, model=local)
    assert [*config["mean"]] == [0.2] * 3 and [*config["std"]] == [0.5] * 3
    assert [*config["input_size"]] == [3, size, size]


def test_a_config_has_three_means(tmp_path: Path) -> None:
    mean = (0.485, 0.456, 0.406)
    family, rendering = fdsl.fractaldb(4), fdsl.Rendering(size=32, num_points=100)
    about = {"name": "resnet18", "family": family, "rendering": rendering}
    save_weights(tmp_path, build_model("resnet18", 4), mean=mean, std=0.5, **about)
    config = json.loads((tmp_path / "config.json").read_text())["pretrained_cfg"]
    assert (config["mean"], config["std"]) == ([*mean], [0.5] * 3)


def test_a_config_has_height_and_width(tmp_path: Path) -> None:
    family, rendering = fdsl.Perlin(4), fdsl.Frame(size=(32, 64))
    about = {"name": "resnet18", "family": family, "rendering": rendering}
    save_weights(tmp_path, build_model("resnet18", 4), mean=0.2, std=0.5, **about)
    config = json.loads((tmp_path / "config.json").read_text())["pretrained_cfg"]
    assert config["input_size"] == [3, 32, 64]


def test_normalize_shows_its_arguments() -> None:
    assert repr(Normalize(0.1, (0.2, 0.3, 0.4))) == "Normalize(mean=0.1, std=(0.2, 0.3, 0.4))"


def test_timm_loads_a_transformer_of_another_input_size(tmp_path: Path) -> None:
    timm = pytest.importorskip("timm")
    model = saved(tmp_path, "timm:vit_tiny_patch16_224", 4, 32)
    images = torch.rand(2, 3, 32, 32)
    local = timm.create_model(f"local-dir:{tmp_path}", pretrained=True).eval()
    torch.testing.assert_close(local(images), model(images))


def test_only_networks_that_timm_can_load_get_a_config(tmp_path: Path) -> None:
    saved(tmp_path, "resnet10s", 4, 32)
    assert not (tmp_path / "config.json").exists()


def test_a_network_to_fine_tune_has_a_new_last_layer_alone(tmp_path: Path) -> None:
    model = saved(tmp_path, "resnet18", 4, 64)
    file = tmp_path / "weights.safetensors"
    tuned, name = load_pretrained(file, 7, seed=3)
    assert name == "resnet18" and last_layer(tuned) == "fc"
    theirs = model.state_dict()
    for key, value in tuned.state_dict().items():
        assert key.startswith("fc.") or torch.equal(value, theirs[key])
    fresh = build_model("resnet18", 7, seed=3)
    assert torch.equal(tuned.fc.weight, fresh.fc.weight)
    with pytest.raises(ValueError, match="holds a resnet18, not a resnet34"):
        load_pretrained(file, 7, name="resnet34")
    torch.save(theirs, tmp_path / "plain.pth")
    with pytest.raises(ValueError, match=r"plain\.pth does not hold a resnet34"):
        load_pretrained(tmp_path / "plain.pth", 7, name="resnet34")
    file.write_bytes(b"nothing")
    with pytest.raises(ValueError, match="is not a safetensors file"):
        load_weights(file)


@pytest.mark.parametrize(
    "wrong, found",
    [
        (lambda weight: weight.to(torch.int8), "torch.int8"),
        (lambda weight: weight.bool(), "torch.bool"),
        (lambda weight: weight.long(), "torch.int64"),
        (lambda weight: weight.to(torch.complex64), "torch.complex64"),
        (lambda weight: torch.quantize_per_tensor(weight, 0.1, 0, torch.qint8), "torch.qint8"),
        (lambda weight: weight * torch.nan, "torch.float32 with infinity or NaN"),
        (lambda weight: weight.double() + 1e300, "torch.float64 with infinity or NaN"),
    ],
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")  # quantization
def test_weights_that_are_no_finite_numbers_are_refused(
    tmp_path: Path, wrong: Any, found: str
) -> None:
    file = tmp_path / "theirs.pth"
    state = build_model("resnet10s", 3, seed=0).state_dict()
    torch.save({**state, "conv1.weight": wrong(state["conv1.weight"])}, file)
    says = f"cannot read {file}: conv1.weight must be finite floating-point numbers, got {found}"
    with pytest.raises(ValueError, match=re.escape(says)):
        load_pretrained(file, 5, name="resnet10s")


def test_a_buffer_of_infinity_is_loaded(tmp_path: Path) -> None:
    (tmp_path / "masked.py").write_text(
        "import torch\n"
        "def net(num_classes):\n"
        "    body = torch.nn.Linear(3, 3)\n"
        "    body.register_buffer('causal', torch.full((3, 3), -torch.inf).triu(1))\n"
        "    pool = torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()\n"
        "    return torch.nn.Sequential(*pool, body, torch.nn.Linear(3, num_classes))\n",
        encoding="utf-8",
    )
    name = f"{tmp_path / 'masked.py'}:net"
    torch.save(build_model(name, 2, seed=0).state_dict(), tmp_path / "theirs.pth")
    loaded, _ = load_pretrained(tmp_path / "theirs.pth", 5, name=name)
    assert loaded.get_submodule("2").causal.isinf().sum() == 3


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_weights_of_another_precision_are_loaded(tmp_path: Path, dtype: torch.dtype) -> None:
    model = build_model("resnet10s", 3, seed=0).to(dtype)
    model.bn1.num_batches_tracked += 7
    torch.save(model.state_dict(), tmp_path / "theirs.pth")
    loaded, _ = load_pretrained(tmp_path / "theirs.pth", 5, name="resnet10s")
    assert torch.equal(loaded.conv1.weight, model.conv1.weight.float())
    assert loaded.bn1.num_batches_tracked == 7


def test_weights_for_another_size_are_one_sentence(tmp_path: Path) -> None:
    saved(tmp_path, "vit6s", 4, 32)
    says = "does not hold a vit6s for images of 64: encoder.pos_embedding has the shape"
    with pytest.raises(ValueError, match=says):
        load_pretrained(tmp_path / "weights.safetensors", 3, input_size=64)


@pytest.mark.parametrize("entry", ["state_dict", "model"])
def test_weights_may_be_an_entry_of_what_another_program_saved(tmp_path: Path, entry: str) -> None:
    model = build_model("resnet10s", 3, seed=0)
    state = {f"module.{name}": tensor for name, tensor in model.state_dict().items()}
    torch.save({entry: state, "epoch": 3}, tmp_path / "theirs.pth")
    loaded, _ = load_pretrained(tmp_path / "theirs.pth", 5, name="resnet10s")
    torch.testing.assert_close(loaded.conv1.weight, model.conv1.weight)


def test_weights_of_a_training_script_of_timm_may_be_loaded(tmp_path: Path) -> None:
    model = build_model("resnet10s", 3, seed=0)
    about = {"epoch": 3, "args": argparse.Namespace(lr=0.1, mean=[0.5])}
    torch.save({"state_dict": model.state_dict(), **about}, tmp_path / "theirs.pth.tar")
    loaded, _ = load_pretrained(tmp_path / "theirs.pth.tar", 5, name="resnet10s")
    torch.testing.assert_close(loaded.conv1.weight, model.conv1.weight)
    torch.save({"state_dict": {}, "when": datetime.date(2020, 1, 1)}, tmp_path / "theirs.pth.tar")
    says = r"holds more than tensors and plain values, a datetime\.date: save its state_dict"
    with pytest.raises(ValueError, match=says):
        load_weights(tmp_path / "theirs.pth.tar")


def test_a_transformer_of_timm_is_fitted_to_another_size(tmp_path: Path) -> None:
    pytest.importorskip("timm")
    name = "timm:vit_tiny_patch16_224"
    model = build_model(name, 3, seed=0, input_size=64)
    torch.save(model.state_dict(), tmp_path / "large.pth")
    small, _ = load_pretrained(tmp_path / "large.pth", 5, name=name, input_size=32)
    assert small.pos_embed.shape == (1, 1 + 4, 192)
    same, _ = load_pretrained(tmp_path / "large.pth", 5, name=name, input_size=64)
    torch.testing.assert_close(same.pos_embed, model.pos_embed)


def test_position_embeddings_that_a_file_only_claims_are_not_resampled(tmp_path: Path) -> None:
    pytest.importorskip("timm")
    name = "timm:vit_tiny_patch16_224"
    weights = build_model(name, 3, input_size=32).state_dict()
    weights["pos_embed"] = torch.zeros(1).expand(1, 1 + 10**8, 192)
    torch.save(weights, tmp_path / "theirs.pth")
    with pytest.raises(ValueError, match=r"pos_embed has the shape \(1, 100000001, 192\), not"):
        load_pretrained(tmp_path / "theirs.pth", 5, name=name, input_size=32)


@pytest.mark.slow
@pytest.mark.parametrize("model", ["vit_small_patch16_224", "deit3_small_patch16_224"])
def test_weights_of_another_network_of_timm_are_refused(tmp_path: Path, model: str) -> None:
    timm = pytest.importorskip("timm")
    torch.save(timm.create_model("vit_small_patch32_224").state_dict(), tmp_path / "theirs.pth")
    with pytest.raises(ValueError, match=f"does not hold a timm:{model}"):
        load_pretrained(tmp_path / "theirs.pth", 5, name=f"timm:{model}")


def test_what_is_no_state_dict_is_one_sentence(tmp_path: Path) -> None:
    torch.save({"epoch": 3, "net": {}}, tmp_path / "theirs.pth")
    with pytest.raises(ValueError, match="must hold only named tensors, but holds 'epoch'"):
        load_weights(tmp_path / "theirs.pth")


@pytest.mark.parametrize(
    "content, says",
    [
        ({0: torch.ones(1)}, "must hold only named tensors, but holds 0: save"),
        ({"weights": [1], "made": {}}, "must hold a dict of tensors, got [1]"),
        ({"weights": {}, "made": "x"}, "must name its network in 'made', got 'x'"),
        (
            {"weights": {}, "made": {"model": 5}},
            "must name its network in 'made', got {'model': 5}",
        ),
        (
            {"w": torch.ones(1).to_sparse()},
            "must hold dense tensors with data, but w is torch.spar",
        ),
        (
            {"w": torch.ones(1, device="meta")},
            "must hold dense tensors with data, but w is torch.strided on meta",
        ),
    ],
)
@pytest.mark.filterwarnings("ignore:Validating sparse tensor:UserWarning")
def test_weights_of_another_form_are_one_sentence(tmp_path: Path, content: Any, says: str) -> None:
    torch.save(content, tmp_path / "theirs.pth")
    with pytest.raises(ValueError, match=re.escape(f"{tmp_path / 'theirs.pth'} {says}")):
        load_pretrained(tmp_path / "theirs.pth", 5)


def test_a_small_file_cannot_take_any_amount_of_memory(tmp_path: Path) -> None:
    file, huge = tmp_path / "theirs.pth", torch.zeros(1).expand(10**12)
    torch.save(build_model("resnet10s", 5).state_dict() | {"conv1.weight": huge}, file)
    with pytest.raises(ValueError, match=r"conv1\.weight has the shape \(1000000000000,\)"):
        load_pretrained(file, 5, name="resnet10s")
    with zipfile.ZipFile(file) as stored, zipfile.ZipFile(tmp_path / "a.pth", "w") as packed:
        for name in stored.namelist():
            packed.writestr(name, stored.read(name), zipfile.ZIP_DEFLATED)
    with pytest.raises(ValueError, match=r"a\.pth is damaged or not a checkpoint: it is compress"):
        load_weights(tmp_path / "a.pth")
    with zipfile.ZipFile(tmp_path / "script.pt", "w") as script:  # as torch.jit.save writes it
        script.writestr("script/constants.pkl", b"")
    with pytest.raises(ValueError, match=r"it is a TorchScript archive: save the network's"):
        load_weights(tmp_path / "script.pt")
    with gzip.open(tmp_path / "images.gz", "wb") as images:
        images.write(b"\0\0\x08\x01\0\0\0\x03" + bytes(3 * 10**7))
    tracemalloc.start()
    with pytest.raises(ValueError, match="got more"):
        read_idx(tmp_path / "images.gz", 1)
    assert tracemalloc.get_traced_memory()[1] < 10**7
    tracemalloc.stop()
