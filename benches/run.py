"""Runs all benchmarks and writes RESULTS.md, the chart, and the figures in the README.

    make bench

`--quick` runs every part briefly, to check that it works; its figures are meaningless.
"""

from __future__ import annotations

import argparse
import datetime
import math
import platform
import re
import subprocess
import time
from pathlib import Path

import chart
import families
import fdsl
import gpu
import kernel
import measure
import numpy as np
import peers
import ranks
import search
import stream
import torch
import views

QUICK = ["--model", "resnet18", "--size", "56", "--batch-size", "2", "--steps", "1"]
HERE = Path(__file__).resolve().parent


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="run every part briefly")
    parser.add_argument(
        "--out", type=Path, default=HERE.parent, help="where README.md is (default: the checkout)"
    )
    a = parser.parse_args()
    began = time.perf_counter()

    kernels = kernel.measured(quick=a.quick)
    candidates, found = search.report(quick=a.quick)
    streams = stream.measured(quick=a.quick)
    whole = ["--compile"] if torch.cuda.is_available() else []
    training, consumed = gpu.report(QUICK if a.quick else whole)
    parts = {
        **kernel.report(kernels),
        **candidates,
        "families": families.report(quick=a.quick),
        "views": views.report(quick=a.quick),
        "stream": stream.report(streams),
        "memory": stream.memory(quick=a.quick),
        "gpu": training,
        "ranks": ranks.report(),
        "stages": "(skipped)" if a.quick else stages(),
        "machine": measure.machine(),
        "cores": str(fdsl.cores()),
        "software": software(),
        "missing": missing(),
        "date": datetime.date.today().isoformat(),
        "minutes": f"{(time.perf_counter() - began) / 60:.0f}",
    }
    text = (HERE / "template.md").read_text(encoding="utf-8")
    for name, part in parts.items():
        text = text.replace(f"{{{name}}}", part)
    (a.out / "benches").mkdir(exist_ok=True)
    (a.out / "benches" / "RESULTS.md").write_text(text, encoding="utf-8")
    (a.out / "docs").mkdir(exist_ok=True)
    chart.draw(kernels, a.out / "docs" / "speed.png")
    put(a.out / "README.md", summary(kernels, found, streams))
    put(a.out / "docs" / "training.md", node(streams, consumed))
    print(text)


def summary(
    kernels: kernel.Kernel, found: dict[str, measure.Rates], streams: dict[str, measure.Rates]
) -> str:
    """Returns the figures for the README."""
    number, cores = measure.number, fdsl.cores()
    best = kernels.rate(kernel.PATCHES)
    backend = {"avx512": "AVX-512"}.get(kernels.best, kernels.best.upper())
    lines = [
        f"On one core ({measure.machine().split(',')[0]}, {backend}):",
        "",
        f"- {number(best.median)} images/s at 256² with 200,000 patches,",
        f"  {number(kernels.rate(kernel.POINTS).median)} with 100,000 single-pixel points,",
        f"  {number(kernels.rate(kernel.LINES[4].name).median)} at 64² with 12,500 patches;",
    ]
    lines += [
        f"- {number(kernels.ratio(kernel.PATCHES, peer))} times as fast as {chart.NAMES[peer]};"
        for peer in kernels.peers[kernel.PATCHES]
    ]
    lines.append(f"- category search: {number(found['ours'].median)} candidate systems per second.")
    arrived = streams[f"Loader, {cores} threads"]
    share = arrived.over(streams["kernel, 1 thread"]) / cores
    lines += [
        "",
        f"On {cores} cores, the training loop receives {number(arrived.median)} images/s",
        f"(batches of 256, cropped from 256² to 224²), {share:.0%} of {cores} times the rendering "
        "rate of one core.",
    ]
    return "\n".join(lines)


def node(streams: dict[str, measure.Rates], consumed: float | None) -> str:
    """Estimates the cores per GPU, from the rate of one core and the rate a GPU consumes."""
    core = streams["Loader, 1 thread"].median
    gpu = consumed or 3000
    source = "measured here" if consumed else "a published figure for one H100; not measured here"
    name, number = measure.machine().split(",")[0], measure.number
    one, eight = (math.ceil(gpus * gpu / core) for gpus in (1, 8))
    cores = "core" if one == 1 else "cores"
    lines = [
        f"One core ({name}) delivers {number(core)} images/s of 224² (cropped from 256², 200,000",
        f"points) through `Loader`. A ResNet-50 in bfloat16 consumes about {number(gpu)} images/s",
        f"({source}), which requires {gpu / core:.1f} cores.",
        f"Budget {one} {cores} for one GPU, or {eight} for an 8-GPU node,",
        "plus one per training process.",
    ]
    return "\n".join(lines)


def put(page: Path, figures: str) -> None:
    """Replaces the text between the two marks in a page."""
    text = page.read_text(encoding="utf-8")
    marked = re.compile(r"(<!-- measured by make bench -->\n).*?(\n<!-- end -->)", re.DOTALL)
    if not marked.search(text):
        raise ValueError(f"{page} has no marks for the figures: <!-- measured by make bench -->")
    page.write_text(marked.sub(lambda m: m[1] + figures + m[2], text), encoding="utf-8")


def software() -> str:
    return (
        f"fdsl {fdsl.__version__}, Python {platform.python_version()}, NumPy {np.__version__}, "
        f"torch {torch.__version__}"
    )


def missing() -> str:
    """Notes which peers are missing, and what datumaro's images lack."""
    found = peers.datumaro()
    lines = [] if peers.have_numba() else ["numba is not installed."]
    lines.append(
        "datumaro's generator is not installed (`pip install 'datumaro<1.11'`)."
        if found is None
        else f"datumaro {found[1]}: its image before coloring and blurring."
    )
    return " ".join(lines)


def stages() -> str:
    """Returns the output of `cargo bench`."""
    done = subprocess.run(
        ["cargo", "bench", "--quiet", "--bench", "stages", "--", "--sample-count", "20"],
        cwd=HERE.parent,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return done.stdout[done.stdout.index("stages ") :].rstrip()


if __name__ == "__main__":
    main()
