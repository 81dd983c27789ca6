"""What a network is trained for: one label a picture, or any number of them."""

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor
from world import World


class Objective(Protocol):
    """A loss, and how well a network does."""

    measure: str

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The mean over the pictures."""
        ...

    def right(self, logits: Tensor, labels: Tensor) -> Tensor:
        """How many pictures are right; of several labels, the share of them that are."""
        ...

    def tally(self, classes: int, device: torch.device) -> "Tally":
        """An empty count of answers, to validate with."""
        ...


class Tally(Protocol):
    """The answers to many batches."""

    def add(self, logits: Tensor, labels: Tensor) -> None: ...

    def scores(self, world: World) -> tuple[float, list[tuple[float, int]]]:
        """The measure over all processes, and for each class the measure and its pictures."""
        ...


class OneLabel:
    """Cross-entropy and accuracy."""

    measure = "accuracy"

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(logits, labels)

    def right(self, logits: Tensor, labels: Tensor) -> Tensor:
        return (logits.argmax(1) == labels).sum()

    def tally(self, classes: int, device: torch.device) -> "Tally":
        return _Count(classes, device)


class ManyLabels:
    """Binary cross-entropy of each class, and the mean of their average precisions (mAP) as
    scikit-learn has them; Pascal VOC's own smooths them first, which gives a little more. A label
    of -1 does not count."""

    measure = "mAP"

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        counted = (labels >= 0).to(logits.dtype)
        wanted = labels.clamp(min=0).to(logits.dtype)
        # Summed over the classes: their mean would learn twenty times as slowly.
        return F.binary_cross_entropy_with_logits(
            logits, wanted, weight=counted, reduction="sum"
        ) / len(labels)

    def right(self, logits: Tensor, labels: Tensor) -> Tensor:
        counted = labels >= 0
        right = ((logits > 0) == (labels > 0)) & counted
        return (right.sum(1) / counted.sum(1).clamp(min=1)).sum()

    def tally(self, classes: int, device: torch.device) -> "Tally":
        return _Answers()


class _Count:
    """Right answers of each class; nothing is read back from the device before the end."""

    def __init__(self, classes: int, device: torch.device) -> None:
        self.right_and_all = torch.zeros(2, classes, device=device)

    def add(self, logits: Tensor, labels: Tensor) -> None:
        self.right_and_all[0].index_add_(0, labels, (logits.argmax(1) == labels).float())
        self.right_and_all[1].index_add_(0, labels, torch.ones_like(labels, dtype=torch.float32))

    def scores(self, world: World) -> tuple[float, list[tuple[float, int]]]:
        right, count = world.total(self.right_and_all).cpu()
        each = [
            (r / n if n else float("nan"), int(n))
            for r, n in zip(right.tolist(), count.tolist(), strict=True)
        ]
        return float(right.sum() / count.sum()), each


class _Answers:
    """All answers: an average precision needs their order."""

    def __init__(self) -> None:
        self.logits: list[npt.NDArray[Any]] = []
        self.labels: list[npt.NDArray[Any]] = []

    def add(self, logits: Tensor, labels: Tensor) -> None:
        self.logits.append(logits.float().cpu().numpy())
        self.labels.append(labels.cpu().numpy())

    def scores(self, world: World) -> tuple[float, list[tuple[float, int]]]:
        from sklearn.metrics import average_precision_score

        logits = np.concatenate([part for mine in world.gather(self.logits) for part in mine])
        labels = np.concatenate([part for mine in world.gather(self.labels) for part in mine])
        each = []
        for answers, truth in zip(logits.T, labels.T, strict=True):
            counted = truth >= 0
            shown = int((truth == 1).sum())
            score = average_precision_score(truth[counted], answers[counted]) if shown else np.nan
            each.append((float(score), shown))
        return float(np.nanmean([score for score, _ in each])), each
