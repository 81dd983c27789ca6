"""Runs tables and figures of the paper, at a size that suits your machine.

    python examples/studies table1 --scale small --data-root data
    python examples/studies table6 --scale full --data cifar10 imagenet:imagenet100.txt
    python examples/studies all --scale smoke

OUT/SCALE gets NAME.csv (a row per run), NAME.png, NAME.md (means next to the paper's numbers), and
the runs. Ctrl-C stops; the same command resumes. Studies share runs, and several can run in
parallel, each on its own GPU. Results for --lines, --data or --views are added to existing ones.
`studies/table.py` lists the studies, and `studies/scales.py` defines the scales.
"""

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import data
import pretrain
import tyro
from fdsl.torch.training import LabeledImages, load_pretrained, run_script, write_whole

from studies import charts, filters, report
from studies.lab import Interrupted, Lab, Weights, data_and_classes, locked
from studies.plan import OTHERS, Line, Study
from studies.scales import SCALES, Budget
from studies.table import STUDIES

#: Data sets of which the paper takes a part, and what it calls that. It does not list the classes.
PART_OF = {"imagenet": "imagenet-100", "places365": "places-30"}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Run tables and figures of the paper, at a size that suits your machine."""

    # Run these studies: table1, figure5 and so on, or all.
    names: tyro.conf.Positional[tuple[str, ...]] = ()
    # Take a few steps, train a small network on a CPU or a larger one on a GPU, or run the paper's.
    scale: Literal["smoke", "small", "gpu", "full"]
    # Fine-tune on these instead of the scale's data; NAME:FILE takes the classes that a file names.
    data: tuple[str, ...] = ()
    data_root: Path = Path("data")  # Look for data sets that have a name in this folder.
    download: bool = False  # Download data sets there, if torchvision can.
    against: tuple[Path, ...] = ()  # Compare with these weights of the same network.
    images: tuple[Path, ...] = ()  # Show these images in Figure 6's heat maps.
    lines: tuple[str, ...] = ()  # Run these lines of the table only.
    views: tuple[str, ...] = ()  # Use these evaluations (see scales.py), not the study's.
    out: Path = Path("runs/studies")  # Write results and runs to this folder.
    device: str = "auto"  # Train on cpu or cuda; auto takes a GPU if there is one.
    workers: int = 2  # Decode images that do not fit in memory in this many processes.


def main(argv: Sequence[str] | None = None) -> int:
    return run_script(Settings, study, argv)


def study(s: Settings) -> int:
    """Runs the named studies, and returns the exit code."""
    names = s.names
    if unknown := [name for name in names if name not in (*STUDIES, "all")]:
        raise ValueError(f"no study {unknown[0]!r}; known: all, {', '.join(STUDIES)}")
    if not names:
        raise ValueError(f"name a study first: all, {', '.join(STUDIES)}")
    chosen = list(STUDIES) if "all" in names else list(names)
    check(s, chosen)
    try:
        for name in chosen:
            conduct(name, s)
    except Interrupted as stopped:
        return stopped.code
    return 0


def check(s: Settings, names: Sequence[str]) -> None:
    """Fails now, rather than after hours of pre-training."""
    if int(os.environ.get("WORLD_SIZE", 1)) > 1:
        raise ValueError(
            "a study runs in one process: start several side by side instead, each with its "
            "CUDA_VISIBLE_DEVICES; they share their runs"
        )
    scale = SCALES[s.scale]
    for file in s.against:
        load_pretrained(file, 2, name=scale.pretrain.get("model", pretrain.Settings.model))
    labels = [Lab(out=s.out, scale=scale).given(file).label for file in s.against]
    if twice := [label for label in labels if labels.count(label) > 1]:
        raise ValueError(f"--against has two files that tables would call {twice[0]}: rename one")
    for file in s.images:
        if not file.is_file():
            raise FileNotFoundError(f"no image at {file}")
    if odd := [view for view in s.views if view not in scale.views]:
        raise ValueError(f"no view {odd[0]!r}; there are {', '.join(scale.views)}")
    labels = [scale.views[view].label for view in s.views]
    if twice := [label for label in labels if labels.count(label) > 1]:
        raise ValueError(f"--views has two that tables call {twice[0]!r}: give only one of them")
    for name in names:
        known = [line.name for line in STUDIES[name].lines]
        if odd := [line for line in s.lines if line not in known]:
            raise ValueError(f"{name} has no line {odd[0]!r}; it has {', '.join(known)}")
        for one in data_of(s, STUDIES[name]):
            load(s, one)


def conduct(name: str, s: Settings) -> None:
    """Does the missing runs of a study, and writes the results so far after each line."""
    what, scale = STUDIES[name], SCALES[s.scale]
    if what.seeds is not None:
        scale = replace(scale, seeds=what.seeds)
    lab = Lab(
        out=s.out / s.scale,
        scale=scale,
        network=what.network,
        device=s.device,
        data_root=s.data_root,
        download=s.download,
        workers=s.workers,
    )
    print(f"{what.title}, {s.scale}: {scale.note}", flush=True)
    table = lab.out / f"{name}.csv"
    for line in what.lines:
        if line.name not in s.lines if s.lines else line.on_demand:
            continue
        try:
            for weights in weights_of(lab, line, s, budget=what.budget):
                found = [] if what.data else [report.row(name, line, weights)]
                found += judged(name, what, lab, line, weights, s)
                report.join(table, found, order=[line.name for line in what.lines])
        except FloatingPointError as error:  # of pre-training; the other lines do not need it
            print(f"left out {line.name!r}, which diverged in pre-training: {error}", flush=True)
    with locked(table):  # the last of several processes writes all rows
        rows = report.read(table)
        words = f"{what.title}; {s.scale}\n\n{report.table(what, rows)}\n"
        if what.figure == "gains":
            words += f"\n{report.correlations(what, rows)}\n"
        if what.figure == "classes":
            words += f"\n{report.better_classes(lab.folders(rows))}\n"
        write_whole(lab.out / f"{name}.md", words.encode())
        print(f"\n{words}\nsee {table}", flush=True)
        if what.figure == "filters":
            look_inside(name, what, lab, rows, s)
        else:
            charts.draw(what, rows, lab.folders(rows), lab.out / f"{name}.png")


def weights_of(lab: Lab, line: Line, s: Settings, *, budget: Budget) -> Iterator[Weights]:
    """The weights of a line, pre-trained now if necessary; for "another", all given weights."""
    if line.start == "scratch":
        yield lab.scratch()
    elif line.start == "against":
        yield from map(lab.given, s.against)
    else:
        yield lab.pretrained(line.pretrain, budget=budget)


def judged(
    name: str, what: Study, lab: Lab, line: Line, weights: Weights, s: Settings
) -> list[dict[str, Any]]:
    """A row for each fine-tuning run of a line."""
    rows = []
    scored = what.figure == "gains" and line.group and line.x == 1
    compactness = lab.compactness(line.pretrain) if scored else None
    for one in data_of(s, what):
        column = column_of(one)
        paper = line.paper[what.data.index(column)] if column in what.data and line.paper else None
        views = s.views or views_of(what, line, one)
        for view_name in lab.scale.main if views is None else views:
            view = lab.own.view(view_name)
            for result in lab.finetuned(weights, one, view, line.finetune, tuned=what.tuned):
                row = report.row(
                    name,
                    line,
                    weights,
                    data=one,
                    view=view,
                    result=result,
                    paper=paper,
                    compactness=compactness,
                )
                rows.append(row)
    return rows


def views_of(what: Study, line: Line, data: str) -> tuple[str, ...] | None:
    """The views of a line, which may differ between data sets; None means those of the scale."""
    views = what.views if line.views is None else line.views
    if isinstance(views, Mapping):
        return views.get(data, views[OTHERS])
    return views


def data_of(s: Settings, what: Study) -> tuple[str, ...]:
    """The data sets that a study fine-tunes on: those of its own that the scale has."""
    usual = SCALES[s.scale].data
    if not what.data or s.data:
        return s.data if what.data else ()
    if usual is None:
        return what.data
    return tuple(one for one in what.data if one in usual) or usual


def column_of(name: str) -> str:
    """The paper's name of a data set: ImageNet of the classes that a file names is ImageNet-100."""
    whole, classes = data_and_classes(name)
    return PART_OF.get(whole, name) if classes else name


def load(s: Settings, name: str) -> tuple[LabeledImages, LabeledImages]:
    """The images of a data set, as fine-tuning will see them."""
    size = int(SCALES[s.scale].finetune.get("size", 224))
    name, classes = data_and_classes(name)
    try:
        return data.load(
            name,
            s.data_root,
            round(size * 8 / 7),
            download=s.download,
            classes=Path(classes) if classes else None,
        )
    except FileNotFoundError as error:
        whole = next((whole for whole, part in PART_OF.items() if part == name), None)
        if whole is None:
            raise
        listed = f"--data {whole}:FILE, where FILE lists the names of its classes"
        raise FileNotFoundError(f"{error}; or give {listed}") from error


def look_inside(
    name: str, what: Study, lab: Lab, rows: Sequence[dict[str, Any]], s: Settings
) -> None:
    """Draws Figure 6 for the first data set."""
    chosen = data_of(s, what)[0]
    tuned = {line: folder / "last.pt" for line, folder in lab.folders(rows).get(chosen, {}).items()}
    tuned = {line: file for line, file in tuned.items() if file.is_file()}  # a probe saves none
    if not tuned:
        return
    files = {**tuned}  # random filters show nothing: from scratch, the fine-tuned ones
    given = {lab.given(file).name: file for file in s.against}
    for row in rows:
        start = row["pretraining"]
        file = given.get(start, lab.out / "pretrain" / start / "weights.safetensors")
        if file.is_file():
            files[row["line"]] = file
    filters.draw_filters(files, lab.out / f"{name}.png")
    size = int(lab.scale.finetune.get("size", 224))
    _, val = load(s, chosen)
    images, labels = filters.chosen_images(s.images, val, size)
    filters.draw_heatmaps(
        tuned,
        images,
        labels,
        classes=len(val.classes),
        path=lab.out / f"{name}-heatmaps.png",
    )


if __name__ == "__main__":
    sys.exit(main())
