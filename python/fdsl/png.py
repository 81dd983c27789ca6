"""Images as PNG files."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fdsl import _core
from fdsl._checks import checked_threads, renamed

__all__ = ["encode"]


@renamed(threads="num_threads", pictures="images")
def encode(images: npt.ArrayLike, num_threads: int | None = None) -> list[bytes]:
    """Encodes images as PNG files, each at the smallest lossless bit depth.

    Gray fractals take one bit per pixel (a palette of black and 127), images of up to 256 colors a
    palette of 2, 4 or 8 bits, all others 8 or 24 bits. The bytes are the same on every machine.

    Args:
        images: uint8 (B, H, W), or (B, H, W, 3) in color; what ``fdsl.render`` returns.
        num_threads: how many threads encode; all available cores if not given.

    Returns:
        The contents of one file per image.

    Raises:
        TypeError: the images are not uint8.
        ValueError: they have another shape.
        MemoryError: there is no memory for a copy of the images.

    >>> import numpy as np
    >>> [file[:4] for file in encode(np.zeros((2, 8, 8), np.uint8))]
    [b'\\x89PNG', b'\\x89PNG']
    """
    array = np.asarray(images)
    if array.dtype != np.uint8:
        raise TypeError(f"images must be uint8, got {array.dtype}")
    if array.ndim not in (3, 4) or array.shape[3:] not in ((), (3,)) or 0 in array.shape[1:]:
        raise ValueError(f"images must have shape (B, H, W) or (B, H, W, 3), got {array.shape}")
    height, width = array.shape[1:3]
    channels = 3 if array.ndim == 4 else 1
    flat = np.ascontiguousarray(array).reshape(-1)
    return _core.encode_png(flat, (height, width), channels, checked_threads(num_threads))
