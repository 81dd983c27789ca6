"""Noise with a power spectrum: the law that it promises, and what a stranger could get wrong."""

import pickle
from pathlib import Path

import fdsl
import numpy as np
import pytest
from fdsl import Frame, Spectrum, _core

INDICES = np.arange(0, 400, 4)


def magnitudes(exponents: tuple[float, float], frame: Frame) -> np.ndarray:
    """The mean Fourier magnitude over a hundred images, each of deviation 1."""
    images = fdsl.render(Spectrum([exponents]), 0, INDICES, rendering=frame).astype(float)
    images -= images.mean(axis=(1, 2), keepdims=True)
    images /= images.std(axis=(1, 2), keepdims=True)
    found: np.ndarray = np.abs(np.fft.fft2(images)).mean(axis=0)
    return found


@pytest.mark.parametrize("exponents", [(1.0, 2.0), (0.5, 0.5), (2.5, 1.5), (0.0, 1.0)])
@pytest.mark.parametrize("size", [64, (128, 256), (256, 128)])
def test_the_spectrum_is_the_one_of_the_category(
    exponents: tuple[float, float], size: int | tuple[int, int]
) -> None:
    """As NumPy would compute the law; but for the rounding of pixels to bytes."""
    frame = Frame(size=size)
    fx = np.abs(np.fft.fftfreq(frame.width, 1 / frame.width))
    fy = np.abs(np.fft.fftfreq(frame.height, 1 / frame.height))[:, None]
    with np.errstate(divide="ignore"):
        law = 1 / (fx ** exponents[0] + fy ** exponents[1])
    law[0, 0] = 0
    law *= frame.width * frame.height / np.sqrt((law**2).sum())
    found = magnitudes(exponents, frame)
    strong = law > 1e-2 * law.max()
    assert np.allclose(found[strong], law[strong], rtol=0.05)


def test_phases_are_uniform_and_an_image_does_not_repeat() -> None:
    images = fdsl.render(Spectrum([(1, 1)]), 0, INDICES, rendering=Frame(size=64)).astype(float)
    phases = np.angle(np.fft.fft2(images))[:, 1:20, 1:20].ravel()
    counts, _ = np.histogram(phases, 32, (-np.pi, np.pi))
    expected = len(phases) / 32
    assert ((counts - expected) ** 2 / expected).sum() < 80  # chi² of 31: one in a million
    assert len(np.unique(images, axis=0)) == len(INDICES)


def test_other_sizes_are_a_corner_of_the_next_power_of_two() -> None:
    """The top of the unflipped image is the last row of the tile that is kept."""
    family = Spectrum(9)
    for size in ((100, 64), (33, 50), (17, 16)):
        odd = fdsl.render(family, range(9), 7, rendering=Frame(size=size, flips=False))
        side = tuple(max(32, 1 << (s - 1).bit_length()) for s in size)
        whole = fdsl.render(family, range(9), 7, rendering=Frame(size=side, flips=False))
        assert (odd == whole[:, side[0] - size[0] :, : size[1]]).all()


def test_an_image_reaches_from_black_to_white() -> None:
    images = fdsl.render(Spectrum(49), range(49), 0, rendering=Frame(size=64))
    assert (images.min(axis=(1, 2)) == 0).all() and (images.max(axis=(1, 2)) == 255).all()


def test_channels_are_noises_of_their_own() -> None:
    images = fdsl.render(Spectrum([(1, 1)]), 0, INDICES, rendering=Frame(size=64, color=True))
    flat = images.reshape(-1, 3).astype(float).T
    assert abs(np.corrcoef(flat)[np.triu_indices(3, 1)]).max() < 0.1
    assert (images[..., 0] == fdsl.render(Spectrum([(1, 1)]), 0, INDICES, 0, Frame(size=64))).all()


def test_every_path_and_number_of_threads_gives_the_same_bytes() -> None:
    family = Spectrum(16)
    for frame in (Frame(size=(64, 200)), Frame(size=48, color=True, crop=(20, 31))):
        expected = fdsl.render(family, range(16), 5, 0, frame, 1, simd="plain")
        for path in _core.simd_paths():
            for threads in (1, 3):
                images = fdsl.render(family, range(16), 5, 0, frame, threads, simd=path)
                assert (images == expected).all()


def test_spectra_are_categories_like_any_other(tmp_path: Path) -> None:
    family = fdsl.load("spectrum-49")
    family.save(tmp_path / "noise.npz")
    for copy in (fdsl.load(tmp_path / "noise.npz"), pickle.loads(pickle.dumps(family))):
        assert copy == family and copy.key() == family.key()
    assert family.parameters(9) == {"exponents": [1.0, 1.5]}
    assert (tuple(family[0]), tuple(family[-1])) == ((0.5, 0.5), (3.5, 3.5))
    assert tuple(Spectrum(1)[0]) == (2.0, 2.0)
    assert family[7:9] == Spectrum([family[7], family[8]])


@pytest.mark.parametrize(
    ("categories", "said"),
    [
        ([[-0.5, 1]], "an exponent must be between 0 and 8, got -0.5"),
        ([[1, 8.5]], "an exponent must be between 0 and 8, got 8.5"),
        ([[1, float("nan")]], "an exponent must be between 0 and 8, got NaN"),
        (48, "categories must be a square number, such as 100, got 48"),
        ([[1, 2, 3]], r"shape \(C, 2\), got \(1, 3\)"),
    ],
)
def test_a_category_that_cannot_be_is_refused(categories: object, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Spectrum(categories)
