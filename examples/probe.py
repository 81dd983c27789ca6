"""Judges frozen features by a logistic regression on what a network makes of each image.

Nothing of the network learns; only its batch-norm statistics are taken from the images that may be
trained on, as those of fractals (or of random weights, which have none) do not fit photographs.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from data import Images, Positions
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, ShuffleSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn

STRENGTHS = [1e-4, 1e-3, 1e-2, 1e-1, 1.0]  # inverse, of the penalty


@torch.no_grad()
def predictions(
    model: nn.Module,
    prepare: Callable[[Tensor], Tensor],
    train: Images,
    val: Images,
    chosen: Positions,
    *,
    seed: int,
) -> npt.NDArray[Any]:
    """The classes that a linear probe of `chosen` training images gives those of `val`; the model
    has no head, and `prepare` makes bytes its input."""

    def features(images: Images, positions: Positions) -> npt.NDArray[Any]:
        parts = np.array_split(positions, max(1, len(positions) // 250))
        found = [model(prepare(batch)).float().cpu().numpy() for batch, _ in images.batches(parts)]
        return np.concatenate(found)

    for part in model.modules():
        if isinstance(part, nn.modules.batchnorm._BatchNorm):
            part.reset_running_stats()
            part.momentum = None  # a plain average
        if isinstance(part, nn.Dropout):
            part.p = 0.0
    rng = np.random.default_rng(seed)
    model.train()
    features(train, rng.permutation(chosen))  # in random order: those of a folder are sorted
    model.eval()
    labels = train.labels[chosen]
    probe = make_pipeline(StandardScaler(), LogisticRegression(C=1e-2, max_iter=200))
    if len(labels) >= 5 * len(np.unique(labels)):  # then a fifth of them chooses the strength
        split = ShuffleSplit(1, test_size=0.2, random_state=seed)
        probe = GridSearchCV(probe, {"logisticregression__C": STRENGTHS}, cv=split)
    probe.fit(features(train, chosen), labels)
    answers: npt.NDArray[Any] = probe.predict(features(val, np.arange(len(val))))
    return answers
