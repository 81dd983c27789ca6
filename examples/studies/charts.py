"""The rows of a study as a figure."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import metrics
import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.isotonic import isotonic_regression

from studies.plan import Line, Study
from studies.report import cells, mean_and_spread, per_class

Rows = Sequence[Mapping[str, Any]]


def draw(study: Study, rows: Rows, folders: Mapping[str, Mapping[str, Path]], path: Path) -> None:
    """Draws the figure of a study, if there is anything to draw; `folders` has the folders of the
    runs, by data set and line."""
    if study.figure == "pretraining":
        figure = _curves(folders, column="accuracy", label="accuracy of pre-training")
    elif study.figure == "finetuning":
        figure = _curves(folders, column="val_accuracy", label="accuracy in validation")
    elif study.figure == "gains":
        figure = _gains(study, rows)
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
    most = max((len(own) for own in found.values()), default=0)
    size = (1 + 4 * max(1, len(found)), max(3.8, 1.2 + 0.25 * most))
    figure = Figure(figsize=size, layout="constrained")
    panels = figure.subplots(1, max(1, len(found)), squeeze=False)[0]
    for axes, ((data, view), own) in zip(panels, found.items(), strict=False):
        axes.set_title(f"{data}, {view}", fontsize=10)
        if study.figure == "curve":
            _curve(axes, study, own)
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


def _gains(study: Study, rows: Rows) -> Figure:
    """How much better each formula is than scratch: its gain against the images of pre-training,
    and below it, after the same number of images, the accuracies in the views that most formulas
    have, best first."""
    found = cells(rows)
    whole = {line.group: line.name for line in study.lines if line.x == 1 and not line.on_demand}
    scratch = next(line.name for line in study.lines if not line.group)
    counts = {key: sum(name in own for name in whole.values()) for key, own in found.items()}
    most = max(counts.values(), default=0)
    shown = {key: own for key, own in found.items() if scratch in own and 2 * counts[key] > most}
    if not shown:
        return Figure()
    (data, view), first = next(iter(shown.items()))
    networks = _networks(study, first)
    means = {
        group: float(np.mean([np.mean(first[one.name]) for one in networks[group] if one.x == 1]))
        for group, name in whole.items()
        if name in first
    }
    ranked = sorted(means, key=lambda group: means[group])
    styles = _styles(study)
    heights = (5.5, 1.5 + 0.25 * len(ranked))
    figure = Figure(figsize=(3 + 2.2 * max(4, len(shown)), sum(heights)), layout="constrained")
    above, below = figure.subfigures(2, 1, squeeze=False, height_ratios=heights)[:, 0]
    axes = above.subplots()
    axes.set_title(f"{data}, {view}: gain", fontsize=10)
    _growth(axes, study, first, scratch, rows, styles)
    panels = below.subplots(1, len(shown), sharey=True, squeeze=False)[0]
    for axes, ((data, view), own) in zip(panels, shown.items(), strict=True):
        axes.set_title(f"{data}, {view}", fontsize=10)
        _ranking(axes, study, own, scratch, ranked, styles)
    return figure


def _styles(study: Study) -> dict[str, dict[str, Any]]:
    """A color for each formula, the same in all charts, and a mark for how it is used: solid lines
    are augmented, squares one image per category."""
    groups = {line.group: line.pretrain for line in study.lines if line.group}
    formulas = list(dict.fromkeys(group.split(", ")[0] for group in sorted(groups)))
    palette = colormaps["tab10" if len(formulas) <= 10 else "tab20"]
    styles: dict[str, dict[str, Any]] = {}
    for group, pretrain in groups.items():
        preset = pretrain.get("preset", ())
        color = palette(formulas.index(group.split(", ")[0]))
        styles[group] = {
            "color": color,
            "ls": "-" if preset else ":" if "target" in pretrain else "--",
            "marker": "s" if "fixed" in preset else "D" if "target" in pretrain else "o",
            "mfc": color if preset else "white",
        }
    return styles


def _networks(study: Study, own: Mapping[str, Sequence[float]]) -> dict[str, list[Line]]:
    """The lines of each formula that were run, by their number of images."""
    groups: dict[str, list[Line]] = {}
    for line in sorted(study.lines, key=lambda line: line.x or 0):
        if line.group and line.name in own:
            groups.setdefault(line.group, []).append(line)
    return groups


def _ranking(
    axes: Axes,
    study: Study,
    own: Mapping[str, Sequence[float]],
    scratch: str,
    ranked: Sequence[str],
    styles: Mapping[str, Mapping[str, Any]],
) -> None:
    """The formulas with the same number of images, from the worst to the best; a mark for each
    network, and a small point for each seed of its fine-tuning."""
    networks = _networks(study, own)
    axes.set_yticks(range(len(ranked)), ranked)
    for i, group in enumerate(ranked):
        for line in (one for one in networks.get(group, ()) if one.x == 1):
            values, style = own[line.name], {**styles[group], "ls": ""}
            axes.plot(values, [i] * len(values), ".", color="gray", markersize=4)
            axes.plot(float(np.mean(values)), i, **style, markersize=7)
    middle, spread = mean_and_spread(own[scratch])
    axes.axvline(middle, color="gray", linestyle=":")
    axes.axvspan(middle - spread, middle + spread, color="gray", alpha=0.15)
    axes.grid(axis="x", alpha=0.3)
    axes.set(xlabel="accuracy, %")


def _growth(
    axes: Axes,
    study: Study,
    own: Mapping[str, Sequence[float]],
    scratch: str,
    rows: Rows,
    styles: Mapping[str, Mapping[str, Any]],
) -> None:
    """The gain of each formula against its images; a mark for each network, and a line through
    their means, with the formula's name at its end."""
    images = {row["line"]: int(row["images"]) for row in rows}
    base, spread = mean_and_spread(own[scratch])
    ends: dict[str, tuple[int, float]] = {}
    for group, lines in _networks(study, own).items():
        gains: dict[int, list[float]] = {}
        for line in lines:
            gains.setdefault(images[line.name], []).append(float(np.mean(own[line.name])) - base)
        means = {count: float(np.mean(values)) for count, values in gains.items()}
        axes.plot([*means], [*means.values()], **{**styles[group], "marker": ""})
        for count, values in gains.items():
            axes.plot([count] * len(values), values, **{**styles[group], "ls": ""}, markersize=5)
        ends[group] = max(means.items())
    axes.axhline(0, color="gray", linestyle=":")
    axes.axhspan(-spread, spread, color="gray", alpha=0.15)
    counts = sorted({images[line.name] for line in study.lines if line.group and line.name in own})
    axes.set_xscale("log")
    axes.set_xticks(counts, [f"{count:,}" for count in counts])
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    axes.set(xlabel="images of pre-training", ylabel="gain over scratch, percentage points")
    _name_ends(axes, ends, styles)


def _name_ends(
    axes: Axes,
    ends: Mapping[str, tuple[int, float]],
    styles: Mapping[str, Mapping[str, Any]],
) -> None:
    """Names curves at the right of the axes, as near to the height of their ends as their number
    allows: by least squares."""
    bottom, top = axes.get_ylim()
    ranked = sorted(ends, key=lambda group: ends[group][1])
    apart = (top - bottom) / max(24, len(ranked))
    steps = apart * np.arange(len(ranked))
    # Names are at least that far apart if what remains without these steps is in order.
    free = [ends[group][1] for group in ranked] - steps
    heights = steps + isotonic_regression(free, y_min=bottom, y_max=top - steps[-1])
    for group, height in zip(ranked, heights, strict=True):
        color = styles[group]["color"]
        axes.annotate(
            group,
            ends[group],
            xytext=(1.02, height),
            textcoords=axes.get_yaxis_transform(),
            va="center",
            fontsize=8,
            color=color,
            arrowprops={"arrowstyle": "-", "color": color, "alpha": 0.4, "lw": 0.7},
        )


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
