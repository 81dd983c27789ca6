"""What training scripts leave: rows of metrics, and weights."""

import csv
from pathlib import Path
from typing import Any

import fdsl
from fdsl.torch.training import build_model, save_weights
from torch import nn


def rows(folder: Path) -> list[dict[str, str]]:
    """The rows of the metrics in a folder."""
    with (folder / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def saved(folder: Path, name: str, num_classes: int, size: int, **more: Any) -> nn.Module:
    """Writes the weights of a new network, and returns it."""
    folder.mkdir(exist_ok=True)
    family = fdsl.Bezier(num_classes)
    rendering = fdsl.Strokes(size=size)
    model = build_model(name, num_classes, seed=1, input_size=size)
    save_weights(
        folder, model, name=name, family=family, rendering=rendering, mean=0.2, std=0.5, **more
    )
    return model.eval()
