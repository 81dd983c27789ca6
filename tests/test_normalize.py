"""Normalizing images where the network is."""

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")  # an optional package, which all of this file needs

from fdsl.torch import Normalize


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("mean, std", [(0.2, 0.5), ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))])
def test_normalize_is_the_obvious_formula(channels: int, mean: Any, std: Any) -> None:
    images = torch.arange(256, dtype=torch.uint8).repeat(2 * channels).reshape(2, channels, 16, 16)
    images[1] = 255 - images[1]
    rgb = images.expand(2, 3, 16, 16).double() / 255
    center, spread = (torch.tensor(x).double().expand(3).reshape(3, 1, 1) for x in (mean, std))
    normalized = Normalize(mean, std)(images)
    assert (normalized.dtype, normalized.shape) == (torch.float32, (2, 3, 16, 16))
    np.testing.assert_allclose(normalized, (rgb - center) / spread, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("channels", [1, 3])
def test_normalize_takes_a_single_image(channels: int) -> None:
    image = torch.randint(256, (channels, 8, 9), dtype=torch.uint8)
    normalize = Normalize((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    assert normalize(image).shape == (3, 8, 9)
    assert torch.equal(normalize(image), normalize(image[None])[0])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_normalize_returns_the_dtype_asked_for(dtype: torch.dtype) -> None:
    images = torch.randint(256, (2, 1, 8, 8), dtype=torch.uint8)
    normalized = Normalize(dtype=dtype)(images)
    assert normalized.dtype == dtype
    assert torch.equal(normalized, Normalize()(images).to(dtype))


def test_a_network_of_half_precision_keeps_the_precision_of_its_normalization() -> None:
    images = torch.randint(256, (2, 1, 8, 8), dtype=torch.uint8)
    constants = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    network = torch.nn.Sequential(Normalize(*constants), torch.nn.Conv2d(3, 4, 3))
    network.to(torch.bfloat16)
    assert network(images).dtype == torch.bfloat16
    assert torch.equal(network[0](images), Normalize(*constants)(images).to(torch.bfloat16))
    assert torch.equal(network.float()[0](images), Normalize(*constants)(images))


def test_normalize_leaves_nothing_in_a_checkpoint() -> None:
    normalize = Normalize()
    assert normalize.state_dict() == {}
    assert list(normalize.parameters()) == []
    assert {name for name, _ in normalize.named_buffers()} == {"mean", "std"}  # .to() moves them


@pytest.mark.parametrize(
    "images",
    [
        torch.zeros(2, 1, 8, 8),
        torch.zeros(8, 8, dtype=torch.uint8),
        torch.zeros(8, 8, 3, dtype=torch.uint8),
        torch.zeros(2, 2, 8, 8, dtype=torch.uint8),
        torch.zeros(2, 8, 8, 3, dtype=torch.uint8),
    ],
    ids=lambda images: f"{images.dtype}{tuple(images.shape)}",
)
def test_normalize_refuses_anything_but_a_batch_of_images(images: Any) -> None:
    with pytest.raises(ValueError) as refusal:
        Normalize()(images)
    assert str(images.dtype) in str(refusal.value)
    assert str(tuple(images.shape)) in str(refusal.value)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"std": 0}, "std .* 0"),
        ({"std": (0.5, -0.5, 0.5)}, r"std .* \(0.5, -0.5, 0.5\)"),
        ({"std": float("nan")}, "std .* nan"),
        ({"std": float("inf")}, "std .* inf"),
        ({"std": 1e-45}, "1 / std must be finite, .*1e-45"),
        ({"mean": 1, "std": 1e-40}, "mean / std .* must be finite, got mean=1, std=1e-40"),
        ({"mean": 127}, "mean must lie between 0 and 1, as 255 counts as 1, got 127"),
        ({"mean": (0.5, -0.1, 0.5)}, r"mean must lie between 0 and 1, .* got \(0.5, -0.1, 0.5\)"),
        ({"mean": float("nan")}, "mean must be finite, got nan"),
        ({"mean": (0.1, float("inf"), 0.1)}, "mean must be finite, .*inf"),
        ({"mean": "gray"}, "mean .* 'gray'"),
        ({"mean": 10**400}, "mean .*"),
        ({"mean": (0.1, 0.2)}, r"mean .* \(0.1, 0.2\)"),
        ({"mean": ((0.1, 0.2, 0.3),)}, "mean .*"),
    ],
    ids=str,
)
def test_normalize_refuses_bad_arguments(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Normalize(**arguments)
