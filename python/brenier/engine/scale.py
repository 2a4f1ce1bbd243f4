"""Powers of two that keep float32 products of huge and tiny targets away from overflow and underflow."""

from __future__ import annotations

import math

from torch import Tensor

MODERATE = 2.0**48  # squares of such numbers, and sums of millions of them, stay inside float32


def moderate(values: Tensor, most: float = MODERATE) -> tuple[Tensor, float]:
    """Values in float32, times a power of two, and that power: 1 where the largest is between 1/most and most.

    Otherwise the largest comes to between ½ and 1; zeros stay as they are.
    """
    largest = max(abs(float(end)) for end in values.aminmax()) if values.numel() else 0.0
    if largest == 0 or not math.isfinite(largest) or 1 / most <= largest <= most:
        return values.float(), 1.0
    exponent = -math.frexp(largest)[1]
    first = exponent // 2  # 2^exponent alone may leave float64
    scaled = values.double() * 2.0**first * 2.0 ** (exponent - first)
    return scaled.float(), 2.0**exponent if exponent < 1024 else math.inf
