"""Pictures a second of one core: ours by path of the processor, beside the peers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import fdsl
import numpy as np
import peers
from fdsl import _core
from measure import Rates, number, rounds, table

# The categories themselves, each rendered once.
PLAIN = {"variation": None, "resample_degenerate": False}
SQUARE = fdsl.Rendering(**PLAIN)
SMALL = fdsl.Rendering(size=64, num_points=12_500, **PLAIN)
FRAME = fdsl.Frame(resample_degenerate=False)


@dataclass(frozen=True)
class Line:
    """One row of the table: what is drawn, and how fast it should be."""

    name: str
    rendering: Any  # as its family takes it
    target: float | None = None  # pictures a second
    family: str = "fractaldb-10"


LINES = [
    Line("256², 200,000 dots, patch random", SQUARE, 3000),
    Line("– patch fixed", fdsl.Rendering(patch="fixed", **PLAIN)),
    Line("– patch random, colour", fdsl.Rendering(color=True, **PLAIN)),
    Line("– point, 100,000 dots", fdsl.Rendering(draw="point", num_points=100_000, **PLAIN), 8000),
    Line("64², 12,500 dots, patch random", SMALL, 40_000),
    Line("256², Perlin-100", FRAME, 1500, "perlin-100"),
    Line("256², Bezier-1024", FRAME, 1500, "bezier-1024"),
]
PATCHES, FIXED, COLOR, POINTS = (line.name for line in LINES[:4])


@dataclass(frozen=True)
class Kernel:
    """What was measured: for each line, pictures a second by path; and those of the peers, each
    with ours of the same rounds and categories."""

    ours: dict[str, dict[str, Rates]]
    peers: dict[str, dict[str, tuple[Rates, Rates]]]

    @property
    def best(self) -> str:
        return _core.simd_paths()[-1]

    def rate(self, line: str) -> Rates:
        return self.ours[line][self.best]

    def ratio(self, line: str, peer: str) -> float:
        """How many times as fast as the peer ours is."""
        theirs, ours = self.peers[line][peer]
        return ours.over(theirs)


def draw(line: Line, path: str, pictures: int, categories: int = 10) -> Callable[[], int]:
    """Draws so many pictures, on one thread: the published ones' first, of others any ten."""
    family = fdsl.load(line.family)
    some = np.linspace(0, len(family) - 1, 10).astype(np.uint64)[:categories]
    numbers = np.arange(pictures, dtype=np.uint64)
    arguments = (family, some[numbers % categories], numbers, 0, line.rendering, 1)
    out = fdsl.render(*arguments)  # the memory, once

    def work() -> int:
        fdsl.render(*arguments, out=out, simd=path)
        return pictures

    return work


def each(categories: fdsl.IFS, how: Callable[..., object], *settings: Any) -> Callable[[], int]:
    """Draws each category once, by a peer."""

    def all_of_them() -> int:
        for category in categories:
            how(category, *settings)
        return len(categories)

    return all_of_them


def by_numba(category: fdsl.Category, loop: Callable[..., object], points: int) -> None:
    loop(*peers.arrays(category), points, 256, 7)


def measured(*, quick: bool) -> Kernel:
    count, pictures = (2, 10) if quick else (7, 200)
    paths, ifs = _core.simd_paths(), fdsl.fractaldb(10)
    ours: dict[str, dict[str, Rates]] = {}
    theirs: dict[str, dict[str, tuple[Rates, Rates]]] = {PATCHES: {}, POINTS: {}}
    # What is compared shares its rounds.
    for lines in (LINES[:3], *([line] for line in LINES[3:])):
        contenders = {
            f"{line.name}: {path}": draw(line, path, pictures) for line in lines for path in paths
        }
        first = lines[0]
        if peers.have_numba() and first.name in theirs:
            loop = peers.numba_patches if first.name == PATCHES else peers.numba_points
            contenders["numba"] = each(ifs, by_numba, loop, first.rendering.num_points)
        rates = rounds(first.name, contenders, count)
        for line in lines:
            ours[line.name] = {path: rates[f"{line.name}: {path}"] for path in paths}
        if "numba" in rates:
            theirs[first.name]["numba"] = rates["numba"], ours[first.name][paths[-1]]
    few = ifs[: 1 if quick else 3]
    for line, how in ((LINES[0], "patch"), (LINES[3], "point")):
        points = 2000 if quick else line.rendering.num_points
        slow = {"numpy": each(few, peers.numpy_picture, points, 256, how)}
        if how == "patch" and (found := peers.datumaro()):
            slow["datumaro"] = each(few, peers.datumaro_picture, found[0], points, 256)
        work = draw(line, paths[-1], pictures, len(few))
        rates = rounds(f"peers, {how}", {"ours": work, **slow}, 1 if quick else 3)
        theirs[line.name] |= {peer: (rates[peer], rates["ours"]) for peer in slow}
    return Kernel(ours, theirs)


def report(kernel: Kernel) -> dict[str, str]:
    """The tables of the template."""
    paths = _core.simd_paths()
    rows = []
    for line in LINES:
        rates, best = kernel.ours[line.name], kernel.rate(line.name)
        if line.name in (FIXED, COLOR):
            share = kernel.rate(PATCHES).over(best)
            met = f"within 1.5 times of random: {number(share)}, {_met(share <= 1.5)}"
        else:
            assert line.target is not None
            met = f"{number(line.target)}: {_met(best.median >= line.target)}"
        rows.append([line.name, *(number(rates[path].median) for path in paths), best.spread, met])
    ours = table(f"one core, pictures/s | {' | '.join(paths)} | spread | wanted", rows)

    rows = []
    for name in (PATCHES, POINTS):
        for peer, (rates, _) in kernel.peers[name].items():
            ratio = kernel.ratio(name, peer)
            wanted = ""
            if (name, peer) == (PATCHES, "numba"):
                wanted = f"20 times: {_met(ratio >= 20)}"
            each_ms = number(1000 / rates.median)
            rows.append([f"{peer}: {name.lstrip('– ')}", each_ms, f"{number(ratio)} times", wanted])
    theirs = table(f"the peers, one core | ms a picture | ours ({kernel.best}) is | wanted", rows)
    return {"kernel": ours, "peers": theirs, "cause": cause(kernel)}


def cause(kernel: Kernel) -> str:
    """Where a rate was missed: how fast this core is, beside the one that the rates are of."""
    missed = any(line.target and kernel.rate(line.name).median < line.target for line in LINES)
    if not missed or "numba" not in kernel.peers[PATCHES]:
        return ""
    there, here = 6.4, 1000 / kernel.peers[PATCHES]["numba"][0].median
    return (
        "A rough scale for what was missed: the wanted rates were set on a core (Zen 5, 3.3 GHz)\n"
        f"on which a plain numba loop was noted to take {there} ms a picture; the one below took\n"
        f"{number(here)} ms here."
    )


def _met(met: bool) -> str:
    return "met" if met else "**missed**"
