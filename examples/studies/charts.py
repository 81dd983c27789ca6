"""The rows of a study as a figure."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import metrics
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from studies.plan import Study
from studies.report import cells, per_class

Rows = Sequence[Mapping[str, Any]]


def draw(study: Study, rows: Rows, folders: Mapping[str, Mapping[str, Path]], path: Path) -> None:
    """Draws the figure of a study, if there is anything to draw; `folders` has the folders of the
    runs, by data set and line."""
    if study.figure == "pretraining":
        figure = _curves(folders, column="accuracy", label="accuracy of pre-training")
    elif study.figure == "finetuning":
        figure = _curves(folders, column="val_accuracy", label="accuracy in validation")
    elif study.figure == "classes":
        folders = {data: own for data, own in folders.items() if len(own) > 1}
        figure = _classes(folders)
    else:
        figure = _accuracies(study, rows)
    if folders:
        figure.suptitle(study.title)
        metrics.save_figure(figure, path, dpi=110)


def _accuracies(study: Study, rows: Rows) -> Figure:
    """The accuracy of each line, in rows or as a curve, with a panel for each data set and view.

    Each seed is a small point, the mean a mark; the dashed line is the network from scratch.
    """
    found = cells(rows)
    curves = {key: own for key, own in found.items() if _groups(study, own)}
    found = curves or found  # only where there is a curve
    most = max((len(own) for own in found.values()), default=0)
    size: tuple[float, float] = (1 + 4 * max(1, len(found)), max(3.8, 1.2 + 0.25 * most))
    if curves:
        size = (8.5 * len(curves), 5.5)
    figure = Figure(figsize=size, layout="constrained")
    panels = figure.subplots(1, max(1, len(found)), squeeze=False)[0]
    for axes, ((data, view), own) in zip(panels, found.items(), strict=False):
        axes.set_title(f"{data}, {view}", fontsize=10)
        if study.figure == "curve":
            _curve(axes, study, own)
        elif _groups(study, own):
            _gains(axes, study, own, rows)
        else:
            _points(axes, study, own)
    return figure


def _curve(axes: Axes, study: Study, own: Mapping[str, Sequence[float]]) -> None:
    points = [
        (line.x, own[line.name]) for line in study.lines if line.name in own and line.x is not None
    ]
    xs = [x for x, _ in points]
    axes.plot(xs, [np.mean(values) for _, values in points], "o-")
    for x, values in points:
        axes.plot([x] * len(values), values, ".", color="gray", markersize=4)
    for line in study.lines:
        if line.x is None and line.name in own:
            mean = float(np.mean(own[line.name]))
            axes.axhline(mean, linestyle="--", color="gray", label=line.name)
            axes.legend()
    if 0 in xs:  # 0 has no logarithm: the axis is linear below the smallest other value
        axes.set_xscale("symlog", linthresh=min((x for x in xs if x), default=1))
    else:
        axes.set_xscale("log")
    axes.set_xticks(xs, [f"{x:g}" for x in xs])
    axes.minorticks_off()
    axes.set(xlabel=study.xlabel, ylabel="accuracy, %")


def _groups(study: Study, own: Mapping[str, Sequence[float]]) -> dict[str, list[str]]:
    """The lines of each curve that were run, if any curve has two or more."""
    groups: dict[str, list[str]] = {}
    for line in sorted(study.lines, key=lambda line: line.x or 0):
        if line.group and line.name in own:
            groups.setdefault(line.group, []).append(line.name)
    return groups if any(len(names) > 1 for names in groups.values()) else {}


def _gains(axes: Axes, study: Study, own: Mapping[str, Sequence[float]], rows: Rows) -> None:
    """How much better each formula is than scratch, against the images of its pre-training."""
    images = {row["line"]: int(row["images"]) for row in rows}
    base = next(
        (
            float(np.mean(own[line.name]))
            for line in study.lines
            if not line.group and line.name in own
        ),
        0.0,
    )
    gains = {"scratch: 0": 0.0}
    for i, (group, names) in enumerate(_groups(study, own).items()):
        means: dict[int, list[float]] = {}
        for name in names:
            means.setdefault(images[name], []).extend(value - base for value in own[name])
        xs = sorted(means)
        middle = np.array([np.mean(means[x]) for x in xs])
        spread = np.array([np.std(means[x], ddof=1 if len(means[x]) > 1 else 0) for x in xs])
        color, line = f"C{i % 10}", "o-" if i < 10 else "s--"
        name = f"{group}: {middle[-1]:+.1f}"
        gains[name] = middle[-1]
        axes.errorbar(xs, middle, spread, fmt=line, label=name, color=color, capsize=2)
        axes.fill_between(xs, middle - spread, middle + spread, alpha=0.12, color=color)
    axes.axhline(0, color="gray", linestyle=":", label="scratch: 0")
    axes.set_xscale("log")
    handles = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    names = sorted(gains, key=lambda name: -gains[name])
    axes.legend(
        [handles[name] for name in names],
        names,
        fontsize=8,
        loc="center left",
        bbox_to_anchor=(1.0, 0.5),
        title="at the most images",
    )
    axes.grid(alpha=0.3)
    axes.set(xlabel="images of pre-training", ylabel="gain over scratch, percentage points")


def _points(axes: Axes, study: Study, own: Mapping[str, Sequence[float]]) -> None:
    """Points, not bars: the differences matter, so the axis does not start at zero."""
    names = [line.name for line in study.lines if line.name in own]
    names = [*names, *(name for name in own if name not in names)][::-1]
    for name in names:
        axes.plot(own[name], [name] * len(own[name]), ".", color="gray", markersize=6)
    axes.plot([float(np.mean(own[name])) for name in names], names, "D", color="#3182bd")
    axes.margins(x=0.15, y=0.2)
    axes.grid(axis="x", alpha=0.4)
    axes.set(xlabel="accuracy, %")


def _curves(folders: Mapping[str, Mapping[str, Path]], *, column: str, label: str) -> Figure:
    """A column of each run's metrics.csv against its steps, a panel for each data set."""
    figure = Figure(figsize=(6.5 * max(1, len(folders)), 4), layout="constrained")
    panels = figure.subplots(1, max(1, len(folders)), squeeze=False)[0]
    for axes, (data, own) in zip(panels, folders.items(), strict=False):
        for name, folder in own.items():
            rows = metrics.read(folder / "metrics.csv")
            points = [(int(row["step"]), 100 * float(row[column])) for row in rows if row[column]]
            axes.plot(*zip(*points, strict=True), label=name)
        axes.set(xlabel="step", ylabel=f"{label}, %", title=data)
        axes.legend()
    return figure


def _classes(folders: Mapping[str, Mapping[str, Path]], most: int = 40) -> Figure:
    """The classes with the largest gains of the first line over the last."""
    shown = max(
        (min(most, len(per_class(next(iter(own.values()))))) for own in folders.values()), default=0
    )
    size = (6.5 * max(1, len(folders)), 2 + 0.22 * shown)
    figure = Figure(figsize=size, layout="constrained")
    panels = figure.subplots(1, max(1, len(folders)), squeeze=False)[0]
    for axes, (data, own) in zip(panels, folders.items(), strict=False):
        (first, one), *_, (second, other) = own.items()
        mine, theirs = per_class(one), per_class(other)
        names = sorted(mine, key=lambda name: mine[name] - theirs[name])[-most:]
        gains = [100 * (mine[name] - theirs[name]) for name in names]
        axes.barh(names, gains, color=["#2ca25f" if gain > 0 else "#de2d26" for gain in gains])
        axes.set(xlabel=f"accuracy of {first} less that of {second}, percentage points")
        axes.set_title(data)
    return figure
