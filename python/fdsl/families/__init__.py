"""Families of categories."""

from fdsl.families.base import Family
from fdsl.families.bezier import Bezier, Strokes
from fdsl.families.contour import RCDB, Contours, VisualAtom
from fdsl.families.diamond_square import DiamondSquare
from fdsl.families.fractaldb import fractaldb
from fdsl.families.ifs import IFS, Category
from fdsl.families.ifs3d import IFS3D, Category3D, Views, points3d
from fdsl.families.leaves import DeadLeaves, Leaves
from fdsl.families.load import load
from fdsl.families.perlin import Perlin
from fdsl.families.published import PUBLISHED, Published, published
from fdsl.families.scene import Scene, Scenes
from fdsl.families.segrcdb import RingScenes, SegRCDB
from fdsl.families.spectrum import Spectrum

__all__ = [
    "IFS",
    "IFS3D",
    "PUBLISHED",
    "RCDB",
    "Bezier",
    "Category",
    "Category3D",
    "Contours",
    "DeadLeaves",
    "DiamondSquare",
    "Family",
    "Leaves",
    "Perlin",
    "Published",
    "RingScenes",
    "Scene",
    "Scenes",
    "SegRCDB",
    "Spectrum",
    "Strokes",
    "Views",
    "VisualAtom",
    "fractaldb",
    "load",
    "points3d",
    "published",
]
