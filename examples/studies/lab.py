"""The runs of a study: each is done once, shared between studies, and taken up where it stopped.

A run's folder is named after the settings in which it differs from its scale's usual ones, so the
same run of two studies is one. A lock lets several studies work side by side, each on a GPU or core
of its own: who comes second waits for the result.
"""

import contextlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cluster
import finetune
import metrics
import pretrain
from filelock import FileLock
from settings import recorded

from studies.scales import Scale, View

#: Of the seeds, the one that only chooses a learning rate.
TUNING = 100
#: Settings that change nothing about a result.
ELSEWHERE = ("device", "workers", "data_root", "download", "from_")


class Interrupted(Exception):
    """A run was told to stop, and will go on from its checkpoint; `code` is its exit code."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True, kw_only=True)
class Weights:
    """A network to fine-tune."""

    name: str  # of its folder
    source: str  # what finetune.py takes: a file, or "scratch"
    pictures: int = 0
    minutes: float = 0.0
    accuracy: float | None = None  # of pre-training, at its end


@dataclass(frozen=True, kw_only=True)
class Lab:
    """Where runs lie, and how they are run."""

    out: Path
    scale: Scale
    device: str = "auto"
    data_root: Path = Path("data")
    workers: int = 2
    classes: Path | None = None

    def pretrained(self, given: Mapping[str, Any], *, long: bool) -> Weights:
        """Weights of these settings, of a run that is done now unless it was before."""
        settings = self.scale.pretraining(given, long=long)
        usual = self.scale.pretraining({}, long=False)
        name = _name(settings, usual)
        out = self.out / "pretrain" / name
        kind = cluster.Settings if "clusters" in settings else pretrain.Settings
        wanted = kind(out=out, resume="auto", device=self.device, **settings)
        with _locked(out):
            if not (out / "weights.json").exists():
                _run(out, lambda: pretrained(wanted))
            about = json.loads((out / "weights.json").read_text())
            _refuse_another(out, about["settings"], wanted)
        last = metrics.read(out / "metrics.csv")[-1]
        return Weights(
            name=name,
            source=str(out / "weights.safetensors"),
            pictures=about["samples_seen"],
            minutes=metrics.minutes(out / "metrics.csv", wanted.batch_size),
            accuracy=float(last["accuracy"]),
        )

    def finetuned(
        self,
        weights: Weights,
        data: str,
        view: View,
        given: Mapping[str, Any],
        *,
        tuned: bool = False,
    ) -> Iterator[dict[str, Any]]:
        """A result for each seed; if `tuned`, at the learning rate that one more seed chose."""
        lr = view.lrs[0]
        if tuned and len(view.lrs) > 1:
            trials = {
                lr: self._finetuned(weights, data, view, {**given, "lr": lr, "seed": TUNING})
                for lr in view.lrs
            }
            for trial in trials.values():
                yield {**trial, "tuning": True}
            lr = max(trials, key=lambda lr: trials[lr]["accuracy"])
        for seed in range(self.scale.seeds):
            yield self._finetuned(weights, data, view, {**given, "lr": lr, "seed": seed})

    def _finetuned(
        self, weights: Weights, data: str, view: View, given: Mapping[str, Any]
    ) -> dict[str, Any]:
        settings = {**self.scale.finetune, **view.settings, **given}
        if "label_fraction" in settings and "per_class" in settings:
            del settings["per_class"]
        name = _name(settings, self.scale.finetune)
        out = self.out / "finetune" / weights.name / data.replace("/", "_") / name
        wanted = finetune.Settings(
            from_=weights.source,
            data=data,
            model=self.scale.pretrain.get("model"),
            data_root=self.data_root,
            workers=self.workers,
            classes=self.classes,
            device=self.device,
            out=out,
            resume="auto",
            **settings,
        )
        with _locked(out):
            if not (out / "result.json").exists():
                _run(out, lambda: finetune.finetune(wanted))
                if settings["seed"]:  # one network of each kind is kept to look at
                    for file in ("last.pt", "best.pt"):
                        (out / file).unlink(missing_ok=True)
            result: dict[str, Any] = json.loads((out / "result.json").read_text())
            _refuse_another(out, result["settings"], wanted)
        minutes = metrics.minutes(out / "metrics.csv", wanted.batch_size)
        return {**result, "minutes": minutes, "out": out}


def pretrained(wanted: pretrain.Settings) -> int:
    """Pre-trains on the labels of the formula, or on clusters, and returns the exit code."""
    if isinstance(wanted, cluster.Settings):
        return cluster.train_on_clusters(wanted)
    return pretrain.pretrain(wanted)


def _name(settings: Mapping[str, Any], usual: Mapping[str, Any]) -> str:
    """A folder's name: the settings that are not the usual ones."""
    odd = {k: v for k, v in settings.items() if k not in usual or usual[k] != v}
    return ",".join(f"{k}={v}" for k, v in sorted(odd.items()) if v is not None) or "usual"


@contextlib.contextmanager
def _locked(out: Path) -> Iterator[None]:
    out.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(out.with_name(out.name + ".lock")):
        yield


def _run(out: Path, work: Any) -> None:
    """Runs a script with its words going to OUT/log.txt. Raises Interrupted if it was stopped."""
    print(f"running {out}", flush=True)
    out.mkdir(parents=True, exist_ok=True)
    with (out / "log.txt").open("a") as log, contextlib.redirect_stdout(log):
        code = work()
    if code:
        raise Interrupted(code)


def _refuse_another(out: Path, found: Mapping[str, str], wanted: Any) -> None:
    """Raises ValueError if a folder holds a run of other settings, of an older table of studies."""
    for name, value in recorded(wanted).items():
        if name not in ELSEWHERE and found.get(name) != value:
            raise ValueError(
                f"{out} holds a run with {name} = {found.get(name)}, but {value} is asked for: "
                "remove the folder, or name another --out"
            )
