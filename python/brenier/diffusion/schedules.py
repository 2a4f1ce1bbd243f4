"""Noise levels of a sampler, from the largest to zero."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor

from brenier.errors import InputError


def edm_sigmas(steps: int, sigma_min: float = 0.002, sigma_max: float = 80.0, rho: float = 7.0) -> Tensor:
    """The noise levels of EDM, decreasing, with a last level of 0.

    σ_i = (σ_max^{1/ρ} + i/(n−1)·(σ_min^{1/ρ} − σ_max^{1/ρ}))^ρ for i < n, and σ_n = 0
    (Karras et al. 2022, eq. 5).

    steps : n ≥ 1; one step goes from σ_max to 0 at once
    sigma_min, sigma_max : 0 < σ_min ≤ σ_max, in units of the data
    rho : ρ > 0; 7 is EDM's, large values approach a geometric grid (AOT reports ρ = 90 with 14 steps)

    Returns float64 (steps + 1,). Raises InputError.
    """
    if not (isinstance(steps, int) and steps >= 1):
        raise InputError("steps", expected="an integer ≥ 1", got=repr(steps))
    if not (0 < sigma_min <= sigma_max < math.inf):
        raise InputError("sigmas", expected="0 < sigma_min ≤ sigma_max", got=f"{sigma_min} and {sigma_max}")
    if not 0 < rho < math.inf:
        raise InputError("rho", expected="a finite number > 0", got=repr(rho))
    ramp = torch.arange(steps, dtype=torch.float64) / max(1, steps - 1)
    try:
        high, low = sigma_max ** (1 / rho), sigma_min ** (1 / rho)
    except OverflowError:
        high = low = math.inf
    levels = (high + ramp * (low - high)) ** rho
    if not levels.isfinite().all():
        raise InputError("rho", expected="large enough for σ^(1/ρ) to be a number", got=repr(rho))
    levels[-1] = sigma_min  # both exactly, so that start levels can be compared
    levels[0] = sigma_max
    return torch.cat([levels, levels.new_zeros(1)])


def check_sigmas(sigmas: Tensor) -> list[float]:
    """The levels as floats; raises InputError unless they are finite, ≥ 0 and strictly decreasing."""
    levels = [float(level) for level in torch.as_tensor(sigmas, dtype=torch.float64).reshape(-1)]
    if len(levels) < 2:
        raise InputError("sigmas", expected="at least two levels", got=f"{len(levels)}")
    falls = all(high > low for high, low in pairwise(levels))
    if not (falls and math.isfinite(levels[0]) and levels[-1] >= 0):
        raise InputError(
            "sigmas",
            expected="finite levels ≥ 0, strictly decreasing",
            got=", ".join(f"{level:g}" for level in levels[:8]),
            remedy="build them with edm_sigmas",
        )
    return levels
