"""Images as torch data sets. Apart from ``fdsl.timm``, only this folder imports torch.

>>> import fdsl, torch
>>> from fdsl.torch import Stream
>>> ifs = fdsl.IFS.search(categories=10, fill_rate=0.2, seed=1)
>>> stream = Stream(ifs, rendering=fdsl.Rendering.paper(), batch_size=4, seed=0)
>>> loader = torch.utils.data.DataLoader(stream, batch_size=None, num_workers=0)
>>> images, labels = next(iter(loader))
>>> tuple(images.shape), images.dtype, tuple(labels.shape), labels.dtype
((4, 1, 224, 224), torch.uint8, (4,), torch.int64)
"""

from __future__ import annotations

from typing import NoReturn

try:
    from fdsl.torch.dataset import Dataset
    from fdsl.torch.loader import Loader
    from fdsl.torch.normalize import Normalize
    from fdsl.torch.stream import Batch, Stream
except ModuleNotFoundError as error:
    if error.name != "torch":
        raise
    raise ModuleNotFoundError("fdsl.torch needs torch: pip install torch") from None

__all__ = ["Batch", "Dataset", "Loader", "Normalize", "Stream"]


def __getattr__(name: str) -> NoReturn:
    if name == "Instances":
        # An AttributeError would be hidden by ``from fdsl.torch import Instances``.
        raise TypeError("fdsl.torch.Instances was renamed to fdsl.torch.Dataset")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
