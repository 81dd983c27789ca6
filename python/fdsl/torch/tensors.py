"""Converts batches of arrays to tensors that share their memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fdsl._checks import require, shown


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


def as_tv_tensors(images: Any, targets: Any, kind: str) -> tuple[Any, Any]:
    """Marks the tensors of a sample or a batch as images, masks and boxes for torchvision.

    Args:
        images: uint8 (C, H, W) or (B, C, H, W); or a PIL image, which stays as it is.
        targets: the target of the sample, or the targets of the batch.
        kind: what they are: ``"label"``, ``"labels"``, ``"mask"`` or ``"boxes"``.
    """
    from torchvision import tv_tensors  # its classes would move tensors to torch's default device

    if isinstance(images, Tensor):
        images = tv_tensors.Image(images, device=images.device)
    if kind == "mask":
        return images, tv_tensors.Mask(targets, device=targets.device)
    if kind == "boxes":
        one = isinstance(targets, dict)
        marked = [_mark_boxes(target) for target in ([targets] if one else targets)]
        return images, marked[0] if one else marked
    return images, targets


def pinned(tensor: Tensor) -> Tensor:
    """Returns the tensor in page-locked memory; masks and boxes stay what they are."""
    copy = tensor.pin_memory()
    if type(copy) is not type(tensor):  # older versions of torchvision return a plain tensor
        from torchvision.tv_tensors import wrap

        copy = wrap(copy, like=tensor)
    return copy


def _mark_boxes(target: dict[str, Tensor]) -> dict[str, Tensor]:
    from torchvision import tv_tensors

    masks = tv_tensors.Mask(target["masks"], device=target["masks"].device)
    boxes = tv_tensors.BoundingBoxes(
        target["boxes"],
        format="XYXY",
        canvas_size=(masks.shape[-2], masks.shape[-1]),
        device=target["boxes"].device,
    )
    return {**target, "boxes": boxes, "masks": masks}


def checked_transform(name: str, transform: Callable[..., Any] | None) -> Callable[..., Any] | None:
    """Checks that a transform is callable or ``None``, and returns it."""
    if transform is not None and not callable(transform):
        raise TypeError(f"{name} must be callable, got {shown(transform)}")
    return transform


def checked_transforms(
    transforms: Callable[..., Any] | None, **instead_of: Callable[..., Any] | None
) -> Callable[..., Any] | None:
    """Checks a transform of images and targets, and returns it.

    Args:
        transforms: the transform, or ``None``.
        instead_of: the transforms, by name, that cannot be combined with it.
    """
    if checked_transform("transforms", transforms) is None:
        return None
    if any(transform is not None for transform in instead_of.values()):
        raise ValueError(f"give transforms, or {' and '.join(instead_of)}, not both")
    require("transforms", "torchvision")
    return transforms


def apply_transform(
    transform: Callable[..., Any] | None, *values: Any, name: str = "transform"
) -> Any:
    """Returns what the transform, the argument called ``name``, returns.

    Raises:
        RuntimeError: the transform raised StopIteration, which would silently end the loop.
    """
    if transform is None:
        return values[0]
    try:
        return transform(*values)
    except StopIteration as error:
        raise RuntimeError(f"{name} raised StopIteration") from error


def apply_transforms(transforms: Callable[..., Any], images: Any, targets: Any) -> tuple[Any, Any]:
    """Returns transformed images and targets.

    Raises:
        TypeError: the transform did not return a pair.
        RuntimeError: the transform raised StopIteration, which would silently end the loop.
    """
    both = apply_transform(transforms, images, targets, name="transforms")
    if not isinstance(both, tuple | list) or len(both) != 2:
        raise TypeError(f"transforms must return images and targets, got {shown(both)}")
    return both[0], both[1]
