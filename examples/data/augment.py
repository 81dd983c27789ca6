"""Resizing, cropping and mirroring, on the device."""

import torch
import torch.nn.functional as F
from torch import Tensor


def fit(images: Tensor, canvas: int) -> Tensor:
    """Resizes uint8 pictures to canvas x canvas."""
    if images.shape[-2:] == (canvas, canvas):
        return images
    sized = F.interpolate(images.float(), (canvas, canvas), mode="bilinear", antialias=True)
    return sized.round().clamp(0, 255).to(torch.uint8)


def crop(images: Tensor, size: int, *, tops: Tensor, lefts: Tensor, flips: Tensor) -> Tensor:
    """Cuts size x size out of each picture, at its own place, and mirrors those of `flips`."""
    steps = torch.arange(size, device=images.device)
    columns = torch.where(flips[:, None], steps.flip(0), steps) + lefts[:, None]
    rows = steps + tops[:, None]
    picture = torch.arange(len(images), device=images.device)[:, None, None]
    # The channels end up last in this indexing.
    return images[picture, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
