"""Leading principal directions of the targets, from a sample of them.

Any orthonormal directions keep the noise exactly normal (sampling.py); good ones only lower the correlation
between samples, so a thousand targets are enough to find them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from brenier.engine.project import project
from brenier.engine.ranks import Ranks
from brenier.engine.scale import moderate
from brenier.solve.fixed_order import single_threaded, squares
from brenier.solve.streamed import Targets

SAMPLE = 1024
SAMPLE_VALUES = 1 << 26  # fewer targets where they are very long
COUNTS = (16, 32, 64, 128)


@dataclass(frozen=True)
class Principal:
    """Orthonormal axes (r, d) float32, and the share of variance outside the first 0, 16, 32, ... of them."""

    axes: Tensor
    residuals: dict[int, float]


def principal_directions(targets: Targets, ranks: Ranks | None = None) -> Principal:
    """Up to 128 axes from evenly spaced centred targets; residuals measured on the targets between them."""
    peers, rows = ranks or Ranks(), targets[spaced(targets, 0.0)]
    with single_threaded():  # LAPACK's bits depend on its threads
        _, vectors = torch.linalg.eigh(shared_product(peers, rows, rows))  # any basis of the space will do
        count = min(max(COUNTS), len(rows) // 2, targets.shape[1])
        leading = vectors.flip(1)[:, :count]
        spanned = shared_product(peers, rows.T, leading.T.contiguous())
        axes = torch.linalg.qr(spanned.double()).Q.T.float().contiguous()
    return Principal(axes, residual_shares(targets, axes, peers))


def shared_product(ranks: Ranks, rows: Tensor, directions: Tensor) -> Tensor:
    """rows · directionsᵀ in float32, each rank computing its rows; of huge or tiny ones up to a power of two."""
    rows, directions = moderate(rows)[0], moderate(directions)[0].contiguous()
    lo, hi = ranks.rows(len(rows))
    whole = torch.empty(len(rows), len(directions))
    whole[lo:hi] = project(rows[lo:hi].contiguous(), directions)
    return ranks.joined(whole)


def spaced(targets: Targets, phase: float) -> Tensor:
    """Which at most SAMPLE rows, evenly spaced, of no more than SAMPLE_VALUES numbers."""
    count = min(SAMPLE, max(64, SAMPLE_VALUES // targets.shape[1]))
    return torch.from_numpy(spaced_indices(len(targets), count, phase))


def spaced_indices(total: int, count: int, phase: float) -> np.ndarray:
    take = min(count, total)
    index = ((np.arange(take) + phase) * (total / take)).astype(np.int64)
    return np.minimum(index, total - 1)


def residual_shares(targets: Targets, axes: Tensor, ranks: Ranks) -> dict[int, float]:
    """Shares of the squared lengths of spaced rows outside the first axes; each rank asks for its rows alone."""
    index = spaced(targets, 0.5)
    lo, hi = ranks.rows(len(index))
    rows = targets[index[lo:hi]]
    # along the axes, and the square of all
    lengths = torch.empty(len(index), len(axes) + 1, dtype=torch.float64)
    lengths[lo:hi, :-1], lengths[lo:hi, -1] = project(rows, axes), torch.from_numpy(squares(rows))
    inside = np.square(ranks.joined(lengths).numpy()[:, :-1]).sum(axis=0).cumsum()
    if (total := float(lengths[:, -1].numpy().sum())) == 0:
        return {0: 1.0}
    shares = {r: float(max(0.0, 1 - inside[r - 1] / total)) for r in COUNTS if r <= len(inside)}
    return {0: 1.0, **shares}
