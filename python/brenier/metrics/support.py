"""Precision and recall, density and coverage: how many samples look real, and how much of the real data they cover."""

from __future__ import annotations

import math
from dataclasses import dataclass

from brenier.errors import InputError
from brenier.metrics.distances import (
    as_features,
    count_in_balls,
    nearest_distances,
    same_width,
    within_any_ball,
)
from brenier.types import Array


@dataclass(frozen=True)
class PrecisionRecall:
    """Both in [0, 1]."""

    precision: float
    recall: float


def precision_recall(real: Array, fake: Array, k: int = 3) -> PrecisionRecall:
    """Improved precision and recall (Kynkäänniemi et al. 2019, eq. 1 and 2).

    Precision is the share of fake rows inside a ball around some real row that reaches its k-th nearest real
    neighbour; recall is the share of real rows inside such balls around fake rows. Balls are closed.

    real, fake : features (N, d) and (N', d), at least k + 1 rows each
    k : neighbours; 3 is the paper's

    Distances are computed in blocks. Raises InputError.
    """
    check_neighbours(k)
    first, second = as_features(real, "real", least=k + 1), as_features(fake, "fake", least=k + 1)
    same_width(first, second, "real and fake")
    # the nearest row is the row itself, at distance 0
    real_radii, fake_radii = (nearest_distances(rows, rows, k + 1)[:, k] for rows in (first, second))
    return PrecisionRecall(
        float(within_any_ball(second, first, real_radii).double().mean()),
        float(within_any_ball(first, second, fake_radii).double().mean()),
    )


@dataclass(frozen=True)
class DensityCoverage:
    """density ≥ 0, about 1 for samples like the data, above 1 where they crowd; coverage in [0, 1]."""

    density: float
    coverage: float
    expected_coverage: float  # of as many samples from the data's own distribution


def density_coverage(real: Array, fake: Array, k: int = 5) -> DensityCoverage:
    """Density and coverage (Naeem et al. 2020, eq. 3 and 4), which one outlier cannot inflate.

    Around each real row i lies a closed ball B_i that reaches its k-th nearest real neighbour:
    density = Σ_j Σ_i 1[y_j ∈ B_i]/(k·N'), coverage = the share of real rows whose ball holds some y_j.
    Two samples of one distribution have, in mean, density 1 and coverage 1 − Π_{m=1..k} (N−m)/(N+N'−m) (lemma 2).

    real, fake : x, features (N, d) with at least k + 1 rows, and y, (N', d)
    k : neighbours; 5 is the paper's

    Distances are computed in blocks. Raises InputError.
    """
    check_neighbours(k)
    first, second = as_features(real, "real", least=k + 1), as_features(fake, "fake")
    same_width(first, second, "real and fake")
    held = count_in_balls(second, first, nearest_distances(first, first, k + 1)[:, k])
    missed = math.prod((len(first) - 1 - m) / (len(first) + len(second) - 1 - m) for m in range(k))
    return DensityCoverage(
        float(held.sum()) / (k * len(second)), float((held > 0).double().mean()), 1 - missed
    )


def check_neighbours(k: int) -> None:
    if not (isinstance(k, int) and not isinstance(k, bool) and k >= 1):
        raise InputError("k", expected="an integer ≥ 1", got=repr(k))
