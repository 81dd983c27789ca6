"""Augmentation of batches: crops, erasing, mixup and CutMix."""

from typing import Any

import pytest
from packages import TRAINING, need

need(*TRAINING)

import torch
from fdsl.torch.training import Augmentation, Erasing, build_model, mixing


def gradient(count: int, channels: int = 1) -> torch.Tensor:
    """Equal images that grow brighter to the right, and a little downwards."""
    row = torch.linspace(0, 200, 64)
    return (row + row[:, None] / 4).expand(count, channels, 64, 64).round().to(torch.uint8)


@pytest.mark.parametrize("channels", [1, 3])
def test_each_image_of_a_batch_is_augmented_in_its_own_way(channels: int) -> None:
    images = gradient(16, channels)
    for options in ({"crop_scale": 0.08}, {"flip": True}, {"rand_augment": 9}):
        augment = Augmentation((32, 48), **options)
        torch.manual_seed(0)
        first = augment(images)
        assert first.shape == (16, channels, 32, 48) and first.dtype == torch.uint8
        kinds = {image.numpy().tobytes() for image in first}
        assert len(kinds) == 2 if "flip" in options else len(kinds) > 8, options
        torch.manual_seed(0)
        assert torch.equal(augment(images), first)
    assert torch.equal(images, gradient(16, channels))


def test_a_crop_is_a_part_of_the_image_at_the_size_of_all() -> None:
    torch.manual_seed(0)
    whole, part = (Augmentation(32, crop_scale=scale)(gradient(200)) for scale in (1.0, 0.08))
    wide = (part[:, 0, :, -1].float() - part[:, 0, :, 0].float()).mean(1)
    # 200 gray levels from left to right, less in a crop, from a quarter of the side on.
    assert 40 < float(wide.min()) < 80 and float(wide.max()) > 150
    # Without a choice of the scale a crop is almost all of the image: only its shape varies.
    assert float((whole[:, 0, :, -1].float() - whole[:, 0, :, 0].float()).mean()) > 165


def test_without_options_images_are_resized_alone() -> None:
    images = gradient(3)
    assert torch.equal(Augmentation(64)(images), images)
    assert Augmentation(16)(images).shape == (3, 1, 16, 16)


def test_erasing_takes_rectangles_from_its_share_of_the_images() -> None:
    torch.manual_seed(0)
    images = torch.full((400, 3, 32, 32), 9.0)
    erased = Erasing(0.25)(images)
    changed = (erased != images).flatten(1).any(1)
    assert 70 < int(changed.sum()) < 130
    assert float(erased[changed].min()) < -2  # of a normal distribution
    masks = (erased != images).any(1)[changed]
    shares = masks.flatten(1).float().mean(1)
    assert 0.01 < float(shares.min()) < 0.05 and 0.25 < float(shares.max()) < 0.4
    rows, columns = (masks.any(axis).sum(1) for axis in (2, 1))
    assert torch.equal(rows * columns, masks.flatten(1).sum(1))  # rectangles
    assert torch.equal(Erasing(0)(images), images)
    erased = Erasing(1)(images) != images
    often = erased.any(1).float().mean(0)  # in the middle more than in the corners, but everywhere
    assert (
        float((often - often.flip(0, 1)).abs().max()) < 0.15
        and float(often[-8:, -8:].mean()) > 0.02
    )


def test_mixed_labels_are_the_shares_of_the_images() -> None:
    torch.manual_seed(0)
    labels = torch.arange(8)
    # Each image is its own constant, so its mean says what was mixed into it.
    images = labels.float().reshape(8, 1, 1, 1).expand(8, 3, 32, 32)
    for options in ({"mixup": 0.8}, {"cutmix": 1.0}, {"mixup": 0.8, "cutmix": 1.0}):
        mix = mixing(8, **options)
        for _ in range(10):
            inputs, targets = mix(images, labels)
            assert targets.shape == (8, 8) and torch.allclose(targets.sum(1), torch.ones(8))
            torch.testing.assert_close(inputs.mean((1, 2, 3)), targets @ labels.float())
    assert mixing(8)(images, labels)[1] is labels
    with pytest.raises(ValueError, match=r"one label per image, .* of shape \(8, 8\)"):
        mixing(8, mixup=0.8)(images, torch.eye(8))


@pytest.mark.parametrize(
    "make, says",
    [
        (lambda: Augmentation(32, crop_scale=0.0), "crop_scale must be above 0, up to 1, got 0.0"),
        (lambda: Augmentation(32, rand_augment=31), "rand_augment must be 0 to 30, got 31"),
        (lambda: Erasing(1.5), "probability must be 0 to 1, got 1.5"),
        (lambda: mixing(8, mixup=-1.0), "mixup and cutmix must be 0 or more, got -1.0 and 0.0"),
        (lambda: build_model("vit6s", 3, input_size=30), "square images with a side of 4, 8, 12"),
        (lambda: build_model("resnet10s", 3, drop_path=0.1), "drop_path is for networks of timm"),
        (lambda: build_model("fcn_resnet50", 3), "torchvision has no classifier 'fcn_resnet50'"),
        (
            lambda: build_model("vit_b_32", 3, input_size=60),
            "vit_b_32 does not take images of 60×60",
        ),
        (
            lambda: build_model("maxvit_t", 3, input_size=64),
            "does not take images of 64×64: Input size",
        ),
        (
            lambda: build_model("alexnet", 3, input_size=(32, 48)),
            "alexnet does not take images of 32×48: .*Output size is too small",
        ),
        (lambda: build_model("vit_b_32", 3, input_size=(64, 32)), "square images, got 64×32"),
    ],
)
def test_augmentation_out_of_range_is_one_sentence(make: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        make()


def test_no_images_are_augmented_to_no_images() -> None:
    images = torch.empty((0, 3, 16, 16), dtype=torch.uint8)
    assert Augmentation(8, crop_scale=0.5)(images).shape == (0, 3, 8, 8)
    assert Erasing(0.5)(images).shape == images.shape
