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

PLAIN = {"weights": None, "redraw": False}  # the categories themselves, each drawn once
SQUARE = fdsl.Rendering(**PLAIN)


@dataclass(frozen=True)
class Line:
    """One row of the table: what is drawn, and how fast it should be."""

    name: str
    rendering: fdsl.Rendering
    target: float | None = None  # pictures a second
    family: str = "fractaldb-10"


LINES = [
    Line("256², 200,000 dots, patch random", SQUARE, 3000),
    Line("– patch fixed", fdsl.Rendering(patch="fixed", **PLAIN)),
    Line("– patch random, colour", fdsl.Rendering(color=True, **PLAIN)),
    Line("– point, 100,000 dots", fdsl.Rendering(draw="point", points=100_000, **PLAIN), 8000),
    Line("64², 12,500 dots, patch random", fdsl.Rendering(size=64, points=12_500, **PLAIN), 40_000),
    Line("256², Perlin-100", SQUARE, 1500, "perlin-100"),
    Line("256², Bezier-1024", SQUARE, 1500, "bezier-1024"),
]
PATCHES, FIXED, COLOR, POINTS = (line.name for line in LINES[:4])


@dataclass(frozen=True)
class Kernel:
    """What was measured: for each line, pictures a second by path; and those of the peers."""

    ours: dict[str, dict[str, Rates]]
    peers: dict[str, dict[str, Rates]]

    @property
    def best(self) -> str:
        return _core.simd_paths()[-1]

    def rate(self, line: str) -> Rates:
        return self.ours[line][self.best]


def draw(line: Line, path: str, pictures: int) -> Callable[[], int]:
    """Draws so many pictures of the line's categories, on one thread."""
    family = fdsl.load(line.family)
    some = np.linspace(0, len(family) - 1, 10).astype(np.uint64)
    height, width = line.rendering.output_size
    pixels = np.empty(pictures * height * width * line.rendering.channels, np.uint8)
    redraws = np.empty(pictures, np.uint8)
    numbers = np.arange(pictures, dtype=np.uint64)
    arguments = (line.rendering._core, some[numbers % 10], numbers, 0, 1, pixels, redraws, path)

    def work() -> int:
        family._renderer().render(*arguments)
        return pictures

    return work


def each(categories: fdsl.IFS, work: Callable[[Any], object]) -> Callable[[], int]:
    def all_of_them() -> int:
        for category in categories:
            work(category)
        return len(categories)

    return all_of_them


def measured(*, quick: bool) -> Kernel:
    count, pictures = (2, 10) if quick else (9, 200)
    ours: dict[str, dict[str, Rates]] = {}
    theirs: dict[str, dict[str, Rates]] = {PATCHES: {}, POINTS: {}}
    ifs = fdsl.fractaldb(10)
    for line in LINES:
        contenders = {path: draw(line, path, pictures) for path in _core.simd_paths()}
        points = line.rendering.points
        if peers.have_numba() and line.name in theirs:
            loop = peers.numba_patches if line.name == PATCHES else peers.numba_points
            contenders["numba"] = each(
                ifs,
                lambda one, loop=loop, n=points: loop(*peers.arrays(one), n, 256, 7),
            )
        rates = rounds(line.name, contenders, count)
        if "numba" in rates:
            theirs[line.name]["numba"] = rates.pop("numba")
        ours[line.name] = rates
    few, slow = ifs[: 1 if quick else 3], 1 if quick else 3
    for name, how, points in ((PATCHES, "patch", 200_000), (POINTS, "point", 100_000)):
        points = 2000 if quick else points
        numpy = each(few, lambda one, n=points, how=how: peers.numpy_picture(one, n, 256, how))
        contenders = {"numpy": numpy}
        if name == PATCHES and (found := peers.datumaro()):
            contenders["datumaro"] = each(
                few, lambda one, n=points, f=found[0]: peers.datumaro_picture(f, one, n, 256)
            )
        theirs[name] |= rounds(f"peers, {how}", contenders, slow)
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
        best = kernel.rate(name)
        for peer, rates in kernel.peers[name].items():
            ratio = best.over(rates)
            wanted = ""
            if (name, peer) == (PATCHES, "numba"):
                wanted = f"20 times: {_met(ratio >= 20)}"
            each_ms = number(1000 / rates.median)
            rows.append([f"{peer}: {name.lstrip('– ')}", each_ms, f"{number(ratio)} times", wanted])
    theirs = table(f"the peers, one core | ms a picture | ours ({kernel.best}) is | wanted", rows)
    return {"kernel": ours, "peers": theirs, "cause": cause(kernel)}


def cause(kernel: Kernel) -> str:
    """Why a rate may be missed: how fast this core is, beside the one that the targets are of."""
    loop = kernel.peers[PATCHES].get("numba")
    if loop is None:
        return ""
    there, here = 6.4, 1000 / loop.median  # ms; the first was measured when the targets were set
    slower, scaled = number(here / there), number(3000 * there / here)
    lines = [
        f"The numba loop below took {there} ms on one core of the machine (Zen 5, 3.3 GHz) that",
        f"the wanted rates were set with, and {number(here)} ms here, {slower} times as long: what",
        f"is 3,000 there is {scaled} here. What is missed by less, this core misses; what by",
        "more, the code does.",
    ]
    return "\n".join(lines)


def _met(met: bool) -> str:
    return "met" if met else "**missed**"
