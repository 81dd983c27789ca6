"""Metrics of a run: averaged on the device, written as rows of a CSV."""

from __future__ import annotations

import csv
import io
import json
import math
import operator
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from fdsl._checks import require
from fdsl._files import PathLike, append_whole, discard, write_whole
from fdsl.torch.training.distributed import is_first, reduced

T = TypeVar("T")


class MetricsLog:
    """Averages metrics over steps and ranks, and writes each average as a row of a CSV.

    Its state belongs in the checkpoint: a resumed run then has the rows of that checkpoint, none
    twice and none missing, and goes on with the average that was under way.

    >>> import tempfile, torch
    >>> log = MetricsLog(tempfile.mkdtemp(), echo=False)
    >>> for step in (1, 2):
    ...     log.update(8, loss=torch.tensor(step / 4))
    >>> log.write(2, epoch=0)["loss"]
    0.375

    Args:
        folder: gets ``metrics.csv``, which rank 0 of ``torch.distributed`` writes.
        tensorboard: also log the same numbers to ``tensorboard/`` in the folder.
        echo: also print each row; by default only if stderr is not a terminal, where no progress
            bar is shown.
    """

    def __init__(
        self, folder: PathLike, *, tensorboard: bool = False, echo: bool | None = None
    ) -> None:
        if tensorboard:
            require("tensorboard=True", "tensorboard")
        self.folder = Path(folder)
        self.tensorboard = tensorboard
        terminal = sys.stderr is not None and sys.stderr.isatty()
        self.echo = not terminal if echo is None else echo
        #: The rows: a number for each column that a row has.
        self.rows: list[dict[str, float]] = []
        self._encoded: list[str] = []  # the first rows, as JSON
        self._columns: list[str] = []  # of the file as this object wrote it
        self._left: tuple[int, ...] | None = None  # that file, after its last row was written
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}  # of the images in each sum
        self._board: Any = None
        self._waited: float | None = None
        self._restart_clock()

    def watch(self, batches: Iterable[T]) -> Iterator[T]:
        """Yields the batches, and measures how long the loop waits for them: the column
        ``data_wait`` is the share of the time since the last row."""
        iterator = iter(batches)
        while True:
            asked = time.perf_counter()
            try:
                batch = next(iterator)
            except StopIteration:
                return
            self._waited = (self._waited or 0.0) + time.perf_counter() - asked
            yield batch

    def update(self, count: int, **metrics: Tensor | float) -> None:
        """Adds a step's metrics, each the mean over ``count`` images, without waiting for the
        device. A step may add them in several calls, and need not add every metric, but all ranks
        must add the same ones."""
        for name, value in metrics.items():
            total = torch.as_tensor(value).detach().float() * count  # a number stays on the CPU
            before = self._sums.get(name)
            self._sums[name] = total if before is None else before.to(total.device) + total
            self._counts[name] = self._counts.get(name, 0) + count
            self._seen[name] = self._seen.get(name, 0) + count

    def write(self, step: int, **values: float) -> dict[str, float]:
        """Writes the row of a step: these values, the averages since the last row, and the speed.

        A second call for the same step adds to its row. Every rank must call it.

        Raises:
            FloatingPointError: an average is not finite, and nothing is written.
        """
        averages = self._averages()
        for name, value in averages.items():
            if not math.isfinite(value):
                raise FloatingPointError(f"the {name} is {value} at step {step}")
        step = operator.index(step)
        given = {name: _plain(value) for name, value in values.items()}
        row: dict[str, float] = {"step": step, **given, **averages}
        if self._seen:
            seconds = max(time.perf_counter() - self._start, 1e-9)
            seen = max(self._seen.values())
            row["images_per_second"] = int(reduced(torch.tensor(seen))) / seconds
            if self._waited is not None:
                row["data_wait"] = self._waited / seconds
        self._sums, self._counts = {}, {}
        self._restart_clock()
        same = bool(self.rows) and self.rows[-1]["step"] == step
        if same:
            self.rows[-1] |= row
        else:
            self.rows.append(row)
        if is_first():
            self._to_file(row, append=not same)
            self._show(row)
            if self.tensorboard:
                self._to_tensorboard(row)
        return row

    def state_dict(self) -> dict[str, Any]:
        """Returns what a resumed run needs; every rank must call it."""
        sums, counts = self._reduced()
        return {"rows": self._encoded_rows(), "counts": counts, "sums": sums}

    def _encoded_rows(self) -> str:
        """Returns the rows as JSON, which torch reads a hundred times as fast as a list of dicts.

        All but the last row stay as they are, and are encoded once.
        """
        self._encoded += map(json.dumps, self.rows[len(self._encoded) : -1])
        return f"[{', '.join([*self._encoded, *map(json.dumps, self.rows[-1:])])}]"

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores what ``state_dict`` returned, with any number of ranks."""
        rows = state["rows"]  # a list in earlier versions
        self.rows = json.loads(rows) if isinstance(rows, str) else [dict(row) for row in rows]
        self._columns, self._encoded = [], []  # the file may have other rows
        first = is_first()
        self._sums = {
            name: torch.tensor(total if first else 0.0, dtype=torch.float32)
            for name, total in state["sums"].items()
        }
        # Earlier versions had one count for all.
        counts = state["counts"] if "counts" in state else dict.fromkeys(self._sums, state["count"])
        self._counts = {name: count if first else 0 for name, count in counts.items()}

    def plot(self, names: Sequence[str] = ("loss", "accuracy")) -> None:
        """Plots ``curve.png``, on rank 0 only: a panel for each of these columns and its ``val_``
        column. Needs matplotlib."""
        if not is_first():
            return
        require("plot", "matplotlib")
        from matplotlib.figure import Figure

        figure = Figure(figsize=(4.5 * len(names), 3.5), layout="constrained")
        panels = figure.subplots(1, len(names), squeeze=False)[0]
        for axes, name in zip(panels, names, strict=True):
            for column in (name, f"val_{name}"):
                points = [(row["step"], row[column]) for row in self.rows if column in row]
                axes.plot([x for x, _ in points], [y for _, y in points], label=column)
            axes.set(xlabel="step", ylabel=name)
            axes.legend()
        content = io.BytesIO()
        figure.savefig(content, format="png", dpi=120)
        write_whole(self.folder / "curve.png", content.getvalue())

    def _averages(self) -> dict[str, float]:
        sums, counts = self._reduced()
        return {name: total / counts[name] for name, total in sums.items()}

    def _reduced(self) -> tuple[dict[str, float], dict[str, int]]:
        """The sums and the counts of all ranks."""
        if not self._sums:
            return {}, {}
        own = [(float(total), self._counts[name]) for name, total in self._sums.items()]
        sums, counts = reduced(torch.tensor(own, dtype=torch.float64)).T.tolist()
        return (
            dict(zip(self._sums, sums, strict=True)),
            dict(zip(self._sums, map(int, counts), strict=True)),
        )

    def _to_file(self, row: dict[str, float], *, append: bool) -> None:
        """Appends the row to the file, or writes all rows: if a row has changed, a column is new,
        or the file is not as this object left it."""
        file = self.folder / "metrics.csv"
        as_left = file.is_file() and _identity(file) == self._left
        self._left = None  # if this fails, the next one writes all rows
        if append and as_left and row.keys() <= set(self._columns):
            append_whole(file, self._table([row]))
        else:
            self._columns = list(dict.fromkeys(name for one in self.rows for name in one))
            header = dict(zip(self._columns, self._columns, strict=True))
            write_whole(file, self._table([header, *self.rows]))
        self._left = _identity(file)

    def _table(self, rows: Iterable[Mapping[str, float | str]]) -> bytes:
        table = io.StringIO()
        writer = csv.writer(table, lineterminator="\n")
        writer.writerows([_shown(one.get(name, "")) for name in self._columns] for one in rows)
        return table.getvalue().encode()

    def _show(self, row: dict[str, float]) -> None:
        if not self.echo:
            return
        try:
            print(*(f"{name} {_shown(value)}" for name, value in row.items()), flush=True)
        except OSError:  # nobody reads the log, or its disk is full: the training goes on
            self.echo = False
            with suppress(OSError):  # not a file
                discard(sys.stdout)

    def _to_tensorboard(self, row: dict[str, float]) -> None:
        if self._board is None:
            from torch.utils.tensorboard import SummaryWriter

            # A resumed run replaces what was logged after its checkpoint.
            before = [one["step"] for one in self.rows if one["step"] < row["step"]]
            first = int(max(before, default=0)) + 1
            self._board = SummaryWriter(self.folder / "tensorboard", purge_step=first)
        for name, value in row.items():
            if name != "step":
                self._board.add_scalar(name, value, int(row["step"]))
        self._board.flush()

    def _restart_clock(self) -> None:
        self._start = time.perf_counter()
        self._waited = None
        # Images of this rank since then, by metric; a resume does not count.
        self._seen: dict[str, int] = {}


def _identity(file: Path) -> tuple[int, ...]:
    """Returns what changes when someone else writes or replaces a file."""
    found = file.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns


def _plain(value: Any) -> float:
    """Returns a number of NumPy or torch as Python's."""
    try:
        return operator.index(value)
    except TypeError:
        return float(value)


def _shown(value: float | str) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
