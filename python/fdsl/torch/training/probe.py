"""Evaluates frozen features by a logistic regression."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from fdsl._checks import require
from fdsl.torch.training.models import last_layer

Batches = Iterable[tuple[Tensor, Tensor]]

#: Inverse strengths of the penalty to try.
STRENGTHS = [1e-4, 1e-3, 1e-2, 1e-1, 1.0]


@torch.no_grad()
def linear_probe(
    model: nn.Module,
    train: Callable[[], Batches],
    val: Callable[[], Batches],
    *,
    seed: int = 0,
) -> npt.NDArray[np.int64]:
    """Fits a logistic regression to the features of a frozen network, and classifies with it.

    The parameters of the network do not change, but its batch-norm statistics do. They are computed
    again from the training images, since the statistics of formula images do not fit photographs,
    and random weights have none. Dropout and stochastic depth are off, and stay off: the network is
    left in evaluation mode. If there are at least five training images per class, the strength of
    the penalty is chosen on a fifth of them. Needs scikit-learn.

    Args:
        model: a classifier; the inputs of its last linear layer are the features.
        train: returns the training set, an iterable of (inputs, labels (B,)), each time it is
            called. Its batches should be shuffled: batch-norm normalizes each batch separately.
        val: returns the images to classify in the same form.
        seed: seed of the split.

    Returns:
        The predicted class of each validation image, int64 (N,).
    """
    require("linear_probe", "sklearn", "scikit-learn")
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV, ShuffleSplit
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    _renew_statistics(model, train())
    features, labels = (part.numpy() for part in features_of(model, train()))
    probe: Any = make_pipeline(StandardScaler(), LogisticRegression(C=1e-2, max_iter=200))
    if len(labels) >= 5 * len(np.unique(labels)):
        split = ShuffleSplit(1, test_size=0.2, random_state=seed)
        probe = GridSearchCV(probe, {"logisticregression__C": STRENGTHS}, cv=split)
    probe.fit(features, labels)
    predictions: npt.NDArray[np.int64] = probe.predict(features_of(model, val())[0].numpy())
    return predictions


def _renew_statistics(model: nn.Module, batches: Batches) -> None:
    """Computes the statistics of batch norm from these images; leaves the network in evaluation
    mode."""
    norms = [part for part in model.modules() if isinstance(part, nn.modules.batchnorm._BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    model.eval()  # all but the layers whose statistics are recomputed
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain average
        norm.train()
    try:
        features_of(model, batches)
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        model.eval()


@torch.no_grad()
def features_of(model: nn.Module, batches: Batches) -> tuple[Tensor, Tensor]:
    """Returns the input of the model's last linear layer for each image, float32 (N, D), and the
    labels (N,), on the CPU."""
    features: list[Tensor] = []
    labels: list[Tensor] = []
    hook = model.get_submodule(last_layer(model)).register_forward_pre_hook(
        lambda _, inputs: features.append(inputs[0].flatten(1).float().cpu())
    )
    try:
        for images, own in batches:
            model(images)
            labels.append(own.cpu())
    finally:
        hook.remove()
    return torch.cat(features), torch.cat(labels)
