from collections.abc import Callable
from typing import Any, final

import numpy as np
import numpy.typing as npt

__all__ = [
    "Categories",
    "__version__",
    "address_key",
    "check_settings",
    "cores",
    "diamond_square",
    "draw_density",
    "draw_points",
    "draw_view",
    "encode_png",
    "fail",
    "forked",
    "memory_fence",
    "noisy_labels",
    "points3d",
    "released_contours",
    "released_patches",
    "sample_contractive",
    "search",
    "search3d",
    "segrcdb_classes",
    "simd_paths",
    "stream_order",
]

__version__: str

@final
class Categories:
    def __new__(cls, name: str, parameters: dict[str, npt.NDArray[Any] | str]) -> Categories: ...
    @property
    def period(self) -> int: ...
    @property
    def can_be_part(self) -> bool: ...
    @property
    def format(self) -> int: ...
    def __len__(self) -> int: ...
    def render(
        self,
        settings: str,
        categories: npt.NDArray[np.uint64],
        indices: npt.NDArray[np.uint64],
        seed: int,
        num_threads: int | None,
        images: npt.NDArray[np.uint8],
        retries: npt.NDArray[np.uint8],
        objects: npt.NDArray[np.uint16] | None = None,
        simd: str | None = None,
    ) -> list[list[int]] | None: ...
    def batch(
        self,
        settings: str,
        numbers: npt.NDArray[np.uint64],
        instances: int | None,
        label_noise: float,
        seed: int,
        num_threads: int | None,
        images: npt.NDArray[np.uint8],
    ) -> npt.NDArray[np.int64]: ...
    def points(
        self, category: int, num_points: int, seed: int, simd: str | None = None
    ) -> npt.NDArray[np.float32] | None: ...
    def fill_rates(
        self, size: int, num_points: int, margin: int, seed: int, num_threads: int | None = None
    ) -> npt.NDArray[np.float64]: ...

def check_settings(family: str | None, settings: str) -> None: ...
def address_key(
    family: str, format: int, seed: int, category: int, index: int, attempt: int
) -> list[int]: ...
def search(
    *,
    categories: int,
    fill_rate: float,
    seed: int,
    min_maps: int,
    max_maps: int,
    size: int,
    num_points: int,
    margin: int,
    max_tries: int,
    sampler: str,
    num_threads: int | None,
    progress: Callable[[int, int], object] | None,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.int64], int]: ...
def draw_points(
    settings: str,
    points: npt.NDArray[np.float32],
    *,
    key: int | None = None,
    mask: int | None = None,
    simd: str | None = None,
) -> npt.NDArray[np.uint8]: ...
def search3d(
    *,
    categories: int,
    threshold: float,
    seed: int,
    min_maps: int,
    max_maps: int,
    num_points: int,
    max_tries: int,
    sampler: str,
    num_threads: int | None,
    progress: Callable[[int, int], object] | None,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.int64], int]: ...
def points3d(
    settings: str,
    maps: npt.NDArray[np.float64],
    probabilities: npt.NDArray[np.float64],
    lengths: npt.NDArray[np.int64],
    categories: npt.NDArray[np.uint64],
    indices: npt.NDArray[np.uint64],
    seed: int,
    num_threads: int | None,
    points: npt.NDArray[np.float32],
) -> None: ...
def draw_view(
    settings: str,
    maps: npt.NDArray[np.float64],
    probabilities: npt.NDArray[np.float64],
    weight_row: int,
    orbit_seed: int,
    view: int,
    turn: float,
    image: npt.NDArray[np.uint8],
    simd: str | None = None,
) -> npt.NDArray[np.float32] | None: ...
def draw_density(
    points: npt.NDArray[np.float32],
    size: int,
    mask: int,
    hue_shift: float,
    saturation: int,
    value: int,
    simd: str | None = None,
) -> list[npt.NDArray[np.uint8]]: ...
def diamond_square(
    size: int, decay: float, draws: list[float], colors: list[list[float]]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8]]: ...
def encode_png(
    pixels: npt.NDArray[np.uint8], size: tuple[int, int], channels: int, num_threads: int | None
) -> list[bytes]: ...
def stream_order(
    numbers: npt.NDArray[np.uint64], categories: int, instances: int | None, period: int, seed: int
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
def memory_fence() -> None: ...
def simd_paths() -> list[str]: ...
def sample_contractive(
    *,
    categories: int,
    seed: int,
    min_maps: int,
    max_maps: int,
    singular_sum: tuple[float, float] | None,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.int64]]: ...
def released_patches(
    maps: npt.NDArray[np.float64], probabilities: list[float], size: int, masks: list[int]
) -> npt.NDArray[np.uint8]: ...
def segrcdb_classes(categories: int) -> npt.NDArray[np.float64]: ...
def released_contours(
    family: str,
    *,
    categories: int,
    instances: int,
    processes: int,
    num_threads: int | None,
    progress: Callable[[int, int], object] | None,
) -> list[npt.NDArray[np.float64]]: ...
