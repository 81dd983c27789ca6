"""Settings that all scripts share, and how a command line becomes settings."""

import multiprocessing
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import tyro

RENAMED = {"weights": "variation", "points": "num-points", "pad": "margin", "recipe": "preset"}
RENAMED |= {"redraw": "resample-degenerate True", "no-redraw": "resample-degenerate False"}
RENAMED |= {"no-color": "color False", "no-flip": "flip False"}
MAY_BE_ZERO = ("seed", "category_seed", "warmup_steps", "workers", "margin")


@dataclass(frozen=True, kw_only=True)
class Training:
    """What every script that trains can be told; the defaults are the paper's (section 4)."""

    epochs: int = 90  # paper: 90
    batch_size: int = 256  # of all processes together; paper: 256
    momentum: float = 0.9  # paper: 0.9
    weight_decay: float = 1e-4  # the authors' program: 1e-4
    optimizer: Literal["sgd", "adamw"] = "sgd"  # paper: sgd
    schedule: Literal["step", "cosine"] = "step"  # step: lr x 0.1 at each milestone
    milestones: tuple[int, ...] = (30, 60)  # in epochs; paper: 30 60
    warmup_steps: int = 0  # steps over which the learning rate grows linearly from zero
    clip_grad: float = 0.0  # largest norm of the gradient; 0: not clipped
    amp: bool = True  # bfloat16 autocast, if the GPU has it; a CPU always computes in float32
    channels_last: bool = True  # the memory layout that suits convolutions in bfloat16
    compile: bool = False  # torch.compile: minutes to start, then faster
    deterministic: bool = False  # the same bits in every run on the same GPUs; slower
    device: str = "auto"  # auto: cuda if there is one, else cpu
    seed: int = 0  # of the first weights and of the order of samples
    out: Path = Path("out")  # folder of this run: last.pt, metrics.csv, curve.png, ...
    resume: str | None = None  # a checkpoint, or "auto": OUT/last.pt if it is there
    checkpoint_every: int = 1000  # steps; the end of an epoch always writes one
    log_every: int = 50  # steps between rows of metrics.csv
    tensorboard: bool = False  # also write OUT/tensorboard
    max_steps: int | None = None  # stop at this step, counted from the very first
    max_minutes: float | None = None  # stop after this time; --resume auto goes on from there

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            least = int(type(value) is int and name not in MAY_BE_ZERO)
            if type(value) in (int, float) and not value >= least:  # so written, NaN is refused too
                raise ValueError(f"--{name.replace('_', '-')} must be {least} or more, got {value}")


def recorded(settings: object) -> dict[str, Any]:
    """The settings to keep beside a result: all but where it lies and how far it got."""
    passing = ("out", "resume", "max_steps", "max_minutes")
    return {name: value for name, value in vars(settings).items() if name not in passing}


def run_script(kind: Any, work: Callable[[Any], int], argv: Sequence[str] | None = None) -> int:
    """Runs `work` with settings from the command line; a user's mistake ends in one sentence."""
    words = sys.argv[1:] if argv is None else list(argv)
    try:
        for option in (word[2:].split("=")[0] for word in words if word.startswith("--")):
            if option in RENAMED and hasattr(kind, "resume"):
                raise ValueError(f"--{option} is now --{RENAMED[option]}")
        return work(tyro.cli(kind, args=words))
    except (ValueError, OSError, FloatingPointError, ModuleNotFoundError) as mistake:
        if sys.flags.dev_mode:  # python -X dev shows the traceback
            raise
        print(
            f"{Path(sys.modules[work.__module__].__file__ or '').name}: error: {mistake}",
            file=sys.stderr,
        )
        return 1 if isinstance(mistake, FloatingPointError) else 2
    except KeyboardInterrupt:  # before training, which has its own way to stop
        return 130
    finally:  # Python would wait for DataLoader workers that ignore signals
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for child in multiprocessing.active_children():
            child.kill()
