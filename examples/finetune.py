"""Fine-tunes a pre-trained network, or trains the same network from scratch, and validates it.

    python examples/finetune.py --from runs/fractaldb1k/weights.safetensors --data cifar10 \\
        --data-root data --download --out runs/cifar10
    python examples/finetune.py --from scratch --data cifar10 --data-root data --out runs/scratch
    python examples/finetune.py --from runs/fractaldb1k/weights.safetensors --data FOLDER \\
        --freeze conv2 --out runs/frozen                                 # a row of Table 8

OUT gets last.pt and best.pt, result.json, per_class.csv, metrics.csv and curve.png. Ctrl-C or
SIGTERM finish the step and save; --resume auto goes on as if never stopped, with the same bits on a
CPU, and on a GPU with --deterministic. One process at a time trains in a folder.
"""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import checkpoint
import data
import numpy as np
import settings as command_line
import torch
from engine import Trainer, Training
from fdsl.torch import Normalize
from metrics import COLUMNS, TIMINGS, Metrics, write_result
from models import frozen_parts, head_of, start_model
from objective import ManyLabels, OneLabel
from torch import Tensor, nn
from world import Stop, World, joined_world, same_bits

# ImageNet's, with which the authors' program fine-tunes, on any data.
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True, kw_only=True)
class Settings(Training):
    """What to fine-tune, and on which pictures. engine.Training has the rest."""

    from_: str  # weights.safetensors, last.pt, or "scratch" for random weights
    data: str  # digits, fashion-mnist, cifar10, cifar100, imagenet, places365, voc2012, omniglot,
    # or a folder with train/ and val/
    data_root: Path = Path("data")  # where the sets that have a name lie
    download: bool = False  # let torchvision fetch them into it
    model: str | None = None  # if not given, the one the weights belong to, else resnet50
    size: int = 224  # side of what the network sees, cut out of 8/7 of it; paper: 224 of 256
    classes: Path | None = None  # a file that names the classes to use, one a line (ImageNet-100)
    flip: bool | None = None  # mirror half of the pictures; if not given, all data but digits
    # and omniglot
    per_class: int | None = None  # use so many labels of each class, chosen by --seed
    label_fraction: float = 1.0  # or this share of them
    freeze: Literal["none", "conv1", "conv2", "conv3", "conv4", "conv5"] = "none"  # do not train
    # a ResNet up to here, as the paper's Table 8
    probe: bool = False  # train nothing but a logistic regression on the frozen features
    head_lr: float | None = None  # learning rate of the new last layer; if not given, --lr
    validate_every: int = 1  # epochs from one validation to the next; the last is always validated
    workers: int = 2  # processes that decode a folder's pictures; other data are held in memory

    def __post_init__(self) -> None:
        super().__post_init__()
        command_line.at_least(1, self, "size", "per_class", "validate_every")
        command_line.at_least(0, self, "workers", "head_lr")
        if self.head_lr is not None and self.lr == 0:
            raise ValueError(
                "--head-lr needs an --lr above 0: to train the head alone, freeze conv5"
            )
        if self.probe and self.freeze != "none":
            raise ValueError("--probe freezes all of the network: give it or --freeze, not both")
        if not 0 < self.label_fraction <= 1:
            raise ValueError(f"--label-fraction must be over 0, up to 1, got {self.label_fraction}")
        if self.per_class is not None and self.label_fraction < 1:
            raise ValueError("give --per-class or --label-fraction, not both")

    @property
    def canvas(self) -> int:
        return round(self.size * 8 / 7)


def main(argv: Sequence[str] | None = None) -> int:
    return command_line.run(
        "finetune.py",
        lambda: finetune(command_line.parse(Settings, argv, about="Fine-tune a network.")),
    )


def finetune(s: Settings) -> int:
    """Trains and validates, and returns the exit code."""
    with (
        checkpoint.claimed_folder(s.out, resume=s.resume),
        same_bits(s.deterministic),
        joined_world(s.device) as world,
    ):
        saved = checkpoint.find(s.resume, s.out, needs=["best"])
        train, val = data.load(
            s.data,
            root=s.data_root,
            download=s.download,
            canvas=s.canvas,
            workers=s.workers,
            device=world.device,
            classes=s.classes,
        )
        chosen = data.choose(
            train.labels, per_class=s.per_class, fraction=s.label_fraction, seed=s.seed
        )
        steps_per_epoch = -(-len(chosen) // s.batch_size)
        if len(chosen) // steps_per_epoch < world.size:
            raise ValueError(f"a batch has fewer pictures than the {world.size} processes")
        model, name = start_model(s.from_, s.model, classes=len(train.classes), seed=s.seed)
        head = head_of(model)
        made = {
            "model": name,
            "data": s.data,
            "list of classes": None if s.classes is None else str(s.classes),
            "classes": len(train.classes),
            "training pictures": len(chosen),
            "batch size": s.batch_size,
            "size": s.size,
            "frozen part": "all: a linear probe" if s.probe else s.freeze,
            "optimizer": s.optimizer,
            "head's learning rate": s.head_lr,
            "seed": s.seed,
        }
        if s.probe:
            return judge_features(s, world, model, head, train, val, chosen, made)
        if saved:
            checkpoint.refuse_another(saved, made)
        trainer = Trainer(
            model,
            s,
            world,
            normalize=Normalize(mean=MEAN, std=STD),
            steps_per_epoch=steps_per_epoch,
            scales={f"{head}.": 1.0 if s.head_lr is None else s.head_lr / s.lr},
            frozen=frozen_parts(model, s.freeze, name),
            objective=ManyLabels() if train.labels.ndim == 2 else OneLabel(),
        )
        best: dict[str, Any] = {"accuracy": -1.0, "epoch": None}
        if saved:
            trainer.load(saved)
            best = saved["best"]
        return train_and_validate(s, world, trainer, train, val, chosen, best, made)


def judge_features(
    s: Settings,
    world: World,
    model: nn.Module,
    head: str,
    train: data.Pictures,
    val: data.Pictures,
    chosen: data.Positions,
    made: dict[str, Any],
) -> int:
    """Fits a linear probe, and returns the exit code."""
    from probe import probe  # needs scikit-learn, training does not

    if world.size > 1 or train.labels.ndim == 2:
        raise ValueError("--probe needs one process, and one label a picture")
    *path, name = head.split(".")
    setattr(model.get_submodule(".".join(path)), name, nn.Identity())
    score, each = probe(
        model,
        Normalize(mean=MEAN, std=STD).to(world.device),
        train,
        val,
        chosen,
        canvas=s.canvas,
        size=s.size,
        seed=s.seed,
        device=world.device,
    )
    report(s, "accuracy", score, each, {"accuracy": score, "epoch": None}, made, val)
    return 0


def train_and_validate(
    s: Settings,
    world: World,
    trainer: Trainer,
    train: data.Pictures,
    val: data.Pictures,
    chosen: data.Positions,
    best: dict[str, Any],
    made: dict[str, Any],
) -> int:
    """Runs the epochs that are left, each followed by a validation."""
    metrics = last = None
    if world.rank == 0:
        columns = (*COLUMNS[:-2], "val_loss", "val_accuracy", *TIMINGS)
        metrics = Metrics(s.out, columns, step=trainer.step, tensorboard=s.tensorboard)
    with Stop(world, max_steps=s.max_steps, max_minutes=s.max_minutes) as stop:
        for epoch in range(trainer.step // trainer.steps_per_epoch, s.epochs):
            improved, kept = False, trainer.step
            batches = training_batches(s, world, trainer, train, chosen)
            for row in trainer.train_epoch(batches, stop):
                scores: dict[str, Any] = {"val_loss": "", "val_accuracy": ""}
                if trainer.epoch_is_done and (
                    (epoch + 1) % s.validate_every == 0 or epoch + 1 == s.epochs
                ):
                    scores, _ = last = validate(s, world, trainer, val)
                    if scores["val_accuracy"] > best["accuracy"]:
                        improved, best = True, {"accuracy": scores["val_accuracy"], "epoch": epoch}
                if metrics:
                    metrics.write({**row, **scores})
                if trainer.step - kept >= s.checkpoint_every and not trainer.epoch_is_done:
                    save(s, world, trainer, best, made)
                    kept = trainer.step
            save(s, world, trainer, best, made, improved=improved)
            if stop.now:
                break
    if trainer.step == s.epochs * trainer.steps_per_epoch:
        # A run that ended before it wrote its result is validated now.
        scores, each = last or validate(s, world, trainer, val)
        if world.rank == 0:
            report(s, trainer.objective.measure, scores["val_accuracy"], each, best, made, val)
    if metrics:
        metrics.close()
    return stop.code


def training_batches(
    s: Settings, world: World, trainer: Trainer, pictures: data.Pictures, chosen: data.Positions
) -> Iterator[tuple[Tensor, Tensor]]:
    """What is left of the epoch, cropped and flipped. Step and seed alone decide what comes."""
    flip = s.data not in ("digits", "omniglot") if s.flip is None else s.flip
    epoch, done = divmod(trainer.step, trainer.steps_per_epoch)
    order = np.random.default_rng((s.seed, epoch)).permutation(chosen)
    # Parts of almost equal size: each picture once an epoch, and no small batch at its end.
    parts = np.array_split(order, trainer.steps_per_epoch)[done:]
    mine = [part[world.rank :: world.size] for part in parts]
    for step, (images, labels) in enumerate(pictures.batches(mine), start=trainer.step):
        rng = np.random.default_rng((s.seed, step, world.rank))
        tops, lefts = rng.integers(0, s.canvas - s.size + 1, (2, len(labels)))
        flips = flip & (rng.random(len(labels)) < 0.5)
        places = [torch.from_numpy(a).to(world.device) for a in (tops, lefts, flips)]
        images = data.fit(images.to(world.device, non_blocking=True), s.canvas)
        yield data.crop(images, s.size, tops=places[0], lefts=places[1], flips=places[2]), labels


@torch.no_grad()
def validate(
    s: Settings, world: World, trainer: Trainer, pictures: data.Pictures
) -> tuple[dict[str, float], list[tuple[float, int]]]:
    """Loss and accuracy (or mAP) over all pictures, from their centres; and for each class its
    accuracy (or average precision) and how many pictures it has."""
    trainer.model.eval()
    # Each rank's batch statistics are its own until DDP's next step: judge the saved ones.
    for buffer in trainer.model.buffers():
        world.from_first(buffer)
    positions = np.arange(len(pictures.labels))[world.rank :: world.size]
    parts = np.array_split(positions, max(1, -(-len(positions) // s.batch_size)))
    tally = trainer.objective.tally(len(pictures.classes), world.device)
    loss = torch.zeros(1, device=world.device)
    edge = (s.canvas - s.size) // 2
    for images, labels in pictures.batches(parts):
        labels = labels.to(world.device)
        images = data.fit(images.to(world.device), s.canvas)
        centre = trainer.normalize(images[..., edge : edge + s.size, edge : edge + s.size])
        with torch.autocast(world.device.type, torch.bfloat16, enabled=trainer.amp):
            logits = trainer.model(centre.contiguous(memory_format=trainer.layout))
            loss += trainer.objective.loss(logits, labels) * len(labels)
        tally.add(logits, labels)
    score, each = tally.scores(world)
    world.total(loss)
    return {"val_loss": loss.item() / len(pictures.labels), "val_accuracy": score}, each


def save(
    s: Settings,
    world: World,
    trainer: Trainer,
    best: dict[str, Any],
    made: dict[str, Any],
    *,
    improved: bool = False,
) -> None:
    """Writes last.pt, and best.pt when the validation was the best so far."""
    state = {**trainer.state(), "made": made, "best": best}
    if world.rank == 0:
        for file in ["best.pt", "last.pt"] if improved else ["last.pt"]:
            checkpoint.save(s.out / file, state)


def report(
    s: Settings,
    measure: str,
    score: float,
    each: list[tuple[float, int]],
    best: dict[str, Any],
    made: dict[str, Any],
    val: data.Pictures,
) -> None:
    """Writes what the last epoch's network is worth, in all and for each class."""
    result = {
        **{name.replace(" ", "_"): value for name, value in made.items()},
        "from": s.from_,
        "lr": s.lr,
        "settings": command_line.recorded(s),
        "measure": measure,
        "accuracy": score,
        "best_accuracy": best["accuracy"],
        "best_epoch": best["epoch"],
        "validation_pictures": len(val.labels),
    }
    write_result(s.out, result, dict(zip(val.classes, each, strict=True)))
    print(f"{measure} {score:.4f} on {len(val.labels)} pictures; see {s.out}")


if __name__ == "__main__":
    sys.exit(main())
