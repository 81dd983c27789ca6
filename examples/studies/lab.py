"""The runs of a study: each is done once, shared between studies, and resumed where it stopped.

A run's folder is named after the settings that differ from the usual ones of its scale, so studies
that need the same run share it. A lock lets several studies run in parallel, each on its own GPU or
core: if two need the same run, the second one waits for the result of the first.
"""

import contextlib
import hashlib
import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

import cluster
import finetune
import metrics
import pretrain
import score
from fdsl.torch.training import digest_of, read_checkpoint, write_whole
from fdsl.torch.training.checkpoints import NO_LOCKS
from filelock import FileLock, Timeout
from settings import recorded

from studies.scales import Budget, Scale, View

T = TypeVar("T")

#: The first seed of runs that only choose a learning rate.
TUNING = 100
#: Those runs validate on held-out training images, not on the test set.
HELD_OUT = {"held_out": 0.1}
#: Settings as earlier versions named them, in folder names and in records of runs.
OLD = {"weights": "variation", "points": "num_points", "pad": "margin", "recipe": "preset"}
OLD |= {"redraw": "resample_degenerate"}
#: The longest name of a folder: file systems allow 255 bytes, and locks add some.
LONGEST = 200
#: Settings that do not affect a result, or that the name of the folder implies.
ELSEWHERE = (
    *("device", "workers", "data", "data_root", "classes", "download", "from_"),
    *("log_every", "checkpoint_every", "tensorboard", "preset"),
)


class Interrupted(Exception):
    """A run was told to stop, and can resume from its checkpoint; `code` is its exit code."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True, kw_only=True)
class Weights:
    """A network to fine-tune."""

    name: str  # name of its folder
    source: str  # what finetune.py takes: a file, or "scratch"
    label: str | None = None  # its name in a table; by default that of its line
    images: int = 0
    minutes: float = 0.0
    accuracy: float | None = None  # at the end of pre-training


@dataclass(frozen=True, kw_only=True)
class Lab:
    """Where runs are stored, and how they are run."""

    out: Path
    scale: Scale
    network: str | None = None  # one of the scale's networks; by default its own
    device: str = "auto"
    data_root: Path = Path("data")
    download: bool = False
    workers: int = 2

    @property
    def own(self) -> Scale:
        """The scale with this network. The scale itself names the folders."""
        return self.scale.of(self.network)

    def scratch(self) -> Weights:
        """Random weights."""
        model = self.own.pretrain.get("model")
        same = model == self.scale.pretrain.get("model")
        return Weights(name="scratch" if same else _as_folder(f"scratch-{model}"), source="scratch")

    def given(self, file: Path) -> Weights:
        """Weights from elsewhere, identified by the content of the file."""
        digest = digest_of(file)[:8]
        # Every run of pretrain.py calls its file weights.safetensors.
        label = file.resolve().parent.name if file.stem == "weights" else file.stem
        return Weights(name=f"against-{file.stem}-{digest}", source=str(file), label=label)

    def pretrained(self, given: Mapping[str, Any], *, budget: Budget = "usual") -> Weights:
        """Weights pre-trained with these settings, in a run that is done now or was done before."""
        settings = self.own.pretraining(given, budget=budget)
        name = _name(settings, self.scale.pretraining({}))
        out = self.out / "pretrain" / name
        kind = cluster.Settings if "clusters" in settings else pretrain.Settings
        wanted = kind(out=out, resume="auto", device=self.device, **settings)
        with locked(out):
            adopt(out)
            if not _is_whole(out / "weights.json"):
                _run(out, wanted, _pretrain)
            about = json.loads((out / "weights.json").read_text(encoding="utf-8"))
            _refuse_record(out, about, wanted)
        last = metrics.read(out / "metrics.csv")[-1]
        return Weights(
            name=name,
            source=str(out / "weights.safetensors"),
            images=about["samples_seen"],
            minutes=metrics.minutes(out / "metrics.csv", wanted.batch_size),
            accuracy=float(last["accuracy"]),
        )

    def compactness(self, given: Mapping[str, Any]) -> float:
        """The score of a line's categories, without any training."""
        settings = self.own.pretraining(given)
        name = _name(settings, self.scale.pretraining({}))
        file = self.out / "scores" / f"{name}.json"
        with locked(file):
            if not file.exists():
                print(f"scoring {file}", flush=True)
                wanted = score.Settings(device=self.device, images=self.scale.scored, **settings)
                found = score.score(wanted)
                write_whole(file, f"{found:.5f}\n".encode())
            return float(file.read_text())

    def finetuned(
        self,
        weights: Weights,
        data: str,
        view: View,
        given: Mapping[str, Any],
        *,
        tuned: bool = False,
    ) -> Iterator[dict[str, Any]]:
        """A result for each seed; if `tuned`, at the learning rate that did best on held-out
        training images with additional seeds. A run that diverged has no accuracy."""
        lr = view.lrs[0]
        if tuned and len(view.lrs) > 1:
            means: dict[float, float] = {}
            tried = view if view.lrs_of is None else self.own.view(view.lrs_of)
            for rate in tried.lrs:
                found = []
                for seed in range(TUNING, TUNING + tried.trials):
                    own = {**given, **HELD_OUT, "lr": rate, "seed": seed}
                    trial = self._finetuned(weights, data, tried, own)
                    found.append(trial["accuracy"])
                    if tried is view:
                        yield {**trial, "tuning": True}
                if None not in found:
                    means[rate] = sum(found) / len(found)
            lr = max(means, key=lambda rate: means[rate], default=lr)
        for seed in range(self.scale.seeds):
            yield self._finetuned(weights, data, view, {**given, "lr": lr, "seed": seed})

    def _finetuned(
        self, weights: Weights, data: str, view: View, given: Mapping[str, Any]
    ) -> dict[str, Any]:
        """The result of one run, without an accuracy if its loss became infinite or NaN."""
        settings = {**self.own.finetune, **view.settings, **given}
        out = self.finetune_folder(weights.name, data, _name(settings, self.scale.finetune))
        data, classes = data_and_classes(data)
        wanted = finetune.Settings(
            from_=weights.source,
            data=data,
            classes=Path(classes) if classes else None,
            model=self.own.pretrain.get("model"),
            data_root=self.data_root,
            download=self.download,
            workers=self.workers,
            device=self.device,
            out=out,
            resume="auto",
            **settings,
        )
        own = self.out / "finetune" / weights.name
        with locked(own):
            adopt(own)
        with locked(out):
            # Remembered: on a GPU, another attempt could end differently, and change the table.
            lost = out / "diverged.json"
            if not (out / "result.json").exists():
                try:
                    if not lost.exists():
                        _run(out, wanted, finetune.finetune)
                except FloatingPointError as error:
                    print(f"diverged: {error}", flush=True)
                    about = {**_digests(wanted), "settings": recorded(wanted)}
                    write_whole(lost, json.dumps(about, indent=2, default=str).encode())
                if lost.exists():
                    about = json.loads(lost.read_text(encoding="utf-8"))
                    _refuse_record(out, about, wanted, **_digests(wanted))
                    nothing = {"num_labels": None, "measure": None, "accuracy": None}
                    return {**nothing, "settings": recorded(wanted), "minutes": None, "out": out}
                if settings["seed"]:  # keeps one network of each kind for inspection
                    for file in ("last.pt", "best.pt"):
                        (out / file).unlink(missing_ok=True)
            result = read_result(out / "result.json")
            _refuse_record(out, result, wanted, **_digests(wanted))
        return {
            **result,
            "minutes": metrics.minutes(out / "metrics.csv", wanted.batch_size),
            "out": out,
        }

    def finetune_folder(self, weights: str, data: str, name: str) -> Path:
        return self.out / "finetune" / weights / _as_folder(data) / name

    def folders(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Path]]:
        """The folder of each line's first reported run, for each data set ("" if there is none)."""
        found: dict[str, dict[str, Path]] = {}
        for row in rows:
            if not row["tuning"] and (row["accuracy"] or not row["data"]):
                folder = self.out / "pretrain" / row["pretraining"]
                if row["data"]:
                    folder = self.finetune_folder(row["pretraining"], row["data"], row["settings"])
                found.setdefault(row["data"], {}).setdefault(row["line"], folder)
        return found


def _is_whole(record: Path) -> bool:
    """Whether a pre-training has ended; one that a limit ended early has weights, too."""
    if not record.exists():
        return False
    about = json.loads(record.read_text(encoding="utf-8"))
    names = ("epochs", "steps_per_epoch", "batch_size")
    numbers = [str(about["settings"].get(name)) for name in names]  # some were text once
    if not all(number.isdecimal() for number in numbers):  # a default was not recorded
        return True
    return int(about["samples_seen"]) == math.prod(map(int, numbers))


def _pretrain(wanted: pretrain.Settings) -> int:
    """Pre-trains on the labels of the formula, or on clusters, and returns the exit code."""
    if isinstance(wanted, cluster.Settings):
        return cluster.train_on_clusters(wanted)
    return pretrain.pretrain(wanted)


def data_and_classes(name: str) -> tuple[str, str]:
    """Splits NAME:FILE into the data set and the file that lists its classes, "" if all of them."""
    drive = 2 if re.match(r"[A-Za-z]:[/\\]", name) else 0  # of a folder on Windows
    data, _, classes = name[drive:].partition(":")
    return name[:drive] + data, classes


def _as_folder(name: str) -> str:
    """The name as a folder name: `_` replaces characters that some systems do not allow."""
    return re.sub(r"[/\\:]", "_", name)


def _name(settings: Mapping[str, Any], usual: Mapping[str, Any]) -> str:
    """A folder's name: the settings that differ from the usual ones."""
    odd = {k: v for k, v in settings.items() if k not in usual or usual[k] != v}
    words = {k: "+".join(v) if isinstance(v, tuple) else v for k, v in odd.items()}
    name = ",".join(f"{k}={v}" for k, v in sorted(words.items()) if v is not None) or "usual"
    name = _as_folder(name)
    if len(name) <= LONGEST:
        return name
    whole = name[: LONGEST - 10].rpartition(",")[0]  # settings, which stay in order
    return f"{whole},~{hashlib.sha256(name.encode()).hexdigest()[:8]}"


@contextlib.contextmanager
def locked(out: Path) -> Iterator[None]:
    """Holds the lock of a run or table; the system releases it if this process dies."""
    out.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(out.with_name(out.name + ".lock"), fallback_to_soft=False)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        print(f"waiting for another study's {out}", flush=True)
        lock.acquire()
    except OSError as error:  # without locks, it is for the user to start one study at a time
        if error.errno not in NO_LOCKS:
            raise
    try:
        yield
    finally:
        lock.release()


def _run(out: Path, wanted: T, work: Callable[[T], int]) -> None:
    """Runs a script with its output in OUT/log.txt. Raises Interrupted if it was stopped, and
    ValueError if it would continue a run with other settings."""
    print(f"running {out}", flush=True)
    out.mkdir(parents=True, exist_ok=True)
    if (out / "last.pt").exists():
        for part in read_checkpoint(out / "last.pt").get("history", ()):
            _refuse_another(out, part["settings"], wanted)
    with (out / "log.txt").open("a", encoding="utf-8") as log, contextlib.redirect_stdout(log):
        code = work(wanted)
    if code:
        raise Interrupted(code)


def current(name: str) -> str:
    """The current name of a folder, which may be from an earlier version."""
    if "=" not in name:
        return name
    pairs = [part.partition("=") for part in name.split(",")]
    return ",".join(sorted(f"{OLD.get(key, key)}{sign}{value}" for key, sign, value in pairs))


def adopt(folder: Path) -> None:
    """Renames a folder of an earlier version to its current name."""
    for older in folder.parent.iterdir() if not folder.exists() else ():
        if _as_folder(current(older.name)) == folder.name:
            older.rename(folder)
            return


def read_result(file: Path) -> dict[str, Any]:
    """Reads a result.json; converts one of an earlier version, whose settings were strings."""
    result: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    if "training_pictures" in result:
        result["num_labels"] = result["training_pictures"]
        words = result["settings"]
        numbers = {"lr": float(words["lr"]), "seed": int(words["seed"])}
        result["settings"] = {**words, **numbers, "probe": words["probe"] == "True"}
    return result


def _digests(wanted: finetune.Settings) -> dict[str, str]:
    """What identifies the files of a fine-tuning run."""
    files = {"weights": wanted.from_, "classes": wanted.classes}
    return {name: digest_of(file) for name, file in files.items() if file is not None}


def _refuse_record(out: Path, record: Mapping[str, Any], wanted: Any, **digests: str) -> None:
    """Raises ValueError if the recorded run used other files, or ever had other settings."""
    for part in (record, *record.get("history", ())):
        _refuse_another(out, part["settings"], wanted)
    for name, digest in digests.items():
        if record.get(name) not in (None, digest):  # an earlier version recorded none
            raise ValueError(
                f"{out} holds a run with different {name}: remove the folder, or name another --out"
            )


def _refuse_another(out: Path, found: Mapping[str, Any], wanted: Any) -> None:
    """Raises ValueError if a folder holds a run with other settings, from an older table."""
    usual = {field.name: field.default for field in fields(wanted)}
    found = {OLD.get(name, name): value for name, value in found.items()}
    for name, value in recorded(wanted).items():
        # Settings that an older version did not have were as they are by default now.
        theirs = found.get(name, usual[name])
        if name == "steps_per_epoch" and "None" in (str(theirs), str(value)):
            continue  # the usual length, which follows from other settings
        if name not in ELSEWHERE and _word(theirs) != _word(value):
            raise ValueError(
                f"{out} holds a run with {name} = {theirs}, but {value} is asked for: "
                "remove the folder, or name another --out"
            )


def _word(value: Any) -> str:
    """A setting as earlier versions wrote it; a tuple and its list in JSON are the same."""
    return str(tuple(value) if isinstance(value, list) else value)
