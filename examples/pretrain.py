"""Pre-trains a network on fractals that are drawn while it trains; no picture touches the disk.

    python examples/pretrain.py --out runs/fractaldb1k                # the paper's protocol
    torchrun --nproc-per-node 8 examples/pretrain.py --out runs/fractaldb1k --resume auto
    python examples/pretrain.py --recipe released --lr 0.1 --out runs/released

OUT gets last.pt (everything, to go on from), weights.safetensors (torchvision's and timm's names),
weights.json (how they were made), categories.npz, metrics.csv and curve.png. Ctrl-C or SIGTERM
finish the step and save; --resume auto then ends with the weights of a run never stopped, with the
same bits on a CPU, and on a GPU with --deterministic. One run at a time trains in a folder.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import checkpoint
import fdsl
import settings as command_line
import torch
import torch.distributed as dist
from engine import Trainer, Training
from fdsl.torch import Loader, Normalize, Stream
from metrics import Metrics
from models import build_model
from torch import nn
from torch.utils.data import DataLoader
from torchvision.transforms import Resize
from tqdm import tqdm
from world import Stop, World, ignore_signals, joined_world, same_bits

# The authors' program normalises fractals so; the paper does not say.
MEAN, STD = 0.2, 0.5


@dataclass(frozen=True, kw_only=True)
class Settings(Training):
    """What to pre-train, and on which fractals. engine.Training has the rest."""

    model: str = "resnet50"  # any classifier of torchvision.models; paper: resnet50
    lr: float = 0.01  # paper: 0.01; the authors' program: 0.1. If the loss stays near
    # ln(categories), try the other one

    categories: int = 1000  # how many to search; paper: 1000 or 10000
    fill_rate: float = 0.2  # least filling rate of a category; paper's best: 0.1, published: 0.2
    category_seed: int = 1  # of the search
    instances: int | None = None  # a category has only so many, which come round again; paper: 1000
    source: str | None = None  # use these categories: fractaldb-1000, perlin-100, bezier-144, a
    # file or folder; what fdsl.load takes

    recipe: Literal["paper", "released"] = "paper"  # what the options below are when not given
    size: int | None = None  # side of the picture before the crop; paper: 256
    crop: int | None = None  # side of what the network sees; paper: 224
    points: int | None = None  # dots in a picture; paper: 200000
    draw: Literal["patch", "point"] | None = None  # paper: patch
    patch: Literal["random", "fixed"] | None = None  # a mask for each dot or picture; paper: fixed
    color: bool | None = None  # paper: gray
    weights: float | None = None  # interval of the variation within a category; paper: 0.4
    pad: int | None = None  # empty border of the picture; paper: 6
    redraw: bool | None = None  # draw pictures that failed again; paper: not mentioned
    shrink: int | None = None  # resize the crop to this side on the device; paper, Table 5: 224

    label_noise: float = 0.0  # share of the pictures with a label drawn by chance; paper, Figure 5
    steps_per_epoch: int | None = None  # if not given, each instance of each category once, of
    # endless ones 1000; paper: 1000
    workers: int = 0  # processes that render; 0: a thread of this one, on all cores, which costs
    # least. The pictures are the same

    def __post_init__(self) -> None:
        super().__post_init__()
        command_line.at_least(1, self, "categories", "steps_per_epoch", "instances", "shrink")
        command_line.at_least(0, self, "workers")


def main(argv: Sequence[str] | None = None) -> int:
    return command_line.run(
        "pretrain.py",
        lambda: pretrain(command_line.parse(Settings, argv, about="Pre-train on fractals.")),
    )


def pretrain(s: Settings) -> int:
    """Trains, and returns the exit code."""
    rendering = chosen_rendering(s)
    with (
        checkpoint.claimed_folder(s.out, resume=s.resume),
        same_bits(s.deterministic),
        joined_world(s.device) as world,
    ):
        saved = checkpoint.find(s.resume, s.out, needs=["stream"])
        share = world.share(s.batch_size)
        family = chosen_categories(s, world, saved)
        steps_per_epoch = length_of_epoch(s, family)
        made = made_of(s, family, rendering)
        if saved:
            checkpoint.refuse_another(saved, made)

        stream = Stream(
            family,
            rendering=rendering,
            batch_size=share,
            seed=s.seed,
            steps_per_epoch=steps_per_epoch,
            instances=s.instances,
            label_noise=s.label_noise,
            rank=world.rank,
            world_size=world.size,
        )
        loader = loader_of(s, stream, world)
        trainer = Trainer(
            build_model(s.model, classes=len(family), seed=s.seed),
            s,
            world,
            normalize=preparation(s),
            steps_per_epoch=steps_per_epoch,
        )
        if saved:
            trainer.load(saved)
            stream.load_state_dict(saved["stream"])
        if world.rank == 0:  # only now: a run that is refused changes nothing
            family.save(s.out / "categories.npz")

        code = train(s, world, trainer, stream, loader, made)
        if world.rank == 0 and code == 0:
            about = description(s, family, rendering, pictures=trainer.step * s.batch_size)
            checkpoint.save_weights(s.out, trainer.model.state_dict(), about)
    return code


def train(
    s: Settings,
    world: World,
    trainer: Trainer,
    stream: Stream,
    loader: "DataLoader[Any] | Loader",
    made: dict[str, Any],
) -> int:
    """Runs the epochs that are left, saving as it goes."""
    metrics = None
    if world.rank == 0:
        metrics = Metrics(s.out, step=trainer.step, tensorboard=s.tensorboard)
    with Stop(world, max_steps=s.max_steps, max_minutes=s.max_minutes) as stop:
        for epoch in range(trainer.step // trainer.steps_per_epoch, s.epochs):
            if stream.epoch != epoch:
                stream.set_epoch(epoch)
            first = kept = trainer.step

            def save(first: int = first) -> None:
                state = {**trainer.state(), "made": made, "asked": asked(s)}
                # What draws runs ahead: only the loop knows which batches were used.
                state["stream"] = stream.state_dict(batches=trainer.step - first)
                if world.rank == 0:
                    checkpoint.save(s.out / "last.pt", state)

            for row in trainer.train_epoch(loader, stop):
                if metrics:
                    metrics.write(row)
                if trainer.step - kept >= s.checkpoint_every and not trainer.epoch_is_done:
                    save()
                    kept = trainer.step
            save()
            if stop.now:
                break
    if metrics:
        metrics.close()
    return stop.code


def loader_of(s: Settings, stream: Stream, world: World) -> "DataLoader[Any] | Loader":
    """Who draws while the network learns; the batches are the same."""
    if s.workers == 0:
        return Loader(stream, device=world.device)
    return DataLoader(
        stream,
        batch_size=None,
        num_workers=s.workers,
        pin_memory=world.device.type == "cuda",
        persistent_workers=True,
        worker_init_fn=ignore_signals,
        generator=torch.Generator(),  # its own, so that it draws nothing from the model's
    )


def length_of_epoch(s: Settings, family: fdsl.Family) -> int:
    """Steps: if not given, as many as show each instance of each category once."""
    return s.steps_per_epoch or max(1, len(family) * (s.instances or 1000) // s.batch_size)


def made_of(s: Settings, family: fdsl.Family, rendering: fdsl.Rendering) -> dict[str, Any]:
    """What a checkpoint must have been made with for this run to go on from it."""
    return {
        "model": s.model,
        "categories": family.digest(),
        "batch size": s.batch_size,
        "steps per epoch": length_of_epoch(s, family),
        "seed": s.seed,
        "optimizer": s.optimizer,
        "instances": s.instances,
        "shrink": s.shrink,
        "label noise": s.label_noise or None,  # as checkpoints have it that are older
        **{f"rendering's {name}": value for name, value in rendering.to_dict().items()},
    }


def preparation(s: Settings) -> nn.Module:
    """What happens to the bytes on the device."""
    normalize = Normalize(mean=MEAN, std=STD)
    if s.shrink is None:
        return normalize
    return nn.Sequential(Resize((s.shrink, s.shrink)), normalize)


def chosen_rendering(s: Settings) -> fdsl.Rendering:
    """The recipe, with what the command line changes."""
    options = ("size", "crop", "points", "draw", "patch", "color", "weights", "pad", "redraw")
    given = {name: getattr(s, name) for name in options if getattr(s, name) is not None}
    if s.recipe == "paper":
        return fdsl.Rendering.paper(**given)
    # Their pictures are whole, 362 x 362; their training crops them.
    return fdsl.Rendering.released(**{"crop": 224, **given})


def asked(s: Settings) -> dict[str, Any]:
    """The options that choose the categories."""
    if s.source is not None:
        return {"source": s.source}
    return {"categories": s.categories, "fill_rate": s.fill_rate, "seed": s.category_seed}


def chosen_categories(s: Settings, world: World, saved: dict[str, Any] | None) -> fdsl.Family:
    """Reads or searches the categories; a resumed run reads the file beside its checkpoint."""
    chosen: list[Any] = [None]
    if world.rank == 0:  # one searches, the others are told
        if saved:
            chosen[0] = kept_categories(s, saved)
        if chosen[0] is None:
            chosen[0] = fdsl.load(s.source) if s.source else searched_categories(s)
    if world.size > 1:
        dist.broadcast_object_list(chosen, device=torch.device("cpu"))
    family: fdsl.Family = chosen[0]
    return family


def kept_categories(s: Settings, saved: dict[str, Any]) -> fdsl.Family | None:
    """The categories beside the checkpoint, if they are its own and the same are asked for."""
    folder = s.out if s.resume == "auto" else Path(str(s.resume)).parent
    file = folder / "categories.npz"
    if saved.get("asked") != asked(s) or not file.is_file():
        return None
    family = fdsl.load(file)
    return family if family.digest() == saved["made"]["categories"] else None


def searched_categories(s: Settings) -> fdsl.Family:
    with tqdm(desc="categories", disable=None, delay=1) as bar:
        return fdsl.IFS.search(
            categories=s.categories,
            fill_rate=s.fill_rate,
            seed=s.category_seed,
            progress=lambda found, tried: bar.update(found - bar.n),
        )


def description(
    s: Settings, family: fdsl.Family, rendering: fdsl.Rendering, *, pictures: int
) -> dict[str, Any]:
    """How the weights were made: enough to make them again."""
    return {
        "model": s.model,
        "num_classes": len(family),
        "categories": family.digest(),
        "rendering": rendering.to_dict(),
        "normalize": {"mean": MEAN, "std": STD},
        "seed": s.seed,
        "samples_seen": pictures,
        "settings": command_line.recorded(s),
        "fdsl": fdsl.__version__,
        "torch": torch.__version__,
    }


if __name__ == "__main__":
    sys.exit(main())
