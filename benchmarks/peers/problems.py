"""The two problems of the solver benchmark."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from brenier.data.digits import load_digits

MIXTURE_SEED = 1
CLUSTERS = 50


@dataclass(frozen=True)
class Case:
    """Targets of equal mass, the χ² levels to reach, and the judge's samples per target."""

    name: str
    targets: np.ndarray  # (n, d) float32
    levels: tuple[float, ...]
    judged: int

    @property
    def size(self) -> int:
        return len(self.targets)

    @property
    def temperature(self) -> float:
        """τ, the median of ‖y − ȳ‖ / Φ⁻¹(1 − 1/n): the unit in which peers' ε and learning rates are tuned."""
        norms = np.linalg.norm(self.targets - self.targets.mean(0), axis=1)
        quantile = -torch.special.ndtri(torch.tensor(1 / self.size, dtype=torch.float64)).item()
        return float(np.median(norms)) / quantile


def digits() -> Case:
    """Scikit-learn's digits, 1,797 × 64, scaled to [−1, 1]."""
    return Case("digits", load_digits().images.numpy(), (0.02, 0.005), judged=400)


def mixture() -> Case:
    """10,000 × 256, 50 clusters of unequal mass and spread."""
    return Case("mixture", mixture_targets(10_000, 256), (0.05,), judged=30)


def tiny() -> Case:
    """Every eighth digit, for the smoke run."""
    return Case("tiny", load_digits().images.numpy()[::8].copy(), (0.2,), judged=200)


CASES = {"digits": digits, "mixture": mixture, "tiny": tiny}


def mixture_targets(n: int, d: int, clusters: int = CLUSTERS, seed: int = MIXTURE_SEED) -> np.ndarray:
    """Rows from Gaussian clusters with Dirichlet masses, log-normal spreads and spectra λ_k = 1/k.

    Each cluster has the spectrum in an order of its own, perturbed by up to d/4 places. The rows are centred,
    scaled to a mean of ‖y‖² = d, and turned by a random rotation. Returns (n, d) float32.
    """
    rng = np.random.default_rng(seed)
    deviations = np.sqrt(1.0 / np.arange(1, d + 1))
    centres = 1.5 * rng.standard_normal((clusters, d)) * deviations
    labels = rng.choice(clusters, n, p=rng.dirichlet(np.ones(clusters)))
    spreads = np.exp(0.4 * rng.standard_normal(clusters))
    rows = np.empty((n, d))
    for k in range(clusters):
        order = np.argsort(np.argsort(np.arange(d) + rng.uniform(0, d / 4, d)))
        mine = labels == k
        rows[mine] = centres[k] + spreads[k] * rng.standard_normal((mine.sum(), d)) * deviations[order]
    rows -= rows.mean(0)
    rows *= np.sqrt(d / np.square(rows).sum(1).mean())
    rotation, _ = np.linalg.qr(rng.standard_normal((d, d)))
    return np.ascontiguousarray(rows @ rotation, dtype=np.float32)
