"""Instances of a category that show how much it varies."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fdsl.families.base import Family


def stride(family: Family, count: int) -> int:
    """Returns the step that spreads ``count`` instances over a period, so that they differ as much
    as possible in variation, patch and flip."""
    least = max(1, -(-family.period // count))
    # A common divisor, such as 4, would give all of them the same flip.
    return next(step for step in itertools.count(least) if math.gcd(step, family.period) == 1)
