"""Categories that are small perturbations of one system (1p-frac)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

import numpy as np

from fdsl import _core
from fdsl._checks import checked_number, checked_seed, checked_type, checked_whole
from fdsl.families.readers import Floats

if TYPE_CHECKING:
    from fdsl.families.ifs import IFS

RULES = ("multiply", "add")
#: Number of categories measured between two calls of ``progress``.
AT_ONCE = 64


def perturbed(
    base: IFS,
    categories: int,
    delta: float,
    *,
    rule: Literal["multiply", "add"],
    seed: int,
    fill_rate: float,
    max_tries: int,
    num_threads: int | None,
    progress: Callable[[int, int], object] | None,
) -> tuple[Floats, Floats]:
    """Returns maps (categories, n, 6) and the probabilities (n,) that they share."""
    count, seed = checked_whole("categories", categories), checked_seed(seed)
    size, tries = checked_number("delta", delta), checked_whole("max_tries", max_tries)
    if count < 1:
        raise ValueError(f"categories must be at least 1, got {count}")
    if len(base) != 1:
        raise ValueError(
            f"the base must be one category, such as ifs[3:4], got {len(base)} categories"
        )
    if not 0 < size <= 1:
        raise ValueError(f"delta must be above 0 and at most 1, got {size}")
    if checked_type("rule", rule, str) not in RULES:
        raise ValueError(f"rule must be 'multiply' or 'add', got {rule!r}")
    if not 0 <= checked_number("fill_rate", fill_rate) <= 1:
        raise ValueError(f"fill_rate must lie between 0 and 1, got {fill_rate}")
    if tries < 1:
        raise ValueError(f"max_tries must be at least 1, got {tries}")
    own, probabilities = base[0]

    def attempt(category: int, number: int) -> Floats:
        key = _core.address_key("ifs-perturbed", 1, seed, category, 0, number)
        unit = np.random.Generator(np.random.Philox(key=key)).random(own.shape) * 2 - 1
        changed = own * (1 + size * unit) if rule == "multiply" else own + size / 2 * unit
        return np.asarray(changed)

    maps = np.empty((count, *own.shape))
    tried = 0
    for first in range(0, count, AT_ONCE):
        waiting = np.arange(first, min(first + AT_ONCE, count))
        for number in range(tries):
            maps[waiting] = [attempt(int(category), number) for category in waiting]
            rates = (
                type(base)
                .from_flat(
                    maps[waiting].reshape(-1, 6),
                    np.tile(probabilities, len(waiting)),
                    np.full(len(waiting), len(own)),
                )
                .fill_rates(num_threads=num_threads)
            )
            tried, waiting = tried + len(waiting), waiting[rates < fill_rate]
            if progress is not None:
                progress(first + min(AT_ONCE, count - first) - len(waiting), tried)
            if len(waiting) == 0:
                break
        else:
            reached = base.fill_rates(num_threads=num_threads)[0]
            raise ValueError(
                f"category {waiting[0]} never reached a filling rate of {fill_rate} in {tries} "
                f"tries, and the base reaches {reached:.3f}: use a fuller base, a smaller "
                "fill_rate or a larger max_tries"
            )
    return maps, probabilities
