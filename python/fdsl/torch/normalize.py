"""Turns uint8 images into the input of a network."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn


class Normalize(nn.Module):
    """Turns uint8 images into normalized floats with three channels, on the device of the images.

    Move images to the device before normalizing them: a gray pixel is then copied as one byte and
    expanded to three floats there.

    Args:
        mean: the mean of the pixels scaled to 0…1, one number or three. The authors pre-train with
            mean 0.2 and standard deviation 0.5.
        std: their standard deviation, one number or three; above 0, and large enough that no pixel
            becomes infinite.
        dtype: the dtype of the result. Converting the module, as with ``.to(torch.bfloat16)``,
            changes it, but not the precision of ``mean`` and ``std``.

    Raises:
        ValueError: ``mean`` or ``std`` is out of range.
        TypeError: ``dtype`` is not a floating-point dtype.

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
        if not isinstance(dtype, torch.dtype) or not dtype.is_floating_point:
            raise TypeError(f"dtype must be a floating-point dtype of torch, got {dtype!r}")
        self._given = {"mean": mean, "std": std}
        means, stds = (_three(name, value) for name, value in self._given.items())
        if not bool((stds > 0).all()):
            raise ValueError(f"std must be above 0, got {std}")
        if bool(((means < 0) | (means > 1)).any()):
            raise ValueError(f"mean must lie between 0 and 1, as 255 counts as 1, got {mean}")
        if not all(bool(factor.isfinite().all()) for factor in _factors(means, stds)):
            raise ValueError(f"mean / std and 1 / std must be finite, got mean={mean}, std={std}")
        device = torch.empty(0).device  # the default one, even "meta", which holds no numbers
        self.register_buffer("mean", means.to(device), persistent=False)
        self.register_buffer("std", stds.to(device), persistent=False)
        self.dtype = dtype

    def forward(self, images: Tensor) -> Tensor:
        """Normalizes uint8 images (B, 1 or 3, H, W), or one image without the batch axis.

        Returns:
            (B, 3, H, W), or (3, H, W), of ``dtype``.

        Raises:
            ValueError: the images have another shape or dtype.
        """
        if (
            images.dtype != torch.uint8
            or images.ndim not in (3, 4)
            or images.shape[-3] not in (1, 3)
        ):
            raise ValueError(
                "images must be uint8 (B, 1 or 3, H, W) or (1 or 3, H, W), "
                f"got {images.dtype} {tuple(images.shape)}"
            )
        # One multiplication and one subtraction per pixel; broadcasting expands gray to three
        # channels.
        scale, shift = _factors(self.mean, self.std)
        return (images * scale - shift).to(self.dtype)

    def extra_repr(self) -> str:
        """Returns the arguments, for the ``repr``."""
        return ", ".join(f"{name}={value}" for name, value in self._given.items())

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Normalize:
        # What .to(), .half() and .cuda() do to each tensor of a module.
        self.dtype = fn(torch.empty(0, dtype=self.dtype, device=self.mean.device)).dtype
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]  # torch gives it no types
        for name, value in self._given.items():
            setattr(self, name, _three(name, value).to(getattr(self, name).device))
        return self


def _factors(mean: Tensor, std: Tensor) -> tuple[Tensor, Tensor]:
    return 1 / (255 * std), mean / std


def _three(name: str, value: float | Sequence[float]) -> Tensor:
    try:
        numbers = torch.as_tensor(value, dtype=torch.float32, device="cpu")
    except (TypeError, ValueError, OverflowError, RuntimeError):
        raise ValueError(f"{name} must be one number or three, got {value!r}") from None
    if not bool(numbers.isfinite().all()):
        raise ValueError(f"{name} must be finite, got {value!r}")
    if numbers.shape not in ((), (3,)):
        raise ValueError(f"{name} must be one number or three, got {value!r}")
    return numbers.expand(3).reshape(3, 1, 1).clone()
