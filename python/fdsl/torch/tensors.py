"""Converts batches of arrays to tensors that share their memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fdsl._checks import shown


def channels_first(images: Tensor) -> Tensor:
    """Returns a (B, C, H, W) view of images (B, H, W) or (B, H, W, 3)."""
    return images.unsqueeze(1) if images.ndim == 3 else images.permute(0, 3, 1, 2)


def to_tensors(target: Any) -> Any:
    """Converts an array, or each array in nested lists and dicts, to a tensor."""
    return map_arrays(torch.from_numpy, target)


def map_arrays(function: Callable[[Any], Any], value: Any) -> Any:
    """Applies a function to each array or tensor in nested lists, tuples and dicts."""
    if isinstance(value, dict):
        return {name: map_arrays(function, part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        parts = [map_arrays(function, part) for part in value]
        if isinstance(value, list):
            return parts
        return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)
    return function(value) if isinstance(value, Tensor | np.ndarray) else value


def as_tv_tensors(image: Any, target: Any, kind: str) -> tuple[Any, Any]:
    """Marks the tensors of one sample as an image, masks and boxes for torchvision's transforms.

    Args:
        image: uint8 (C, H, W), or a PIL image, which stays as it is.
        target: the sample's target.
        kind: what it is: ``"label"``, ``"labels"``, ``"mask"`` or ``"boxes"``.
    """
    from torchvision import tv_tensors  # its classes would move tensors to torch's default device

    if isinstance(image, Tensor):
        image = tv_tensors.Image(image, device=image.device)
    if kind == "mask":
        return image, tv_tensors.Mask(target, device=target.device)
    if kind == "boxes":
        masks = tv_tensors.Mask(target["masks"], device=target["masks"].device)
        boxes = tv_tensors.BoundingBoxes(
            target["boxes"],
            format="XYXY",
            canvas_size=(masks.shape[-2], masks.shape[-1]),
            device=target["boxes"].device,
        )
        target = {**target, "boxes": boxes, "masks": masks}
    return image, target


def checked_transform(name: str, transform: Callable[..., Any] | None) -> Callable[..., Any] | None:
    """Checks that a transform is callable or ``None``, and returns it."""
    if transform is not None and not callable(transform):
        raise TypeError(f"{name} must be callable, got {shown(transform)}")
    return transform


def apply_transform(transform: Callable[[Any], Any] | None, value: Any) -> Any:
    """Returns the transformed value.

    Raises:
        RuntimeError: the transform raised StopIteration, which would silently end the loop.
    """
    if transform is None:
        return value
    try:
        return transform(value)
    except StopIteration as error:
        raise RuntimeError("transform raised StopIteration") from error
