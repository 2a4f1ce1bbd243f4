"""Everything that changes while a potential is fitted, in one frozen record."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from torch import Tensor

from brenier.solve.check import chi_square_stderr
from brenier.solve.control import Regression

YOUNG_SHARE = (
    0.25  # of all samples: when the young half of the monitor holds that many, it becomes the old half
)


@dataclass(frozen=True)
class Tally:
    """Wins of a step's samples, which fall into independent groups: rows of noise, or great circles."""

    wins: np.ndarray  # (n,) rows or points won
    squares: np.ndarray  # (n,) Σ over groups of the square of the group's wins
    groups: int
    draws: int  # noise vectors drawn: one for a row, two for a circle

    def plus(self, wins: Tensor, squares: Tensor, circles: int) -> Tally:
        """The tally with more circles."""
        total, pairs = self.wins + wins.numpy(), self.squares + squares.numpy()
        return Tally(total, pairs, self.groups + circles, self.draws + 2 * circles)


@dataclass(frozen=True)
class Monitor:
    """χ² of the averaged potential in recent steps, from the fitting samples, in an old and a young half.

    The potential that a step's samples judge was made before them, so each step estimates χ² without bias
    from pairs inside it (pairs across steps would not: the potential reacts to earlier counts):
        χ² = Σ_s Σ_i c_{s,i} (c_{s,i} − 1) / ν_i / Σ_s N_s (N_s − 1) − 1
    Points of one great circle are not independent: pairs of them are left out in the same way. Samples that
    share a subspace are correlated, which raises the figure. It informs; it never ends a fit.
    """

    wins: tuple[float, float] = (0.0, 0.0)  # Σ_s Σ_i c (c − 1) / ν of the old and the young half
    pairs: tuple[float, float] = (0.0, 0.0)  # Σ_s N (N − 1)
    samples: tuple[int, int] = (0, 0)

    def add(self, tally: Tally, masses: np.ndarray, drawn: int, used: int) -> Monitor:
        """The monitor with one more step of so many draws, judged or not, of those used so far.

        The old half is dropped when the young one is long enough.
        """
        points = float(tally.wins.sum()) or 1.0
        across = float(((tally.wins.astype(np.float64) ** 2 - tally.squares) / masses).sum())
        wins = self.wins[1] + (tally.draws / points) ** 2 * across
        pairs = self.pairs[1] + tally.draws**2 * (1 - 1 / max(tally.groups, 1))
        samples = self.samples[1] + drawn
        if pairs == 0 or samples < YOUNG_SHARE * used:
            return Monitor((self.wins[0], wins), (self.pairs[0], pairs), (self.samples[0], samples))
        return Monitor((wins, 0.0), (pairs, 0.0), (samples, 0))

    def error(self, targets: int) -> tuple[float, float]:
        """χ² and its standard error; nan before the first step."""
        pairs = sum(self.pairs)
        if pairs == 0:
            return np.nan, np.inf
        error = sum(self.wins) / pairs - 1
        return error, chi_square_stderr(max(error, 0.0), pairs**0.5, targets)


@dataclass(frozen=True)
class State:
    """The solver's state after ``step`` steps."""

    heights: np.ndarray  # (n,) the running iterate
    average: np.ndarray  # (n,) the estimate that is returned
    curvature: np.ndarray  # (n,) running mean of Σ p(1 − p)/ε, the Hessian's diagonal
    monitor: Monitor = Monitor()
    curvature_weight: float = 4.0  # batches (in units of n samples) that the running mean remembers
    step: int = 0
    samples: int = 0
    averaged: int = 0
    gap: float = np.nan  # running mean of best minus runner-up score
    epsilon: float = np.nan  # temperature of the last step, in units of the score
    control: Regression = field(default_factory=Regression)
    crowded: bool = False
    level: int = 0  # crowded: steps at this temperature
    annealed: bool = False  # crowded: the temperature has reached the gap

    def updated(self, **changes: object) -> State:
        return replace(self, **changes)  # type: ignore[arg-type]


def polynomial_average(average: np.ndarray, value: np.ndarray, count: int, power: float) -> np.ndarray:
    """Weighted mean of iterates 1..count, iterate k weighing like k^power (Shamir and Zhang, 2013)."""
    share = (power + 1) / (count + power)
    return (1 - share) * average + share * value
