"""The Fréchet distance between Gaussians fitted to two sets of features."""

from __future__ import annotations

import torch
from torch import Tensor

from brenier.metrics.distances import as_features, same_width
from brenier.types import Array


def frechet_distance(real: Array, fake: Array) -> float:
    """How far apart the means and covariances of two feature sets are.

    ‖μ₁ − μ₂‖² + Tr(Σ₁ + Σ₂ − 2(Σ₁Σ₂)^½) (Dowson and Landau 1982; Heusel et al. 2017), in float64
    through the eigenvalues of the symmetric Σ₁^½ Σ₂ Σ₁^½. It is called FID only on Inception features. Few
    samples bias it upwards: compare at equal N, and give the distance between two real sets beside it.

    real, fake : features or flattened pixels, (N, d) and (N', d), at least 2 rows each

    Returns a number ≥ 0 in squared units of the features. Raises InputError.
    """
    first, second = as_features(real, "real", least=2), as_features(fake, "fake", least=2)
    same_width(first, second, "real and fake")
    mean1, covariance1 = moments(first)
    mean2, covariance2 = moments(second)
    root = square_root(covariance1)
    product = torch.linalg.eigvalsh(root @ covariance2 @ root).clamp_min(0)
    traces = covariance1.trace() + covariance2.trace() - 2 * product.sqrt().sum()
    return max(0.0, float((mean1 - mean2).square().sum() + traces))


def moments(features: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (d,) and unbiased covariance (d, d)."""
    mean = features.mean(dim=0)
    centred = features - mean
    return mean, centred.T @ centred / (len(features) - 1)


def square_root(covariance: Tensor) -> Tensor:
    """The symmetric root of a positive semi-definite matrix."""
    values, vectors = torch.linalg.eigh(covariance)
    return (vectors * values.clamp_min(0).sqrt()) @ vectors.T
