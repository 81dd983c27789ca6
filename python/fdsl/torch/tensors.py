"""Batches of arrays as tensors, in the same memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor


def channels_first(images: Tensor) -> Tensor:
    """Returns (B, H, W) or (B, H, W, 3) as (B, C, H, W), in the same memory."""
    return images.unsqueeze(1) if images.ndim == 3 else images.permute(0, 3, 1, 2)


def tensors(target: Any) -> Any:
    """Returns an array as a tensor; in a list or a dict each of them."""
    return mapped(torch.from_numpy, target)


def mapped(function: Callable[[Any], Any], target: Any) -> Any:
    """Calls a function for each tensor or array of a target, and keeps lists and dicts."""
    if isinstance(target, list):
        return [mapped(function, part) for part in target]
    if isinstance(target, dict):
        return {name: mapped(function, part) for name, part in target.items()}
    return function(target) if isinstance(target, Tensor | np.ndarray) else target
