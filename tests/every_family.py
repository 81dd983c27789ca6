"""A small instance of every family of the package, for the tests that each of them must pass."""

import fdsl
import numpy as np
from fdsl import Family, Frame

#: At least six categories each, by the family's name. Given options are not the defaults.
FAMILIES = {
    "bezier": lambda: fdsl.Bezier(16),
    "deadleaves": lambda: fdsl.DeadLeaves(9, texture=fdsl.Perlin(4)),
    "diamond-square": lambda: fdsl.DiamondSquare(9),
    "ifs": lambda: fdsl.IFS.search(6, fill_rate=0.1, seed=1, size=64, num_points=3000),
    "ifs3d": lambda: fdsl.IFS3D(6),
    "perlin": lambda: fdsl.Perlin(9, octaves=2, persistence=0.7, contrast=1.5),
    "rcdb": lambda: fdsl.RCDB(9, seed=1),
    "scene": lambda: fdsl.Scene([fdsl.fractaldb(6), fdsl.Perlin(4)]),
    "segrcdb": lambda: fdsl.SegRCDB(9),
    "spectrum": lambda: fdsl.Spectrum(9),
    "visualatom": lambda: fdsl.VisualAtom(9, seed=1),
}


def small(family: Family, **settings) -> Frame:
    """Settings of the family's style for 48×48 pixels, unless other settings are given."""
    few = {"num_points": 5000} if "num_points" in family.style.names() else {}
    return family.style(**{"size": 48, **few, **settings})


def draw(family, categories, indices, rendering=None, seed=0, **more) -> np.ndarray:
    return fdsl.render(family, categories, indices, seed, rendering or small(family), **more)
