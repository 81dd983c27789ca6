"""How well a classifier does, on all images and on those of each class."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from fdsl._checks import require
from fdsl._files import PathLike, write_whole
from fdsl.torch.training.distributed import reduced


class Scores(NamedTuple):
    """What a validation found."""

    #: ``"accuracy"``; or ``"mAP"`` where an image may show several classes.
    measure: str
    #: Over all images; of average precisions, the mean over the classes that any image shows.
    accuracy: float
    #: The same for each class; 0 for one without images.
    per_class: list[float]
    #: Images of each class.
    images: list[int]
    #: The mean loss; NaN if it was not given.
    loss: float

    def write_csv(self, path: PathLike, classes: Sequence[str]) -> None:
        """Writes a row for each class: name, accuracy, images."""
        table = io.StringIO()
        writer = csv.writer(table, lineterminator="\n")
        writer.writerow(("class", "accuracy", "images"))
        for name, accuracy, count in zip(classes, self.per_class, self.images, strict=True):
            writer.writerow((name, f"{accuracy:.4f}" if count else "", count))
        write_whole(Path(path), table.getvalue().encode())


class Validation:
    """Collects a classifier's answers, on all ranks, into ``Scores``.

    >>> validation = Validation(num_classes=2)
    >>> logits = torch.tensor([[3.0, 0.0], [0.0, 1.0], [2.0, 1.0]])
    >>> validation.update(logits, labels=torch.tensor([0, 1, 1]), loss=torch.tensor(0.5))
    >>> round(validation.compute().accuracy, 3), validation.compute().per_class
    (0.667, [1.0, 0.5])

    Args:
        num_classes: outputs of the classifier.
        multilabel: whether an image may show several classes. Labels are then (B, num_classes): 1,
            0, or -1 where the class does not count; and average precisions are computed. Needs
            torchmetrics.
    """

    def __init__(self, num_classes: int, *, multilabel: bool = False) -> None:
        self.multilabel = multilabel
        self._right = torch.zeros(num_classes, dtype=torch.int64)
        self._images = torch.zeros(num_classes, dtype=torch.int64)
        self._loss = torch.zeros(2, dtype=torch.float64)  # the sum, and of how many
        self._precision: Any = None
        if multilabel:
            require("average precision", "torchmetrics")
            from torchmetrics.classification import MultilabelAveragePrecision

            self._precision = MultilabelAveragePrecision(
                num_classes, average="none", ignore_index=-1, validate_args=False
            )

    def update(self, logits: Tensor, labels: Tensor, loss: Tensor | float = math.nan) -> None:
        """Adds a batch: logits (B, num_classes), labels (B,) or (B, num_classes), its mean loss."""
        logits, labels = logits.detach().float().cpu(), labels.cpu()
        count = len(self._images)
        if self.multilabel:
            # Only the order counts. torchmetrics takes logits for probabilities if those of a batch
            # happen to lie between 0 and 1; and large ones have the same sigmoid.
            ranked = logits.double()
            self._precision.update((1 + ranked / (1 + ranked.abs())) / 2, labels)
            self._images += (labels == 1).sum(0)
        else:
            self._right += torch.bincount(labels[logits.argmax(1) == labels], minlength=count)
            self._images += torch.bincount(labels, minlength=count)
        self._loss += torch.tensor([float(loss) * len(labels), len(labels)], dtype=torch.float64)

    def compute(self) -> Scores:
        """Returns the scores of all batches of all ranks, each of which must call it.

        Raises:
            RuntimeError: there was no batch.
        """
        total, count = reduced(self._loss).tolist()
        if not count:
            raise RuntimeError("there is nothing to score: no batch was added by update")
        images, right = reduced(self._images), reduced(self._right)
        known = images > 0
        if self.multilabel:
            per_class = torch.where(known, self._precision.compute(), 0.0)
            accuracy = float(per_class[known].mean())
        else:
            per_class = right / images.clamp(min=1)
            accuracy = int(right.sum()) / int(images.sum())
        measure = "mAP" if self.multilabel else "accuracy"
        return Scores(measure, accuracy, per_class.tolist(), images.tolist(), total / count)
