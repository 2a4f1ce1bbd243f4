"""Words shared by all layers."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from torch import Tensor

Array = Tensor | np.ndarray

LANES = 32
"""Partial sums of the float64 score: lane l sums depth l, l+32, l+64, ..., then halves are added."""

FIXED_POINT_ONE = 1 << 40
"""1.0 in the 64-bit fixed point of soft counts: integer sums do not depend on their order."""


@dataclass(frozen=True)
class Candidates:
    """Per row of noise, the targets whose score is within a margin of the best, ascending by index.

    Row j owns ``indices[offsets[j]:offsets[j+1]]`` and the float64 ``scores`` beside them, h included.
    """

    offsets: Tensor  # (N+1,) int64
    indices: Tensor  # (total,) int64
    scores: Tensor  # (total,) float64

    @property
    def rows(self) -> int:
        return len(self.offsets) - 1

    def cpu(self) -> Candidates:
        """The same in the processor's memory."""
        return Candidates(self.offsets.cpu(), self.indices.cpu(), self.scores.cpu())


CIRCLE_POINTS = 16
"""Points of a great circle at which its two draws are looked at."""


def _half_circle() -> tuple[np.ndarray, np.ndarray]:
    """cos and sin of φ_k, k = 0..7, exact where they are 0 and 1 (the table of csrc/cpu/circle.hpp)."""
    eighth, quarter = math.cos(math.pi / 8), math.sqrt(0.5)
    across = math.sin(math.pi / 8)
    cosines = [1.0, eighth, quarter, across, 0.0, -across, -quarter, -eighth]
    sines = [0.0, across, quarter, eighth, 1.0, eighth, quarter, across]
    return np.array(cosines), np.array(sines)


COSINES, SINES = _half_circle()


@dataclass(frozen=True)
class CircleCandidates:
    """Per great circle, the targets within a margin of the best at one of its points, ascending by index.

    Circle c runs through the noises a and b: its points are a·cos φ_k + b·sin φ_k, φ_k = 2πk/16. It owns
    ``indices[offsets[c]:offsets[c+1]]`` and, beside them, the float64 products ⟨a, y_i⟩ and ⟨b, y_i⟩.
    """

    offsets: Tensor  # (C+1,) int64
    indices: Tensor  # (total,) int64
    products: Tensor  # (total, 2) float64, h not included

    @property
    def circles(self) -> int:
        return len(self.offsets) - 1

    def cpu(self) -> CircleCandidates:
        """The same in the processor's memory."""
        return CircleCandidates(self.offsets.cpu(), self.indices.cpu(), self.products.cpu())

    def head(self, count: int) -> CircleCandidates:
        """The first circles, at most that many."""
        offsets = self.offsets[: count + 1]
        return CircleCandidates(offsets, self.indices[: offsets[-1]], self.products[: offsets[-1]])
