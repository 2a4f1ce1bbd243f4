"""The kernel distance between two sets of features: a squared maximum mean discrepancy without bias."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from brenier.errors import InputError
from brenier.metrics.distances import ROWS, as_features, same_width
from brenier.types import Array


@dataclass(frozen=True)
class KernelDistance:
    """An unbiased estimate, so it can come out a little below 0, and its standard error."""

    value: float
    stderr: float
    real: int
    fake: int


def kernel_distance(
    real: Array, fake: Array, *, degree: int = 3, gamma: float | None = None, coef: float = 1.0
) -> KernelDistance:
    """MMD² = mean_{i≠j} k(x_i, x_j) + mean_{i≠j} k(y_i, y_j) − 2 mean_{ij} k(x_i, y_j), k = (γ⟨x, y⟩ + c)^p.

    Gretton et al. 2012, lemma 6, with the kernel of Bińkowski et al. 2018: γ = 1/d, c = 1, p = 3. It is KID only on
    Inception features. All rows are used at once instead of means over random subsets. The standard error is that of
    the first term of Hoeffding's expansion; where both sets have one distribution it is a little too large.

    real, fake : features (N, d) and (N', d), at least 2 rows each
    degree, gamma, coef : p ≥ 1, γ (None for 1/d) and c, as in torchmetrics

    Returns KernelDistance, in units of the kernel. Float64, in blocks of rows. Raises InputError.
    """
    if not (isinstance(degree, int) and degree >= 1):
        raise InputError("degree", expected="an integer ≥ 1", got=repr(degree))
    x, y = as_features(real, "real", least=2), as_features(fake, "fake", least=2)
    same_width(x, y, "real and fake")
    scale = 1 / x.shape[1] if gamma is None else gamma
    power = (scale, coef, degree)
    own, others = mean_without_self(x, power), mean_without_self(y, power)
    across, back = cross_means(x, y, power), cross_means(y, x, power)
    value = float(own.mean() + others.mean() - 2 * across.mean())
    # each row's share in the statistic varies as 2·(own mean − cross mean)
    spread = 4 * (own - across).var() / len(x) + 4 * (others - back).var() / len(y)
    return KernelDistance(value, float(spread.sqrt()), len(x), len(y))


def kernel_rows(x: Tensor, y: Tensor, power: tuple[float, float, int]) -> Iterator[tuple[int, Tensor]]:
    """Blocks of the kernel matrix of x (N, d) and y (n, d), with the number of their first row."""
    gamma, coef, degree = power
    for lo in range(0, len(x), ROWS):
        yield lo, (gamma * (x[lo : lo + ROWS] @ y.T) + coef) ** degree


def mean_without_self(x: Tensor, power: tuple[float, float, int]) -> Tensor:
    """For each row, the mean of its kernel with the other rows, (N,)."""
    sums = [block.sum(1) - block.diagonal(lo) for lo, block in kernel_rows(x, x, power)]
    return torch.cat(sums) / (len(x) - 1)


def cross_means(x: Tensor, y: Tensor, power: tuple[float, float, int]) -> Tensor:
    """For each row of x, the mean of its kernel with all rows of y, (N,)."""
    return torch.cat([block.mean(1) for _, block in kernel_rows(x, y, power)])
