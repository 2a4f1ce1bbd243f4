"""Mode mixture: samples that a classifier sees between two classes."""

from __future__ import annotations

from brenier.errors import InputError
from brenier.metrics.distances import as_features
from brenier.types import Array


def mode_mixture_ratio(probabilities: Array, threshold: float = 0.11) -> float:
    """The share of samples to which a classifier gives at least two classes a probability ≥ λ (DPM-OT, §4).

    Classifiers mix on real images too: give the ratio of held-out images beside it, as its floor.

    probabilities : (N, classes), rows summing to 1, at least 2 classes
    threshold : λ, 0 < λ ≤ ½; 0.11 is for 10 classes, just above even odds

    Raises InputError.
    """
    rows = as_features(probabilities, "probabilities")
    if not 0 < threshold <= 0.5:
        raise InputError("threshold", expected="0 < λ ≤ 0.5", got=repr(threshold))
    off = (rows.sum(dim=1) - 1).abs()
    if rows.shape[1] < 2 or (rows < 0).any() or (off > 1e-3).any():
        raise InputError(
            "probabilities",
            expected="rows (N, classes ≥ 2) of numbers ≥ 0 that sum to 1",
            got=f"shape {tuple(rows.shape)}, least {rows.min():.3g}, sums off by up to {off.max():.3g}",
            remedy="apply softmax to logits",
        )
    return float(((rows >= threshold).sum(dim=1) >= 2).double().mean())
