"""The parts of a study: lines, each a way of pre-training, and how they are evaluated."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from studies.scales import Budget

#: The columns of most of the paper's tables.
FOUR = ("cifar10", "cifar100", "imagenet-100", "places-30")

#: Views by name (see scales.py), or views for each data set, with OTHERS for those not named.
Views = tuple[str, ...] | Mapping[str, tuple[str, ...]] | None
OTHERS = "others"


@dataclass(frozen=True, kw_only=True)
class Line:
    """A row of a table: how the network was pre-trained, and how it is fine-tuned."""

    name: str
    start: Literal["formula", "scratch", "against"] = "formula"  # pre-trained here; random weights;
    # those of --against
    pretrain: Mapping[str, Any] = field(default_factory=dict)
    finetune: Mapping[str, Any] = field(default_factory=dict)
    x: float | None = None  # its position on a curve
    paper: tuple[float | None, ...] = ()  # in the order of the study's data
    group: str = ""  # the curve that it belongs to
    views: Views = None  # instead of the study's
    on_demand: bool = False  # run only if --lines names it


@dataclass(frozen=True, kw_only=True)
class Study:
    """A table or figure."""

    title: str
    lines: tuple[Line, ...]
    data: tuple[str, ...] = FOUR  # to fine-tune on; if empty, pre-training is evaluated
    figure: Literal["rows", "curve", "gains", "pretraining", "finetuning", "classes", "filters"] = (
        "rows"
    )
    xlabel: str = ""
    budget: Budget = "usual"
    network: str | None = None  # another one of the scale's networks
    views: Views = None  # by default the scale's usual ones
    tuned: bool = False  # whether each network gets its own best learning rate
    seeds: int | None = None  # of fine-tuning; by default the scale's


def lines(
    option: str, values: Mapping[Any, tuple[float | None, ...]], **more: Any
) -> tuple[Line, ...]:
    """A line for each value of one setting of pre-training."""
    return tuple(
        Line(
            name=f"{value:,}" if isinstance(value, int) else str(value),
            pretrain={option: value},
            x=float(value) if isinstance(value, int | float) else None,
            paper=paper,
            **more,
        )
        for value, paper in values.items()
    )
