"""The options that all training scripts share, and what follows from them."""

import math
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

import fdsl.cli.options
from fdsl.torch import training
from torch import nn, optim

COUNTS = (int, int | None)  # the types of numbers that start at 1
MAY_BE_ZERO = ("seed", "category_seed", "warmup_steps", "workers", "margin", "instances")
#: Options of the first releases, and what to use instead.
RENAMED = {**fdsl.cli.options.RENAMED, "--no-redraw": "--resample-degenerate False"}
RENAMED |= {"--no-color": "--color False", "--no-flip": "--flip False"}


@dataclass(frozen=True, kw_only=True)
class Training:
    """Options of every training script; the defaults are the paper's (section 4)."""

    epochs: int = 90  # Train for this many epochs (paper: 90).
    batch_size: int = 256  # Take this many images per step, over all processes (paper: 256).
    optimizer: Literal["sgd", "adamw"] = "sgd"  # Use this optimizer (paper: sgd).
    momentum: float = 0.9  # Use this momentum in SGD (paper: 0.9).
    weight_decay: float = 1e-4  # Use this weight decay (authors' code: 1e-4).
    schedule: Literal["step", "cosine"] = "step"  # Lower the learning rate in this way.
    milestones: tuple[int, ...] = (30, 60)  # Divide the rate by 10 at these epochs (step only).
    warmup_steps: int = 0  # Raise the learning rate from 0 over this many steps.
    clip_grad: float = 0.0  # Clip the norm of the gradient to this; 0 does not clip.
    amp: bool = True  # Compute in bfloat16 on a GPU that has it; a CPU uses float32.
    channels_last: bool = True  # Use the memory layout that suits convolutions in bfloat16.
    compile: bool = False  # Use torch.compile: minutes to start, then faster.
    deterministic: bool = False  # Make runs on the same GPUs bit-identical; slower.
    device: str = "auto"  # Train on cpu or cuda; auto takes a GPU if there is one.
    seed: int = 0  # Seed the initial weights and the order of the images.
    out: Path = Path("out")  # Write checkpoints, metrics and weights to this folder.
    resume: str | None = None  # Resume from this checkpoint; auto takes OUT/last.pt if it exists.
    checkpoint_every: int = 1000  # Save a checkpoint after this many steps, and after each epoch.
    log_every: int = 50  # Write a row of metrics.csv after this many steps.
    tensorboard: bool = False  # Also log to OUT/tensorboard.
    max_steps: int | None = None  # Stop at this step, counted over all resumes.
    max_minutes: float | None = None  # Stop after this time; --resume auto continues.

    def __post_init__(self) -> None:
        for name, kind in ((field.name, field.type) for field in fields(self)):
            value, least = getattr(self, name), int(kind in COUNTS and name not in MAY_BE_ZERO)
            if type(value) in (int, float) and not value >= least:  # not "<": NaN is refused too
                raise ValueError(f"--{name.replace('_', '-')} must be {least} or more, got {value}")

    def build_optimizer(self, model: nn.Module, groups: list[dict[str, Any]]) -> optim.Optimizer:
        if self.optimizer == "adamw":
            return optim.AdamW(training.decay_groups(groups, self.weight_decay, model=model))
        return optim.SGD(groups, momentum=self.momentum, weight_decay=self.weight_decay)

    def lr_factor(self, step: int, steps_per_epoch: int) -> float:
        """The factor of a step's learning rate, which depends only on the step."""
        warm = min(1.0, (step + 1) / self.warmup_steps) if self.warmup_steps else 1.0
        if self.schedule == "cosine":
            return warm * (1 + math.cos(math.pi * step / (self.epochs * steps_per_epoch))) / 2
        return warm * 0.1 ** sum(step // steps_per_epoch >= epoch for epoch in self.milestones)


def recorded(settings: object) -> dict[str, Any]:
    """The settings to store with a result: all but its location and its limits."""
    passing = ("out", "resume", "max_steps", "max_minutes")
    return {name: value for name, value in vars(settings).items() if name not in passing}
