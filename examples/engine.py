"""The training loop that pretrain.py and finetune.py share.

No step reads a number back from the device: losses add up there and are read every `log_every`
steps, so that Python runs ahead of a GPU. The pictures of the next steps are drawn meanwhile.
"""

import math
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from objective import Objective, OneLabel
from settings import at_least
from torch import Tensor, nn
from tqdm import tqdm
from world import Stop, World


@dataclass(frozen=True, kw_only=True)
class Training:
    """The settings both scripts share. Defaults are the paper's, section 4."""

    epochs: int = 90  # paper: 90
    batch_size: int = 256  # of all processes together; paper: 256
    lr: float = 0.01  # paper: 0.01, to pre-train and to fine-tune
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
    deterministic: bool = False  # the same bits in every run on the same GPUs and versions; slower
    device: str = "auto"  # auto: cuda if there is one, else cpu
    seed: int = 0  # of the first weights and of the order of samples
    out: Path = Path("out")  # folder of this run: last.pt, metrics.csv, curve.png, ...
    resume: str | None = None  # a checkpoint, or "auto": OUT/last.pt if it is there
    checkpoint_every: int = 1000  # steps between checkpoints, looked at when a row is logged;
    # the end of an epoch always writes one
    log_every: int = 50  # steps between rows of metrics.csv
    tensorboard: bool = False  # also write OUT/tensorboard
    max_steps: int | None = None  # stop at this step, counted from the very first
    max_minutes: float | None = None  # stop after this time; --resume auto goes on from there

    def __post_init__(self) -> None:
        at_least(1, self, "epochs", "batch_size", "log_every", "checkpoint_every", "max_steps")
        at_least(0, self, "lr", "momentum", "weight_decay", "clip_grad", "warmup_steps", "seed")
        at_least(0, self, "max_minutes")


def learning_rate(settings: Training, step: int, steps_per_epoch: int) -> float:
    """The learning rate of a step. The step alone decides it, so no checkpoint need keep it."""
    warm = min(1.0, (step + 1) / settings.warmup_steps) if settings.warmup_steps else 1.0
    if settings.schedule == "cosine":
        done = step / (settings.epochs * steps_per_epoch)
        return settings.lr * warm * 0.5 * (1 + math.cos(math.pi * done))
    passed = sum(step // steps_per_epoch >= epoch for epoch in settings.milestones)
    return settings.lr * warm * 0.1**passed


class Trainer:
    """A model in training: all that changes from step to step, so all a checkpoint has to hold."""

    def __init__(
        self,
        model: nn.Module,
        settings: Training,
        world: World,
        *,
        normalize: nn.Module,
        steps_per_epoch: int,
        scales: Mapping[str, float] | None = None,
        frozen: Sequence[nn.Module] = (),
        objective: Objective | None = None,
    ) -> None:
        """`scales` multiplies the learning rate of the parameters whose name starts with its key;
        `frozen` parts do not learn, and their batch-norm statistics stay as they are."""
        self.settings, self.world, self.steps_per_epoch = settings, world, steps_per_epoch
        self.frozen, self.step = frozen, 0
        self.objective = objective or OneLabel()
        for part in frozen:
            part.requires_grad_(False)
        self.layout = torch.channels_last if settings.channels_last else torch.contiguous_format
        self.model = model.to(device=world.device).to(memory_format=self.layout)
        self.normalize = normalize.to(world.device)
        self.optimizer = _optimizer(self.model, settings, scales or {})
        cuda = world.device.type == "cuda"
        # From Ampere (8.0) on; older GPUs only emulate it, slowly.
        self.amp = settings.amp and cuda and torch.cuda.get_device_capability(world.device)[0] >= 8
        # `model` stays bare, so that its names stay torchvision's; the steps use `wrapped`.
        self.wrapped: Any = self.model
        if world.size > 1:
            devices = [world.device] if cuda else None
            self.wrapped = nn.parallel.DistributedDataParallel(self.model, device_ids=devices)
        if settings.compile:
            self.wrapped = torch.compile(self.wrapped)
        self.sums = torch.zeros(2, device=world.device)  # loss and right answers, not yet read
        self.seen = 0  # the pictures these sums are over
        torch.manual_seed(settings.seed + world.rank)  # from here on, dropout differs by rank

    @property
    def epoch_is_done(self) -> bool:
        return self.step % self.steps_per_epoch == 0

    def train_epoch(
        self, batches: Iterable[tuple[Tensor, Tensor]], stop: Stop
    ) -> Iterator[dict[str, Any]]:
        """Trains to the end of the epoch, or to the step at which all processes agree to stop.

        Yields a row of metrics every `log_every` steps and at the end of the epoch. Raises
        FloatingPointError once the loss is not a number.
        """
        self.model.train()
        for part in self.frozen:
            part.eval()
        if stop.agreed(self.step):
            return
        feed, epoch = iter(batches), self.step // self.steps_per_epoch
        start, waited, pictures = time.perf_counter(), 0.0, 0
        with tqdm(
            total=self.steps_per_epoch,
            initial=self.step % self.steps_per_epoch,
            desc=f"epoch {epoch + 1}/{self.settings.epochs}",
            disable=None if self.world.rank == 0 else True,  # None: shown in a terminal only
        ) as bar:
            while True:
                asked = time.perf_counter()
                images, labels = next(feed)
                waited += time.perf_counter() - asked
                pictures += len(labels) * self.world.size
                self._update(images, labels)
                bar.update()
                if self.epoch_is_done or self.step % self.settings.log_every == 0:
                    row = {"step": self.step, "epoch": epoch, **self._read_sums()}
                    seconds = time.perf_counter() - start
                    row |= {"pictures_per_second": pictures / seconds}
                    row |= {"data_wait": waited / seconds}  # share of the time
                    shown = ("loss", "accuracy", "pictures_per_second", "data_wait")
                    bar.set_postfix({name: f"{row[name]:.3g}" for name in shown})
                    yield row
                    start, waited, pictures = time.perf_counter(), 0.0, 0
                if stop.agreed(self.step) or self.epoch_is_done:
                    return

    def _update(self, images: Tensor, labels: Tensor) -> None:
        """One step, from uint8 pictures: they cross to the device as bytes, one channel if gray."""
        device = self.world.device
        labels = labels.to(device, non_blocking=True)
        inputs = self.normalize(images.to(device, non_blocking=True))
        with torch.autocast(device.type, torch.bfloat16, enabled=self.amp):
            logits = self.wrapped(inputs.contiguous(memory_format=self.layout))
            loss = self.objective.loss(logits, labels)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]  # torch's own stub
        if self.settings.clip_grad:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.settings.clip_grad)
        for group in self.optimizer.param_groups:
            rate = learning_rate(self.settings, self.step, self.steps_per_epoch)
            group["lr"] = rate * group["scale"]
        self.optimizer.step()
        with torch.no_grad():
            right = self.objective.right(logits, labels)
            self.sums += torch.stack([loss * len(labels), right])
        self.seen += len(labels)
        self.step += 1

    def _read_sums(self) -> dict[str, float]:
        """Loss and accuracy since the last reading, over all processes; waits for the device."""
        sums = torch.cat([self.sums, self.sums.new_tensor([self.seen])])
        loss, right, seen = self.world.total(sums).tolist()
        if not math.isfinite(loss):
            raise FloatingPointError(
                f"the loss is {loss} at step {self.step}: try a lower --lr, --warmup-steps or "
                f"--clip-grad; the last checkpoint in {self.settings.out} is from before"
            )
        self.sums.zero_()
        self.seen = 0
        rate = learning_rate(self.settings, self.step - 1, self.steps_per_epoch)
        return {"lr": rate, "loss": loss / seen, "accuracy": right / seen}

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps. Raises FloatingPointError instead of keeping broken weights."""
        weights = self.model.state_dict()
        if not all(bool(torch.isfinite(tensor).all()) for tensor in (self.sums, *weights.values())):
            raise FloatingPointError(
                f"the weights are no longer finite at step {self.step}: try a lower --lr, "
                f"--warmup-steps or --clip-grad; {self.settings.out} keeps the checkpoint before"
            )
        mine = {"sums": self.sums.cpu(), "seen": self.seen, "cpu": torch.get_rng_state()}
        if self.world.device.type == "cuda":
            mine["cuda"] = torch.cuda.get_rng_state()
        return {
            "step": self.step,
            "weights": weights,
            "optimizer": self.optimizer.state_dict()["state"],
            "ranks": self.world.gather(mine),
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Goes on from a checkpoint. Learning rate and its like stay as the settings say.

        Raises ValueError if its weights are not those of this model.
        """
        self.step = state["step"]
        try:
            self.model.load_state_dict(state["weights"])
        except RuntimeError as error:
            raise ValueError(
                "cannot resume: the checkpoint does not hold the weights of this network"
            ) from error
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": state["optimizer"], "param_groups": groups})
        ranks, rank = state["ranks"], self.world.rank
        if len(ranks) == self.world.size:
            self.sums.copy_(ranks[rank]["sums"])
            self.seen = ranks[rank]["seen"]
            torch.set_rng_state(ranks[rank]["cpu"])
            if self.world.device.type == "cuda" and "cuda" in ranks[rank]:
                torch.cuda.set_rng_state(ranks[rank]["cuda"])
        elif rank == 0:  # another number of processes: the first takes over all that was unread
            self.sums.copy_(torch.stack([one["sums"] for one in ranks]).sum(0))
            self.seen = sum(one["seen"] for one in ranks)


def _optimizer(
    model: nn.Module, settings: Training, scales: Mapping[str, float]
) -> torch.optim.Optimizer:
    """SGD or AdamW over what learns, one group for each scale of the learning rate."""
    groups: dict[float, list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            scale = next((s for start, s in scales.items() if name.startswith(start)), 1.0)
            groups.setdefault(scale, []).append(parameter)
    parts = [{"params": group, "scale": scale} for scale, group in groups.items()]
    if settings.optimizer == "adamw":
        return torch.optim.AdamW(parts, lr=settings.lr, weight_decay=settings.weight_decay)
    return torch.optim.SGD(
        parts, lr=settings.lr, momentum=settings.momentum, weight_decay=settings.weight_decay
    )
