"""Runs a table or figure of the paper, at a size that your machine can bear.

    python examples/study.py table1 --scale small --data-root data
    python examples/study.py table6 --scale full --data cifar10 cifar100 --data-root data
    python examples/study.py all --scale smoke

OUT/SCALE gets NAME.csv (a row a run), NAME.png, NAME.md (means beside the paper's numbers), and the
runs. Ctrl-C stops; the same command goes on. Studies share runs, and several may run side by side.
`studies/table.py` lists the studies, `studies/scales.py` what a scale does to their settings.
"""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import checkpoint
import data
import settings as command_line
from studies import charts, filters, report
from studies.lab import Interrupted, Lab, Weights
from studies.scales import SCALES
from studies.table import STUDIES, Line, Study
from world import place


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Which study, and how large."""

    scale: Literal["smoke", "small", "full"]  # seconds, half an hour on a GPU, or the paper's size
    data: tuple[str, ...] = ()  # to fine-tune on, instead of the scale's or the paper's
    data_root: Path = Path("data")  # where those that have a name lie
    classes: Path | None = None  # use these classes alone, a name a line
    against: Path | None = None  # weights of the same network to compare with, such as ImageNet's
    lines: tuple[str, ...] = ()  # of the table, if not all
    views: tuple[str, ...] = ()  # ways of judging, if not the study's: see scales.py
    out: Path = Path("runs/studies")  # folder of results and runs
    device: str = "auto"  # auto: cuda if there is one, else cpu
    workers: int = 2  # processes that decode pictures of large data sets


def main(argv: Sequence[str] | None = None) -> int:
    words = list(sys.argv[1:] if argv is None else argv)
    names: list[str] = []
    while words and not words[0].startswith("-"):
        names.append(words.pop(0))
    return command_line.run("study.py", lambda: study(names, words))


def study(names: Sequence[str], words: Sequence[str]) -> int:
    """Runs the named studies, and returns the exit code."""
    about = f"Usage: study.py NAME … --scale SCALE. NAME: all, {', '.join(STUDIES)}."
    s = command_line.parse(Settings, words, about=about)
    if unknown := [name for name in names if name not in (*STUDIES, "all")]:
        raise ValueError(f"no study {unknown[0]!r}; there are all, {', '.join(STUDIES)}")
    if not names:
        raise ValueError(f"name a study: all, {', '.join(STUDIES)}")
    chosen = list(STUDIES) if "all" in names else list(names)
    check(s, chosen)
    for name in chosen:
        try:
            conduct(name, s)
        except Interrupted as stopped:
            return stopped.code
    return 0


def check(s: Settings, names: Sequence[str]) -> None:
    """Fails now, rather than after hours of pre-training."""
    if s.against is not None:
        checkpoint.load_weights(s.against)
    for name in names:
        for one in data_of(s, STUDIES[name]):
            load(s, one)
        known = [line.name for line in STUDIES[name].lines]
        if odd := [line for line in s.lines if line not in known]:
            raise ValueError(f"{name} has no line {odd[0]!r}; it has {', '.join(known)}")
    scale = SCALES[s.scale]
    if odd := [view for view in s.views if view not in scale.views]:
        raise ValueError(f"no view {odd[0]!r}; there are {', '.join(scale.views)}")


def conduct(name: str, s: Settings) -> None:
    """Runs what is not done of a study, and writes what is known after each line."""
    what, scale = STUDIES[name], SCALES[s.scale]
    if what.seeds is not None:
        scale = replace(scale, seeds=what.seeds)
    lab = Lab(
        out=s.out / s.scale,
        scale=scale,
        device=s.device,
        data_root=s.data_root,
        workers=s.workers,
        classes=s.classes,
    )
    print(f"{what.title}, {s.scale}: {scale.note}", flush=True)
    rows: list[dict[str, Any]] = []
    first: dict[str, Path] = {}  # of each line, the folder of its first run to be reported
    starts: dict[str, Path] = {}  # and the weights it started from
    for line in what.lines:
        if s.lines and line.name not in s.lines:
            continue
        weights = weights_of(lab, line, s, long=what.long)
        if weights is None:
            continue
        if not what.data:
            rows.append(report.row(name, line, weights))
            first[line.name] = Path(weights.source).parent
        for row, folder in judged(name, what, lab, line, weights, s):
            rows.append(row)
            if not row["tuning"]:
                first.setdefault(line.name, folder)
        starts[line.name] = Path(weights.source)
        report.write(lab.out / f"{name}.csv", rows)
    words = f"{what.title}; {s.scale}\n\n{report.table(what, rows)}\n"
    checkpoint.write_whole(lab.out / f"{name}.md", lambda file: file.write(words.encode()))
    print(f"\n{words}\nsee {lab.out / name}.csv", flush=True)
    if what.picture == "filters":
        look_inside(name, what, lab, first, starts, s)
    elif first and (what.picture != "classes" or len(first) > 1):
        charts.draw(what, rows, first, lab.out / f"{name}.png")


def weights_of(lab: Lab, line: Line, s: Settings, *, long: bool) -> Weights | None:
    """The weights of a line, pre-trained now if need be; none where --against is not given."""
    if line.start == "scratch":
        return Weights(name="scratch", source="scratch")
    if line.start == "against":
        return None if s.against is None else Weights(name=s.against.stem, source=str(s.against))
    return lab.pretrained(line.pretrain, long=long)


def judged(
    name: str, what: Study, lab: Lab, line: Line, weights: Weights, s: Settings
) -> Iterator[tuple[dict[str, Any], Path]]:
    """A row for each run of fine-tuning of a line, and its folder."""
    sets = data_of(s, what)
    for one in sets:
        paper = line.paper[what.data.index(one)] if one in what.data and line.paper else None
        for view_name in s.views or what.views or lab.scale.main:
            view = lab.scale.view(view_name)
            for result in lab.finetuned(weights, one, view, line.finetune, tuned=what.tuned):
                row = report.row(
                    name, line, weights, data=one, view=view, result=result, paper=paper
                )
                yield row, result["out"]


def data_of(s: Settings, what: Study) -> tuple[str, ...]:
    """The sets that a study fine-tunes on."""
    if not what.data:
        return ()
    return s.data or SCALES[s.scale].data or what.data


def load(s: Settings, name: str) -> tuple[data.Pictures, data.Pictures]:
    size = int(SCALES[s.scale].finetune.get("size", 224))
    return data.load(
        name,
        root=s.data_root,
        download=False,
        canvas=round(size * 8 / 7),
        workers=s.workers,
        device=place(s.device),
        classes=s.classes,
    )


def look_inside(
    name: str, what: Study, lab: Lab, first: dict[str, Path], starts: dict[str, Path], s: Settings
) -> None:
    """Draws Figure 6."""
    tuned = {line: folder / "last.pt" for line, folder in first.items()}
    # Random filters show nothing: from scratch, those that fine-tuning made.
    files = {line: file if file.is_file() else tuned[line] for line, file in starts.items()}
    filters.draw_filters(files, lab.out / f"{name}.png")
    size = int(lab.scale.finetune.get("size", 224))
    _, pictures = load(s, data_of(s, what)[0])
    filters.draw_heatmaps(tuned, pictures, size=size, path=lab.out / f"{name}-heatmaps.png")


if __name__ == "__main__":
    sys.exit(main())
