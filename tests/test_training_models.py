"""Networks by name: their last layers, sizes, and what decays."""

import sys
from pathlib import Path
from typing import Any

import pytest
from packages import TRAINING, need

need(*TRAINING)

import fdsl
import torch
from fdsl.torch.training import build_model, decay_groups, last_layer, load_pretrained, save_weights
from torch import nn
from training import saved


def test_an_unknown_network_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="resnet19"):
        build_model("resnet19", 3)
    pytest.importorskip("timm")
    with pytest.raises(ValueError, match="timm has no model 'resnet19'"):
        build_model("timm:resnet19", 3)
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ModuleNotFoundError, match="the model timm:resnet18 needs timm: pip"):
        build_model("timm:resnet18", 3)


@pytest.mark.parametrize(
    "name, error, says",
    [
        ("missing", ValueError, "networks.py has no function or class 'missing'"),
        ("text", TypeError, "text must return a torch.nn.Module, got str"),
        (
            "headless",
            ValueError,
            r"must return logits \(B, 3\), got \(1, 4, 1, 1\)",
        ),
        ("pair", ValueError, r"must return logits \(B, 3\), got a tuple"),
        ("flat", ValueError, "flat does not take images of 32×32: .*mat1 and mat2"),
    ],
)
def test_a_network_of_ones_own_that_does_not_fit_is_one_sentence(
    name: str, error: type[Exception], says: str, networks: Path
) -> None:
    with pytest.raises(error, match=says):
        build_model(f"{networks}:{name}", 3, input_size=32)


def test_a_network_of_ones_own_trains_and_its_weights_load(networks: Path, tmp_path: Path) -> None:
    name = f"{networks}:Small"
    pretrained = saved(tmp_path / "run", name, 4, 32)
    with pytest.raises(ValueError, match=r"name it yourself .*no file of weights may choose"):
        load_pretrained(tmp_path / "run" / "weights.safetensors", 7)
    loaded, own = load_pretrained(tmp_path / "run" / "weights.safetensors", 7, name=name)
    assert own == name and loaded.training
    assert torch.equal(loaded.get_submodule("0").weight, pretrained.get_submodule("0").weight)
    elsewhere = tmp_path / "elsewhere.py"
    elsewhere.write_text(networks.read_text(encoding="utf-8"))
    networks.unlink()  # another computer has other folders
    _, moved = load_pretrained(
        tmp_path / "run" / "weights.safetensors", 7, name=f"{elsewhere}:Small"
    )
    assert moved == f"{elsewhere}:Small"
    with pytest.raises(FileNotFoundError, match=r"no script at .*none\.py"):
        build_model("none.py:Small", 3)
    with pytest.raises(ValueError, match=r"weights\.safetensors does not hold a .*:wide"):
        load_pretrained(tmp_path / "run" / "weights.safetensors", 7, name=f"{elsewhere}:wide")


@pytest.fixture
def networks(tmp_path: Path) -> Path:
    """A script with networks, good and bad."""
    script = tmp_path / "networks.py"
    script.write_text(
        """
from torch import nn

class Small(nn.Sequential):
    def __init__(self, num_classes, width=4):
        pooled = nn.AdaptiveAvgPool2d(1), nn.Flatten()
        super().__init__(nn.Conv2d(3, width, 3), *pooled, nn.Linear(width, num_classes))

def wide(num_classes):
    return Small(num_classes, width=8)

def text(num_classes):
    return "a network"

def headless(num_classes):
    return nn.Sequential(*list(Small(num_classes))[:2])

class Pair(Small):
    def forward(self, images):
        return super().forward(images), None

pair = Pair

def flat(num_classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, num_classes))
"""
    )
    return script


def test_a_network_needs_a_linear_layer_that_fine_tuning_replaces() -> None:
    with pytest.raises(ValueError, match="SqueezeNet has no linear layer that classifies"):
        build_model("squeezenet1_1", 3)


def test_a_network_for_small_images_is_ready_to_train() -> None:
    assert all(part.training for part in build_model("resnet10s", 3, input_size=32).modules())
    small, large = (build_model("resnet10s", 3, seed=0, input_size=side) for side in (32, 224))
    for name, value in small.state_dict().items():  # checking the size changed nothing
        assert torch.equal(value, large.state_dict()[name]), name


def test_a_network_of_two_heads_is_refused() -> None:
    pytest.importorskip("timm")
    with pytest.raises(ValueError, match="has several heads, for distillation"):
        build_model("timm:deit_tiny_distilled_patch16_224", 3)


def test_norms_and_biases_do_not_decay() -> None:
    model = build_model("vit6s", 3, seed=0, input_size=32)
    decayed, others = decay_groups([{"params": model.parameters(), "lr": 0.1}], 0.05)
    assert (decayed["weight_decay"], others["weight_decay"]) == (0.05, 0.0)
    assert decayed["lr"] == others["lr"] == 0.1
    parameters = {id(one) for one in model.parameters()}
    assert {id(one) for group in (decayed, others) for one in group["params"]} == parameters
    assert all(one.ndim == 1 for one in others["params"])


def test_embeddings_that_timm_names_do_not_decay() -> None:
    pytest.importorskip("timm")
    model = build_model("timm:vit_tiny_patch16_224", 3, input_size=32)
    decayed, others = decay_groups([{"params": model.parameters()}], 0.05, model=model)
    kept = {id(one) for one in others["params"]}
    assert id(model.pos_embed) in kept and id(model.cls_token) in kept
    assert id(model.patch_embed.proj.weight) in {id(one) for one in decayed["params"]}


def test_a_small_transformer_is_pretrained_and_fine_tuned(tmp_path: Path) -> None:
    model = build_model("vit6s", 5, seed=0, input_size=32)
    assert last_layer(model) == "heads.head" and model(torch.zeros(2, 3, 32, 32)).shape == (2, 5)
    family, rendering = fdsl.Perlin(4), fdsl.Frame(size=32)
    about = {"family": family, "rendering": rendering, "mean": 0.2, "std": 0.5}
    save_weights(tmp_path, model, name="vit6s", **about)
    tuned, name = load_pretrained(tmp_path / "weights.safetensors", 7, input_size=32)
    assert name == "vit6s" and tuned(torch.zeros(2, 3, 32, 32)).shape == (2, 7)
    assert torch.equal(tuned.conv_proj.weight, model.conv_proj.weight)


def test_a_transformer_of_torchvision_is_built_for_the_size_of_the_images() -> None:
    model = build_model("vit_b_32", 3, seed=0, input_size=64)
    assert model.encoder.pos_embedding.shape[1] == 1 + 2 * 2
    assert model(torch.zeros(1, 3, 64, 64)).shape == (1, 3)


def test_paths_are_dropped_in_networks_of_timm() -> None:
    pytest.importorskip("timm")
    model = build_model("timm:deit_tiny_patch16_224", 4, input_size=32, drop_path=0.2)
    rates = [part.drop_prob for part in model.modules() if type(part).__name__ == "DropPath"]
    assert max(rates) == pytest.approx(0.2)


@pytest.mark.slow
@pytest.mark.parametrize("wrap", [torch.compile, nn.DataParallel], ids=["compiled", "parallel"])
def test_a_wrapped_network_names_what_does_not_decay(wrap: Any) -> None:
    class Named(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.token, self.head = nn.Parameter(torch.zeros(1, 4)), nn.Linear(4, 2)

        def no_weight_decay(self) -> set[str]:
            return {"token"}

    model = Named()
    groups = decay_groups([{"params": model.parameters()}], 0.05, model=wrap(model))
    assert [len(group["params"]) for group in groups] == [1, 2]
