"""Reads the output of runs: their metrics, and how long they took."""

import csv
import io
from pathlib import Path

from fdsl.torch.training import write_whole
from matplotlib.figure import Figure


def read(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV; empty if there is no file."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def minutes(table: Path, batch_size: int) -> float:
    """How long the steps in a metrics.csv took, including all resumes."""
    total, before = 0.0, 0
    for row in read(table):
        # The column's name before 2026.
        speed = row.get("images_per_second") or row["pictures_per_second"]
        total += (int(row["step"]) - before) * batch_size / float(speed)
        before = int(row["step"])
    return total / 60


def save_figure(figure: Figure, path: Path, *, dpi: int) -> None:
    """Writes a PNG, whole or not at all."""
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=dpi)
    write_whole(path, content.getvalue())
