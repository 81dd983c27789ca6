"""Fractals and other formulas as an endless, reproducible stream of samples for pre-training
vision models.

Given the categories, a sample is a pure function of its address ``(seed, category, index)``: not
of threads, workers, ranks, processors or what was rendered before.

>>> import fdsl
>>> ifs = fdsl.IFS.search(categories=4, fill_rate=0.2, seed=1)
>>> fdsl.render(ifs, [0, 1, 2, 3], 0, rendering=fdsl.Rendering(size=64, num_points=12_500)).shape
(4, 64, 64)
"""

import importlib
import typing

from fdsl import families
from fdsl._core import __version__, cores
from fdsl.dataset import Dataset
from fdsl.explore import explore
from fdsl.families import *  # noqa: F403  # each family is named there, once
from fdsl.frame import Frame, Slider
from fdsl.preview import Image, show
from fdsl.render import render
from fdsl.rendering import Rendering
from fdsl.sample import Sample

if typing.TYPE_CHECKING:
    from fdsl import export as export
    from fdsl import timm as timm
    from fdsl import torch as torch

__all__ = ["Dataset", "Frame", "Image", "Rendering", "Sample", "Slider", "__version__"]
__all__ += ["cores", "explore", "render", "show"]
__all__ += families.__all__


def __dir__() -> list[str]:
    return sorted({*globals(), "export", "timm", "torch"})


def __getattr__(name: str) -> typing.Any:
    # `import fdsl` imports no torch, but afterwards `fdsl.torch.Stream` is there.
    if name in ("export", "timm", "torch"):
        return importlib.import_module(f"fdsl.{name}")
    raise AttributeError(f"module 'fdsl' has no attribute {name!r}")
