"""Precision and recall: how many samples look real, and how much of the real data they cover."""

from __future__ import annotations

from dataclasses import dataclass

from brenier.errors import InputError
from brenier.metrics.distances import as_features, nearest_distances, same_width, within_any_ball
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
    if not (isinstance(k, int) and k >= 1):
        raise InputError("k", expected="an integer ≥ 1", got=repr(k))
    first, second = as_features(real, "real", least=k + 1), as_features(fake, "fake", least=k + 1)
    same_width(first, second, "real and fake")
    # the nearest row is the row itself, at distance 0
    real_radii, fake_radii = (nearest_distances(rows, rows, k + 1)[:, k] for rows in (first, second))
    return PrecisionRecall(
        float(within_any_ball(second, first, real_radii).double().mean()),
        float(within_any_ball(first, second, fake_radii).double().mean()),
    )
