"""One run in its folder: processes that train together, checkpoints, metrics, an orderly stop.

Files are written whole or not at all, and a run that is refused changes nothing.
"""

import io
import math
import os
import signal
import sys
import time
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from filelock import FileLock, Timeout
from matplotlib.figure import Figure
from settings import Training
from torch import Tensor, nn
from torchmetrics import MeanMetric, Metric
from tqdm import tqdm

Batches = Iterable[tuple[Tensor, Tensor]]
ADVICE = "try a lower --lr, --warmup-steps or --clip-grad; the last checkpoint is from before"


class Run:
    """A run of one process, or of those under torchrun, where rank 0 alone writes files."""

    model: nn.Module
    stopped: bool = False
    network: Any  # the model as a step calls it: compiled, and averaging gradients over the ranks
    optimizer: torch.optim.Optimizer

    def __init__(self, s: Training) -> None:
        self.s, self.step, self.code, self.start, self.heard = s, 0, 0, time.monotonic(), 0
        self.rank, self.size = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
        self.layout = torch.channels_last if s.channels_last else torch.contiguous_format
        self.lock = FileLock(s.out / ".lock", blocking=False)  # a killed run leaves none behind
        self.handlers: dict[int, Any] = {}
        self.rows: list[dict[str, Any]] = []

    def __enter__(self) -> "Run":
        s, self.device = self.s, device_of(self.s.device)
        try:
            s.out.mkdir(parents=True, exist_ok=True)
            if self.rank == 0:
                self.lock.acquire()
        except Timeout:
            why = f"another process is training in {s.out}: wait until it ends"
            raise FileExistsError(f"{why}, or name another --out") from None
        except OSError as error:
            raise OSError(f"cannot write to --out {s.out}: {error.strerror}") from error
        cuda = self.device.type == "cuda"
        # Before Ampere (8.0) GPUs only emulate bfloat16, slowly.
        self.amp = s.amp and cuda and torch.cuda.get_device_capability() >= (8, 0)
        if s.deterministic:  # cuBLAS reads it once, before its first product
            os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(s.deterministic)
        # It times convolutions to choose the fastest, and after a resume another may win.
        torch.backends.cudnn.benchmark = not s.deterministic
        if self.size > 1:  # gloo too: ranks agree to stop without waiting for their GPU
            dist.init_process_group("cpu:gloo,cuda:nccl" if cuda else "gloo")
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        for number, handler in self.handlers.items():
            signal.signal(number, handler)
        if self.size > 1 and kind is None:  # after an error the others may never arrive here
            dist.destroy_process_group()
        self.lock.release()

    def checkpoint(self, *keys: str) -> dict[str, Any] | None:
        """The checkpoint to go on from, if any; it must have these keys."""
        path, resume = self.s.out / "last.pt", self.s.resume
        if resume is None and path.exists():
            raise FileExistsError(f"{self.s.out} already holds a run: add --resume auto")
        if resume is None or (resume == "auto" and not path.exists()):
            return None
        saved = read_checkpoint(path if resume == "auto" else Path(resume))
        for key in ("made", "step", "weights", "optimizer", "counts", "rows", *keys):
            if key not in saved:
                raise ValueError(f"cannot resume: the checkpoint has no {key!r}")
        return saved

    def begin(
        self,
        model: nn.Module,
        groups: Sequence[dict[str, Any]],
        accuracy: Metric,
        steps_per_epoch: int,
        made: dict[str, Any],
        saved: dict[str, Any] | None,
    ) -> None:
        """Makes the optimizer of these groups of parameters, each with its learning rate; goes on
        from a checkpoint, which must have been `made` with the same settings as this run is."""
        s, self.made, self.steps_per_epoch = self.s, made, steps_per_epoch
        before = saved["made"] if saved else made
        for key in sorted({*made, *before}):
            if (theirs := before.get(key)) != (ours := made.get(key)):
                raise ValueError(f"cannot resume: the checkpoint's {key} is {theirs}, yours {ours}")
        for part in s.out.glob("*.part") if self.rank == 0 else ():
            part.unlink()  # of a run that was killed: this one holds the lock
        self.model = model.to(self.device).to(memory_format=self.layout)
        self.network = nn.parallel.DistributedDataParallel(model) if self.size > 1 else model
        if s.compile:
            self.network = torch.compile(self.network)
        if s.optimizer == "adamw":
            self.optimizer = torch.optim.AdamW(groups, weight_decay=s.weight_decay)
        else:
            self.optimizer = torch.optim.SGD(
                groups, momentum=s.momentum, weight_decay=s.weight_decay
            )
        self.rates = [group["lr"] for group in self.optimizer.param_groups]
        loss = MeanMetric(nan_strategy="disable")  # looking for NaN would wait for the device
        self.meter = {"loss": loss.to(self.device), "accuracy": accuracy.to(self.device)}
        for metric in self.meter.values():
            metric.persistent(True)
        if saved:
            self.step, self.rows = saved["step"], saved["rows"]
            model.load_state_dict(saved["weights"])
            own = self.optimizer.state_dict()["param_groups"]  # as the settings say now
            self.optimizer.load_state_dict({"state": saved["optimizer"], "param_groups": own})
            for name, metric in self.meter.items() if self.rank == 0 else ():
                metric.load_state_dict(saved["counts"][name])  # not logged yet, by all ranks
                metric.to(self.device)
        self.board: Any = None
        if s.tensorboard and self.rank == 0:
            from torch.utils.tensorboard import SummaryWriter  # optional

            self.board = SummaryWriter(s.out / "tensorboard", purge_step=self.step)

    def epoch(self, batches: Batches, save: Callable[[], None]) -> Iterator[tuple[Tensor, Tensor]]:
        """What is left of an epoch; between batches counts, logs, saves, and stops if it must."""
        s, epoch = self.s, self.step // self.steps_per_epoch
        asked, since, waited, seen = time.perf_counter(), time.perf_counter(), 0.0, 0
        for batch in tqdm(
            batches,
            f"epoch {epoch + 1}/{s.epochs}",
            total=self.steps_per_epoch,
            initial=self.step % self.steps_per_epoch,
            disable=None if self.rank == 0 else True,  # None: shown in a terminal only
        ):
            if self.stop():
                break
            waited += time.perf_counter() - asked
            # The step alone decides on learning rate and dropout, so no checkpoint keeps them.
            factor = learning_rate(s, self.step, self.steps_per_epoch)
            for group, rate in zip(self.optimizer.param_groups, self.rates, strict=True):
                group["lr"] = rate * factor
            torch.manual_seed((s.seed * 2**40 + self.step * self.size + self.rank) % 2**63)
            yield batch
            seen += len(batch[1]) * self.size
            self.step += 1
            done = self.step % self.steps_per_epoch == 0
            if done or self.step % s.log_every == 0:
                seconds = time.perf_counter() - since
                speed = seen / seconds
                counted = {name: metric.compute().item() for name, metric in self.meter.items()}
                row = {"epoch": epoch, "lr": self.rates[0] * factor, **counted}
                self.log(**row, images_per_second=speed, data_wait=waited / seconds)
                for metric in self.meter.values():
                    metric.reset()
                since, waited, seen = time.perf_counter(), 0.0, 0
            if done:
                self.stop()
            elif self.step % s.checkpoint_every == 0:
                save()
            asked = time.perf_counter()

    def count(self, loss: Tensor, logits: Tensor, labels: Tensor) -> None:
        """Adds a step to the metrics, which are read from the device where a row is logged."""
        self.meter["loss"].update(loss.detach().expand(len(labels)))
        self.meter["accuracy"].update(logits.detach().float(), labels)

    def log(self, **values: float) -> None:
        """Adds to the step's row of metrics.csv; FloatingPointError if the loss is not a number."""
        if not math.isfinite(values.get("loss", 0)):
            raise FloatingPointError(f"the loss is {values['loss']} at step {self.step}: {ADVICE}")
        if not self.rows or self.rows[-1]["step"] != self.step:
            self.rows.append({"step": self.step})
        self.rows[-1] |= values
        if self.rank == 0:
            columns = list(dict.fromkeys(name for row in self.rows for name in row))
            lines = [[shown(row.get(name, "")) for name in columns] for row in self.rows]
            text = "".join(",".join(line) + "\n" for line in [columns, *lines])
            write_whole(self.s.out / "metrics.csv", text.encode())
            if not sys.stderr.isatty():  # where there is no progress bar, in a log file
                print(self.step, *(f"{name} {shown(v)}" for name, v in values.items()), flush=True)
            for name, value in values.items() if self.board else ():
                self.board.add_scalar(name, value, self.step)

    def save(self, *names: str, **more: Any) -> None:
        """Writes a checkpoint under these names, but never one of broken weights."""
        weights, counts = self.model.state_dict(), {}
        if not all(bool(torch.isfinite(value).all()) for value in weights.values()):
            raise FloatingPointError(f"the weights at step {self.step} are not finite: {ADVICE}")
        for name, metric in self.meter.items():
            with metric.sync_context(should_sync=self.size > 1):
                counts[name] = metric.state_dict()
        if self.rank == 0:
            content, optimizer = io.BytesIO(), self.optimizer.state_dict()["state"]
            state = {"made": self.made, "step": self.step, "rows": self.rows, "counts": counts}
            torch.save({**state, "weights": weights, "optimizer": optimizer, **more}, content)
            for name in names:
                write_whole(self.s.out / name, content.getbuffer())

    def draw_curve(self) -> None:
        """Writes curve.png: loss and accuracy of training, and of validation if there is one."""
        figure = Figure(figsize=(9, 3.5), layout="constrained")
        for axes, name in zip(figure.subplots(1, 2), ("loss", "accuracy"), strict=True):
            for column in (name, f"val_{name}"):
                points = [(row["step"], row[column]) for row in self.rows if column in row]
                axes.plot([x for x, _ in points], [y for _, y in points], label=column)
            axes.set(xlabel="step", ylabel=name)
            axes.legend()
        content = io.BytesIO()
        figure.savefig(content, format="png", dpi=120)
        write_whole(self.s.out / "curve.png", content.getbuffer())

    def stop(self) -> bool:
        """Whether a signal or a limit ends the run now: the same answer on every rank."""
        for number in {signal.SIGINT, signal.SIGTERM} - {*self.handlers}:
            # Ignored is how `nohup` starts a script; None is a handler that Python did not set.
            if signal.getsignal(number) not in (signal.SIG_IGN, None):
                self.handlers[number] = signal.signal(number, self._hear)
        minutes, steps = self.s.max_minutes, self.s.max_steps
        late = minutes is not None and time.monotonic() - self.start >= 60 * minutes
        wish = torch.tensor(self.heard or int(late or (steps is not None and self.step >= steps)))
        if self.size > 1:
            dist.all_reduce(wish, dist.ReduceOp.MAX)
        self.stopped, self.code = bool(wish), int(wish) if wish > 1 else 0
        return self.stopped

    def _hear(self, number: int, _: object) -> None:
        self.heard = max(self.heard, 128 + number)  # 130 or 143, the exit code


def device_of(name: str) -> torch.device:
    """The device that --device names; under torchrun each process has a GPU of its own."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        if name == "cuda":
            torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", 0)))
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"--device {name}: {str(error).splitlines()[0]}") from error


def shown(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def learning_rate(s: Training, step: int, steps_per_epoch: int) -> float:
    """The factor of a step's learning rate. The step alone decides it: no checkpoint keeps it."""
    warm = min(1.0, (step + 1) / s.warmup_steps) if s.warmup_steps else 1.0
    if s.schedule == "cosine":
        return warm * (1 + math.cos(math.pi * step / (s.epochs * steps_per_epoch))) / 2
    return warm * 0.1 ** sum(step // steps_per_epoch >= epoch for epoch in s.milestones)


def write_whole(path: Path, content: bytes | memoryview) -> None:
    """Writes a file, or keeps the one from before."""
    part = path.with_name(f"{path.name}.part")
    try:
        with part.open("wb") as file:
            file.write(content)
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        why = f"cannot write {path}: {error.strerror}"
        raise OSError(f"{why}; the file from before is kept, if any") from error


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Reads what torch.save wrote, after a look at its checksums, which torch ignores."""
    if not path.is_file():
        raise FileNotFoundError(f"no checkpoint at {path}")
    try:
        if zipfile.is_zipfile(path) and (part := zipfile.ZipFile(path).testzip()):
            raise ValueError(f"{part} does not match its checksum")
        return dict(torch.load(path, map_location="cpu", weights_only=True))
    except Exception as error:  # both raise half a dozen kinds
        raise ValueError(f"{path} is damaged or not a checkpoint: {error}") from error


def ignore_signals(worker: int) -> None:
    """For DataLoader workers, which Ctrl-C reaches too: the trainer decides when to stop."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
