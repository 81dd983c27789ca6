"""From bytes to what a network takes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Normalize(nn.Module):
    """uint8 pictures to normalised floats in three channels, on the device they are on.

    A gray picture crosses to the device as one channel of bytes and is expanded there.

    Args:
        mean: of pixels scaled to 0…1, one number or three. 0.2 and 0.5 are those the
            authors pre-train with.
        std: likewise, above 0.
        dtype: of the result.

    >>> import torch
    >>> Normalize()(torch.zeros(8, 1, 32, 32, dtype=torch.uint8)).shape
    torch.Size([8, 3, 32, 32])
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        mean: float | Sequence[float] = 0.2,
        std: float | Sequence[float] = 0.5,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__()
        self.register_buffer("mean", _three("mean", mean), persistent=False)
        self.register_buffer("std", _three("std", std), persistent=False)
        if not bool((self.std > 0).all()):
            raise ValueError(f"std must be above 0, got {std}")
        self.dtype = dtype

    def forward(self, images: Tensor) -> Tensor:
        """Takes uint8 (B, 1 or 3, H, W) and returns (B, 3, H, W)."""
        if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] not in (1, 3):
            raise ValueError(
                f"images must be uint8 (B, 1 or 3, H, W), got {images.dtype} {tuple(images.shape)}"
            )
        # One multiplication and one addition a pixel, and the channels by broadcasting.
        scale = 1 / (255 * self.std)
        return (images * scale - self.mean / self.std).to(self.dtype)


def _three(name: str, value: float | Sequence[float]) -> Tensor:
    numbers = torch.as_tensor(value, dtype=torch.float32)
    if numbers.shape not in ((), (3,)):
        raise ValueError(f"{name} must be one number or three, got {value!r}")
    return numbers.expand(3).reshape(3, 1, 1).clone()
