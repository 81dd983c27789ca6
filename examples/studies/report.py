"""The rows of a study: a CSV with a row per run, and a table with a row per line."""

import csv
import io
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import metrics
import numpy as np
from fdsl.torch.training import write_whole
from scipy.stats import spearmanr

from studies.lab import Weights, current, locked
from studies.plan import Line, Study
from studies.scales import View

COLUMNS = (
    "study",
    "line",
    "x",
    "pretraining",  # the folder of its weights
    "images",  # seen in pre-training
    "pretraining_minutes",
    "pretraining_accuracy",
    "compactness",  # of the categories, before any training (score.py)
    "data",
    "view",
    "labels",  # images fine-tuned on
    "settings",  # the folder of the run: its unusual settings
    "lr",
    "seed",
    "tuning",  # yes: the run only chose the learning rate
    "measure",
    "accuracy",
    "minutes",
    "paper",
)


def row(
    study: str,
    line: Line,
    weights: Weights,
    *,
    data: str = "",
    view: View | None = None,
    result: Mapping[str, Any] | None = None,
    paper: float | None = None,
    compactness: float | None = None,
) -> dict[str, Any]:
    """A row of the CSV."""
    values: dict[str, Any] = {
        "study": study,
        "line": weights.label or line.name,
        "x": "" if line.x is None else line.x,
        "pretraining": weights.name,
        "images": weights.images,
        "pretraining_minutes": f"{weights.minutes:.1f}",
        "pretraining_accuracy": "" if weights.accuracy is None else weights.accuracy,
        "compactness": "" if compactness is None else compactness,
        "paper": "" if paper is None else paper,
    }
    if view is not None and result is not None:
        values |= {
            "data": data,
            "view": view.label,
            "labels": result["num_labels"],
            "settings": result["out"].name,
            "lr": "" if result["settings"]["probe"] else result["settings"]["lr"],
            "seed": result["settings"]["seed"],
            "tuning": "yes" if result.get("tuning") else "",
            "measure": result["measure"],
            "accuracy": None if result["accuracy"] is None else round(result["accuracy"], 5),
            "minutes": f"{result['minutes']:.1f}" if result["minutes"] else "",
        }
    return {column: "" if (one := values.get(column)) is None else one for column in COLUMNS}


def read(path: Path) -> list[dict[str, Any]]:
    """The rows of a CSV; empty if there is no file."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for row in rows:  # a table of an earlier version has old names
        row["pretraining"] = current(row["pretraining"])
        if "pictures" in row:
            row["images"] = row.pop("pictures")
    return rows


#: Lines and views that had other names in earlier versions.
OLD = {"drawn again": "re-rendered", "colour": "color"}


def renamed(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of an older CSV with the current names of its line and view."""
    line = OLD.get(row["line"], row["line"]).replace(" of the pictures", " of the images")
    view = row["view"].replace(" a class", " per class")
    return {**row, "line": line.replace(" %", "%"), "view": view.replace(" %", "%")}


def run_of(row: Mapping[str, Any]) -> tuple[str, ...]:
    """What identifies a run of a study: the newest one of a seed replaces those before it."""
    names = ("line", "data", "view", "seed", "tuning", *(("lr",) if row["tuning"] else ()))
    return tuple(str(row[name]) for name in names)


def merged(
    rows: Sequence[Mapping[str, Any]],
    more: Sequence[Mapping[str, Any]],
    *,
    order: Sequence[str],
) -> list[dict[str, Any]]:
    """Rows and newer ones, in the order of the lines. The newer ones replace rows of the same run,
    and those of the same line with other weights: a line is one network."""
    network = {one["line"]: one["pretraining"] for one in more}
    kept = [
        one for one in rows if network.get(one["line"], one["pretraining"]) == one["pretraining"]
    ]
    found = {run_of(one): dict(one) for one in (*kept, *more)}
    # Lines that the table does not name are of other checkpoints, and come last.
    rank = {line: i for i, line in enumerate(order)}
    return sorted(found.values(), key=lambda one: rank.get(one["line"], len(order)))


def join(path: Path, more: Sequence[Mapping[str, Any]], *, order: Sequence[str]) -> None:
    """Adds rows to a CSV, to which another process may be adding others at the same time."""
    with locked(path):
        write(path, merged([renamed(row) for row in read(path)], more, order=order))


def write(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Writes the CSV, whole or not at all."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_whole(path, text.getvalue().encode())


Cells = dict[tuple[str, str], dict[str, list[float]]]


def cells(rows: Sequence[Mapping[str, Any]]) -> Cells:
    """The seeds' accuracies in percent, for each column of the table (data, view) and each line."""
    found: Cells = defaultdict(lambda: defaultdict(list))
    for one in rows:
        if one["accuracy"] != "" and not one["tuning"]:
            key = one["data"], one["view"]
            found[key][one["line"]].append(100 * float(one["accuracy"]))
    return found


def table(study: Study, rows: Sequence[Mapping[str, Any]]) -> str:
    """The study as Markdown: means over the seeds and their spread, and the paper's numbers, which
    always use all labels."""
    found, lost = cells(rows), diverged(rows)
    lines = list(dict.fromkeys(one["line"] for one in rows))
    if not study.data:
        text = ["| | accuracy of pre-training |", "|---|---|"]
        for one in rows:
            text.append(f"| {one['line']} | {100 * float(one['pretraining_accuracy']):.1f} |")
        return "\n".join(text)
    papers = {(one["data"], one["line"]): one["paper"] for one in rows if one["paper"] != ""}
    columns = costs(rows) if study.figure == "gains" else {}
    for (data, view), own in found.items():
        columns[f"{data}, {view}"] = {
            line: formatted(own.get(line, [])) + lost.get((data, view, line), "") for line in lines
        }
    for data in dict.fromkeys(data for data, _ in papers):
        columns[f"{data}, the paper"] = {line: str(papers.get((data, line), "")) for line in lines}
    text = [f"| | {' | '.join(columns)} |", "|---|" + "---|" * len(columns)]
    for line in lines:
        text.append(f"| {line} | {' | '.join(one[line] for one in columns.values())} |")
    return "\n".join(text)


def diverged(rows: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str, str], str]:
    """The number of diverged runs in each cell of the table that has any."""
    counts = Counter(
        (one["data"], one["view"], one["line"])
        for one in rows
        if one["data"] and one["accuracy"] == "" and not one["tuning"]
    )
    return {cell: f" ({count} diverged)" for cell, count in counts.items()}


def costs(rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, str]]:
    """Columns with the cost of each line's pre-training; of the first, if it was repeated."""
    columns: dict[str, dict[str, str]] = {"images": {}, "minutes": {}, "images/s": {}}
    for row in reversed(rows):
        images, minutes = int(row["images"]), float(row["pretraining_minutes"])
        if images and minutes:
            columns["images"][row["line"]] = f"{images:,}"
            columns["minutes"][row["line"]] = f"{minutes:.0f}"
            columns["images/s"][row["line"]] = f"{images / minutes / 60:,.0f}"
    return {
        name: {row["line"]: own.get(row["line"], "") for row in rows}
        for name, own in columns.items()
    }


def correlations(study: Study, rows: Sequence[Mapping[str, Any]]) -> str:
    """Whether the score of the categories predicts the accuracy after training on them."""
    whole = {line.name: line for line in study.lines if line.x == 1 and not line.on_demand}
    scores = {
        row["line"]: float(row["compactness"])
        for row in rows
        if row["compactness"] and row["line"] in whole
    }
    plain = [name for name in scores if "preset" not in whole[name].pretrain]
    text = []
    for (data, view), own in cells(rows).items():
        found = []
        for words, names in (("", scores), (" without augmentation", plain)):
            lines = [name for name in names if name in own]
            if len(lines) > 2:
                pairs = [(scores[line], float(np.mean(own[line]))) for line in lines]
                rank = spearmanr(*zip(*pairs, strict=True))
                value, chance = float(rank.statistic), float(rank.pvalue)
                found.append(f"{value:.2f} (p = {chance:.2f}) over {len(lines)} lines{words}")
        if found:
            text.append(f"- {data}, {view}: {', '.join(found)}")
    return "\n".join(["Rank correlation of compactness and accuracy:", "", *text]) if text else ""


def better_classes(folders: Mapping[str, Mapping[str, Path]]) -> str:
    """For each data set, the classes that the first line recognizes better than the last."""
    text = []
    for data, own in folders.items():
        if len(own) > 1:
            (first, one), *_, (second, other) = own.items()
            mine, theirs = per_class(one), per_class(other)
            better = [
                f"{name} ({100 * mine[name]:.0f}, {100 * theirs[name]:.0f})"
                for name in sorted(mine, key=lambda name: theirs[name] - mine[name])
                if mine[name] > theirs[name]
            ]
            names = ", ".join(better) or "none"
            text.append(f"Of {data}, {first} does better than {second} (percent of each): {names}.")
    return "\n\n".join(text)


def per_class(folder: Path) -> dict[str, float]:
    """The accuracy of each class that has images, in one run."""
    rows = metrics.read(folder / "per_class.csv")
    return {row["class"]: float(row["accuracy"]) for row in rows if row["accuracy"]}


def mean_and_spread(values: Sequence[float]) -> tuple[float, float]:
    """The mean and the standard deviation over the seeds, which is 0 for a single one."""
    return float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else 0.0


def formatted(values: Sequence[float]) -> str:
    """Such as 71.2 ± 0.4, or 71.2 for a single seed; nothing for no values."""
    if not values:
        return ""
    mean, spread = mean_and_spread(values)
    return f"{mean:.1f} ± {spread:.1f}" if len(values) > 1 else f"{mean:.1f}"
