"""Measures everything, and writes RESULTS.md, the chart, and the README's figures.

    make bench

`--quick` runs every part for a moment, to see that it works; what it writes says nothing.
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

MOMENT = ["--model", "resnet18", "--size", "56", "--batch-size", "2", "--steps", "1"]
HERE = Path(__file__).resolve().parent


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="every part for a moment")
    parser.add_argument(
        "--out", type=Path, default=HERE.parent, help="where README.md is (default: the checkout)"
    )
    a = parser.parse_args()
    began = time.perf_counter()

    kernels = kernel.measured(quick=a.quick)
    candidates, found = search.report(quick=a.quick)
    streams = stream.measured(quick=a.quick)
    whole = ["--compile"] if torch.cuda.is_available() else []
    training, eaten = gpu.report(MOMENT if a.quick else whole)
    parts = {
        **kernel.report(kernels),
        **candidates,
        "stream": stream.report(streams),
        "memory": stream.memory(quick=a.quick),
        "gpu": training,
        "ranks": ranks.report(),
        "stages": "(left out)" if a.quick else stages(),
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
    put(a.out / "docs" / "training.md", node(streams, eaten))
    print(text)


def summary(
    kernels: kernel.Kernel, found: dict[str, measure.Rates], streams: dict[str, measure.Rates]
) -> str:
    """The README's figures, all from this run."""
    number, cores = measure.number, fdsl.cores()
    best = kernels.rate(kernel.PATCHES)
    lines = [
        f"On one core ({measure.machine().split(',')[0]}, {kernels.best.upper()}):",
        "",
        f"- {number(best.median)} pictures/s of 256² and 200,000 dots in patches,",
        f"  {number(kernels.rate(kernel.POINTS).median)} of 100,000 single pixels,",
        f"  {number(kernels.rate(kernel.LINES[4].name).median)} of 64² and 12,500 dots;",
    ]
    lines += [
        f"- {number(kernels.ratio(kernel.PATCHES, peer))} times as many patches as"
        f" {chart.NAMES[peer]};"
        for peer in kernels.peers[kernel.PATCHES]
    ]
    lines.append(f"- {number(found['ours'].median)} candidates/s of a search.")
    arrived = streams[f"Loader, {cores} threads"]
    share = arrived.over(streams["kernel, 1 thread"]) / cores
    lines += [
        "",
        f"On {cores} cores {number(arrived.median)} pictures/s arrive in the training loop",
        f"(batches of 256, 224² of 256²): {share:.0%} of what the kernel alone draws.",
    ]
    return "\n".join(lines)


def node(streams: dict[str, measure.Rates], eaten: float | None) -> str:
    """How many cores GPUs need, from what one core delivers and, if there is one, a GPU takes."""
    core = streams["Loader, 1 thread"].median
    gpu = eaten or 3000
    source = "measured here" if eaten else "others' figure for one H100: no GPU was at hand here"
    name, number = measure.machine().split(",")[0], measure.number
    lines = [
        f"One core ({name}) delivers {number(core)} pictures/s of 224² (cropped from 256²,",
        f"200,000 dots) through `Loader`. A ResNet-50 in bfloat16 eats some {number(gpu)}",
        f"({source}): {gpu / core:.1f} cores, so",
        f"{math.ceil(gpu / core)} for each GPU and {math.ceil(8 * gpu / core)} for a node of 8.",
        "Each training process keeps a core busy beside them.",
    ]
    return "\n".join(lines)


def put(page: Path, figures: str) -> None:
    """Replaces what stands between a page's two marks."""
    text = page.read_text(encoding="utf-8")
    marked = re.compile(r"(<!-- measured by make bench -->\n).*?(\n<!-- end -->)", re.DOTALL)
    if not marked.search(text):
        raise ValueError(f"{page} has no place for the figures: <!-- measured by make bench -->")
    page.write_text(marked.sub(lambda m: m[1] + figures + m[2], text), encoding="utf-8")


def software() -> str:
    return (
        f"fdsl {fdsl.__version__}, Python {platform.python_version()}, NumPy {np.__version__}, "
        f"torch {torch.__version__}"
    )


def missing() -> str:
    """What could not be compared with."""
    found = peers.datumaro()
    lines = [] if peers.have_numba() else ["numba is not installed."]
    lines.append(
        "datumaro's generator is not installed (`pip install 'datumaro<1.11'`)."
        if found is None
        else f"datumaro {found[1]}: its picture before it is coloured and blurred."
    )
    return " ".join(lines)


def stages() -> str:
    """What divan prints."""
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
