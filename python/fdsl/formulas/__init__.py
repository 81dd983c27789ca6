"""Families of categories."""

from fdsl.formulas.bezier import Bezier
from fdsl.formulas.family import Family
from fdsl.formulas.fractaldb import fractaldb
from fdsl.formulas.ifs import IFS, Category
from fdsl.formulas.load import load
from fdsl.formulas.perlin import Perlin

__all__ = ["IFS", "Bezier", "Category", "Family", "Perlin", "fractaldb", "load"]
