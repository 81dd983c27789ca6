"""Draws the chart of images per second on one core, ours and the peers', on a logarithmic scale."""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from kernel import PATCHES, Kernel
from measure import number

NAMES = {
    "numpy": "a point-by-point NumPy loop",
    "datumaro": "datumaro",
    "numba": "a plain numba loop",
    "plain": "fdsl, no SIMD",
    "avx2": "fdsl, AVX2",
    "avx512": "fdsl, AVX-512",
    "neon": "fdsl, NEON",
}


def draw(kernel: Kernel, file: Path) -> None:
    theirs = {name: rate for name, (rate, _) in kernel.peers[PATCHES].items()}
    rates = {**theirs, **kernel.ours[PATCHES]}
    bars = sorted((rate.median, NAMES.get(name, name)) for name, rate in rates.items())
    figure, axes = plt.subplots(figsize=(8, 0.45 * len(bars) + 1.1), dpi=110)
    for y, (rate, name) in enumerate(bars):
        color = "#2f6f4f" if name.startswith("fdsl") else "#9a9a9a"
        axes.barh(y, rate, color=color)
        axes.text(rate * 1.15, y, number(rate), va="center")
    axes.set_xscale("log")
    axes.set_xlim(bars[0][0] / 3, bars[-1][0] * 4)
    axes.set_yticks(range(len(bars)), [name for _, name in bars])
    axes.set_xlabel("images per second on one core: 256², 200,000 points, a new 3×3 mask per point")
    axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(file, metadata={"Software": None})
    plt.close(figure)
