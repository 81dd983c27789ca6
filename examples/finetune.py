"""Fine-tunes a pre-trained network, or trains the same network from scratch, and validates it.

    python examples/finetune.py --from runs/fractaldb1k/weights.safetensors --data cifar10 \\
        --data-root data --download --out runs/cifar10
    python examples/finetune.py --from scratch --data cifar10 --data-root data --out runs/scratch

Result: 69.2% after pretrain.py --preset resnet10s, 54.4% from scratch (10% of CIFAR-10's labels).

Writes last.pt, best.pt, result.json, per_class.csv, metrics.csv and curve.png to OUT. Ctrl-C and
SIGTERM save; --resume auto continues, bit-identically (on a GPU, only with --deterministic).
"""

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import data
import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
import tyro
from fdsl.torch import Normalize, training
from fdsl.torch.training import Checkpoints, GracefulStop, LabeledImages, MetricsLog, Ranks, Scores
from settings import RENAMED, Training, recorded
from torch import Tensor, nn
from torchvision.transforms import v2
from tqdm import tqdm

Positions = npt.NDArray[np.int64]
# ImageNet's, which the authors' code uses to fine-tune on any data.
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
#: The parts of a ResNet. The first two are the paper's conv1 (Table 8), the others conv2 to conv5.
PARTS = ("conv1", "bn1", "layer1", "layer2", "layer3", "layer4")


@dataclass(frozen=True, kw_only=True)
class Settings(Training):
    """Fine-tune a network."""

    # Start from this weights.safetensors, last.pt or .pth file, or from scratch.
    from_: Annotated[str, tyro.conf.arg(name="from")]
    # Fine-tune on digits, fashion-mnist, cifar10, cifar100, imagenet, places365, voc2012, omniglot,
    # or a folder with train/ and val/.
    data: str
    data_root: Path = Path("data")  # Look for data sets that have a name in this folder.
    download: bool = False  # Download the data set there, if torchvision can.
    model: str | None = None  # Train this network; by default that of the weights, or resnet50.
    lr: float = 0.01  # Set the learning rate (paper: 0.01).
    size: int = 224  # Resize images to 8/7 of this side, and crop them to it (paper: 224).
    classes: Path | None = None  # Use the classes that this file names, one per line.
    flip: bool | None = None  # Flip half of the images; by default not of digits and omniglot.
    mixup: float = 0.0  # Mix images with this alpha of mixup.
    cutmix: float = 0.0  # Mix images with this alpha of CutMix.
    per_class: int | None = None  # Use this many labels of each class, chosen by --seed.
    label_fraction: float = 1.0  # Use this fraction of the labels, chosen by --seed.
    held_out: float = 0.0  # Validate on this fraction of the training images, to choose settings.
    # Freeze a ResNet up to this stage, as in the paper's Table 8.
    freeze: Literal["none", "conv1", "conv2", "conv3", "conv4", "conv5"] = "none"
    probe: bool = False  # Only fit a logistic regression to the frozen features.
    head_lr: float | None = None  # Use this learning rate for the new last layer instead of --lr.
    validate_every: int = 1  # Validate after this many epochs, and after the last.
    workers: int = 2  # Decode images that do not fit in memory in this many processes.

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.probe and (self.freeze != "none" or self.mixup or self.cutmix):
            raise ValueError("--probe trains no network: no --freeze, --mixup or --cutmix with it")
        if not 0 < self.label_fraction <= 1:
            raise ValueError(f"--label-fraction must be over 0, up to 1, got {self.label_fraction}")
        if self.per_class is not None and self.label_fraction < 1:
            raise ValueError("give --per-class or --label-fraction, not both")


def main(argv: Sequence[str] | None = None) -> int:
    return training.run_script(Settings, finetune, argv, renamed=RENAMED)


def finetune(s: Settings) -> int:
    """Trains and validates, and returns the exit code."""
    stop = GracefulStop(s.max_minutes, s.max_steps)
    training.make_deterministic(s.deterministic)
    with Ranks(s.device) as ranks, Checkpoints(s.out, ranks.rank) as checkpoints:
        saved = checkpoints.load(s.resume, "best")
        load = partial(data.load, s.data, s.data_root, round(s.size * 8 / 7), classes=s.classes)
        train, val = ranks.one_first(partial(load, download=s.download))
        train, val = train.held_out(s.held_out, s.seed) if s.held_out else (train, val)
        chosen = training.choose_labels(
            train.labels, per_class=s.per_class, share=s.label_fraction, seed=s.seed
        )
        steps_per_epoch = -(-len(chosen) // s.batch_size)
        if len(chosen) // steps_per_epoch < ranks.world_size:
            raise ValueError(f"a batch has fewer images than the {ranks.world_size} processes")
        weights = None if s.from_ == "scratch" else s.from_
        model, name = training.load_pretrained(
            weights, len(train.classes), name=s.model, seed=s.seed, input_size=s.size
        )
        result = partial(write_result, s, val, model=name, num_labels=len(chosen))
        if s.probe:
            probed = probe(s, ranks, model, train, val, chosen)
            result(probed, {"accuracy": probed.accuracy, "epoch": None}, history=[])
            return 0
        frozen, log = freeze(model, s.freeze, name), MetricsLog(s.out, tensorboard=s.tensorboard)
        network = ranks.wrap(model, channels_last=s.channels_last, compile=s.compile)
        optimizer = s.build_optimizer(model, parameter_groups(s, model))
        rates = [group["lr"] for group in optimizer.param_groups]
        made = made_of(s, name, classes=len(train.classes), labels=len(chosen))
        step = checkpoints.begin(made, recorded(s), weights=model, optimizer=optimizer, log=log)
        best: dict[str, Any] = saved["best"] if saved else {"accuracy": -1.0, "epoch": None}
        flip = s.data not in ("digits", "omniglot") if s.flip is None else s.flip
        normalize = Normalize(MEAN, STD).to(ranks.device)
        augment = v2.Compose([v2.RandomCrop(s.size), v2.RandomHorizontalFlip(0.5 * flip)])
        mix = training.mixing(len(train.classes), mixup=s.mixup, cutmix=s.cutmix)
        scores: Scores | None = None
        bar = partial(tqdm, total=steps_per_epoch, disable=None if ranks.rank == 0 else True)
        with stop:
            for epoch in checkpoints.epochs(step, steps_per_epoch, s.epochs):
                # The seed and the step determine the batch; sizes differ by at most one image.
                order = np.random.default_rng((s.seed, epoch)).permutation(chosen)
                first = step % steps_per_epoch
                parts = np.array_split(order, steps_per_epoch)[first:]
                own = [part[ranks.rank :: ranks.world_size] for part in parts]
                batches = log.watch(train.batches(own, s.workers))
                model.train()
                nn.ModuleList(frozen).eval()  # their batch-norm statistics do not change
                for images, labels in bar(batches, f"epoch {epoch + 1}/{s.epochs}", initial=first):
                    if stop.requested(step):
                        break
                    factor = s.lr_factor(step, steps_per_epoch)  # a function of the step
                    for group, rate in zip(optimizer.param_groups, rates, strict=True):
                        group["lr"] = rate * factor
                    ranks.manual_seed(s.seed, step)
                    # From uint8 (B, 3, 8/7 size, 8/7 size) to float32 (B, 3, size, size).
                    images = images.to(ranks.device, non_blocking=True)
                    inputs = normalize(torch.stack([augment(image) for image in images]))
                    inputs, labels = mix(inputs, labels.to(ranks.device, non_blocking=True))
                    with ranks.autocast(s.amp):
                        logits = network(inputs)
                        mean = compute_loss(logits, labels)
                    optimizer.zero_grad()
                    size = len(parts[step % steps_per_epoch - first])  # of all parts of this batch
                    loss = mean * (len(labels) * ranks.world_size / size)  # DDP averages ranks
                    loss.backward()
                    if s.clip_grad:
                        nn.utils.clip_grad_norm_(model.parameters(), s.clip_grad)
                    optimizer.step()
                    step += 1
                    log.update(len(labels), loss=mean, accuracy=compute_accuracy(logits, labels))
                    done = step % steps_per_epoch == 0
                    if done or step % s.log_every == 0:
                        log.write(step, epoch=epoch, lr=rates[0] * factor)
                    if step % s.checkpoint_every == 0 and not done:
                        checkpoints.save(step, best=best)
                names: list[str] = []
                done = step == (epoch + 1) * steps_per_epoch
                if done and ((epoch + 1) % s.validate_every == 0 or epoch + 1 == s.epochs):
                    scores = validate(s, ranks, model, val)
                    log.write(step, val_loss=scores.loss, val_accuracy=scores.accuracy)
                    if scores.accuracy > best["accuracy"]:
                        best, names = {"accuracy": scores.accuracy, "epoch": epoch}, ["best.pt"]
                checkpoints.save(step, *names, best=best)
                if stop.requested(step):
                    break
            if step == s.epochs * steps_per_epoch:
                scores = scores or validate(s, ranks, model, val)  # None if it was killed just now
                if ranks.rank == 0:
                    result(scores, best, history=checkpoints.history)
            elif ranks.rank == 0:
                print(f"stopped at step {step:,}; --resume auto continues")
            log.plot()
    return stop.exit_code


def compute_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy; with several labels per image, binary and summed over classes that count."""
    if labels.ndim == 1 or labels.is_floating_point():  # shares of mixed images
        return F.cross_entropy(logits, labels)
    counts, wanted = (labels >= 0).to(logits.dtype), labels.clamp(min=0).to(logits.dtype)
    loss = F.binary_cross_entropy_with_logits(logits, wanted, weight=counts, reduction="sum")
    return loss / len(labels)


def compute_accuracy(logits: Tensor, labels: Tensor) -> Tensor:
    labels = labels.argmax(1) if labels.is_floating_point() else labels  # of the larger share
    right = logits.argmax(1) == labels if labels.ndim == 1 else (logits > 0) == (labels > 0)
    return (right & (labels >= 0)).sum() / (labels >= 0).sum()  # an index would wait for the GPU


def prepared(
    s: Settings, ranks: Ranks, images: LabeledImages, positions: Positions
) -> Iterator[tuple[Tensor, Tensor]]:
    """Center crops of these images, float32 (B, 3, size, size), and their labels, on the device."""
    crop, normalize = v2.CenterCrop(s.size), Normalize(MEAN, STD).to(ranks.device)
    parts = np.array_split(positions, max(1, -(-len(positions) // s.batch_size)))
    for batch, labels in images.batches(parts, s.workers):
        yield normalize(crop(batch.to(ranks.device))), labels.to(ranks.device)


@torch.no_grad()
def validate(s: Settings, ranks: Ranks, model: nn.Module, images: LabeledImages) -> Scores:
    """Evaluates the network on all images."""
    model.eval()
    # Batch-norm statistics differ between ranks until DDP's next step: use those of rank 0.
    for buffer in model.buffers() if ranks.world_size > 1 else ():
        torch.distributed.broadcast(buffer, 0)
    validation = training.Validation(len(images.classes), multilabel=images.labels.ndim == 2)
    own = np.arange(len(images))[ranks.rank :: ranks.world_size]
    for inputs, labels in prepared(s, ranks, images, own):
        with ranks.autocast(s.amp):
            logits = model(inputs).float()
        validation.update(logits, labels, compute_loss(logits, labels))
    return validation.compute()


def probe(
    s: Settings,
    ranks: Ranks,
    model: nn.Module,
    train: LabeledImages,
    val: LabeledImages,
    chosen: Positions,
) -> Scores:
    """Evaluates the network's frozen features with a linear classifier."""
    if ranks.world_size > 1 or train.labels.ndim == 2:
        raise ValueError("--probe needs one process, and one label per image")
    mixed = np.random.default_rng(s.seed).permutation(chosen)  # folders are sorted by class
    answers = training.linear_probe(
        model.to(ranks.device),
        lambda: prepared(s, ranks, train, mixed),
        lambda: prepared(s, ranks, val, np.arange(len(val))),
        seed=s.seed,
    )
    validation = training.Validation(len(val.classes))
    validation.update(F.one_hot(torch.from_numpy(answers)), torch.from_numpy(val.labels))
    return validation.compute()


def freeze(model: nn.Module, upto: str, name: str) -> list[nn.Module]:
    """Freezes a ResNet from its first layer up to `upto`; returns the frozen parts."""
    if upto != "none" and not hasattr(model, "layer4"):
        raise ValueError(f"--freeze {upto} is for ResNets, not for a {name}")
    count = 0 if upto == "none" else int(upto.removeprefix("conv")) + 1
    parts = [getattr(model, part) for part in PARTS[:count]]
    nn.ModuleList(parts).requires_grad_(False)
    return parts


def parameter_groups(s: Settings, model: nn.Module) -> list[dict[str, Any]]:
    """The parameters to train: the body at --lr, the new last layer at --head-lr."""
    head = [*model.get_submodule(training.last_layer(model)).parameters()]
    apart = {id(value) for value in head}
    body = [one for one in model.parameters() if one.requires_grad and id(one) not in apart]
    own = {"params": head, "lr": s.lr if s.head_lr is None else s.head_lr}
    return [{"params": body, "lr": s.lr}, own] if body else [own]


def made_of(s: Settings, name: str, *, classes: int, labels: int) -> dict[str, Any]:
    """What must match a checkpoint for this run to resume from it."""
    names = "data batch_size size freeze optimizer head_lr seed held_out flip mixup cutmix"
    own = {k: getattr(s, k) for k in names.split()} | {"num_classes": classes, "num_labels": labels}
    own |= {"model": name, "classes": str(s.classes and training.digest_of(s.classes))}
    return own | {"from": training.digest_of(s.from_)}


def write_result(
    s: Settings, val: LabeledImages, scores: Scores, best: dict[str, Any], **more: Any
) -> None:
    """Writes per_class.csv and then result.json, which marks the run as done."""
    result = {
        "source": s.from_,  # of the weights
        "weights": training.digest_of(s.from_),
        "data": s.data,
        "classes": s.classes and training.digest_of(s.classes),
        "num_classes": len(val.classes),
        "num_val_images": len(val),
        "measure": scores.measure,
        "accuracy": scores.accuracy,
        **{f"best_{name}": value for name, value in best.items()},
        **more,
        "settings": recorded(s),
    }
    scores.write_csv(s.out / "per_class.csv", val.classes)
    words = json.dumps(result, indent=2, default=str) + "\n"
    training.write_whole(s.out / "result.json", words.encode())
    print(f"{scores.measure} {scores.accuracy:.4f} on {len(val)} images; see {s.out}")


if __name__ == "__main__":
    sys.exit(main())
