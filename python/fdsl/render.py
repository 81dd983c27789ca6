"""Renders samples by address."""

from __future__ import annotations

from typing import Literal, TypeAlias, overload

import numpy as np
import numpy.typing as npt

from fdsl._checks import (
    Numbers,
    checked_numbers,
    checked_seed,
    checked_threads,
    checked_type,
    renamed,
)
from fdsl.families import Family
from fdsl.frame import Frame
from fdsl.job import Job

Images: TypeAlias = "npt.NDArray[np.uint8]"


@overload
def render(
    family: Family,
    categories: Numbers,
    indices: Numbers,
    seed: int = ...,
    rendering: Frame | None = ...,
    num_threads: int | None = ...,
    *,
    out: Images | None = ...,
    return_retries: Literal[False] = ...,
    simd: str | None = ...,
) -> Images: ...
@overload
def render(
    family: Family,
    categories: Numbers,
    indices: Numbers,
    seed: int = ...,
    rendering: Frame | None = ...,
    num_threads: int | None = ...,
    *,
    out: Images | None = ...,
    return_retries: Literal[True],
    simd: str | None = ...,
) -> tuple[Images, npt.NDArray[np.uint8]]: ...
@renamed(threads="num_threads", return_redraws="return_retries")
def render(
    family: Family,
    categories: Numbers,
    indices: Numbers,
    seed: int = 0,
    rendering: Frame | None = None,
    num_threads: int | None = None,
    *,
    out: Images | None = None,
    return_retries: bool = False,
    simd: str | None = None,
) -> Images | tuple[Images, npt.NDArray[np.uint8]]:
    """Renders images, each a pure function of ``(seed, category, index)``.

    Args:
        family: the categories.
        categories: an integer in ``0…len(family)-1``, or an array of them (B,).
        indices: an integer ≥ 0, or an array of them (B,). If only one of ``categories`` and
            ``indices`` is an array, the other is broadcast. For fractals, the first 1,000 indices
            are the authors' grid, ``variation·40 + patch·4 + flip``.
        seed: 0…2⁶⁴−1; each seed gives a different data set.
        rendering: the settings, a ``Frame`` or an instance of the family's style. By default the
            style's defaults.
        num_threads: the number of rendering threads; all available cores if not given. The images
            do not depend on it.
        out: a C-contiguous uint8 array to render into, in the shape of the returned images. If not
            given, a new array is returned.
        return_retries: whether to also return how often each image was re-rendered because it was
            degenerate: uint8 (B,), or () for a single image.
        simd: the SIMD backend, ``"plain"``, ``"avx2"``, ``"avx512"`` or ``"neon"``. If not given,
            the backend named by the environment variable ``FDSL_SIMD``, or else the fastest. The
            images do not depend on it.

    Returns:
        uint8 (B, H, W), or (B, H, W, 3) in color. If both ``categories`` and ``indices`` are single
        integers, a single image: (H, W), or (H, W, 3).

    Raises:
        IndexError: a category or an index is out of range.
        TypeError: ``categories`` or ``indices`` are not integers, ``out`` is not a uint8 array, or
            ``rendering`` has settings that do not apply to the family.
        ValueError: ``categories`` and ``indices`` differ in length, ``out`` has the wrong shape or
            is not contiguous, or ``seed`` or ``num_threads`` is out of range.

    >>> import fdsl
    >>> ifs = fdsl.IFS.search(categories=2, fill_rate=0.2, seed=1)
    >>> small = fdsl.Rendering(size=64, num_points=10_000)
    >>> fdsl.render(ifs, [0, 1], 7, rendering=small).shape, fdsl.render(ifs, 0, 7).shape
    ((2, 64, 64), (256, 256))
    """
    checked_type("family", family, Family)
    frame = family.checked_style(rendering)
    category_numbers = checked_numbers("categories", categories)
    index_numbers = checked_numbers("indices", indices)
    try:
        both = np.broadcast_arrays(category_numbers, index_numbers)
    except ValueError:
        raise ValueError(
            f"categories and indices must match in length, got {category_numbers.size} and "
            f"{index_numbers.size}"
        ) from None
    chosen, indexed = (np.ascontiguousarray(numbers).reshape(-1) for numbers in both)
    shape = (*both[0].shape, *frame.image_shape)
    images = np.empty(shape, np.uint8) if out is None else _checked_out(out, shape)
    seed, num_threads = checked_seed(seed), checked_threads(num_threads)
    if simd is not None:
        checked_type("simd", simd, str)
    batch = images.reshape(-1, *shape[both[0].ndim :])
    job = Job(frame, seed, num_threads, simd)
    retries, _ = family.render_into(job, (chosen, indexed), batch)
    return (images, retries.reshape(both[0].shape)) if return_retries else images


def _checked_out(out: Images, shape: tuple[int, ...]) -> Images:
    checked_type("out", out, np.ndarray)
    if out.dtype != np.uint8:
        raise TypeError(f"out must be uint8, got {out.dtype}")
    if out.shape != shape or not (out.flags.c_contiguous and out.flags.writeable):
        raise ValueError(
            f"out must be a writeable C-contiguous array of shape {shape}, got shape {out.shape}"
            f"{'' if out.flags.c_contiguous else ', not C-contiguous'}"
            f"{'' if out.flags.writeable else ', read-only'}"
        )
    return out
