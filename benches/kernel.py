"""Measures images per second on one core: fdsl on every SIMD backend, and its peers."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import fdsl
import numpy as np
import peers
from fdsl import _core
from measure import Rates, number, rounds, table

# No variation, and no re-rendering.
PLAIN = {"variation": None, "resample_degenerate": False}
SQUARE = fdsl.Rendering(**PLAIN)
SMALL = fdsl.Rendering(size=64, num_points=12_500, **PLAIN)
FRAME = fdsl.Frame(resample_degenerate=False)
LEAVES = fdsl.Leaves(size=128, color=True, resample_degenerate=False)


@dataclass(frozen=True)
class Line:
    """One row of the table: what is rendered, and the target rate."""

    name: str
    rendering: Any  # of the type its family accepts
    target: float | None = None  # images per second
    family: str = "fractaldb-10"


LINES = [
    Line("256², 200,000 points, patch random", SQUARE, 3000),
    Line("– patch fixed", fdsl.Rendering(patch="fixed", **PLAIN)),
    Line("– patch random, color", fdsl.Rendering(color=True, **PLAIN)),
    Line(
        "– point, 100,000 points", fdsl.Rendering(draw="point", num_points=100_000, **PLAIN), 8000
    ),
    Line("64², 12,500 points, patch random", SMALL, 40_000),
    Line("256², Perlin-100", FRAME, 1500, "perlin-100"),
    Line("256², Bezier-1024", FRAME, 1500, "bezier-1024"),
    Line("128², dead leaves, squares, color", LEAVES, 2000, "deadleaves-2"),
    Line("256², 1/f noise", FRAME, 1500, "spectrum-49"),
]
PATCHES, FIXED, COLOR, POINTS = (line.name for line in LINES[:4])
SQUARES, NOISE = (line.name for line in LINES[7:])


@dataclass(frozen=True)
class Kernel:
    """The measurements: images per second for each line and path, and for each peer together with
    ours in the same rounds on the same categories."""

    ours: dict[str, dict[str, Rates]]
    peers: dict[str, dict[str, tuple[Rates, Rates]]]

    @property
    def best(self) -> str:
        return _core.simd_paths()[-1]

    def rate(self, line: str) -> Rates:
        return self.ours[line][self.best]

    def ratio(self, line: str, peer: str) -> float:
        """Returns our speed relative to the peer."""
        theirs, ours = self.peers[line][peer]
        return ours.over(theirs)


def draw(line: Line, path: str, images: int, categories: int = 10) -> Callable[[], int]:
    """Renders images on one thread, cycling through ten evenly spaced categories of the family."""
    family = fdsl.load(line.family)
    chosen = np.linspace(0, len(family) - 1, 10).astype(np.uint64)[:categories]
    numbers = np.arange(images, dtype=np.uint64)
    arguments = (family, chosen[numbers % categories], numbers, 0, line.rendering, 1)
    out = fdsl.render(*arguments)  # allocated once

    def work() -> int:
        fdsl.render(*arguments, out=out, simd=path)
        return images

    return work


def each(
    categories: fdsl.IFS, draw_one: Callable[..., object], *settings: Any
) -> Callable[[], int]:
    """Renders each category once with a peer."""

    def work() -> int:
        for category in categories:
            draw_one(category, *settings)
        return len(categories)

    return work


def seeded(peer: Callable[[int], object], images: int) -> Callable[[], int]:
    """Renders an image for each of the first seeds, by a peer."""

    def work() -> int:
        for seed in range(images):
            peer(seed)
        return images

    return work


def by_numba(category: fdsl.Category, loop: Callable[..., object], points: int) -> None:
    loop(*peers.arrays(category), points, 256, 7)


def measured(*, quick: bool) -> Kernel:
    count, images = (2, 10) if quick else (7, 200)
    paths, ifs = _core.simd_paths(), fdsl.fractaldb(10)
    ours: dict[str, dict[str, Rates]] = {}
    theirs: dict[str, dict[str, tuple[Rates, Rates]]] = {PATCHES: {}, POINTS: {}}
    # Lines that are compared with each other share their rounds.
    for lines in (LINES[:3], *([line] for line in LINES[3:])):
        contenders = {
            f"{line.name}: {path}": draw(line, path, images) for line in lines for path in paths
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
    # Only squares: the second category.
    squares = fdsl.load("deadleaves-2")[1:]
    seeds = np.arange(images, dtype=np.uint64)
    out = fdsl.render(squares, 0, seeds, 0, LEAVES, 1)

    def leaves() -> int:
        fdsl.render(squares, 0, seeds, 0, LEAVES, 1, out=out)
        return images

    others = {SQUARES: (leaves, functools.partial(peers.numba_leaves, 128), peers.have_numba())}
    line = next(line for line in LINES if line.name == NOISE)
    noise = draw(line, paths[-1], images)
    others[NOISE] = (noise, functools.partial(peers.numpy_spectrum, 256), True)
    for name, (work, peer, there) in others.items():
        kind = "numba" if name == SQUARES else "numpy"
        if there:
            rates = rounds(name, {"ours": work, kind: seeded(peer, images // 5)}, count)
            theirs[name] = {kind: (rates[kind], rates["ours"])}
    few = ifs[: 1 if quick else 3]
    for line, how in ((LINES[0], "patch"), (LINES[3], "point")):
        points = 2000 if quick else line.rendering.num_points
        slow = {"numpy": each(few, peers.numpy_image, points, 256, how)}
        if how == "patch" and (found := peers.datumaro()):
            slow["datumaro"] = each(few, peers.datumaro_image, found[0], points, 256)
        work = draw(line, paths[-1], images, len(few))
        rates = rounds(f"peers, {how}", {"ours": work, **slow}, 1 if quick else 3)
        theirs[line.name] |= {peer: (rates[peer], rates["ours"]) for peer in slow}
    return Kernel(ours, theirs)


def report(kernel: Kernel) -> dict[str, str]:
    """Returns the tables of the template."""
    paths = _core.simd_paths()
    rows = []
    for line in LINES:
        rates, best = kernel.ours[line.name], kernel.rate(line.name)
        if line.name in (FIXED, COLOR):
            share = kernel.rate(PATCHES).over(best)
            met = f"within 1.5 times of patch random: {number(share)}, {_met(share <= 1.5)}"
        else:
            assert line.target is not None
            met = f"{number(line.target)}: {_met(best.median >= line.target)}"
        rows.append([line.name, *(number(rates[path].median) for path in paths), best.spread, met])
    ours = table(f"one core, images/s | {' | '.join(paths)} | spread | target", rows)

    rows = []
    for name in kernel.peers:
        for peer, (rates, _) in kernel.peers[name].items():
            ratio = kernel.ratio(name, peer)
            wanted = ""
            if (name, peer) == (PATCHES, "numba"):
                wanted = f"20 times: {_met(ratio >= 20)}"
            each_ms = number(1000 / rates.median)
            rows.append([f"{peer}: {name.lstrip('– ')}", each_ms, f"{number(ratio)} times", wanted])
    theirs = table(
        f"other libraries, one core | ms per image | speedup of fdsl ({kernel.best}) | target", rows
    )
    return {"kernel": ours, "peers": theirs, "cause": cause(kernel)}


def cause(kernel: Kernel) -> str:
    """Compares this core with the one for which the targets were set, if a target was missed."""
    missed = any(line.target and kernel.rate(line.name).median < line.target for line in LINES)
    if not missed or "numba" not in kernel.peers[PATCHES]:
        return ""
    there, here = 6.4, 1000 / kernel.peers[PATCHES]["numba"][0].median
    return (
        "For scale where a target was missed: the targets were set for a core (Zen 5, 3.3 GHz) on\n"
        f"which a plain numba loop takes {there} ms per image. The numba loop below took\n"
        f"{number(here)} ms on this core."
    )


def _met(met: bool) -> str:
    return "met" if met else "**missed**"
