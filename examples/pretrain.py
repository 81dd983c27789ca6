"""Pre-trains a network on fractals that are rendered while it trains; no image touches the disk.

    python examples/pretrain.py --preset paper --out runs/fractaldb1k  # the paper's protocol
    torchrun --nproc-per-node 8 examples/pretrain.py --out runs/fractaldb1k --resume auto

Result: a ResNet-10 at 32×32 (--preset resnet10s) saw a million fractals in 11 minutes on one core.
Fine-tuned on 10% of CIFAR-10's labels it reaches 69.2% accuracy, against 54.4% when trained from
scratch (docs/experiments.md). The paper's protocol needs a GPU and has not been run.

Writes last.pt (the full training state), weights.safetensors, weights.json (their provenance),
config.json (for timm), categories.npz, metrics.csv and curve.png to OUT. Ctrl-C and SIGTERM save;
--resume auto continues, bit-identically (on a GPU or with 3+ processes, only with --deterministic).
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import fdsl
import torch
import torch.nn.functional as F
from fdsl.families.published import preset
from fdsl.torch import Loader, Normalize, Stream, training
from fdsl.torch.training import Checkpoints, GracefulStop, MetricsLog, Ranks
from settings import RENAMED, Training, recorded
from torch import Tensor, nn
from torch.utils.data import DataLoader
from tqdm import tqdm

ONE_LABEL = ("mixup", "cutmix", "label_smoothing")  # what needs one label per image
FRACTIONS = ("fill_rate", "erasing", "label_smoothing", "drop_path", "label_noise")  # 0 to 1
MEAN, STD = 0.2, 0.5  # as the authors' code normalizes fractals; the paper does not say
PRESETS = Path(__file__).parent / "presets"  # TOML files; --preset NAME takes their values


@dataclass(frozen=True, kw_only=True)
class Settings(Training):
    """Pre-train on fractals, or on any other formula."""

    model: str = "resnet50"  # Train this network: torchvision's, timm:NAME or FILE.py:FUNCTION.
    # Take defaults from presets: released, fixed, deit and so on (see presets/), or a .toml file.
    preset: tuple[str, ...] = ()
    lr: float = 0.01  # Set the learning rate (paper: 0.01).
    # Train on these categories instead of searching: fractaldb-1k, perlin-100, or a file.
    source: str | None = None
    # Learn the category, or all visible categories of a source with several objects per image.
    target: Literal["label", "labels"] = "label"
    categories: int = 1000  # Search for this many categories (paper: 1000 or 10000).
    # Accept categories whose images fill at least this share of the frame (paper's best: 0.1).
    fill_rate: float = 0.1
    sampler: Literal["fdsl", "released"] = "fdsl"  # Search as fdsl does, or the authors' code.
    category_seed: int = 1  # Seed the search for categories.
    # Repeat this many instances per category (paper: 1000; 0: endless; default: published, or 0).
    instances: int | None = None
    cache: bool = False  # Render all --instances once, and keep them in memory.
    # Render as the paper, its authors' code, or the published data set of --source does.
    style: Literal["paper", "released", "published"] = "paper"
    size: int | None = None  # Render images of this side (paper: 256; contours: 512).
    crop: int | None = None  # Crop the images to this side (paper: 224; contours: none).
    num_points: int | None = None  # Plot this many points per image (paper: 200000).
    draw: Literal["patch", "point"] | None = None  # Plot 3×3 patches, or pixels (paper: patch).
    # Use a random mask for each point, or one for the whole image, or a solid one (paper: fixed).
    patch: Literal["random", "fixed", "solid"] | None = None
    color: bool | None = None  # Render in color (paper: gray).
    variation: float | None = None  # Vary the parameters within a category by this (paper: 0.4).
    margin: int | None = None  # Leave this many pixels empty at each side (paper: 6).
    resample_degenerate: bool | None = None  # Re-render degenerate images (paper: not stated).
    shrink: int | None = None  # Resize the crop to this side on the device (Table 5: 224).
    crop_scale: float | None = None  # Then crop at random, to this fraction of the area or more.
    flip: bool = False  # Flip half of the images on the device.
    rand_augment: int | None = None  # Apply RandAugment of this magnitude.
    erasing: float = 0.0  # Erase a rectangle in this fraction of the images.
    mixup: float = 0.0  # Mix images with this alpha of mixup.
    cutmix: float = 0.0  # Mix images with this alpha of CutMix.
    label_smoothing: float = 0.0  # Smooth the labels by this.
    drop_path: float = 0.0  # Drop paths of a network of timm at this rate.
    # Set other settings of the source's images, such as min_objects=2 or line_color=random.
    set: tuple[str, ...] = ()
    label_noise: float = 0.0  # Give this fraction of the images a random label (Figure 5).
    steps_per_epoch: int | None = None  # By default, enough for 1,000 images of each category.
    workers: int = 0  # Render in this many processes; 0 renders in a thread, which is cheapest.

    def __post_init__(self) -> None:
        super().__post_init__()
        training.read_values(self.set, given=vars(self))  # a mistake ends the run now
        if self.target == "labels" and (odd := [one for one in ONE_LABEL if getattr(self, one)]):
            raise ValueError(f"--{odd[0].replace('_', '-')} is for --target label")
        for name in FRACTIONS:
            if (value := getattr(self, name)) > 1:
                raise ValueError(f"--{name.replace('_', '-')} must be 0 to 1, got {value}")


def main(argv: Sequence[str] | None = None) -> int:
    return training.run_script(Settings, pretrain, argv, renamed=RENAMED, presets=PRESETS)


def pretrain(s: Settings) -> int:
    """Trains, and returns the exit code."""
    stop = GracefulStop(s.max_minutes, s.max_steps)
    usual = fdsl.published(s.source or "").instances if s.style == "published" else None
    s = replace(s, instances=usual if s.instances is None else s.instances or None)
    training.make_deterministic(s.deterministic)
    with Ranks(s.device) as ranks, Checkpoints(s.out, ranks.rank) as checkpoints:
        saved = checkpoints.load(s.resume, "search")
        family = choose_categories(s, ranks, saved)
        rendering = choose_rendering(s, family)
        steps_per_epoch = count_steps(s, family)
        stream = Stream(
            family,
            rendering=rendering,
            batch_size=ranks.share(s.batch_size),
            seed=s.seed,
            steps_per_epoch=steps_per_epoch,
            instances=s.instances,
            target=s.target,
            label_noise=s.label_noise,
            cache=s.cache,
        )
        loader = build_loader(s, stream, ranks.device)
        size = s.shrink or rendering.output_size
        augment = build_augmentation(s, size).to(ranks.device)
        mix = training.mixing(len(family), mixup=s.mixup, cutmix=s.cutmix)
        model = training.build_model(
            s.model, len(family), seed=s.seed, input_size=size, drop_path=s.drop_path
        )
        network = ranks.wrap(model, channels_last=s.channels_last, compile=s.compile)
        optimizer = s.build_optimizer(model, [{"params": [*model.parameters()], "lr": s.lr}])
        log = MetricsLog(s.out, tensorboard=s.tensorboard)
        made = made_of(s, family, rendering)
        step = checkpoints.begin(made, recorded(s), weights=model, optimizer=optimizer, log=log)
        if ranks.rank == 0:
            family.save(s.out / "categories.npz")
        save = partial(checkpoints.save, search=search_options(s))
        bar = partial(tqdm, total=steps_per_epoch, disable=None if ranks.rank == 0 else True)
        with stop:
            for epoch in checkpoints.epochs(step, steps_per_epoch, s.epochs):
                stream.load_state_dict({"samples": step * s.batch_size})
                first, name = step % steps_per_epoch, f"epoch {epoch + 1}/{s.epochs}"
                model.train()
                for images, labels in bar(log.watch(loader), name, initial=first):
                    if stop.requested(step):
                        break
                    # Checkpoints do not store what follows from the step: the rate, dropout etc.
                    lr = s.lr * s.lr_factor(step, steps_per_epoch)
                    for group in optimizer.param_groups:
                        group["lr"] = lr
                    ranks.manual_seed(s.seed, step)
                    # From uint8 (B, 1 or 3, H, W) to float32 (B, 3, H, W), while a GPU computes.
                    inputs = augment(images.to(ranks.device, non_blocking=True))
                    inputs, labels = mix(inputs, labels.to(ranks.device, non_blocking=True))
                    with ranks.autocast(s.amp):
                        logits = network(inputs)
                        loss = compute_loss(s, logits, labels)
                    optimizer.zero_grad()
                    loss.backward()
                    if s.clip_grad:
                        nn.utils.clip_grad_norm_(model.parameters(), s.clip_grad)
                    optimizer.step()
                    step += 1
                    log.update(len(labels), loss=loss, accuracy=compute_accuracy(s, logits, labels))
                    if step % s.log_every == 0 or step % steps_per_epoch == 0:
                        log.write(step, epoch=epoch, lr=lr)
                    if step % s.checkpoint_every == 0 and step % steps_per_epoch:
                        save(step)
                save(step)
                if stop.requested(step):
                    break
            if stop.exit_code == 0 and ranks.rank == 0:
                training.save_weights(
                    s.out,
                    model,
                    name=s.model,
                    family=family,
                    rendering=rendering,
                    mean=MEAN,
                    std=STD,
                    input_size=size,
                    samples_seen=step * s.batch_size,
                    settings=recorded(s) | {"steps_per_epoch": steps_per_epoch},
                    history=checkpoints.history,
                )
            log.plot()
            if ranks.rank == 0:
                print(f"{step:,} of {s.epochs * steps_per_epoch:,} steps of {s.model}; see {s.out}")
    return stop.exit_code


def build_augmentation(s: Settings, size: int | tuple[int, int]) -> nn.Module:
    """The transform from rendered images to the input of the network."""
    image = training.Augmentation(
        size, crop_scale=s.crop_scale, flip=s.flip, rand_augment=s.rand_augment
    )
    erase = training.Erasing(s.erasing) if s.erasing else nn.Identity()
    return nn.Sequential(image, Normalize(MEAN, STD), erase)


def compute_loss(s: Settings, logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy; with several labels per image, binary and summed over the categories."""
    if s.target == "label":
        return F.cross_entropy(logits, labels, label_smoothing=s.label_smoothing)
    return F.binary_cross_entropy_with_logits(logits, labels, reduction="sum") / len(labels)


def compute_accuracy(s: Settings, logits: Tensor, labels: Tensor) -> Tensor:
    """R-precision: for an image with three labels, the share of them among the three top logits.
    With one label, this is accuracy; a mixed image has the label of its larger share."""
    if s.target == "label":
        right = labels if labels.ndim == 1 else labels.argmax(1)
        return (logits.argmax(1) == right).float().mean()
    rank = logits.argsort(1, descending=True).argsort(1)
    found = labels * (rank < labels.sum(1, keepdim=True))
    return found.sum() / labels.sum().clamp(min=1)


def search_options(s: Settings) -> dict[str, Any]:
    found = {"categories": s.categories, "fill_rate": s.fill_rate, "seed": s.category_seed}
    return {**found, "sampler": s.sampler}


def choose_categories(s: Settings, ranks: Ranks, saved: dict[str, Any] | None) -> fdsl.Family:
    """Reads or searches the categories, on rank 0; a resumed run does not search again."""
    file = (s.out if s.resume in (None, "auto") else Path(s.resume).parent) / "categories.npz"

    def found() -> fdsl.Family:
        if s.source is not None:  # it may be a folder of many files
            return training.load_set(s.source, training.read_values(s.set))[0]
        if saved and saved["search"] == search_options(s) and file.is_file():
            return fdsl.load(file)
        with tqdm(desc="categories", disable=None, delay=1) as bar:
            return fdsl.IFS.search(
                **search_options(s), progress=lambda count, _: bar.update(count - bar.n)
            )

    return ranks.from_first(found)


def choose_rendering(s: Settings, family: fdsl.Family) -> fdsl.Frame:
    """The rendering of --style, overridden by the options that were given."""
    names = [name for name in fdsl.Rendering.names() if getattr(s, name, None) is not None]
    given = {name: getattr(s, name) for name in names} | training.read_set(s.set, s.source)[1]
    valid, fits = family.style.names(), training.read_presets(PRESETS, s.preset)
    given = {k: v for k, v in given.items() if k in valid or v != fits.get(k)}  # not the preset's
    if foreign := sorted(set(given) - set(valid)):
        raise ValueError(f"{foreign[0]} does not apply to {family!r}; it takes {', '.join(valid)}")
    if s.style == "published" and s.source not in fdsl.PUBLISHED:
        raise ValueError(f"--style published needs --source {', '.join(fdsl.PUBLISHED)}")
    if s.style == "released" and family.style is fdsl.Rendering:
        given = {"crop": 224, **given}  # 362², cropped in training
    try:
        return preset(s.style, family, source=s.source or "", **given)
    except TypeError as error:  # the user's mistake, here
        raise ValueError(*error.args) from error


def count_steps(s: Settings, family: fdsl.Family) -> int:
    """Steps per epoch; by default, enough for 1,000 images of each category."""
    return s.steps_per_epoch or max(1, len(family) * 1000 // s.batch_size)


def build_loader(s: Settings, stream: Stream, device: torch.device) -> "DataLoader[Any] | Loader":
    """Renders while the network trains; the batches do not depend on the number of workers."""
    if s.workers == 0:
        return Loader(stream, device=device)
    # A separate generator leaves the global one unchanged.
    own: dict[str, Any] = {"generator": torch.Generator(), "pin_memory": device.type == "cuda"}
    own |= {"worker_init_fn": training.ignore_signals, "persistent_workers": True}
    return DataLoader(stream, batch_size=None, num_workers=s.workers, **own)


def made_of(s: Settings, family: fdsl.Family, rendering: fdsl.Frame) -> dict[str, Any]:
    """What must match a checkpoint for this run to resume from it."""
    names = "model batch_size seed optimizer instances target label_noise shrink crop_scale flip "
    names += "rand_augment erasing mixup cutmix label_smoothing drop_path"
    made = {name: getattr(s, name) for name in names.split()} | rendering.to_dict()
    return {**made, "categories": family.digest(), "steps_per_epoch": count_steps(s, family)}


if __name__ == "__main__":
    sys.exit(main())
