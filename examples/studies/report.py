"""The rows of a study: a CSV with a row a run, and a table with a row a line."""

import csv
import io
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from checkpoint import write_whole

from studies.lab import Weights
from studies.scales import View
from studies.table import Line, Study

COLUMNS = (
    "study",
    "line",
    "x",
    "pretraining",  # the folder of its weights
    "pictures",  # seen in pre-training
    "pretraining_minutes",
    "pretraining_accuracy",
    "data",
    "view",
    "labels",  # pictures fine-tuned on
    "settings",  # the folder of the run: what is not usual in it
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
) -> dict[str, Any]:
    """A row of the CSV."""
    values: dict[str, Any] = {
        "study": study,
        "line": line.name,
        "x": "" if line.x is None else line.x,
        "pretraining": weights.name,
        "pictures": weights.pictures,
        "pretraining_minutes": f"{weights.minutes:.1f}",
        "pretraining_accuracy": "" if weights.accuracy is None else weights.accuracy,
        "paper": "" if paper is None else paper,
    }
    if view is not None and result is not None:
        values |= {
            "data": data,
            "view": view.label,
            "labels": result["training_pictures"],
            "settings": result["out"].name,
            "lr": "" if "probe" in str(result["frozen_part"]) else result["lr"],
            "seed": result["seed"],
            "tuning": "yes" if result.get("tuning") else "",
            "measure": result["measure"],
            "accuracy": round(result["accuracy"], 5),
            "minutes": f"{result['minutes']:.1f}",
        }
    return {column: values.get(column, "") for column in COLUMNS}


def write(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Writes the CSV, whole or not at all."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_whole(path, lambda file: file.write(text.getvalue().encode()))


Cells = dict[tuple[str, str], dict[str, list[float]]]


def cells(rows: Sequence[Mapping[str, Any]]) -> Cells:
    """For each column of the table (data, view) and each line, the seeds' accuracies in percent."""
    found: Cells = defaultdict(lambda: defaultdict(list))
    for one in rows:
        if one["accuracy"] != "" and not one["tuning"]:
            key = one["data"], one["view"]
            found[key][one["line"]].append(100 * float(one["accuracy"]))
    return found


def table(study: Study, rows: Sequence[Mapping[str, Any]]) -> str:
    """The study as Markdown: means over the seeds, their spread, and the paper's number."""
    found = cells(rows)
    papers = {(one["data"], one["line"]): one["paper"] for one in rows}
    if not found:  # a study of pre-training itself
        lines = ["| | accuracy of pre-training |", "|---|---|"]
        for one in rows:
            lines.append(f"| {one['line']} | {100 * float(one['pretraining_accuracy']):.1f} |")
        return "\n".join(lines)
    heads = [f"{data}, {view}" for data, view in found]
    lines = [f"| | {' | '.join(heads)} |", "|---|" + "---|" * len(heads)]
    for line in study.lines:
        texts = []
        for (data, _), own in found.items():
            text = mean_and_spread(own.get(line.name, []))
            if (paper := papers.get((data, line.name), "")) != "":
                text += f" ({paper})"
            texts.append(text)
        if any(texts):
            lines.append(f"| {line.name} | {' | '.join(texts)} |")
    return "\n".join(lines)


def mean_and_spread(values: Sequence[float]) -> str:
    """Such as 71.2 ± 0.4, the standard deviation over the seeds; nothing for no values."""
    if not values:
        return ""
    spread = f" ± {np.std(values, ddof=1):.1f}" if len(values) > 1 else ""
    return f"{np.mean(values):.1f}{spread}"
