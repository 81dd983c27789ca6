"""Dead leaves: the original images, the distribution of ours, and what a stranger could get wrong.

The original images are in the folder that FDSL_REFERENCE names (dead-leaves.npz and .json).
"""

import json
import pickle
from pathlib import Path
from typing import Any

import fdsl
import numpy as np
import pytest
from fdsl import DeadLeaves, Leaves
from fdsl.families.leaves import SHAPES
from published import FOLDER

INDICES = np.arange(0, 800, 4)


def references() -> list[Any]:
    file = FOLDER / "dead-leaves.json"
    if not file.exists():
        skip = pytest.mark.skip(reason=f"no {file}; FDSL_REFERENCE names the folder")
        return [pytest.param({}, 0, marks=skip)]
    listing = json.loads(file.read_text(encoding="utf-8"))
    return [
        pytest.param(one, listing["size"], id=f"{one['mode']}-{one['seed']}-{one['index']}")
        for one in listing["pictures"]
    ]


@pytest.mark.parametrize(("one", "size"), references())
def test_the_programs_images_are_replayed_pixel_by_pixel(one: dict[str, Any], size: int) -> None:
    image = fdsl.render(
        DeadLeaves.paper(one["mode"]), 0, one["seed"], rendering=Leaves.released(size=size)
    )
    with np.load(FOLDER / "dead-leaves.npz") as file:
        expected = file["images"][one["index"]]
    assert (image == expected).all()


def test_a_replay_is_the_same_whatever_the_seed_of_the_address() -> None:
    family, style = DeadLeaves.paper(), Leaves.released(size=64)
    assert (fdsl.render(family, 0, 3, 0, style) == fdsl.render(family, 0, 3, 9, style)).all()
    assert (fdsl.render(family, 0, 3, 0, style) != fdsl.render(family, 0, 4, 0, style)).any()


# Our own draws


def leaves_of(images: np.ndarray) -> list[int]:
    """How many colors each image shows."""
    packed = images.astype(np.uint32) @ np.array([1, 256, 65536], np.uint32)
    return [len(np.unique(image)) for image in packed]


def squares(rng: np.random.Generator, size: int, leaves: int) -> np.ndarray:
    """Throws squares on top of each other for long, as anyone would write it first."""
    radii = np.linspace(0.03, 1, 200)
    shares = np.cumsum(radii**-3.0 - 1)
    shares /= shares[-1]
    image = np.zeros((size, size, 3), np.uint8)
    for color, u, center in zip(
        (255 * rng.random((leaves, 3))).astype(np.uint8),
        rng.random(leaves),
        (size * rng.random((leaves, 2))).astype(int),
        strict=True,
    ):
        radius = max(int(radii[abs(shares - u).argmin()] * size), 1)
        half = int(radius * np.sqrt(2) / 2)
        top, left = np.maximum(center - half, 0)
        image[top : center[0] + half + 1, left : center[1] + half + 1] = color
    return image


@pytest.mark.slow
def test_our_own_images_are_those_of_leaves_that_have_fallen_for_long() -> None:
    """So long that another thousand would make no difference. (The original stops when the ground
    is hidden, and its last leaf is larger than others.)"""
    rng = np.random.default_rng(0)
    theirs = np.stack([squares(rng, 64, 4000) for _ in range(300)])
    indices = np.arange(0, 16000, 4)
    ours = fdsl.render(DeadLeaves.paper("square"), 0, indices, 1, Leaves(size=64, color=True))
    for measure in (
        leaves_of,  # how many leaves show
        lambda images: images.reshape(len(images), -1).std(axis=1),
        lambda images: images.reshape(len(images), -1).mean(axis=1),
        lambda images: (images[:, :, 1:] != images[:, :, :-1]).any(axis=-1).mean(axis=(1, 2)),
        lambda images: (images[:, 1:] != images[:, :-1]).any(axis=-1).mean(axis=(1, 2)),
    ):
        a, b = np.array(measure(ours)), np.array(measure(theirs))
        error = np.hypot(a.std() / np.sqrt(len(a)), b.std() / np.sqrt(len(b)))
        assert abs(a.mean() - b.mean()) < 4 * error, (a.mean(), b.mean(), error)
        assert abs(a.std() / b.std() - 1) < 0.2


def test_pixels_deviate_as_the_programs() -> None:
    for shape in ("square", "oriented_square", "mixed"):
        images = fdsl.render(DeadLeaves.paper(shape), 0, INDICES, 2, Leaves(size=128, color=True))
        assert 70 < images.reshape(len(INDICES), -1).std(axis=1).mean() < 75


def test_no_ground_is_left_whatever_the_law() -> None:
    """Leaves are 0…254 in each channel; the ground would be 0 in all three of many pixels."""
    rows = [(shape, exponent, 0.03, 0.5) for shape in range(7) for exponent in (0.1, 3, 10)]
    family = DeadLeaves(rows)
    images = fdsl.render(family, range(len(family)), 0, rendering=Leaves(size=(40, 70), color=True))
    black = (images == 0).all(axis=-1).reshape(len(family), -1).mean(axis=1)
    assert (black < 0.01).all() and images.max() == 254


def test_gray_leaves_have_the_shapes_of_colored_ones() -> None:
    family = DeadLeaves(14)
    gray = fdsl.render(family, range(14), 5, rendering=Leaves(size=64))
    color = fdsl.render(family, range(14), 5, rendering=Leaves(size=64, color=True))
    assert (gray == color[..., 0]).all()


def test_circles_are_round_and_squares_have_four_corners() -> None:
    """Leaves of one size, half of the image: only the first one shows whole."""
    for shape, share in (("circle", np.pi), ("square", 2), ("oriented_square", 2)):
        family = DeadLeaves([(SHAPES.index(shape), 10, 0.2, 0.2001)])
        images = fdsl.render(family, 0, INDICES, 0, Leaves(size=256, color=True))
        packed = images.astype(np.uint32) @ np.array([1, 256, 65536], np.uint32)
        largest = [np.unique(image, return_counts=True)[1].max() for image in packed]
        assert abs(np.median(largest) / (share * (0.2 * 256) ** 2) - 1) < 0.05, shape


def test_a_larger_image_is_the_same_law_with_more_leaves_of_the_same_share() -> None:
    few = fdsl.render(DeadLeaves.paper(), 0, INDICES, 0, Leaves(size=128, color=True))
    many = fdsl.render(DeadLeaves.paper(), 0, INDICES, 0, Leaves(size=256, color=True))
    assert np.mean(leaves_of(many)) / np.mean(leaves_of(few)) < 1.6  # smaller gaps, not 4 times


# Textures


def test_a_texture_shades_leaves_and_leaves_their_shapes_alone() -> None:
    style = Leaves(size=64, color=True)
    plain = fdsl.render(DeadLeaves(7), range(7), 3, rendering=style).astype(int)
    flat = DeadLeaves(7, texture=fdsl.Perlin([(1 / 4096, 1 / 4096)], contrast=0.01))
    assert abs(fdsl.render(flat, range(7), 3, rendering=style) - plain).max() <= 1
    for texture in (fdsl.Spectrum(9), fdsl.Perlin(16)):
        textured = DeadLeaves(7, texture=texture)
        images = fdsl.render(textured, range(7), 3, rendering=style)
        assert (images != plain).mean() > 0.5
        assert (images == fdsl.render(textured, range(7), [3] * 7, 0, style, 1)).all()
        flipped = fdsl.render(textured, range(7), 1, rendering=style)
        assert (flipped[:, ::-1] == fdsl.render(textured, range(7), 0, rendering=style)).all()


def test_a_texture_belongs_to_the_categories(tmp_path: Path) -> None:
    textured = DeadLeaves(8, texture=fdsl.Perlin(16, octaves=3))
    textured.save(tmp_path / "leaves.npz")
    for copy in (fdsl.load(tmp_path / "leaves.npz"), pickle.loads(pickle.dumps(textured))):
        assert copy == textured and copy.texture == textured.texture
    assert textured != DeadLeaves(8) and textured[2:4].texture == textured.texture
    assert textured.parameters(1)["texture"] == "perlin"


def test_what_is_no_texture_is_refused() -> None:
    for wrong in (3, fdsl.Bezier(4), DeadLeaves(7), "spectrum-9"):
        with pytest.raises(TypeError, match="texture must be a family of the core"):
            DeadLeaves(7, texture=wrong)
    textured = DeadLeaves(7, texture=fdsl.Spectrum(9))
    with pytest.raises(ValueError, match="compat='released' is for leaves without a texture"):
        fdsl.render(textured, 0, 0, rendering=Leaves.released())


# Categories


def test_leaves_are_categories_like_any_other(tmp_path: Path) -> None:
    family = fdsl.load("deadleaves-48")
    family.save(tmp_path / "leaves.npz")
    copies = [fdsl.load(tmp_path / "leaves.npz"), pickle.loads(pickle.dumps(family))]
    assert all(copy == family and copy.key() == family.key() for copy in copies)
    assert family.parameters(2) == family[2]._asdict()
    assert DeadLeaves(49)[:48] == family
    small = Leaves(size=64)
    images = fdsl.render(family, range(48), 5, rendering=small)
    assert (images == fdsl.render(copies[0], range(48), [5] * 48, 0, small, 1)).all()


def test_the_first_law_is_the_programs_and_the_others_spread() -> None:
    family = DeadLeaves(700)
    assert [family[c].shape for c in range(8)] == [*SHAPES, "circle"]
    assert all(family[c][1:] == (3.0, 0.03, 1.0) for c in range(7))
    laws = {family[c][1:] for c in range(0, 700, 7)}
    assert len(laws) == 100
    exponents, radii, _ = np.array(sorted(laws)).T
    assert exponents.min() < 2.1 and exponents.max() > 4.9
    assert radii.min() < 0.021 and radii.max() > 0.095


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ([7, 3, 0.03, 1], "shape must be a whole number between 0 and 6, got 7"),
        ([0.5, 3, 0.03, 1], "shape must be a whole number between 0 and 6, got 0.5"),
        ([0, 11, 0.03, 1], "exponent must be between 0.1 and 10, got 11"),
        ([0, 3, 0, 1], "min_radius must be between 0.001 and 1, got 0"),
        ([0, 3, 0.5, 0.5], "max_radius must be above min_radius and up to 1, got 0.5"),
        ([0, 3, 0.5, float("nan")], "max_radius must be above min_radius and up to 1, got NaN"),
    ],
)
def test_a_category_that_cannot_be_is_refused(row: list[float], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        DeadLeaves([row])


def test_what_are_no_categories_is_refused() -> None:
    with pytest.raises(ValueError, match="between 1 and 100,000, got 0"):
        DeadLeaves(0)
    with pytest.raises(ValueError, match=r"shape \(C, 4\), got \(1, 3\)"):
        DeadLeaves([[3, 1, 1]])
    with pytest.raises(ValueError, match=r"shape must be one of circle, .* got 'star'"):
        DeadLeaves.paper("star")
    with pytest.raises(ValueError, match="color must be True with compat='released'"):
        Leaves(compat="released")
    with pytest.raises(ValueError, match="compat must be 'released' or None, got 'mine'"):
        Leaves(compat="mine")
