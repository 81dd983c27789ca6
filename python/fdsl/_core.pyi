from collections.abc import Callable
from typing import final

import numpy as np
import numpy.typing as npt

__all__ = [
    "FORMAT",
    "Categories",
    "Rendering",
    "__version__",
    "cores",
    "draw_dots",
    "encode_png",
    "fail",
    "forked",
    "noisy_labels",
    "search",
    "simd_paths",
    "stream_order",
]

FORMAT: int
__version__: str

@final
class Categories:
    @staticmethod
    def ifs(
        maps: npt.NDArray[np.float64],
        probabilities: npt.NDArray[np.float64],
        lengths: npt.NDArray[np.int64],
    ) -> Categories: ...
    @staticmethod
    def perlin(
        frequencies: npt.NDArray[np.float64], octaves: int, persistence: float, contrast: float
    ) -> Categories: ...
    @staticmethod
    def bezier(counts: npt.NDArray[np.uint64]) -> Categories: ...
    def __len__(self) -> int: ...
    def render(
        self,
        rendering: Rendering,
        categories: npt.NDArray[np.uint64],
        indices: npt.NDArray[np.uint64],
        seed: int,
        threads: int | None,
        pixels: npt.NDArray[np.uint8],
        redraws: npt.NDArray[np.uint8],
        simd: str | None = None,
    ) -> None: ...
    def dots(
        self, category: int, points: int, seed: int, simd: str | None = None
    ) -> npt.NDArray[np.float32] | None: ...
    def fill_rates(
        self, size: int, points: int, pad: int, seed: int, threads: int | None = None
    ) -> npt.NDArray[np.float64]: ...

@final
class Rendering:
    def __new__(
        cls,
        *,
        size: tuple[int, int],
        points: int,
        draw: str,
        patch: str,
        color: bool,
        weights: float | None,
        pad: int,
        crop: tuple[int, int] | None,
        crop_position: str,
        variation: str,
        flips: bool,
        redraw: bool,
        sampler: str,
        mask_seed: int | None,
    ) -> Rendering: ...

def search(
    *,
    categories: int,
    fill_rate: float,
    seed: int,
    min_maps: int,
    max_maps: int,
    size: int,
    points: int,
    pad: int,
    max_tries: int,
    sampler: str,
    threads: int | None,
    progress: Callable[[int, int], object] | None,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.int64], int]: ...
def draw_dots(
    rendering: Rendering,
    dots: npt.NDArray[np.float32],
    *,
    key: int | None = None,
    mask: int | None = None,
    simd: str | None = None,
) -> npt.NDArray[np.uint8]: ...
def encode_png(
    pixels: npt.NDArray[np.uint8], size: tuple[int, int], channels: int, threads: int | None
) -> list[bytes]: ...
def stream_order(
    numbers: npt.NDArray[np.uint64], categories: int, instances: int | None, seed: int
) -> list[npt.NDArray[np.uint64]]: ...
def noisy_labels(
    categories: npt.NDArray[np.uint64],
    indices: npt.NDArray[np.uint64],
    seed: int,
    count: int,
    noise: float,
) -> npt.NDArray[np.uint64]: ...
def cores() -> int: ...
def fail() -> None: ...
def forked() -> None: ...
def simd_paths() -> list[str]: ...
