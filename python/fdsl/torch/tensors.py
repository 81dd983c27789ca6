"""Batches of arrays as tensors, in the same memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fdsl._checks import shown


def channels_first(images: Tensor) -> Tensor:
    """Returns (B, H, W) or (B, H, W, 3) as (B, C, H, W), in the same memory."""
    return images.unsqueeze(1) if images.ndim == 3 else images.permute(0, 3, 1, 2)


def tensors(target: Any) -> Any:
    """Returns an array as a tensor; in a list or a dict each of them."""
    return mapped(torch.from_numpy, target)


def mapped(function: Callable[[Any], Any], value: Any) -> Any:
    """Calls a function for each tensor or array in nested lists, tuples and dicts."""
    if isinstance(value, dict):
        return {name: mapped(function, part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        parts = [mapped(function, part) for part in value]
        if isinstance(value, list):
            return parts
        return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)
    return function(value) if isinstance(value, Tensor | np.ndarray) else value


def checked_transform(
    name: str, transform: Callable[[Any], Any] | None
) -> Callable[[Any], Any] | None:
    """Returns a transform if it is callable or ``None``."""
    if transform is not None and not callable(transform):
        raise TypeError(f"{name} must be callable, got {shown(transform)}")
    return transform


def transformed(transform: Callable[[Any], Any] | None, value: Any) -> Any:
    """Returns what a transform makes of a value, and never ends a loop.

    Raises:
        RuntimeError: the transform raised StopIteration, which a loop would take for its end.
    """
    if transform is None:
        return value
    try:
        return transform(value)
    except StopIteration as error:
        raise RuntimeError("transform raised StopIteration") from error
