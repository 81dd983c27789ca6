"""Measures the search for categories: candidates per second on one core, and whole searches."""

from __future__ import annotations

import fdsl
import peers
from measure import Rates, number, rounds, seconds, table

#: The filling rate of the searches: that of the authors' code.
FILL_RATE = 0.2


def ours(sampler: str, categories: int) -> int:
    """Searches for categories, and returns the number of candidates tried."""
    found = fdsl.IFS.search(
        categories=categories, fill_rate=FILL_RATE, seed=1, sampler=sampler, num_threads=1
    )
    return found.candidates_tried


def plain(count: int) -> int:
    """Measures candidates with a plain loop."""
    for maps, cumulative in peers.candidates(count):
        peers.numba_fill_rate(maps, cumulative, 100_000, 512, 7, FILL_RATE)
    return count


def report(*, quick: bool) -> tuple[dict[str, str], dict[str, Rates]]:
    count, categories = (1, 2) if quick else (5, 100)
    contenders = {
        "ours": lambda: ours("fdsl", categories),
        "released": lambda: ours("released", max(1, categories // 5)),
    }
    if peers.have_numba():
        contenders["numba"] = lambda: plain(categories)
    rates = rounds("search", contenders, count)
    rows = []
    for name, what in (
        ("ours", "our sampler"),
        ("released", '`sampler="released"`'),
        ("numba", "plain numba loop, our candidates"),
    ):
        if name in rates:
            each = number(1000 / rates[name].median)
            ratio = wanted = ""
            if name != "numba" and "numba" in rates:
                times = rates[name].over(rates["numba"])
                ratio = f"{number(times)} times the loop"
                if name == "ours":
                    wanted = f"15 times: {'met' if times >= 15 else '**missed**'}"
            rows.append([what, each, number(rates[name].median), ratio, wanted])
    head = "candidates of 512², 100,000 points, one core | ms each | candidates/s | rate | target"
    tables = {"candidates": table(head, rows)}

    if quick:
        return tables | {"searches": "(skipped)"}, rates
    rows = []
    for categories, sampler, threads in (
        (1000, "fdsl", 1),
        (1000, "fdsl", None),
        (10_000, "fdsl", None),
        (1000, "released", None),
    ):
        found: list[fdsl.IFS] = []
        cores = fdsl.cores() if threads is None else threads
        passed = seconds(
            f"{categories} categories, {sampler}, {cores} cores",
            lambda c=categories, s=sampler, t=threads, found=found: found.append(
                fdsl.IFS.search(categories=c, fill_rate=FILL_RATE, seed=1, sampler=s, num_threads=t)
            ),
        )
        tried = f"{found[0].candidates_tried:,}"
        rows.append([f"{categories:,}, {sampler}", str(cores), tried, f"{passed:.1f}"])
    searches = table(
        f"whole searches, filling rate {FILL_RATE} | cores | candidates | seconds", rows
    )
    return tables | {"searches": searches}, rates
