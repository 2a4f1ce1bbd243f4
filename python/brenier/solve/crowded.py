"""Steps for many targets in few dimensions, where neighbours' scores hardly differ.

There the Hessian is far from diagonal (on a line it is tridiagonal) and the gap between the best score and
the runner-up is far below τ. So the temperature is annealed from τ/2 down to the gap, with Newton steps:

    (H_ε + ridge) s = g        conjugate gradients, H_ε = (diag w − Σ p pᵀ)/ε on the candidate lists
    h ← h − clip(s, ±2ε)       at each temperature, then ε ← ε/2

and from the gap on averaged Newton steps while ε shrinks slowly with the step count.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from brenier.solve.batch import chunks, mean_gap
from brenier.solve.fixed_order import dot
from brenier.solve.problem import Problem
from brenier.solve.sampling import FullSampler, SubspaceSampler
from brenier.solve.start import Start
from brenier.solve.state import State, Tally, polynomial_average
from brenier.types import Candidates

CROWDED = 0.2  # gap below this share of τ: Newton; digits have 0.4, independent scores 1
CROWDED_STEPS = range(2, 17)  # after which a problem may be found crowded
ROWS = 4096
MARGIN = 4.0
FIRST_TEMPERATURE = 0.5
STEPS_PER_LEVEL = 2
RIDGE = 0.1
STEP, STEP_DECAY = 0.5, 4.0
AVERAGE_AFTER = 16
AVERAGE_POWER = 2.0
COOLING, COOLEST = 0.4, 0.1  # ε = gap·k^-0.4, not below 0.1 gap
MOST_ITERATIONS = 60
RESIDUAL = 1e-3


@dataclass(frozen=True)
class Lists:
    """Candidate lists of a whole batch, in numpy, with each entry's row."""

    offsets: np.ndarray
    indices: np.ndarray
    scores: np.ndarray
    row: np.ndarray

    @property
    def rows(self) -> int:
        return len(self.offsets) - 1


def joined(parts: list[Candidates]) -> Lists:
    lengths = np.concatenate([np.diff(part.offsets.numpy()) for part in parts])
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    return Lists(
        offsets,
        np.concatenate([part.indices.numpy() for part in parts]),
        np.concatenate([part.scores.numpy() for part in parts]),
        np.repeat(np.arange(len(lengths)), lengths),
    )


def probabilities(lists: Lists, epsilon: float) -> np.ndarray:
    """Softmax of each row's scores at temperature ε."""
    best = np.maximum.reduceat(lists.scores, lists.offsets[:-1])
    p = np.exp((lists.scores - best[lists.row]) / epsilon)
    return p / np.add.reduceat(p, lists.offsets[:-1])[lists.row]


def newton_direction(lists: Lists, gradient: np.ndarray, ridge: np.ndarray, epsilon: float) -> np.ndarray:
    """Solve (H_ε + diag ridge) s = gradient by conjugate gradients with a Jacobi preconditioner."""
    n, p = len(gradient), probabilities(lists, epsilon)
    weight = np.bincount(lists.indices, p, n) / lists.rows

    def product(v: np.ndarray) -> np.ndarray:
        mean = np.add.reduceat(p * v[lists.indices], lists.offsets[:-1])
        spread = np.bincount(lists.indices, p * mean[lists.row], n) / lists.rows
        return (weight * v - spread) / epsilon + ridge * v

    return conjugate_gradients(product, gradient, weight / epsilon + ridge)


def conjugate_gradients(
    product: Callable[[np.ndarray], np.ndarray], gradient: np.ndarray, diagonal: np.ndarray
) -> np.ndarray:
    """Solve product(s) = gradient, preconditioned by the diagonal, to RESIDUAL or MOST_ITERATIONS."""
    solution, residual = np.zeros_like(gradient), gradient.copy()
    z = residual / diagonal
    direction, rho = z.copy(), dot(residual, z)
    goal = RESIDUAL**2 * rho
    for _ in range(MOST_ITERATIONS):
        if rho <= goal:
            break
        image = product(direction)
        length = rho / dot(direction, image)
        solution += length * direction
        residual -= length * image
        z = residual / diagonal
        before, rho = rho, dot(residual, z)
        direction = z + rho / before * direction
    return solution


def crowded_step(
    problem: Problem, start: Start, state: State, sampler: FullSampler | SubspaceSampler
) -> State:
    """One batch, one Newton step, and the next temperature."""
    scale = float(np.median(start.temperature))
    epsilon = state.epsilon if state.level or state.annealed else FIRST_TEMPERATURE * scale
    lists, winners, gap = collect(problem, state, sampler, epsilon)
    n, rows = problem.size, lists.rows
    soft = np.bincount(lists.indices, probabilities(lists, epsilon), n) / rows
    sharp = np.bincount(lists.indices, probabilities(lists, epsilon / math.sqrt(2)), n) / rows
    gradient = 2 * sharp - soft - problem.masses
    direction = newton_direction(lists, gradient, RIDGE * problem.masses / epsilon, epsilon)
    move = np.clip(direction, -2 * epsilon, 2 * epsilon)
    samples = state.samples + rows
    common = {
        "step": state.step + 1,
        "samples": samples,
        "gap": gap,
        "monitor": state.monitor.add(Tally(winners, winners, rows, rows), problem.masses, rows, samples),
    }
    if state.annealed:
        return refine(problem, state, move, gap, epsilon).updated(**common)
    return anneal(problem, state, direction, move, gap, epsilon).updated(**common)


def collect(
    problem: Problem, state: State, sampler: FullSampler | SubspaceSampler, epsilon: float
) -> tuple[Lists, np.ndarray, float]:
    """Lists of a batch (fewer rows where they are long), wins of the averaged potential, the mean gap."""
    margin = MARGIN * max(epsilon, 0.0 if math.isnan(state.gap) else state.gap)
    parts = list(chunks(sampler, state, ROWS, margin, whole=True))
    lists = joined(parts)
    gap = mean_gap(parts[0], margin, state.gap)
    return lists, wins(lists, state.average - state.heights, problem.size), gap


def wins(lists: Lists, change: np.ndarray, targets: int) -> np.ndarray:
    """Hard counts of the potential h + change among the candidates, lowest index on ties."""
    scores = lists.scores + change[lists.indices]
    best = np.maximum.reduceat(scores, lists.offsets[:-1])
    entries = np.flatnonzero(scores == best[lists.row])
    _, first = np.unique(lists.row[entries], return_index=True)
    return np.bincount(lists.indices[entries[first]], minlength=targets)


def anneal(
    problem: Problem, state: State, direction: np.ndarray, move: np.ndarray, gap: float, epsilon: float
) -> State:
    """A full step; a lower temperature once the step is small against it, or after STEPS_PER_LEVEL."""
    heights = centred(problem, state.heights - move)
    small = math.sqrt(dot(problem.masses, direction**2)) < epsilon
    cooler = small or state.level + 1 > STEPS_PER_LEVEL
    epsilon = epsilon / 2 if cooler else epsilon
    return state.updated(
        heights=heights,
        average=heights,
        level=1 if cooler else state.level + 1,
        annealed=epsilon < gap,
        epsilon=epsilon,
    )


def refine(problem: Problem, state: State, move: np.ndarray, gap: float, epsilon: float) -> State:
    """A damped step, averaged after the first AVERAGE_AFTER."""
    count = state.averaged + 1
    heights = centred(problem, state.heights - STEP / math.sqrt(1 + count / STEP_DECAY) * move)
    late = count - AVERAGE_AFTER
    average = polynomial_average(state.average, heights, late, AVERAGE_POWER) if late > 0 else heights
    cooler = max(COOLEST * gap, min(epsilon, gap * count**-COOLING))
    return state.updated(heights=heights, average=average, averaged=count, epsilon=cooler)


def centred(problem: Problem, heights: np.ndarray) -> np.ndarray:
    return heights - dot(problem.masses, heights)
