"""What a run writes down: metrics.csv always, TensorBoard on request, a curve and the result at the
end."""

import csv
import io
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from checkpoint import write_whole
from matplotlib.figure import Figure

# Times differ from run to run; all other columns of a resumed run equal those of one never stopped
# (on a GPU with --deterministic).
TIMINGS = ("pictures_per_second", "data_wait")
COLUMNS = ("step", "epoch", "lr", "loss", "accuracy", *TIMINGS)


class Metrics:
    """Appends rows to OUT/metrics.csv.

    Rows after `step`, left by a run that died later than its checkpoint, are dropped first.
    """

    def __init__(
        self, out: Path, columns: Sequence[str] = COLUMNS, *, step: int = 0, tensorboard: bool
    ) -> None:
        self.path, self.columns, self.board = out / "metrics.csv", list(columns), None
        kept = [row for row in read(self.path) if int(row["step"]) <= step] if step else []
        text = io.StringIO()
        writer = csv.DictWriter(text, self.columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(kept)
        write_whole(self.path, lambda file: file.write(text.getvalue().encode()))
        if tensorboard:
            from torch.utils.tensorboard import SummaryWriter  # optional, so imported on request

            self.board = SummaryWriter(out / "tensorboard", purge_step=step)

    def write(self, row: Mapping[str, Any]) -> None:
        texts = [f"{row[c]:.6g}" if isinstance(row[c], float) else row[c] for c in self.columns]
        try:
            with self.path.open("a", newline="") as file:
                csv.writer(file, lineterminator="\n").writerow(texts)
        except OSError as error:
            raise OSError(f"cannot write {self.path}: {error.strerror}") from error
        if not sys.stderr.isatty():  # where there is no progress bar, in a log file
            words = (f"{n} {t}" for n, t in zip(self.columns, texts, strict=True) if t != "")
            print(*words, flush=True)
        if self.board is not None:
            for name in self.columns[1:]:
                if row[name] != "":
                    self.board.add_scalar(name, row[name], row["step"])

    def close(self) -> None:
        """Draws the curve and closes TensorBoard."""
        if self.board is not None:
            self.board.close()
        draw_curve(self.path, self.path.with_name("curve.png"))


def read(path: Path) -> list[dict[str, str]]:
    """The whole rows of a metrics.csv; a last row that a crash cut short is left out."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        lines = list(csv.reader(io.StringIO("".join(line for line in file if line.endswith("\n")))))
    return [dict(zip(lines[0], line, strict=True)) for line in lines[1:]] if lines else []


def write_result(
    out: Path, result: Mapping[str, Any], classes: Mapping[str, tuple[float, int]]
) -> None:
    """Writes OUT/result.json, and OUT/per_class.csv with each class's accuracy and pictures."""
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(("class", "accuracy", "pictures"))
    for name, (score, count) in classes.items():
        writer.writerow((name, f"{score:.4f}" if count else "", count))
    text = table.getvalue().encode()
    write_whole(out / "per_class.csv", lambda file: file.write(text))
    # Last, as who finds it takes the run for done.
    words = json.dumps(result, indent=2) + "\n"
    write_whole(out / "result.json", lambda file: file.write(words.encode()))


def draw_curve(table: Path, picture: Path) -> None:
    """Draws loss and accuracy of a metrics.csv, against steps."""
    rows = read(table)
    figure = Figure(figsize=(9, 3.5), layout="constrained")
    for axes, name in zip(figure.subplots(1, 2), ("loss", "accuracy"), strict=True):
        for column, label in ((name, "training"), (f"val_{name}", "validation")):
            points = [(int(row["step"]), float(row[column])) for row in rows if row.get(column)]
            if points:
                axes.plot(*zip(*points, strict=True), label=label)
                axes.legend()
        axes.set(xlabel="step", ylabel=name)
    save_figure(figure, picture, dpi=120)


def save_figure(figure: Figure, path: Path, *, dpi: int) -> None:
    """Writes a PNG, whole or not at all."""
    write_whole(path, lambda file: figure.savefig(file, format="png", dpi=dpi))


def minutes(table: Path, batch_size: int) -> float:
    """How long the steps of a metrics.csv took, over all its resumes."""
    total, before = 0.0, 0
    for row in read(table):
        total += (int(row["step"]) - before) * batch_size / float(row["pictures_per_second"])
        before = int(row["step"])
    return total / 60
