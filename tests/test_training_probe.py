"""Linear probes of frozen features."""

from typing import Any

import numpy as np
import pytest
from packages import TRAINING, need

need(*TRAINING)

import torch
from fdsl.torch import Normalize
from fdsl.torch.training import build_model, linear_probe
from fdsl.torch.training.probe import features_of
from torch import nn


def test_features_record_no_gradients() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 3), nn.ReLU(), nn.Linear(3, 2))
    features, labels = features_of(model, [(torch.ones(5, 3, 2, 2), torch.arange(5))])
    assert features.shape == (5, 3) and not features.requires_grad and len(labels) == 5


@pytest.mark.parametrize("order", ["sorted", "mixed"])
def test_a_linear_probe_changes_no_parameter(order: str) -> None:
    rng = np.random.default_rng(0)
    labels = torch.from_numpy(np.repeat([0, 1], 300))
    shuffled = torch.from_numpy(np.arange(600) if order == "sorted" else rng.permutation(600))
    bright = torch.where(labels == 0, 60, 190).to(torch.uint8)
    images = bright[:, None, None, None].expand(600, 1, 8, 8).clone()
    images += torch.from_numpy(rng.integers(0, 60, images.shape, dtype=np.uint8))
    images, labels = images[shuffled], labels[shuffled]
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(4, 9),
    )  # fmt: skip
    before = {name: tensor.clone() for name, tensor in model.named_parameters()}
    normalize = Normalize(mean=0.5, std=0.5)
    mixed = torch.from_numpy(rng.permutation(600))

    def train() -> Any:
        return [(normalize(images[part]), labels[part]) for part in mixed.split(250)]

    def val() -> Any:
        return [(normalize(images), labels)]

    assert (linear_probe(model, train, val) == labels.numpy()).all()
    assert all(torch.equal(before[name], now) for name, now in model.named_parameters())
    # The statistics are those of all images, whose brightness varies more than within a class.
    whole = model[0](normalize(images)).var(dim=(0, 2, 3))
    torch.testing.assert_close(model[1].running_var, whole, rtol=0.1, atol=0)


def test_a_probe_recomputes_the_statistics_of_whole_images() -> None:
    from torchvision.ops import StochasticDepth

    images, labels = torch.rand(24, 3, 8, 8), torch.arange(24) % 2
    norm = nn.BatchNorm2d(3)
    dropping = nn.Dropout(0.9), StochasticDepth(0.9, "row")
    model = nn.Sequential(*dropping, norm, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(12, 2))
    batches = [(images[:12], labels[:12]), (images[12:], labels[12:])]
    linear_probe(model, lambda: batches, lambda: batches)
    torch.testing.assert_close(norm.running_mean, images.mean((0, 2, 3)))
    assert not model.training and norm.momentum == 0.1


def test_features_may_come_from_a_convolution_that_classifies() -> None:
    pytest.importorskip("timm")
    model = build_model("timm:resnetv2_18", 3, input_size=64).eval()
    with torch.no_grad():
        features, _ = features_of(model, [(torch.zeros(2, 3, 64, 64), torch.arange(2))])
    assert features.shape == (2, 512)


def test_the_features_of_a_probe_do_not_depend_on_their_batch() -> None:
    seen = []

    class Spy(nn.Linear):
        def forward(self, input: Any) -> Any:
            seen.append(input.clone())
            return super().forward(input)

    model = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(4), Spy(4, 2))
    labels = torch.arange(40) % 2
    images = torch.randn(40, 4) + labels[:, None]
    batches = [*zip(images.split(8), labels.split(8), strict=True)]
    linear_probe(model, lambda: batches, lambda: [(images[:2], labels[:2])])
    first_of_training = seen[-1 - len(batches)]
    torch.testing.assert_close(seen[-1], first_of_training[:2])
