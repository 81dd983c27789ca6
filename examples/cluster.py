"""Pre-trains on the same fractals with labels from k-means instead of the formula (paper, Table 7).

    python examples/cluster.py --clusters 10000 --out runs/deepcluster

In the manner of DeepCluster (Caron et al., 2018): before each epoch the network's own features of
all pictures are whitened by PCA, normalised and clustered; the network then learns the clusters for
an epoch, with a new last layer, each cluster coming as often as the others. The pictures are those
of the categories' instances, so many an epoch as pretrain.py shows; where those are fewer
than all, the next epoch has the next ones. OUT gets what pretrain.py gives it.
"""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import checkpoint
import numpy as np
import numpy.typing as npt
import pretrain
import settings as command_line
import torch
from data import Positions
from engine import Trainer
from fdsl.torch import Instances
from metrics import Metrics
from models import build_model, head_of
from sklearn.cluster import MiniBatchKMeans
from sklearn.decomposition import PCA
from torch import Tensor, nn
from torch.utils.data import DataLoader
from tqdm import tqdm
from world import Stop, World, joined_world, same_bits

#: Dimensions left by the PCA; DeepCluster's.
DIMENSIONS = 256


@dataclass(frozen=True, kw_only=True)
class Settings(pretrain.Settings):
    """What to pre-train, on clusters of which fractals. pretrain.Settings has the rest."""

    clusters: int = 10_000  # how many labels; paper: 10000

    def __post_init__(self) -> None:
        super().__post_init__()
        command_line.at_least(2, self, "clusters")
        if self.workers or self.label_noise:
            raise ValueError("clusters take no --workers and no --label-noise")


def main(argv: Sequence[str] | None = None) -> int:
    about = "Pre-train on clusters of fractals."
    return command_line.run(
        "cluster.py", lambda: train_on_clusters(command_line.parse(Settings, argv, about=about))
    )


def train_on_clusters(s: Settings) -> int:
    """Trains, and returns the exit code."""
    rendering = pretrain.chosen_rendering(s)
    with (
        checkpoint.claimed_folder(s.out, resume=s.resume),
        same_bits(s.deterministic),
        joined_world(s.device) as world,
    ):
        if world.size > 1:
            raise ValueError("cluster.py runs in one process")
        saved = checkpoint.find(s.resume, s.out, needs=["labels"])
        family = pretrain.chosen_categories(s, world, saved)
        steps = pretrain.length_of_epoch(s, family)
        pictures = Instances(family, s.instances or 1000, rendering=rendering, seed=s.seed)
        count = len(positions(pictures, steps * s.batch_size, seed=s.seed, epoch=0))
        if s.clusters > count:
            raise ValueError(f"--clusters {s.clusters}: an epoch has {count} pictures")
        made = {**pretrain.made_of(s, family, rendering), "clusters": s.clusters}
        if saved:
            checkpoint.refuse_another(saved, made)
        trainer = Trainer(
            build_model(s.model, classes=s.clusters, seed=s.seed),
            s,
            world,
            normalize=pretrain.preparation(s),
            steps_per_epoch=steps,
        )
        if saved:
            trainer.load(saved)
        family.save(s.out / "categories.npz")
        code = train(s, world, trainer, pictures, saved, made)
        if code == 0:
            about = pretrain.description(s, family, rendering, pictures=trainer.step * s.batch_size)
            about["num_classes"] = s.clusters
            checkpoint.save_weights(s.out, trainer.model.state_dict(), about)
    return code


def train(
    s: Settings,
    world: World,
    trainer: Trainer,
    pictures: Instances,
    saved: dict[str, Any] | None,
    made: dict[str, Any],
) -> int:
    """Clusters and learns, epoch by epoch. A stop within an epoch keeps its clusters."""
    metrics = Metrics(s.out, step=trainer.step, tensorboard=s.tensorboard)
    with Stop(world, max_steps=s.max_steps, max_minutes=s.max_minutes) as stop:
        for epoch in range(trainer.step // trainer.steps_per_epoch, s.epochs):
            count = trainer.steps_per_epoch * s.batch_size
            chosen = positions(pictures, count, seed=s.seed, epoch=epoch)
            if saved and not trainer.epoch_is_done:
                labels = saved["labels"].numpy()
            else:
                found = features(trainer, pictures, chosen, s.batch_size)
                labels = clustered(found, s.clusters, epoch)
                new_head(trainer, seed=s.seed + epoch)
            order = balanced(labels, count, (s.seed, epoch))
            order = order[trainer.step % trainer.steps_per_epoch * s.batch_size :]
            feed = batches(pictures, chosen[order], labels[order], s.batch_size)
            kept = trainer.step

            def save(labels: Positions = labels) -> None:
                state = {**trainer.state(), "made": made, "asked": pretrain.asked(s)}
                state["labels"] = torch.from_numpy(labels)
                checkpoint.save(s.out / "last.pt", state)

            for row in trainer.train_epoch(feed, stop):
                metrics.write(row)
                if trainer.step - kept >= s.checkpoint_every and not trainer.epoch_is_done:
                    save()
                    kept = trainer.step
            save()
            if stop.now:
                break
    metrics.close()
    return stop.code


def positions(pictures: Instances, count: int, *, seed: int, epoch: int) -> Positions:
    """An epoch's pictures: as many instances of every category as `count` has room for, in a random
    order that goes on from epoch to epoch."""
    categories, instances = len(pictures.family), pictures.instances
    each = min(instances, max(1, count // categories))
    order = np.tile(np.arange(instances), (categories, 1))
    order = np.random.default_rng(seed).permuted(order, axis=1)
    chosen = order[:, (epoch * each + np.arange(each)) % instances]
    return (chosen + instances * np.arange(categories)[:, None]).ravel()


@torch.no_grad()
def features(
    trainer: Trainer, pictures: Instances, chosen: Positions, batch_size: int
) -> npt.NDArray[np.float32]:
    """What the network makes of each picture before its last layer."""
    found: list[Tensor] = []
    last = trainer.model.get_submodule(head_of(trainer.model))
    hook = last.register_forward_pre_hook(lambda _, inputs: found.append(inputs[0].float().cpu()))
    trainer.model.eval()
    labels = np.zeros(len(chosen), dtype=np.int64)  # not known yet
    parts = batches(pictures, chosen, labels, batch_size)
    total = -(-len(chosen) // batch_size)
    for images, _ in tqdm(parts, "features", total, disable=None, delay=1):
        trainer.model(trainer.normalize(images.to(trainer.world.device)))
    hook.remove()
    return torch.cat(found).numpy()


def clustered(features: npt.NDArray[np.float32], clusters: int, seed: int) -> Positions:
    """The cluster of each picture, by k-means on whitened, normalised features."""
    dimensions = min(DIMENSIONS, *features.shape)
    small = PCA(dimensions, whiten=True, random_state=seed).fit_transform(features)
    small /= np.maximum(np.linalg.norm(small, axis=1, keepdims=True), 1e-12)
    size = min(len(small), max(1024, 4 * clusters))
    found = MiniBatchKMeans(clusters, batch_size=size, n_init=1, random_state=seed).fit(small)
    labels: Positions = found.labels_.astype(np.int64)
    return labels


def balanced(labels: Positions, count: int, seed: tuple[int, int]) -> Positions:
    """Positions to learn from, each cluster as often as the others: k-means leaves a few huge."""
    rng = np.random.default_rng(seed)
    own = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    each = -(-count // len(own))
    drawn = [rng.choice(part, each, replace=len(part) < each) for part in own]
    return rng.permutation(np.concatenate(drawn))[:count]


def batches(
    pictures: Instances, chosen: Positions, labels: Positions, batch_size: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """The chosen pictures in that order, with other labels than their own."""
    parts = np.split(chosen, range(batch_size, len(chosen), batch_size))
    loader: DataLoader[Any] = DataLoader(
        pictures,
        batch_sampler=[part.tolist() for part in parts],
        generator=torch.Generator(),  # its own, so that it draws nothing from the model's
    )
    own = np.split(labels, range(batch_size, len(labels), batch_size))
    for names, (images, _) in zip(own, loader, strict=True):
        yield images, torch.from_numpy(names)


def new_head(trainer: Trainer, *, seed: int) -> None:
    """Random weights for the last layer: clusters have other numbers than an epoch before."""
    head = trainer.model.get_submodule(head_of(trainer.model))
    assert isinstance(head, nn.Linear)
    state = torch.get_rng_state()
    torch.manual_seed(seed)
    head.reset_parameters()
    torch.set_rng_state(state)
    for parameter in head.parameters():
        trainer.optimizer.state.pop(parameter, None)


if __name__ == "__main__":
    sys.exit(main())
