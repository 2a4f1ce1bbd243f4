"""Steps for targets whose scores stand apart: averaged steps on soft counts, measured preconditioner.

ε   = max(0.35, 1.2 (N/n)^{-1/4}) · median τ              temperature
g   = 2 w(ε/√2) − w(ε) − ν                                soft counts, bias of first order removed
D   = running mean of Σ p(1 − p)/ε                        diagonal of the Hessian
h  ← h − clip(η_t g / D, ±τ),   η_t = 0.5 / √(1 + t/4)
h̄  ← polynomial average of h from N = 4n on               (design card, fact 4)
"""

from __future__ import annotations

import math

import numpy as np
import torch

from brenier.engine.soft import soft_counts
from brenier.solve.batch import chunks, mean_gap
from brenier.solve.fixed_order import dot
from brenier.solve.problem import Problem
from brenier.solve.sampling import FullSampler, SubspaceSampler
from brenier.solve.start import Start
from brenier.solve.state import State, polynomial_average
from brenier.types import FIXED_POINT_ONE, Candidates

FIRST_TEMPERATURE, LAST_TEMPERATURE = 1.2, 0.35  # in units of the median τ
MARGIN = 2.5  # candidates within 2.5ε of the best; wider lists cost time and change χ² by less than its noise
STEP, STEP_DECAY = 0.5, 4.0
AVERAGE_FROM = 4.0  # samples per target
AVERAGE_POWER = 0.5
LONGEST_MEMORY = 20.0  # samples per target that the curvature remembers
CURVATURE_FLOOR = 0.3
MONITOR_EVERY = 4  # steps: judging the average costs as much as its soft counts


def temperature(samples: int, targets: int, scale: float) -> float:
    """ε for the step after that many samples."""
    shrink = max(samples / targets, 1.0) ** -0.25
    return max(LAST_TEMPERATURE, FIRST_TEMPERATURE * shrink) * scale


def spread_step(
    problem: Problem, start: Start, state: State, sampler: FullSampler | SubspaceSampler, batch: int
) -> State:
    """One batch, one step."""
    n, epsilon = problem.size, temperature(state.samples, problem.size, float(np.median(start.temperature)))
    sums, winners, gap = collect(state, sampler, batch, epsilon, n)
    weight, sharp, square = (part / (FIXED_POINT_ONE * batch) for part in sums)
    curvature, memory = updated_curvature(state, (weight - square) / epsilon, batch / n)
    floor = CURVATURE_FLOOR * problem.masses / (0.5 * start.temperature)
    step = state.step + 1
    change = STEP / math.sqrt(1 + step / STEP_DECAY) * (2 * sharp - weight - problem.masses)
    change = np.clip(change / np.maximum(curvature, floor), -start.temperature, start.temperature)
    heights = state.heights - change
    heights = heights - dot(problem.masses, heights)
    samples = state.samples + batch
    averaged = state.averaged + 1 if samples >= AVERAGE_FROM * n else 0
    average = polynomial_average(state.average, heights, averaged, AVERAGE_POWER) if averaged else heights
    return state.updated(
        heights=heights,
        average=average,
        curvature=curvature,
        curvature_weight=memory,
        monitor=state.monitor.add(winners, problem.masses, samples),
        step=step,
        samples=samples,
        averaged=averaged,
        gap=gap,
        epsilon=epsilon,
    )


def collect(
    state: State, sampler: FullSampler | SubspaceSampler, batch: int, epsilon: float, targets: int
) -> tuple[list[np.ndarray], np.ndarray, float]:
    """Fixed-point soft counts at ε and ε/√2, Σp², wins of the averaged potential (or none), the mean gap."""
    sums = [np.zeros(targets, dtype=np.int64) for _ in range(3)]
    winners = np.zeros(targets, dtype=np.int64)
    towards_average = torch.from_numpy(state.average - state.heights)
    first: Candidates | None = None
    for part in chunks(sampler, state, batch, MARGIN * epsilon):
        first = first or part
        counts = soft_counts(part, targets, epsilon)
        for total, one in zip(sums, (counts.weight, counts.weight_sharp, counts.square), strict=True):
            total += one.numpy()
        if state.step % MONITOR_EVERY == 0:
            winners += soft_counts(part, targets, epsilon, towards_average).winners.numpy()
    assert first is not None
    return sums, winners, mean_gap(first, MARGIN * epsilon, state.gap)


def updated_curvature(state: State, measured: np.ndarray, batches: float) -> tuple[np.ndarray, float]:
    """Running mean of the Hessian's diagonal, and the memory it now has."""
    share = min(0.2, batches / (state.curvature_weight + batches))
    memory = min(state.curvature_weight + batches, LONGEST_MEMORY)
    return (1 - share) * state.curvature + share * measured, memory
