"""Steps for targets whose scores stand apart: averaged steps on soft counts, measured preconditioner.

Samples are great circles through pairs of draws (engine/circles.py); N counts draws, each worth γ = CIRCLE_GAIN.

ε   = max(0.35, 1.2 (γN/n)^{-1/4}) · median τ             temperature
g   = 2 w(ε/√2) − w(ε) − ν                                soft counts, bias of first order removed
D   = running mean of Σ p(1 − p)/ε                        diagonal of the Hessian
h  ← h − clip(η_t g / D, ±τ),   η_t = 0.7 / √(1 + t/4)
h̄  ← polynomial average of h from γN = 1.5n on            (design card, fact 4)
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch

from brenier.engine.circles import circle_counts, circle_points, circle_wins
from brenier.engine.ranks import Ranks
from brenier.solve.batch import GAP_CIRCLES, circle_chunks, mean_gap
from brenier.solve.control import Regression
from brenier.solve.crowded import CROWDED_STEPS
from brenier.solve.fixed_order import dot
from brenier.solve.problem import Problem
from brenier.solve.sampling import CIRCLE_GAIN, FullSampler, SubspaceSampler
from brenier.solve.start import Start
from brenier.solve.state import State, Tally, polynomial_average
from brenier.types import CIRCLE_POINTS, FIXED_POINT_ONE

FIRST_TEMPERATURE, LAST_TEMPERATURE = 1.2, 0.35  # in units of the median τ
MARGIN = 1.0  # candidates within ε of the best at a point; wider lists cost time and hardly lower χ²
STEP, STEP_DECAY = 0.7, 4.0
AVERAGE_FROM = 1.5  # independent samples per target
AVERAGE_POWER = 0.5
LONGEST_MEMORY = 20.0  # independent samples per target that the curvature remembers
CURVATURE_FLOOR = 0.3
MONITOR_EVERY = 4  # steps between two looks at the average


def temperature(
    samples: int, targets: int, scale: float, gain: float = CIRCLE_GAIN, last: float = LAST_TEMPERATURE
) -> float:
    """ε for the step after that many samples, each worth ``gain`` independent ones."""
    shrink = max(gain * samples / targets, 1.0) ** -0.25
    return max(last, FIRST_TEMPERATURE * shrink) * scale


def spread_step(
    problem: Problem, start: Start, state: State, sampler: FullSampler | SubspaceSampler, batch: int
) -> State:
    """One batch, one step."""
    n, epsilon = problem.size, temperature(state.samples, problem.size, float(np.median(start.temperature)))
    found = collect(state, sampler, batch, epsilon, n)
    weight, sharp, square = (part / (FIXED_POINT_ONE * CIRCLE_POINTS * (batch // 2)) for part in found.sums)
    wanted, control = controlled(problem, state, sampler, 2 * sharp - weight)
    measured = Measured(weight, sharp, square, wanted)
    after = descended(state, measured, problem.masses, start.temperature, epsilon, batch, CIRCLE_GAIN)
    return after.updated(
        monitor=state.monitor.add(found.tally, problem.masses, batch, after.samples),
        gap=found.gap,
        epsilon=epsilon,
        control=control,
    )


def controlled(
    problem: Problem, state: State, sampler: FullSampler | SubspaceSampler, found: np.ndarray
) -> tuple[np.ndarray, Regression]:
    """The masses that this step's draws should show, and what they teach about the next ones'."""
    variates = sampler.variates(problem.norms)
    if variates is None:
        return problem.masses, state.control
    wanted = problem.masses * (1 + state.control.predicted(variates))
    return wanted, state.control.learned(variates, problem.masses, found)


@dataclass(frozen=True)
class Measured:
    """Soft counts as shares of a step's draws, (n,) each."""

    weight: np.ndarray  # Σ p at ε
    sharp: np.ndarray  # Σ p at ε/√2
    square: np.ndarray  # Σ p² at ε
    wanted: np.ndarray  # the share that the target should have of these draws


def descended(
    state: State,
    measured: Measured,
    masses: np.ndarray,
    temperature: np.ndarray,
    epsilon: float | np.ndarray,
    batch: int,
    gain: float,
) -> State:
    """The state after a step on so many draws, each worth ``gain`` independent ones; temperature is τ, (n,)."""
    n, step, samples = len(masses), state.step + 1, state.samples + batch
    spread = (measured.weight - measured.square) / epsilon
    curvature, memory = updated_curvature(state, spread, gain * batch / n)
    floor = CURVATURE_FLOOR * masses / (0.5 * temperature)
    change = (
        STEP / math.sqrt(1 + step / STEP_DECAY) * (2 * measured.sharp - measured.weight - measured.wanted)
    )
    change = np.clip(change / np.maximum(curvature, floor), -temperature, temperature)
    heights = state.heights - change
    heights = heights - dot(masses, heights)
    averaged = state.averaged + 1 if gain * samples >= AVERAGE_FROM * n else 0
    average = polynomial_average(state.average, heights, averaged, AVERAGE_POWER) if averaged else heights
    return state.updated(
        heights=heights,
        average=average,
        curvature=curvature,
        curvature_weight=memory,
        step=step,
        samples=samples,
        averaged=averaged,
    )


@dataclass
class Found:
    """What the circles of a step say."""

    sums: list[np.ndarray]  # fixed-point soft counts at ε and ε/√2, and Σp²
    tally: Tally  # of the averaged potential, in steps that judge it
    gap: float


def collect(
    state: State, sampler: FullSampler | SubspaceSampler, batch: int, epsilon: float, targets: int
) -> Found:
    heights, average = torch.from_numpy(state.heights), torch.from_numpy(state.average)
    nothing = np.zeros(targets, dtype=np.int64)
    found = Found([nothing.copy() for _ in range(3)], Tally(nothing, nothing, 0, 0), state.gap)
    chunks = sampler.place.ahead(circle_chunks(sampler, state, batch, MARGIN * epsilon))
    for first, circles in enumerate(chunks):
        counts = circle_counts(circles, heights, epsilon)
        for total, one in zip(found.sums, (counts.weight, counts.weight_sharp, counts.square), strict=True):
            total += one.numpy()
        if judges(state.step):
            found.tally = found.tally.plus(*circle_wins(circles, average), circles.circles)
        if first == 0 and state.step < CROWDED_STEPS.stop:
            found.gap = mean_gap(
                circle_points(circles.head(GAP_CIRCLES), heights), MARGIN * epsilon, state.gap
            )
    return pooled(found, sampler.ranks, state.step)


def judges(step: int) -> bool:
    """Whether that step's circles are a look at the average."""
    return step % MONITOR_EVERY == 0


def pooled(found: Found, ranks: Ranks, step: int) -> Found:
    """What the circles of all ranks say: integers summed, the gap that rank 0 has measured."""
    if ranks.world == 1:
        return found
    tally, own = found.tally, found.sums
    if judges(step):
        own = [*own, tally.wins, tally.squares, np.array([tally.groups, tally.draws])]
    total = ranks.total(torch.from_numpy(np.concatenate(own))).numpy()
    sums = np.split(total, np.cumsum([len(part) for part in own[:-1]]))
    if judges(step):
        *sums, wins, squares, (groups, draws) = sums
        tally = Tally(wins, squares, int(groups), int(draws))
    gap = ranks.first(found.gap) if step < CROWDED_STEPS.stop else found.gap
    return Found(sums, tally, gap)


def updated_curvature(state: State, measured: np.ndarray, batches: float) -> tuple[np.ndarray, float]:
    """Running mean of the Hessian's diagonal, and the memory it now has."""
    share = min(0.2, batches / (state.curvature_weight + batches))
    memory = min(state.curvature_weight + batches, LONGEST_MEMORY)
    return (1 - share) * state.curvature + share * measured, memory
