"""Pre-trains a network on fractals that are rendered while it trains; no image touches the disk.

    python examples/pretrain.py --out runs/fractaldb1k                # the paper's protocol
    torchrun --nproc-per-node 8 examples/pretrain.py --out runs/fractaldb1k --resume auto

Result: a ResNet-10 at 32 x 32 (command in examples/README.md) saw 3.2 million fractals in 77
minutes on one core of an AMD EPYC. Fine-tuned on 10% of CIFAR-10's labels it reaches 61.9%
accuracy, against 53.8% when trained from scratch. The paper's protocol needs a GPU and has not been
run.

OUT gets last.pt (the full training state, for resuming), weights.safetensors (parameter names as in
torchvision and timm), weights.json (their provenance), categories.npz, metrics.csv and curve.png.
Ctrl-C or SIGTERM saves a checkpoint and stops. A run resumed with --resume auto ends with the same
weights as an uninterrupted one: bit-identical on a CPU, and on a GPU with --deterministic.
"""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import fdsl
import safetensors.torch
import torch
import torch.distributed as dist
import torch.nn.functional as F
from fdsl.torch import Loader, Normalize, Stream
from models import build_model
from run import Run, ignore_signals, write_whole
from settings import Training, recorded, run_script
from torch import nn
from torch.utils.data import DataLoader
from torchmetrics.classification import MulticlassAccuracy
from torchvision.transforms import Resize
from tqdm import tqdm

MEAN, STD = 0.2, 0.5  # as the authors' program normalises fractals; the paper does not say
#: What each preset sets besides the rendering. --preset paper is the default, here and in studies.
PRESETS: dict[str, dict[str, Any]] = {
    "paper": {"lr": 0.01, "fill_rate": 0.1, "sampler": "fdsl"},
    "released": {"lr": 0.1, "fill_rate": 0.2, "sampler": "released"},
}
#: Rendering options; each family accepts only those that apply to it.
RENDERING = ["size", "crop", "num_points", "draw", "patch", "color", "variation", "margin"]
RENDERING += ["resample_degenerate"]


@dataclass(frozen=True, kw_only=True)
class Settings(Training):
    """Pre-train on fractals. Options that are not given take their value from --preset."""

    model: str = "resnet50"  # resnet10s or any classifier of torchvision.models; paper: resnet50
    preset: Literal["paper", "released"] = "paper"  # the paper's text, or its authors' code
    lr: float | None = None  # paper: 0.01, released: 0.1; try both if the loss does not fall
    source: str | None = None  # fractaldb-1000, perlin-100, bezier-144, a file; none: search
    categories: int = 1000  # how many to search; paper: 1000 or 10000
    fill_rate: float | None = None  # minimum a searched category must reach; paper's best: 0.1
    category_seed: int = 1  # of the search
    instances: int | None = None  # per category, then repeated; none: always new; paper: 1000
    size: int | None = None  # side of the image before the crop; paper: 256
    crop: int | None = None  # side of what the network sees; paper: 224
    num_points: int | None = None  # of an image; paper: 200000
    draw: Literal["patch", "point"] | None = None  # paper: patch
    patch: Literal["random", "fixed"] | None = None  # a mask per point or per image; paper: fixed
    color: bool | None = None  # paper: gray
    variation: float | None = None  # of the parameters within a category; paper: 0.4
    margin: int | None = None  # empty border of the image; paper: 6
    resample_degenerate: bool | None = None  # render degenerate images again; paper: not mentioned
    shrink: int | None = None  # resize the crop to this side on the device; paper, Table 5: 224
    label_noise: float = 0.0  # share of the images with a random label; paper, Figure 5
    steps_per_epoch: int | None = None  # none: one pass over all instances (1000 if endless)
    workers: int = 0  # rendering processes; 0: a thread in this process (cheapest)


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """weights.json: enough to reproduce the weights."""

    model: str
    num_classes: int
    categories: str  # digest
    rendering: dict[str, Any]
    normalize: dict[str, float]
    samples_seen: int
    settings: dict[str, Any]
    fdsl: str = fdsl.__version__
    torch: str = torch.__version__


def main(argv: Sequence[str] | None = None) -> int:
    return run_script(Settings, pretrain, argv)


def pretrain(s: Settings) -> int:
    """Trains, and returns the exit code."""
    s = replace(s, **preset_of(s))
    with Run(s) as run:
        saved = run.checkpoint("stream", "asked")
        family = chosen_categories(s, run, saved)
        rendering = chosen_rendering(s, family)
        stream = stream_of(s, run, family, rendering)
        loader, steps_per_epoch = loader_of(s, run, stream), length_of_epoch(s, family)
        model = build_model(s.model, classes=len(family), seed=s.seed)
        normalize = preparation(s).to(run.device)
        accuracy = MulticlassAccuracy(len(family), average="micro", validate_args=False)
        groups = [{"params": model.parameters(), "lr": s.lr}]
        run.begin(model, groups, accuracy, steps_per_epoch, made_of(s, family, rendering), saved)
        if saved:
            stream.load_state_dict(saved["stream"])
        if run.rank == 0:  # only now: a refused run must not modify OUT
            family.save(s.out / "categories.npz")

        for epoch in range(run.step // steps_per_epoch, s.epochs):
            if stream.epoch != epoch:  # a resumed stream is inside this epoch already
                stream.set_epoch(epoch)
            first = run.step

            def save(first: int = first) -> None:  # bound now: the loop variable changes
                # The stream is ahead of training: save its position after the batches that were
                # trained on since this iteration began, not those already rendered.
                state = stream.state_dict(batches=run.step - first)
                run.save("last.pt", stream=state, asked=asked(s))

            model.train()
            for images, labels in run.epoch(loader, save):
                # uint8 (B, 1, H, W) if gray, else (B, 3, H, W); Normalize makes float32 of three
                # channels. On a GPU the copies run beside the computation.
                inputs = normalize(images.to(run.device, non_blocking=True))
                labels = labels.to(run.device, non_blocking=True)
                with torch.autocast(run.device.type, torch.bfloat16, enabled=run.amp):
                    logits = run.network(inputs.contiguous(memory_format=run.layout))
                    loss = F.cross_entropy(logits, labels)
                run.optimizer.zero_grad()
                loss.backward()
                if s.clip_grad:
                    nn.utils.clip_grad_norm_(model.parameters(), s.clip_grad)
                run.optimizer.step()
                run.count(loss, logits, labels)
            save()
            if run.stopped:
                break
        if run.code == 0:
            save_weights(s, run, family, rendering, classes=len(family))
        if run.rank == 0:
            run.draw_curve()
    return run.code


def preset_of(s: Settings) -> dict[str, Any]:
    """The preset's values for settings that were not given, apart from the rendering."""
    preset = PRESETS[s.preset]
    return {name: preset[name] for name in ("lr", "fill_rate") if getattr(s, name) is None}


def chosen_rendering(s: Settings, family: fdsl.Family) -> fdsl.Frame:
    """The family's preset, overridden by the command line."""
    given = {name: getattr(s, name) for name in RENDERING if getattr(s, name) is not None}
    foreign = sorted(set(given) - set(family.style.names()))
    if foreign:
        option, valid = foreign[0].replace("_", "-"), ", ".join(family.style.names())
        raise ValueError(f"--{option} does not apply to {type(family).__name__}; it takes {valid}")
    if s.preset == "released" and family.style is fdsl.Rendering:
        # Their images are 362 x 362; their training crops them to 224.
        return fdsl.Rendering.released(**{"crop": 224, **given})
    return family.style.paper(**given)


def asked(s: Settings) -> dict[str, Any]:
    """The options that choose the categories."""
    if s.source is not None:
        return {"source": s.source}
    sampler = PRESETS[s.preset]["sampler"]
    search = {"categories": s.categories, "fill_rate": s.fill_rate, "seed": s.category_seed}
    return {**search, "sampler": sampler}


def chosen_categories(s: Settings, run: Run, saved: dict[str, Any] | None) -> fdsl.Family:
    """Reads or searches categories; a resumed run reads those beside its checkpoint."""
    chosen: list[Any] = [None]
    if run.rank == 0:  # rank 0 searches, then broadcasts
        if s.source and ".py:" in s.source:
            fdsl.load(s.source)  # for the file below: the families of a script are known now
        folder = s.out if s.resume in (None, "auto") else Path(str(s.resume)).parent
        if saved and saved["asked"] == asked(s) and (folder / "categories.npz").is_file():
            found = fdsl.load(folder / "categories.npz")
            chosen = [found if found.digest() == saved["made"]["categories"] else None]
        if chosen[0] is None and s.source:
            chosen = [fdsl.load(s.source)]
        elif chosen[0] is None:
            with tqdm(desc="categories", disable=None, delay=1) as bar:
                chosen = [
                    fdsl.IFS.search(**asked(s), progress=lambda found, _: bar.update(found - bar.n))
                ]
    if run.size > 1:
        dist.broadcast_object_list(chosen, device=torch.device("cpu"))
    family: fdsl.Family = chosen[0]
    return family


def length_of_epoch(s: Settings, family: fdsl.Family) -> int:
    """Steps: if not given, as many as show each instance of each category once."""
    return s.steps_per_epoch or max(1, len(family) * (s.instances or 1000) // s.batch_size)


def stream_of(s: Settings, run: Run, family: fdsl.Family, rendering: fdsl.Frame) -> Stream:
    """This process's share of the images."""
    if s.batch_size % run.size:
        raise ValueError(f"--batch-size {s.batch_size} is not divisible by {run.size} processes")
    return Stream(
        family,
        rendering=rendering,
        batch_size=s.batch_size // run.size,
        seed=s.seed,
        steps_per_epoch=length_of_epoch(s, family),
        instances=s.instances,
        label_noise=s.label_noise,
        rank=run.rank,
        world_size=run.size,
    )


def loader_of(s: Settings, run: Run, stream: Stream) -> "DataLoader[Any] | Loader":
    """Renders while the network learns; the batches are the same either way."""
    if s.workers == 0:
        return Loader(stream, device=run.device)
    return DataLoader(
        stream,
        batch_size=None,
        num_workers=s.workers,
        pin_memory=run.device.type == "cuda",
        persistent_workers=True,
        worker_init_fn=ignore_signals,
        generator=torch.Generator(),  # separate: it must not consume the global generator's numbers
    )


def preparation(s: Settings) -> nn.Module:
    """What happens to the bytes on the device."""
    shrink = Resize((s.shrink, s.shrink)) if s.shrink else nn.Identity()
    return nn.Sequential(shrink, Normalize(mean=MEAN, std=STD))


def made_of(s: Settings, family: fdsl.Family, rendering: fdsl.Frame) -> dict[str, Any]:
    """What must match a checkpoint for this run to resume from it."""
    names = ("model", "batch_size", "seed", "optimizer", "instances", "shrink", "label_noise")
    return {
        **{name: getattr(s, name) for name in names},
        **rendering.to_dict(),
        "categories": family.digest(),
        "steps_per_epoch": length_of_epoch(s, family),
    }


def save_weights(
    s: Settings, run: Run, family: fdsl.Family, rendering: fdsl.Frame, *, classes: int
) -> None:
    """Writes weights.safetensors, and weights.json, which is also embedded in its header."""
    about = Provenance(
        model=s.model,
        num_classes=classes,
        categories=family.digest(),
        rendering=rendering.to_dict(),
        normalize={"mean": MEAN, "std": STD},
        samples_seen=run.step * s.batch_size,
        settings=recorded(s),
    )
    words = json.dumps(asdict(about), indent=2, default=str)
    tensors = {name: value.cpu().contiguous() for name, value in run.model.state_dict().items()}
    header = {"format": "pt", "model": s.model, "about": words}
    if run.rank == 0:
        content = safetensors.torch.save(tensors, metadata=header)
        write_whole(s.out / "weights.safetensors", content)
        write_whole(s.out / "weights.json", words.encode() + b"\n")


if __name__ == "__main__":
    sys.exit(main())
