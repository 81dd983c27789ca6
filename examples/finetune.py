"""Fine-tunes a pre-trained network, or trains the same network from scratch, and validates it.

    python examples/finetune.py --from runs/fractaldb1k/weights.safetensors --data cifar10 \\
        --data-root data --download --out runs/cifar10
    python examples/finetune.py --from scratch --data cifar10 --data-root data --out runs/scratch
    python examples/finetune.py --from runs/fractaldb1k/weights.safetensors --data FOLDER \\
        --freeze conv2 --out runs/frozen                                 # a row of Table 8

Result: CIFAR-10 with 10 % of the labels, ResNet-10 at 32 x 32, 10 epochs on one core of an AMD
EPYC: 61.9 % from 3.2 million fractals, 53.8 % from scratch (docs/experiments.md has more).

OUT gets last.pt and best.pt, result.json, per_class.csv, metrics.csv and curve.png. Ctrl-C and
SIGTERM save; --resume auto goes on as if never stopped, with the same bits on a CPU, and on a GPU
with --deterministic.
"""

import csv
import functools
import io
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import data
import numpy as np
import safetensors
import torch
import torch.distributed as dist
import torch.nn.functional as F
import tyro
from fdsl.torch import Normalize
from models import build_model
from run import Run, read_checkpoint, write_whole
from settings import Training, recorded, run_script
from torch import Tensor, nn
from torchmetrics import MeanMetric, Metric
from torchmetrics.classification import (
    MulticlassAccuracy,
    MultilabelAccuracy,
    MultilabelAveragePrecision,
)
from torchvision.transforms import v2

# ImageNet's, with which the authors' program fine-tunes, on any data.
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
#: The paper's names (Table 8) for the parts of a ResNet.
CONVS = {"conv1": ("conv1", "bn1"), "conv2": ("layer1",), "conv3": ("layer2",)}
CONVS |= {"conv4": ("layer3",), "conv5": ("layer4",)}


@dataclass(frozen=True, kw_only=True)
class Settings(Training):
    """Fine-tune a network."""

    from_: Annotated[str, tyro.conf.arg(name="from")]  # weights.safetensors, last.pt, or "scratch"
    # digits, fashion-mnist, cifar10, cifar100, imagenet, places365, voc2012, omniglot, or a folder
    # with train/ and val/
    data: str
    data_root: Path = Path("data")  # where the sets that have a name lie
    download: bool = False  # let torchvision fetch them into it
    model: str | None = None  # if not given, the one the weights belong to, else resnet50
    lr: float = 0.01  # paper: 0.01
    size: int = 224  # side of what the network sees, cut out of 8/7 of it; paper: 224 of 256
    classes: Path | None = None  # a file that names the classes to use, one a line (ImageNet-100)
    flip: bool | None = None  # flip half of the images; if not given, not digits and omniglot
    per_class: int | None = None  # use this many labels of each class, chosen by --seed
    label_fraction: float = 1.0  # or this share of them
    # do not train a ResNet up to here, as in the paper's Table 8
    freeze: Literal["none", "conv1", "conv2", "conv3", "conv4", "conv5"] = "none"
    probe: bool = False  # train nothing but a logistic regression on the frozen features
    head_lr: float | None = None  # learning rate of the new last layer; if not given, --lr
    validate_every: int = 1  # epochs from one validation to the next; the last is always validated
    workers: int = 2  # processes that decode the images of a folder; other data are kept in memory

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.probe and self.freeze != "none":
            raise ValueError("--probe freezes all of the network: give it or --freeze, not both")
        if not 0 < self.label_fraction <= 1:
            raise ValueError(f"--label-fraction must be over 0, up to 1, got {self.label_fraction}")
        if self.per_class is not None and self.label_fraction < 1:
            raise ValueError("give --per-class or --label-fraction, not both")

    @property
    def canvas(self) -> int:
        return round(self.size * 8 / 7)


@dataclass(frozen=True, kw_only=True)
class Result:
    """result.json: what the last epoch's network is worth."""

    model: str
    source: str  # of the weights
    data: str
    num_classes: int
    num_labels: int  # images trained on
    num_val_images: int
    measure: str  # accuracy or mAP
    accuracy: float
    best_accuracy: float
    best_epoch: int | None
    settings: dict[str, Any]


def main(argv: Sequence[str] | None = None) -> int:
    return run_script(Settings, finetune, argv)


def finetune(s: Settings) -> int:
    """Trains and validates, and returns the exit code."""
    with Run(s) as run:
        saved = run.checkpoint("best")
        train, val = data.load(
            s.data,
            root=s.data_root,
            download=s.download,
            canvas=s.canvas,
            workers=s.workers,
            device=run.device,
            classes=s.classes,
        )
        chosen = data.choose(
            train.labels, per_class=s.per_class, fraction=s.label_fraction, seed=s.seed
        )
        steps_per_epoch = -(-len(chosen) // s.batch_size)
        if len(chosen) // steps_per_epoch < run.size:
            raise ValueError(f"a batch has fewer images than the {run.size} processes")
        model, name, head = start_model(s.from_, s.model, classes=len(train.classes), seed=s.seed)
        normalize, centre = Normalize(mean=MEAN, std=STD).to(run.device), v2.CenterCrop(s.size)

        def prepare(images: Tensor) -> Tensor:
            """The middles of the images, as they are validated."""
            prepared: Tensor = normalize(centre(data.fit(images.to(run.device), s.canvas)))
            return prepared

        if s.probe:
            return judge_features(s, run, model, head, train, val, chosen, prepare, name)
        many = train.labels.ndim == 2  # labels per image
        counted: dict[str, Any] = {"average": "micro", "validate_args": False}
        accuracy = (
            MultilabelAccuracy(len(train.classes), ignore_index=-1, **counted)
            if many
            else MulticlassAccuracy(len(train.classes), **counted)
        )
        made = made_of(s, name, classes=len(train.classes), labels=len(chosen))
        frozen = freeze(model, s.freeze, name)
        groups = parameter_groups(s, model, head)
        run.begin(model, groups, accuracy, steps_per_epoch, made, saved)
        best: dict[str, Any] = saved["best"] if saved else {"accuracy": -1.0, "epoch": None}

        def save(*names: str) -> None:
            run.save(*names, "last.pt", best=best)

        scores = None
        for epoch in range(run.step // steps_per_epoch, s.epochs):
            model.train()
            for part in frozen:  # its batch-norm statistics stay as they are
                part.eval()
            improved = False
            for images, labels in run.epoch(shuffled(s, run, train, chosen), save):
                # Images are bytes: each is cropped and flipped, then they become floats.
                images = data.fit(images.to(run.device, non_blocking=True), s.canvas)
                inputs = normalize(torch.stack([augment(s)(image) for image in images]))
                labels = labels.to(run.device, non_blocking=True)
                with torch.autocast(run.device.type, torch.bfloat16, enabled=run.amp):
                    logits = run.network(inputs.contiguous(memory_format=run.layout))
                    loss = loss_of(logits, labels)
                run.optimizer.zero_grad()
                loss.backward()
                if s.clip_grad:
                    nn.utils.clip_grad_norm_(model.parameters(), s.clip_grad)
                run.optimizer.step()
                run.count(loss, logits, labels)
            done = run.step == (epoch + 1) * steps_per_epoch
            if done and ((epoch + 1) % s.validate_every == 0 or epoch + 1 == s.epochs):
                scores = validate(s, run, val, prepare)
                run.log(val_loss=scores.loss, val_accuracy=scores.accuracy)
                if improved := scores.accuracy > best["accuracy"]:
                    best = {"accuracy": scores.accuracy, "epoch": epoch}
            save(*(["best.pt"] if improved else []))
            if run.stopped:
                break
        if run.step == s.epochs * steps_per_epoch:
            # A run that ended before it wrote its result is validated now.
            scores = scores or validate(s, run, val, prepare)
            write_result(s, run, val, scores, best, name, labels=len(chosen))
        if run.rank == 0:
            run.draw_curve()
    return run.code


@functools.cache
def augment(s: Settings) -> v2.Compose:
    """Crops and flips an image, by torch's random numbers of the step."""
    flip = s.data not in ("digits", "omniglot") if s.flip is None else s.flip
    return v2.Compose([v2.RandomCrop(s.size), v2.RandomHorizontalFlip(0.5 if flip else 0.0)])


def loss_of(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy; of many labels the binary one of each class that counts, summed over them:
    their mean would learn twenty times as slowly."""
    if labels.ndim == 1:
        return F.cross_entropy(logits, labels)
    counts, wanted = ((labels >= 0).to(logits.dtype), labels.clamp(min=0).to(logits.dtype))
    loss = F.binary_cross_entropy_with_logits(logits, wanted, weight=counts, reduction="sum")
    return loss / len(labels)


def shuffled(
    s: Settings, run: Run, images: data.Images, chosen: data.Positions
) -> Iterator[tuple[Tensor, Tensor]]:
    """What is left of the epoch, for this process. Step and seed alone decide what comes."""
    epoch, done = divmod(run.step, run.steps_per_epoch)
    order = np.random.default_rng((s.seed, epoch)).permutation(chosen)
    # Parts of almost equal size: each image once per epoch, and no small batch at its end.
    parts = np.array_split(order, run.steps_per_epoch)[done:]
    return images.batches([part[run.rank :: run.size] for part in parts], s.workers)


@dataclass(frozen=True)
class Scores:
    """Of a validation: the loss, the accuracy (or mAP), and the same of each class."""

    loss: float
    accuracy: float
    each: list[float]
    counts: list[int]  # images of each class


@torch.no_grad()
def validate(
    s: Settings, run: Run, images: data.Images, prepare: Callable[[Tensor], Tensor]
) -> Scores:
    """Judges the network by all images, cropped to their middles."""
    run.model.eval()
    # Each rank's batch statistics are its own until DDP's next step: judge those of the first.
    for buffer in run.model.buffers() if run.size > 1 else ():
        dist.broadcast(buffer, 0)
    positions = np.arange(len(images))[run.rank :: run.size]
    parts = np.array_split(positions, max(1, -(-len(positions) // s.batch_size)))
    many, classes = images.labels.ndim == 2, len(images.classes)
    each: Metric = (
        MultilabelAveragePrecision(classes, average="none", ignore_index=-1, validate_args=False)
        if many
        else MulticlassAccuracy(classes, average="none", validate_args=False)
    )
    mean = MeanMetric(nan_strategy="disable").to(run.device)
    each = each.to(run.device)
    for batch, labels in images.batches(parts, s.workers):
        labels = labels.to(run.device)
        inputs = prepare(batch)
        with torch.autocast(run.device.type, torch.bfloat16, enabled=run.amp):
            logits = run.model(inputs.contiguous(memory_format=run.layout)).float()
        mean.update(loss_of(logits, labels).expand(len(labels)))
        each.update(logits, labels)
    return scores_of(images, each.compute().tolist(), mean.compute().item())


def scores_of(images: data.Images, each: Sequence[float], loss: float = 0.0) -> Scores:
    """The accuracy over all images, or the mean over the classes that any image shows."""
    many, labels = images.labels.ndim == 2, images.labels
    classes = range(len(images.classes))
    counts = (labels == 1).sum(0) if many else np.bincount(labels, minlength=len(classes))
    known = counts > 0
    right = np.array(each)[known]
    right = right if many else np.rint(right * counts[known])
    accuracy = right.mean() if many else right.sum() / counts.sum()
    return Scores(loss, float(accuracy), list(each), counts.tolist())


def judge_features(
    s: Settings,
    run: Run,
    model: nn.Module,
    head: str,
    train: data.Images,
    val: data.Images,
    chosen: data.Positions,
    prepare: Callable[[Tensor], Tensor],
    name: str,
) -> int:
    """Fits a linear probe instead of training, and returns the exit code."""
    from probe import predictions  # needs scikit-learn, training does not

    if run.size > 1 or train.labels.ndim == 2:
        raise ValueError("--probe needs one process, and one label per image")
    parent, _, last = head.rpartition(".")
    setattr(model.get_submodule(parent), last, nn.Identity())
    answers = predictions(model.to(run.device), prepare, train, val, chosen, seed=s.seed)
    right = answers == val.labels
    own = [right[val.labels == label] for label in range(len(val.classes))]
    scores = scores_of(val, [float(one.mean()) if len(one) else 0.0 for one in own])
    best = {"accuracy": scores.accuracy, "epoch": None}
    write_result(s, run, val, scores, best, name, labels=len(chosen))
    return 0


def start_model(
    source: str, name: str | None, *, classes: int, seed: int
) -> tuple[nn.Module, str, str]:
    """The model with a new last layer, and with all else as `source` was pre-trained; the name of
    the model, and that of the layer: "fc" in a ResNet."""
    weights, theirs = (None, None) if source == "scratch" else load_weights(Path(source))
    name = name or theirs or "resnet50"
    if theirs not in (None, name):
        raise ValueError(f"{source} holds a {theirs}, but --model asks for a {name}")
    model = build_model(name, classes=classes, seed=seed)
    head = [key for key, part in model.named_modules() if isinstance(part, nn.Linear)][-1]
    if weights is not None:
        body = {key: value for key, value in weights.items() if not key.startswith(f"{head}.")}
        try:
            missing, extra = model.load_state_dict(body, strict=False)
        except RuntimeError as error:  # of another shape
            raise ValueError(f"{source} does not hold a {name}: {error}") from error
        # Of batch-norm layers torchvision's older files lack a count that only training needs.
        missing = [k for k in missing if not k.startswith(f"{head}.") and "num_batches" not in k]
        if missing or extra:
            raise ValueError(f"{source} does not hold a {name}: see {[*missing, *extra][0]}")
    return model, name, head


def load_weights(path: Path) -> tuple[dict[str, Tensor], str | None]:
    """Reads .safetensors, a checkpoint of these scripts, or weights as torchvision and timm save
    them: the weights, and the name of their model if the file says it."""
    if not path.is_file():
        raise FileNotFoundError(f"no weights at {path}")
    if path.suffix != ".safetensors":
        state = read_checkpoint(path)
        return (state["weights"], state["made"]["model"]) if "made" in state else (state, None)
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            names = file.keys()  # the file itself cannot be iterated
            tensors = {name: file.get_tensor(name) for name in names}
            return tensors, (file.metadata() or {}).get("model")
    except safetensors.SafetensorError as error:
        raise ValueError(f"{path} is not a safetensors file: {error}") from error


def freeze(model: nn.Module, upto: str, name: str) -> list[nn.Module]:
    """Stops a ResNet from learning, from its first layer up to `upto`; returns those parts."""
    if upto != "none" and not hasattr(model, "layer4"):
        raise ValueError(f"--freeze {upto} is for ResNets, not for a {name}")
    names = [] if upto == "none" else list(CONVS)[: list(CONVS).index(upto) + 1]
    parts = [getattr(model, part) for conv in names for part in CONVS[conv]]
    for part in parts:
        part.requires_grad_(False)
    return parts


def parameter_groups(s: Settings, model: nn.Module, head: str) -> list[dict[str, Any]]:
    """What learns: the body at --lr, the new last layer at --head-lr."""
    learns = [(name, value) for name, value in model.named_parameters() if value.requires_grad]
    body = [value for name, value in learns if not name.startswith(f"{head}.")]
    own = [value for name, value in learns if name.startswith(f"{head}.")]
    rates = {"lr": s.lr}, {"lr": s.lr if s.head_lr is None else s.head_lr}
    groups = [{"params": body, **rates[0]}, {"params": own, **rates[1]}]
    return [group for group in groups if group["params"]]


def made_of(s: Settings, name: str, *, classes: int, labels: int) -> dict[str, Any]:
    """What a checkpoint must have been made with for this run to go on from it."""
    names = ("data", "batch_size", "size", "freeze", "optimizer", "head_lr", "seed")
    made = {name: getattr(s, name) for name in names}
    counts = {"num_classes": classes, "num_labels": labels}
    return {**made, "model": name, "classes": str(s.classes), **counts}


def write_result(
    s: Settings,
    run: Run,
    val: data.Images,
    scores: Scores,
    best: dict[str, Any],
    name: str,
    *,
    labels: int,
) -> None:
    """Writes per_class.csv, and last result.json: whoever finds it takes the run for done."""
    result = Result(
        model=name,
        source=s.from_,
        data=s.data,
        num_classes=len(val.classes),
        num_labels=labels,
        num_val_images=len(val),
        measure="mAP" if val.labels.ndim == 2 else "accuracy",
        accuracy=scores.accuracy,
        best_accuracy=best["accuracy"],
        best_epoch=best["epoch"],
        settings=recorded(s),
    )
    if run.rank == 0:
        lines = io.StringIO()
        table = csv.writer(lines, lineterminator="\n")
        table.writerow(("class", "accuracy", "images"))
        for row in zip(val.classes, scores.each, scores.counts, strict=True):
            table.writerow((row[0], f"{row[1]:.4f}" if row[2] else "", row[2]))
        write_whole(s.out / "per_class.csv", lines.getvalue().encode())
        words = json.dumps(asdict(result), indent=2, default=str)
        write_whole(s.out / "result.json", words.encode() + b"\n")
        print(f"{result.measure} {scores.accuracy:.4f} on {len(val)} images; see {s.out}")


if __name__ == "__main__":
    sys.exit(main())
