"""Scores categories before anything is trained on them: how compact are they for a random network?

    python examples/score.py --source rcdb-1k --model resnet10s --size 72 --crop 64 --shrink 32
    python examples/score.py --source fractaldb-1k --preset fixed --model resnet10s --size 64

It takes the options of pretrain.py, and prints the intraclass correlation of the features: 0 if the
images of a category differ as much as those of all categories, 1 if the network cannot tell them
apart. At the LIMIT workshop of ICCV 2025, it was suggested that compact categories improve
pre-training; docs/experiments.md compares the score with the results of training.
"""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import fdsl
import numpy as np
import pretrain
import torch
from fdsl.torch import training
from fdsl.torch.training import Ranks
from settings import RENAMED
from torch import Tensor, nn


@dataclass(frozen=True, kw_only=True)
class Settings(pretrain.Settings):
    """Score categories."""

    images: int = 8  # Compare this many images of each category.
    weights: str | None = None  # Take the features of this network instead of a random one.


def main(argv: Sequence[str] | None = None) -> int:
    return training.run_script(Settings, report, argv, renamed=RENAMED, presets=pretrain.PRESETS)


def report(s: Settings) -> int:
    print(f"compactness {score(s):.4f}")
    return 0


def score(s: Settings) -> float:
    """Returns the intraclass correlation, at most 1; near 0 if the categories look the same."""
    if s.images < 2:
        raise ValueError(f"--images must be 2 or more, got {s.images}")
    with Ranks(s.device) as ranks:
        family = pretrain.choose_categories(s, ranks, None)
        rendering = pretrain.choose_rendering(s, family)
        size = s.shrink or rendering.output_size
        augment = pretrain.build_augmentation(s, size).to(ranks.device)
        model, _ = training.load_pretrained(
            s.weights, len(family), name=s.model, seed=s.seed, input_size=size
        )
        model = model.to(ranks.device).eval()
        for part in model.modules():  # batch-norm sees these images, which are shuffled
            part.train(isinstance(part, nn.modules.batchnorm._BatchNorm))

        def batches() -> Iterator[tuple[Tensor, Tensor]]:
            categories = np.tile(np.arange(len(family)), s.images)
            indices = np.repeat(np.arange(s.images), len(family)) % (s.instances or s.images)
            order = np.random.default_rng(s.seed).permutation(len(categories))
            for step, part in enumerate(np.array_split(order, -(-len(order) // 500))):
                ranks.manual_seed(s.seed, step)
                images = fdsl.render(
                    family, categories[part], indices[part], s.seed, rendering=rendering
                )
                images = images[:, None] if images.ndim == 3 else images.transpose(0, 3, 1, 2)
                inputs = augment(torch.from_numpy(np.ascontiguousarray(images)).to(ranks.device))
                yield inputs, torch.from_numpy(categories[part])

        with torch.no_grad():
            features, labels = training.features_of(model, batches())
    return intraclass_correlation(features.double(), labels)


def intraclass_correlation(features: Tensor, labels: Tensor) -> float:
    """Returns ICC(1) of features (N, D), summed over their dimensions, of equally large classes.

    Shrout and Fleiss, Intraclass correlations: uses in assessing rater reliability, 1979.
    """
    classes, counts = labels.unique(return_counts=True)
    number, each = len(classes), int(counts[0])
    means = torch.stack([features[labels == one].mean(0) for one in classes])
    between = each * (means - features.mean(0)).square().sum() / (number - 1)
    within = (features - means[torch.searchsorted(classes, labels)]).square().sum()
    within = within / (number * (each - 1))
    return float((between - within) / (between + (each - 1) * within))


if __name__ == "__main__":
    sys.exit(main())
