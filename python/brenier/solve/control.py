"""Control variates of subspace sampling: what the random lengths of projected targets do to a step's counts.

With y⊥ the part of a target outside the principal directions and f = ‖y⊥‖²/‖y‖², the share ℓ² = ‖A y⊥‖²/(m ‖y⊥‖²)
of its length that a subspace keeps is χ²_m/m. A target that came out long wins too often in that subspace, about
exp(a f (ℓ² − 1)) times, and that is nearly all that samples of one subspace have in common. The exponential is the
generating function of Laguerre polynomials, which under this law have mean 0 and are orthogonal (Szegő, section 5.1):

    φ_ik = f_i^k L_k^(m/2 − 1)(m ℓ_i²/2) / √C(k + m/2 − 1, k)      k = 1, 2, 3
    β_k  = Σ_i φ_ik (ŵ_i − ν_i) / Σ_i ν_i φ_ik²                    summed over the latest steps

ŵ_i − ν_i Σ_k β_k φ_ik then has the mean of ŵ_i exactly, for β comes from earlier steps alone, and nearly the variance
of independent samples (benchmarks/subspace_variance.py). Structured directions give L_1 its mean of 0 too; L_2 and
L_3 have it up to O(m/B).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from brenier.solve.fixed_order import dot

ORDERS = 3
MEMORY = 0.8  # of the sums, from step to step
LEAST_SHARE = 1e-6  # of a target's variance outside the principal directions: below, its length is rounding


@dataclass(frozen=True)
class Regression:
    """Sums of φ_k (ŵ − ν) and of ν φ_k² over steps, the latest weighing most."""

    along: tuple[float, ...] = (0.0,) * ORDERS
    square: tuple[float, ...] = (0.0,) * ORDERS

    @property
    def slopes(self) -> list[float]:
        """β; 0 before the first step."""
        return [a / s if s > 0 else 0.0 for a, s in zip(self.along, self.square, strict=True)]

    def predicted(self, variates: np.ndarray) -> np.ndarray:
        """Σ_k β_k φ_ik, (n,): the relative surplus that a step's counts are expected to show."""
        surplus = np.zeros(variates.shape[1])
        for slope, variate in zip(self.slopes, variates, strict=True):
            surplus += slope * variate
        return surplus

    def learned(self, variates: np.ndarray, masses: np.ndarray, found: np.ndarray) -> Regression:
        """The regression with one more step, whose estimate of the masses is ``found``, (n,)."""
        surplus = found - masses
        along = [dot(variate, surplus) for variate in variates]
        square = [dot(masses * variate, variate) for variate in variates]
        return Regression(faded(self.along, along), faded(self.square, square))


def faded(before: tuple[float, ...], new: list[float]) -> tuple[float, ...]:
    return tuple(MEMORY * b + n for b, n in zip(before, new, strict=True))


def length_variates(kept: np.ndarray, outside: np.ndarray, whole: np.ndarray, subspace: int) -> np.ndarray:
    """φ, (ORDERS, n) float64.

    kept : ‖A y⊥‖² in the subspace's coordinates; outside : ‖y⊥‖²; whole : ‖y‖², (n,) each; subspace : m
    """
    share = np.divide(outside, whole, out=np.zeros_like(whole), where=whole > 0)
    alive = share > LEAST_SHARE
    share = np.where(alive, np.minimum(share, 1.0), 0.0)
    ratio = np.divide(kept, outside, out=np.full_like(kept, subspace), where=alive)
    alpha = subspace / 2 - 1
    before, now = np.ones_like(ratio), alpha + 1 - ratio / 2
    variates = np.empty((ORDERS, len(ratio)))
    for k in range(1, ORDERS + 1):
        variates[k - 1] = now * share**k / math.sqrt(binomial(k + alpha, k))
        before, now = now, ((2 * k + 1 + alpha - ratio / 2) * now - (k + alpha) * before) / (k + 1)
    return variates


def binomial(top: float, bottom: int) -> float:
    """C(top, bottom) for a real top."""
    return math.prod((top - j) / (bottom - j) for j in range(bottom))
