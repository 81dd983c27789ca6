"""Families of categories."""

from fdsl.formulas.family import Family
from fdsl.formulas.fractaldb import fractaldb
from fdsl.formulas.ifs import IFS, Category

__all__ = ["IFS", "Category", "Family", "fractaldb"]
