"""Pre-trains on the same fractals with labels from k-means instead of the formula (paper, Table 7).

    python examples/cluster.py --clusters 10000 --out runs/deepcluster

In the manner of DeepCluster (Caron et al., 2018): before each epoch the network's own features of
all images are whitened by PCA, normalised and clustered; the network then learns the clusters for
an epoch, with a new last layer, each cluster coming as often as the others. The images are those of
the categories' instances, as many per epoch as pretrain.py shows; where those are fewer than all,
the next epoch has the next ones. OUT gets what pretrain.py gives it.
"""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pretrain
import torch
import torch.nn.functional as F
from data import Positions
from fdsl.torch import Dataset
from models import build_model
from run import Run
from settings import run_script
from sklearn.cluster import MiniBatchKMeans
from sklearn.decomposition import PCA
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torchmetrics.classification import MulticlassAccuracy
from tqdm import tqdm

#: Dimensions left by the PCA; DeepCluster's.
DIMENSIONS = 256


@dataclass(frozen=True, kw_only=True)
class Settings(pretrain.Settings):
    """Pre-train on clusters of fractals."""

    clusters: int = 10_000  # how many labels; paper: 10000

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.clusters < 2:
            raise ValueError(f"--clusters must be 2 or more, got {self.clusters}")
        if self.workers or self.label_noise:
            raise ValueError("clusters take no --workers and no --label-noise")


def main(argv: Sequence[str] | None = None) -> int:
    return run_script(Settings, train_on_clusters, argv)


def train_on_clusters(s: Settings) -> int:
    """Trains, and returns the exit code. A stop within an epoch keeps its clusters."""
    s = replace(s, **pretrain.preset_of(s))
    with Run(s) as run:
        if run.size > 1:
            raise ValueError("cluster.py runs in one process")
        saved = run.checkpoint("labels", "asked")
        family = pretrain.chosen_categories(s, run, saved)
        rendering = pretrain.chosen_rendering(s, family)
        steps_per_epoch = pretrain.length_of_epoch(s, family)
        images = Dataset(family, s.instances or 1000, rendering=rendering, seed=s.seed)
        count = steps_per_epoch * s.batch_size
        if s.clusters > (most := len(positions(images, count, seed=s.seed, epoch=0))):
            raise ValueError(f"--clusters {s.clusters}: an epoch has {most} images")
        made = {**pretrain.made_of(s, family, rendering), "clusters": s.clusters}
        model = build_model(s.model, classes=s.clusters, seed=s.seed)
        normalize = pretrain.preparation(s).to(run.device)
        accuracy = MulticlassAccuracy(s.clusters, average="micro", validate_args=False)
        groups = [{"params": model.parameters(), "lr": s.lr}]
        run.begin(model, groups, accuracy, steps_per_epoch, made, saved)
        family.save(s.out / "categories.npz")

        for epoch in range(run.step // steps_per_epoch, s.epochs):
            chosen = positions(images, count, seed=s.seed, epoch=epoch)
            if saved and run.step % steps_per_epoch:
                labels = saved["labels"].numpy()
            else:
                found = features(run, normalize, images, chosen, s.batch_size)
                labels = clustered(found, s.clusters, epoch)
                new_head(run, seed=s.seed + epoch)
            order = balanced(labels, count, (s.seed, epoch))
            order = order[run.step % steps_per_epoch * s.batch_size :]

            def save(labels: Positions = labels) -> None:
                run.save("last.pt", labels=torch.from_numpy(labels), asked=pretrain.asked(s))

            model.train()
            feed = batches(images, chosen[order], labels[order], s.batch_size)
            for parts, own in run.epoch(feed, save):
                inputs, own = normalize(parts.to(run.device)), own.to(run.device)
                with torch.autocast(run.device.type, torch.bfloat16, enabled=run.amp):
                    logits = run.network(inputs.contiguous(memory_format=run.layout))
                    loss = F.cross_entropy(logits, own)
                run.optimizer.zero_grad()
                loss.backward()
                if s.clip_grad:
                    nn.utils.clip_grad_norm_(model.parameters(), s.clip_grad)
                run.optimizer.step()
                run.count(loss, logits, own)
            save()
            if run.stopped:
                break
        if run.code == 0:
            pretrain.save_weights(s, run, family, rendering, classes=s.clusters)
        run.draw_curve()
    return run.code


def positions(images: Dataset, count: int, *, seed: int, epoch: int) -> Positions:
    """The images of an epoch: as many instances of every category as `count` has room
    for, in a random order that goes on from epoch to epoch."""
    categories, instances = len(images.family), images.instances
    each = min(instances, max(1, count // categories))
    order = np.tile(np.arange(instances), (categories, 1))
    order = np.random.default_rng(seed).permuted(order, axis=1)
    chosen = order[:, (epoch * each + np.arange(each)) % instances]
    return (chosen + instances * np.arange(categories)[:, None]).ravel()


@torch.no_grad()
def features(
    run: Run, normalize: nn.Module, images: Dataset, chosen: Positions, batch_size: int
) -> npt.NDArray[np.float32]:
    """What the network makes of each image before its last layer."""
    found: list[Tensor] = []
    last = last_layer(run.model)
    hook = last.register_forward_pre_hook(lambda _, inputs: found.append(inputs[0].float().cpu()))
    run.model.eval()
    labels = np.zeros(len(chosen), dtype=np.int64)  # not known yet
    parts = batches(images, chosen, labels, batch_size)
    total = -(-len(chosen) // batch_size)
    for some, _ in tqdm(parts, "features", total, disable=None, delay=1):
        run.model(normalize(some.to(run.device)))
    hook.remove()
    return torch.cat(found).numpy()


def clustered(features: npt.NDArray[np.float32], clusters: int, seed: int) -> Positions:
    """The cluster of each image, by k-means on whitened, normalised features."""
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
    images: Dataset, chosen: Positions, labels: Positions, batch_size: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """The chosen images in that order, with other labels than their own."""
    parts = np.split(chosen, range(batch_size, len(chosen), batch_size))
    loader: DataLoader[Any] = DataLoader(
        images,
        batch_sampler=[part.tolist() for part in parts],
        generator=torch.Generator(),  # its own, so that it draws nothing from the model's
    )
    own = np.split(labels, range(batch_size, len(labels), batch_size))
    for names, (some, _) in zip(own, loader, strict=True):
        yield some, torch.from_numpy(names)


def last_layer(model: nn.Module) -> nn.Linear:
    return [part for part in model.modules() if isinstance(part, nn.Linear)][-1]


def new_head(run: Run, *, seed: int) -> None:
    """Random weights for the last layer: clusters have other numbers than an epoch before."""
    head = last_layer(run.model)
    torch.manual_seed(seed)
    head.reset_parameters()
    for parameter in head.parameters():
        run.optimizer.state.pop(parameter, None)


if __name__ == "__main__":
    sys.exit(main())
