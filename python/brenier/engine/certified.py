"""What an fp32 filter may discard: thresholds with a proved bound, and the float64 decision among survivors.

Notation: u = 2⁻²⁴, s the exact score ⟨x, y⟩ + h, f its fp32 value, m the roundings a product meets,
γ = m·u/(1 − m·u), X = ‖x_j‖ and Y = max‖y_i‖ after scaling by powers of two (exact unless it underflows).

    |f − s| ≤ A_j + c·|f|,     A_j = (γ + 2u)·X·Y + flush_j,     c = 3u

- the product: sums in any order are off by at most γ·Σ|x_k y_k| ≤ γ·X·Y (Higham, Accuracy and Stability of
  Numerical Algorithms, section 3.1, and Cauchy-Schwarz);
- the bias h: rounding it to fp32 costs u·|h| with |h| ≤ |f|(1 + u) + X·Y(1 + γ), adding it u·|f|;
- underflow: inputs, products and sums below 2⁻¹²⁶ may be flushed to zero, on hardware that does;
- the float64 score of the contract is off by γ₆₄·X·Y, millions of times less, inside the slack of 2u and 3u.

The bound grows with |f| only, so a height of −10⁹ widens nothing: s ± error is monotone in f.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

UNIT = 2.0**-24
RELATIVE = 3 * UNIT
FLUSH = 2.0**-126
LARGE = 2.0**100  # beyond it fp32 may overflow: then every target survives
BLOCK = 1 << 22


@dataclass(frozen=True)
class Bound:
    """How far an fp32 score of row j may be from its exact score: absolute[j] + RELATIVE·|fp32 score|."""

    absolute: Tensor  # (N,) float64

    def __getitem__(self, rows: Tensor) -> Bound:
        return Bound(self.absolute[rows])

    def proved_by(self, score: Tensor) -> Tensor:
        """The least exact score behind an fp32 score."""
        return score - self.absolute - RELATIVE * score.abs()

    def least(self, exact: Tensor) -> Tensor:
        """A value that every target of at least this exact score reaches in fp32."""
        reduced = exact - self.absolute
        return reduced - 2 * RELATIVE * reduced.abs()


def bound(x_norms: Tensor, y_norm: float, scales: tuple[float, float], depth: int, roundings: int) -> Bound:
    """The formula above for scaled row norms (N,), the largest scaled target norm and both scales."""
    if roundings * UNIT >= 0.5:
        return Bound(torch.full_like(x_norms, torch.inf))
    gamma = roundings * UNIT / (1 - roundings * UNIT)
    x_flush, y_flush = (FLUSH * max(1.0, scale) for scale in scales)
    inputs = math.sqrt(depth) * (y_norm * x_flush + x_norms * y_flush) + depth * x_flush * y_flush
    return Bound((gamma + 2 * UNIT) * x_norms * y_norm * (1 + UNIT) + 2 * inputs + FLUSH * (4 * depth + 4))


def thresholds(best: Tensor, limits: Bound, margin: float) -> tuple[Tensor, Tensor]:
    """From each row's best fp32 score, two fp32 thresholds (sure, roomy); -inf where the bound says nothing.

    Every target within the margin of the best exact score reaches `sure`. Whatever reaches `sure` in one
    computation reaches `roomy` in any other, so counting at `roomy` makes room for filling at `sure` even if
    two kernels round differently.
    """
    sure = _representable(limits.least(limits.proved_by(best.double()) - margin))
    roomy = _representable(limits.least(limits.proved_by(sure.double())))
    return sure, roomy


def _representable(value: Tensor) -> Tensor:
    """Rounded down to fp32; -inf unless finite and far from overflow."""
    rounded = torch.nextafter(value.float(), torch.tensor(-torch.inf, device=value.device))
    return torch.where(value.abs() <= LARGE, rounded, -torch.inf)


def row_norms(matrix: Tensor) -> Tensor:
    """‖row‖ in float64, in blocks so that no float64 copy of the matrix is made."""
    step = max(1, BLOCK // max(1, matrix.shape[1]))
    return torch.cat([block.double().norm(dim=1) for block in matrix.split(step)])


def power_of_two(norm: float) -> float:
    """A scale that brings this norm to between 1/2 and 1, as far as fp32 can hold the scale."""
    return 2.0 ** -max(-126, min(126, math.frexp(norm)[1]))


def fold_parts(best: Tensor, winner: Tensor) -> tuple[Tensor, Tensor]:
    """The best score of each row over its parts (N, splits), and the lowest index that has it."""
    top = best.amax(dim=1)
    last = torch.iinfo(torch.int64).max
    lowest = torch.where((best == top[:, None]) & (winner >= 0), winner, last).amin(dim=1)
    return top, torch.where(lowest == last, -1, lowest)


def fold_pairs(owner: Tensor, index: Tensor, score: Tensor, rows: int) -> tuple[Tensor, Tensor]:
    """Winner and score of each row among (owner, index, score) triples; -1 and -inf where none is finite."""
    best = torch.full((rows,), -torch.inf, dtype=torch.float64, device=score.device)
    best = best.scatter_reduce(0, owner, score, "amax")
    won = (score == best[owner]) & (score > -torch.inf)
    last = torch.iinfo(torch.int64).max
    winner = torch.full((rows,), last, dtype=torch.int64, device=score.device)
    winner = winner.scatter_reduce(0, owner[won], index[won], "amin")
    return torch.where(winner == last, -1, winner), best


def groups(totals: Tensor, most: int) -> Iterator[tuple[int, int]]:
    """Consecutive ranges of rows whose totals add up to at most `most`, one row at least."""
    ends = totals.cumsum(0).cpu()
    lo, taken = 0, 0
    while lo < len(ends):
        hi = max(lo + 1, int(torch.searchsorted(ends, taken + most, right=True)))
        yield lo, hi
        lo, taken = hi, int(ends[hi - 1])
