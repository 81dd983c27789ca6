"""Judges frozen features: a logistic regression on what a network makes of each picture.

Nothing of the network learns; only its batch-norm statistics are taken anew, from the pictures that
may be trained on, as those of fractals (or of random weights, which have none) fit no photograph.
"""

from typing import Any

import data
import numpy as np
import numpy.typing as npt
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

Array = npt.NDArray[Any]

#: Inverse strengths of the penalty; a fifth of the labels chooses among them.
STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)


def probe(
    model: nn.Module,
    normalize: nn.Module,
    train: data.Pictures,
    val: data.Pictures,
    chosen: data.Positions,
    *,
    canvas: int,
    size: int,
    seed: int,
    device: torch.device,
) -> tuple[float, list[tuple[float, int]]]:
    """Accuracy on `val`, and for each class its accuracy and pictures; `model` has no head."""

    def features(pictures: data.Pictures, positions: data.Positions) -> Array:
        parts = np.array_split(positions, max(1, len(positions) // 250))
        edge = (canvas - size) // 2
        found = []
        for images, _ in pictures.batches(parts):
            images = data.fit(images.to(device), canvas)
            centre = images[..., edge : edge + size, edge : edge + size]
            found.append(model(normalize(centre)).float().cpu().numpy())
        return np.concatenate(found)

    model = model.to(device)
    with torch.no_grad():
        _forget_statistics(model)
        model.train()
        # In random order: a folder's are sorted by class, and a batch of one class has the
        # statistics of that class alone.
        features(train, np.random.default_rng(seed).permutation(chosen))
        model.eval()
        mine, theirs = features(train, chosen), features(val, np.arange(len(val.labels)))
    labels = train.labels[chosen]
    head = _fitted(mine, labels, _strength(mine, labels, seed))
    right = head.predict(theirs) == val.labels
    each = []
    for label in range(len(val.classes)):
        own = right[val.labels == label]
        each.append((float(own.mean()) if len(own) else float("nan"), len(own)))
    return float(right.mean()), each


def _forget_statistics(model: nn.Module) -> None:
    for part in model.modules():
        if isinstance(part, nn.modules.batchnorm._BatchNorm):
            part.reset_running_stats()
            part.momentum = None  # a plain average
        if isinstance(part, nn.Dropout):
            part.p = 0.0


def _strength(features: Array, labels: Array, seed: int) -> float:
    """The strength that does best on a fifth of the labels; a middle one where they are too few."""
    order = np.random.default_rng(seed).permutation(len(labels))
    held, kept = np.split(order, [len(labels) // 5])
    if len(held) < len(np.unique(labels)):
        return 1e-2
    scores = [
        _fitted(features[kept], labels[kept], c).score(features[held], labels[held])
        for c in STRENGTHS
    ]
    return STRENGTHS[int(np.argmax(scores))]


def _fitted(features: Array, labels: Array, strength: float) -> Pipeline:
    pipeline = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=200))
    return pipeline.fit(features, labels)
