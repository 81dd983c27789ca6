"""Fine-tuning with few labels."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def choose_labels(
    labels: npt.NDArray[np.int64],
    *,
    per_class: int | None = None,
    share: float = 1.0,
    seed: int = 0,
) -> npt.NDArray[np.int64]:
    """Picks the training images whose labels fine-tuning may use.

    A larger choice with the same seed contains the smaller one.

    >>> choose_labels(np.array([0, 0, 0, 1, 1, 1]), per_class=1)
    array([2, 5])

    Args:
        labels: the class of each image, int64 (N,); or (N, classes) if an image may show several.
        per_class: number of images per class; replaces ``share``.
        share: share of each class, at least one image; or of all images, if an image may show
            several classes.
        seed: seed of the choice.

    Returns:
        The positions of the chosen images, sorted.

    Raises:
        ValueError: a class has fewer images, ``share`` is not above 0 and up to 1, ``per_class``
            is below 1, or it is given although an image may show several classes.
    """
    if not 0 < share <= 1:
        raise ValueError(f"share must be above 0 and at most 1, got {share}")
    if per_class is not None and per_class < 1:
        raise ValueError(f"per_class must be at least 1, got {per_class}")
    if labels.ndim == 2 and per_class is not None:
        raise ValueError("a number of images per class needs one label per image: give a share")
    own, kept = labels if labels.ndim == 1 else np.zeros(len(labels), dtype=np.int64), []
    for label in np.unique(own):
        order = np.random.default_rng((seed, label)).permutation(np.flatnonzero(own == label))
        count = max(1, round(share * len(order))) if per_class is None else per_class
        if count > len(order):
            raise ValueError(f"{count} images per class: class {label} has only {len(order)}")
        kept.append(order[:count])
    return np.sort(np.concatenate(kept))
