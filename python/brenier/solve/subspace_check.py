"""The independent check of a fit in subspaces: fresh ones of its own, exactly normal, and pairs across them only.

Samples of one subspace are correlated, samples of different subspaces are not. So with counts c_s of N_s samples
in subspace s

    χ² = Σ_{s≠s'} Σ_i c_si c_s'i / ν_i / Σ_{s≠s'} N_s N_s' − 1

is unbiased for Σ_i (w_i − ν_i)²/ν_i. Its standard error comes from the spread of the pairs, and is never below that of
as many independent samples. Every sample is N(0, I_d), and costs m operations a target instead of d.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from brenier.engine import assign
from brenier.solve.check import Check, chi_square_stderr, full_check_samples, hopeless
from brenier.solve.fixed_order import dot
from brenier.solve.sampling import SUBSPACE_SIZES, SubspaceSampler, correlation

FEWEST, MOST = 16, 64  # subspaces
FEWEST_FOR_STDERR = 4  # of three subspaces, pairs and row means say the same
FIRST_ROUND = 8  # subspaces that may refute, never prove
MOST_INFLATION = 0.5  # excess variance of a subspace's counts, by the model of solve/sampling.py
RESERVE = 1.25  # samples more than independent ones would need
ROWS_PER_CALL = 4096


def chi_square_across(counts: np.ndarray, masses: np.ndarray) -> tuple[float, float]:
    """Unbiased χ² from counts (S, n) of S ≥ 4 subspaces, and its standard error."""
    groups = len(counts)
    if groups < FEWEST_FOR_STDERR:
        return math.nan, math.inf
    sizes = counts.sum(axis=1).astype(np.float64)
    products, pairs = cross_products(counts, masses), np.outer(sizes, sizes)
    off = apart(groups)
    error = float(products[off].sum() / pairs[off].sum() - 1)
    spread = pair_stderr(products / pairs - 1)
    return error, max(spread, chi_square_stderr(max(error, 0.0), float(sizes.sum()), len(masses)))


def apart(groups: int) -> np.ndarray:
    """Pairs of different subspaces, (S, S)."""
    return ~np.eye(groups, dtype=bool)


def cross_products(counts: np.ndarray, masses: np.ndarray) -> np.ndarray:
    """Σ_i c_si c_ti / ν_i for s ≠ t, 0 on the diagonal, (S, S); a float64 copy of all counts would break the plan."""
    products = np.zeros((len(counts), len(counts)))
    for s, row in enumerate(counts):
        scaled = row / masses
        products[s, s + 1 :] = [dot(scaled, other) for other in counts[s + 1 :]]
    return products + products.T


def pair_stderr(kernel: np.ndarray) -> float:
    """Standard error of the mean over pairs s ≠ t of K_st = θ + g_s + g_t + e_st, from spreads of K and its row means.

        E (K − U)² = 2γ + ε − V,   E Var_s R_s = (S − 2)/(S − 1)² ((S − 2) γ + ε),   V = 4γ/S + 2ε/(S (S − 1))

    γ = Var g, ε = Var e ≥ 0, U the mean, R_s that of row s (Hoeffding 1948; the jackknife would count ε twice).
    """
    groups, off = len(kernel), apart(len(kernel))
    deviation = np.where(off, kernel - kernel[off].mean(), 0.0)
    whole = float((deviation**2).sum()) / (groups * (groups - 1))
    rows = deviation.sum(axis=1) / (groups - 1)
    between = float((rows**2).sum()) / (groups - 1)
    first = (2 - 4 / groups, 1 - 2 / (groups * (groups - 1)))
    second = ((groups - 2) ** 2 / (groups - 1) ** 2, (groups - 2) / (groups - 1) ** 2)
    determinant = first[0] * second[1] - first[1] * second[0]
    common = max(0.0, (whole * second[1] - first[1] * between) / determinant)
    own = max(0.0, (whole - first[0] * common) / first[1])
    return math.sqrt(4 * common / groups + 2 * own / (groups * (groups - 1)))


@dataclass(frozen=True)
class CheckPlan:
    """Fresh subspaces, their dimension, and the samples in each."""

    groups: int
    subspace: int
    samples: int


def plan_check(targets: int, tol: float, residual: float, widest: int) -> CheckPlan:
    """The plan of a full check that projects on the fewest directions, of two with as many the one of fewer groups."""
    samples = RESERVE * full_check_samples(targets, tol)
    plans = []
    for m in SUBSPACE_SIZES:
        if m <= widest:
            excess = residual**1.4 * correlation(targets) * samples / (targets * m)
            groups = min(max(FEWEST, math.ceil(excess / MOST_INFLATION)), MOST)
            plans.append((groups * m, groups, m))
    _, groups, subspace = min(plans)
    return CheckPlan(groups, subspace, math.ceil(samples / groups))


def subspace_check(
    sampler: SubspaceSampler,
    heights: np.ndarray,
    masses: np.ndarray,
    *,
    tol: float,
    residual: float,
    number: int,
    at_samples: int = 0,
) -> Check:
    """χ² of the potential on exactly normal subspaces that nothing else uses, in doubling rounds until decided.

    ``sampler`` is that of the steps; ``number`` counts the checks of a fit from 0: each has subspaces of its own, also
    after one that was refuted early. As in independent_check, early rounds may only refute.
    """
    plan = plan_check(len(masses), tol, residual, sampler.widest)
    sampler, total, rows = sampler.for_checks(plan.subspace), plan.groups, plan.samples
    start = number * total
    counts = np.zeros((total, len(masses)), dtype=np.int32)
    done, goal = 0, min(FIRST_ROUND, total)
    while True:
        count_wins(sampler, heights, start + done, counts[done:goal], rows)
        check = Check(rows * goal, *chi_square_across(counts[:goal], masses), at_samples)
        if goal >= total or hopeless(check, tol):
            return check
        done, goal = goal, min(total, 2 * goal)


def count_wins(
    sampler: SubspaceSampler, heights: np.ndarray, first: int, counts: np.ndarray, rows: int
) -> None:
    """Wins in the subspaces from number ``first`` on, into counts (S, n); ranks deal out those of a pass."""
    for lo, hi in passes(first, first + len(counts), sampler.ahead):
        sampler.pass_for(lo)
        found = counts[lo - first : hi - first]
        for k in range(*sampler.ranks.rows(len(found))):
            found[k] = wins_of(sampler, heights, lo + k, rows)
        sampler.ranks.joined(torch.from_numpy(found))


def passes(first: int, end: int, ahead: int) -> Iterator[tuple[int, int]]:
    """Ranges of first to end − 1 that lie in one pass, which serves ``ahead`` subspaces."""
    while first < end:
        upto = min(end, first - first % ahead + ahead)
        yield first, upto
        first = upto


def wins_of(sampler: SubspaceSampler, heights: np.ndarray, subspace: int, rows: int) -> np.ndarray:
    """Wins of each target among the samples of one numbered subspace, (n,)."""
    sampler.begin(subspace)
    h = torch.from_numpy(heights).to(sampler.place.device)
    counts = torch.zeros(len(heights), dtype=torch.int64, device=h.device)
    for at in range(0, rows, ROWS_PER_CALL):
        draw = sampler.draw(subspace * rows + at, min(ROWS_PER_CALL, rows - at))
        assign(draw.noise, draw.targets, h, counts=counts)
    return counts.cpu().numpy()
