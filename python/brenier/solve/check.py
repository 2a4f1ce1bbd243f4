"""How far a potential is from its optimum, measured on samples; the one place that says "converged".

    χ² = Σ_i c_i (c_i − 1) / ν_i / (N (N − 1)) − 1

from counts c of N independent samples is unbiased for Σ_i (w_i − ν_i)² / ν_i (design card, section 1);
√χ² is the root-mean-square relative error of the cell masses.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from brenier.data.noise import Stream, normal
from brenier.engine import PreparedTargets, assign
from brenier.engine.ranks import Ranks

CHECK_PRECISION = 0.1  # of the tolerance: the standard error a full check aims for
SMALLEST_ROUND = 2048
ROUND_SHARE = 4  # samples per target in the first round
ROWS_PER_CALL = 4096


@dataclass(frozen=True)
class Check:
    """One independent measurement: samples drawn for it, χ² and its standard error."""

    samples: int
    error: float
    error_stderr: float
    at_samples: int = 0  # fitting samples used when the check was made


def chi_square(counts: np.ndarray, masses: np.ndarray) -> tuple[float, float]:
    """Unbiased χ² of cell masses against the masses wanted, and its standard error.

    counts : (n,) wins of each target among N ≥ 2 independent samples; masses : (n,) > 0, sum 1.
    The standard error is that of the U-statistic: √(2n/N² (1 + 2χ²) + 4χ²(1 + 3√χ²)/N).
    """
    wins = counts.astype(np.float64)
    samples = float(counts.sum())
    if samples < 2:
        return math.nan, math.inf
    error = float((wins * (wins - 1) / masses).sum() / (samples * (samples - 1)) - 1)
    return error, chi_square_stderr(max(error, 0.0), samples, len(masses))


def chi_square_stderr(error: float, samples: float, targets: int) -> float:
    pairs = 2 * targets / samples**2 * (1 + 2 * error)
    drift = 4 * error * (1 + 3 * math.sqrt(error)) / samples
    return math.sqrt(pairs + drift)


def converged(check: Check | None, tol: float) -> bool:
    """Whether an independent check proves the tolerance: error + 2 standard errors ≤ tol."""
    return check is not None and check.error + 2 * check.error_stderr <= tol


def hopeless(check: Check, tol: float) -> bool:
    """Whether more samples for this check would be wasted: error − 2 standard errors > tol."""
    return check.error - 2 * check.error_stderr > tol


def full_check_samples(targets: int, tol: float) -> int:
    """Samples N for which the standard error at χ² = tol/2 is CHECK_PRECISION·tol."""
    wanted = (CHECK_PRECISION * tol) ** 2
    samples = math.sqrt(2 * targets * (1 + tol) / wanted)
    while chi_square_stderr(tol / 2, samples, targets) ** 2 > wanted:
        samples *= 1.2
    return max(SMALLEST_ROUND, math.ceil(samples))


def independent_check(
    targets: PreparedTargets,
    heights: np.ndarray,
    masses: np.ndarray,
    *,
    tol: float,
    seed: int,
    first: int,
    at_samples: int = 0,
    ranks: Ranks | None = None,
) -> Check:
    """χ² of the potential on fresh full-dimension samples, drawn in doubling rounds until decided.

    Early rounds may only refute the tolerance: a check that stopped as soon as it looked good would favour
    lucky counts. Success takes all samples, for which the standard error is CHECK_PRECISION·tol.
    ``first`` is the number of the first check sample: checks of one fit never share samples. Ranks share each
    round's samples.
    """
    peers, h = ranks or Ranks(), torch.from_numpy(heights).to(targets.device)

    def count(lo: int, hi: int) -> np.ndarray:
        """Wins of each target among samples lo to hi − 1 of this check."""
        wins, (mine, end) = torch.zeros(len(masses), dtype=torch.int64, device=h.device), peers.share(hi - lo)
        for at in range(first + lo + mine, first + lo + end, ROWS_PER_CALL):
            rows = min(ROWS_PER_CALL, first + lo + end - at)
            noise = normal(seed, at, rows, targets.shape[1], stream=Stream.CHECK)
            assign(noise.to(h.device), targets, h, counts=wins)
        return peers.total(wins.cpu()).numpy()

    return check_in_rounds(count, masses, tol, at_samples)


def check_in_rounds(
    count: Callable[[int, int], np.ndarray], masses: np.ndarray, tol: float, at_samples: int
) -> Check:
    """The check from wins (n,) of its independent samples lo to hi − 1, asked for in doubling rounds."""
    total = full_check_samples(len(masses), tol)
    counts, done = np.zeros(len(masses), dtype=np.int64), 0
    goal = min(max(SMALLEST_ROUND, ROUND_SHARE * len(masses)), total)
    while True:
        counts, done = counts + count(done, goal), goal
        check = Check(done, *chi_square(counts, masses), at_samples)
        if done >= total or hopeless(check, tol):
            return check
        goal = min(total, 2 * goal)
