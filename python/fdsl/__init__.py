"""Fractals as an endless, reproducible stream of pictures for pre-training vision models.

Given the categories, a picture is a pure function of its address ``(seed, category,
index)``: not of threads, workers, ranks, processors or what was drawn before.

>>> import fdsl
>>> ifs = fdsl.IFS.search(categories=4, fill_rate=0.2, seed=1)
>>> fdsl.render(ifs, [0, 1, 2, 3], 0, rendering=fdsl.Rendering(size=64, points=12_500)).shape
(4, 64, 64)
"""

from fdsl._core import __version__, cores
from fdsl.formulas import IFS, Bezier, Category, Family, Perlin, fractaldb, load
from fdsl.rendering import Rendering, render

__all__ = [
    "IFS",
    "Bezier",
    "Category",
    "Family",
    "Perlin",
    "Rendering",
    "__version__",
    "cores",
    "fractaldb",
    "load",
    "render",
]
