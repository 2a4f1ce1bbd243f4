"""Words shared by all layers."""

from __future__ import annotations

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
