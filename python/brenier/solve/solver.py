"""The solver: a state, a step, and the loop that ends when an independent check says so."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from tqdm import tqdm

from brenier.data.interrupts import held, plain_interrupts
from brenier.engine.ranks import Ranks
from brenier.errors import RankLostError
from brenier.solve import checkpoint, conditional
from brenier.solve.check import Check, converged
from brenier.solve.checking import AIM, LATEST, current_check, first_check, own_check, shown_error
from brenier.solve.conditional import ConditionalSampler
from brenier.solve.crowded import CROWDED, CROWDED_STEPS, ROWS, crowded_step
from brenier.solve.memory import require_gpu_memory
from brenier.solve.placement import Placement
from brenier.solve.principal import Principal, principal_directions
from brenier.solve.problem import Problem
from brenier.solve.result import Record, Status
from brenier.solve.sampling import (
    LEAST_SAVING,
    SUBSPACE_SIZES,
    FullSampler,
    SamplingPlan,
    SubspaceSampler,
    choose_sampling,
    columns_of,
    widest_of,
)
from brenier.solve.spread import spread_step
from brenier.solve.start import Start, choose_start, extreme_value_start, temperatures, tries_gaussian
from brenier.solve.state import State
from brenier.solve.streamed import StreamedTargets, Targets, resident
from brenier.solve.subspace_check import plan_check

BATCH = 0.15  # draws per target and step
SMALLEST_BATCH = 768
LEAST_BUDGET = 4_000_000


@dataclass(frozen=True)
class Settings:
    """What the caller decides."""

    tol: float
    max_samples: int
    seed: int
    place: Placement
    progress: bool
    callback: Callable[[Record], None] | None
    checkpoint: Path | None = None


@dataclass
class Run:
    """A fit under way."""

    problem: Problem
    settings: Settings
    start: Start
    state: State
    ranks: Ranks = field(default_factory=Ranks)
    sampler: FullSampler | SubspaceSampler | ConditionalSampler | None = None  # made by warm_up
    plan: SamplingPlan = field(default_factory=lambda: SamplingPlan(0, 0, 0.0))
    history: list[Record] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)
    residual: float = 1.0  # share of the targets' variance that the subspaces hold
    seconds_before: float = 0.0
    next_check: int = 0
    next_checkpoint: float = 0.0
    began: float = field(default_factory=time.perf_counter)

    @property
    def seconds(self) -> float:
        return self.seconds_before + time.perf_counter() - self.began


def batch_size(targets: int) -> int:
    """Draws of a step; even, for they come in pairs."""
    return max(SMALLEST_BATCH, 2 * math.ceil(BATCH * targets / 2))


def default_max_samples(targets: int, tol: float) -> int:
    """Ten times what hard counts need at best (χ² = n/N), and enough for few targets."""
    return max(LEAST_BUDGET, math.ceil(10 * targets / tol))


def begin(problem: Problem, settings: Settings, ranks: Ranks | None = None) -> Run:
    """A run at the cheapest start, before anything that takes time."""
    start = Start(extreme_value_start(problem), temperatures(problem), "extreme value")
    return Run(problem, settings, start, first_state(problem, start), ranks or Ranks())


def warm_up(run: Run) -> None:
    """Choose start and sampling; a resumed run keeps its heights and needs only the sampling again."""
    problem, settings = run.problem, run.settings
    if isinstance(run.sampler, ConditionalSampler):
        warm_up_parts(run, run.sampler)
        return
    principal, run.plan, run.residual = plan_sampling(problem, run.ranks)
    targets, seed, place = problem.targets, settings.seed, settings.place
    require_gpu_memory(place, problem.size, widest_matrix(run))
    if run.state.step == 0:  # before the sampler, whose targets would be in memory beside these
        run.start = choose_start(problem, seed, place)
        run.state = first_state(problem, run.start)
    if run.plan.full:
        run.sampler = FullSampler(resident(targets), seed, place, run.ranks)
    else:
        ahead = steps_ahead(targets, run.plan, settings.tol)
        run.sampler = SubspaceSampler(targets, run.plan, principal, seed, place, ahead, run.ranks)
    if not run.checks:
        run.next_check = first_check(problem.size, run.plan, settings.tol)


def widest_matrix(run: Run) -> int:
    """The most coordinates of a target that meet noise at a time: those of a step, of a check, or all of them."""
    problem, plan = run.problem, run.plan
    if plan.full or tries_gaussian(problem):
        return problem.dimension
    check = plan_check(problem.size, run.settings.tol, run.residual, widest_of(problem.targets))
    return max(plan.width, check.subspace + plan.principal)


def warm_up_parts(run: Run, sampler: ConditionalSampler) -> None:
    """The start of a hierarchical fit, whose sampler is made before."""
    run.start = conditional.start(run.problem, sampler)
    if run.state.step == 0:
        run.state = first_state(run.problem, run.start)
    if not run.checks:
        run.next_check = math.ceil(conditional.FLOOR_REACHED * run.problem.size / (AIM * run.settings.tol))


def steps_ahead(targets: Targets, plan: SamplingPlan, tol: float) -> int:
    """Steps whose subspaces one pass serves: as many as fit; of streamed ones no more than a fit is likely to take."""
    fitting = columns_of(targets) // plan.subspace
    if not isinstance(targets, StreamedTargets):
        return fitting
    likely = LATEST * first_check(len(targets), plan, tol) / batch_size(len(targets))
    return max(1, min(fitting, math.ceil(likely)))


def plan_sampling(problem: Problem, ranks: Ranks) -> tuple[Principal | None, SamplingPlan, float]:
    """Principal axes, plan, and the share of variance outside them; axes only where a subspace may pay."""
    n, d = problem.size, problem.dimension
    widest = problem.targets.widest if isinstance(problem.targets, StreamedTargets) else None
    if d <= LEAST_SAVING * min(SUBSPACE_SIZES):
        alone = {} if widest is None else {0: 1.0}
        return None, choose_sampling(n, d, batch_size(n), alone, widest), 1.0
    principal = principal_directions(problem.targets, ranks)
    plan = choose_sampling(n, d, batch_size(n), principal.residuals, widest)
    return principal, plan, principal.residuals[plan.principal]


def first_state(problem: Problem, start: Start) -> State:
    curvature = problem.masses / (0.5 * start.temperature)
    return State(start.heights, start.heights, curvature)


def step(run: Run) -> State:
    """One step from the run's state; a crowded problem is recognised in the first steps."""
    state, sampler = run.state, run.sampler
    if sampler is None:
        raise RuntimeError("warm_up comes before the first step")
    if isinstance(sampler, ConditionalSampler):
        return conditional.step(run.problem, run.start, state, sampler)
    if not state.crowded and state.step in CROWDED_STEPS and is_crowded(state, run.start):
        state = state.updated(crowded=True, average=state.heights, averaged=0)
    if state.crowded:
        return crowded_step(run.problem, run.start, state, sampler)
    return spread_step(run.problem, run.start, state, sampler, batch_size(run.problem.size))


def is_crowded(state: State, start: Start) -> bool:
    return state.gap < CROWDED * float(np.median(start.temperature))


def solve(run: Run) -> Status:
    """Step until a check proves the tolerance, the budget is spent, or the user interrupts.

    Raises RankLostError once every rank that is left has written a checkpoint; one that is interrupted writes too.
    """
    shown = run.settings.progress and run.ranks.rank == 0
    with tqdm(unit=" samples", unit_scale=True, disable=not shown, desc="fit") as bar:
        bar.update(run.state.samples)
        try:
            with plain_interrupts():
                warm_up(run)
                status = loop(run, bar)
        except KeyboardInterrupt:
            status = Status.INTERRUPTED
        except RankLostError:
            with held():
                save_checkpoint(run, whatever_rank=True)
            raise
        with held():  # torchrun interrupts the ranks that are left, and rank 0 may not be one of them
            save_checkpoint(run, whatever_rank=status is Status.INTERRUPTED)
    return status


def loop(run: Run, bar: tqdm) -> Status:
    run.next_checkpoint = time.perf_counter() + checkpoint.SECONDS
    if (check := own_check(run)) is not None and converged(check, run.settings.tol):
        return Status.CONVERGED  # resumed at its end
    while True:
        if run.state.samples >= run.next_check:
            save_checkpoint(run)  # a check may take minutes
            if converged(current_check(run, bar), run.settings.tol):
                return Status.CONVERGED
        if run.state.samples + next_batch(run) > run.settings.max_samples:
            proved = converged(current_check(run, bar), run.settings.tol)
            return Status.CONVERGED if proved else Status.BUDGET
        advance(run, bar)
        if time.perf_counter() >= run.next_checkpoint:
            save_checkpoint(run)
            run.next_checkpoint = time.perf_counter() + checkpoint.SECONDS


def next_batch(run: Run) -> int:
    """The most samples that the next step may draw."""
    if isinstance(run.sampler, ConditionalSampler):
        return conditional.batch_of(run.problem)
    return ROWS if run.state.crowded else batch_size(run.problem.size)


def save_checkpoint(run: Run, *, whatever_rank: bool = False) -> None:
    """Write the checkpoint, if one is asked for; rank 0 does, where all ranks are alive and in the same state."""
    if run.settings.checkpoint is not None and (run.ranks.rank == 0 or whatever_rank):
        checkpoint.write(run.settings.checkpoint, run)


def advance(run: Run, bar: tqdm) -> None:
    """One step, recorded and shown."""
    before = run.state.samples
    run.state = step(run)
    error, _ = run.state.monitor.error(run.problem.size)
    run.history.append(Record(run.state.samples, error, run.state.epsilon, run.seconds))
    targets = run.problem.targets
    traffic = f", {targets.traffic}" if isinstance(targets, StreamedTargets) else ""
    bar.set_postfix_str(f"{shown_error(run, error)}, tolerance {run.settings.tol:g}{traffic}", refresh=False)
    bar.update(run.state.samples - before)
    if run.settings.callback is not None:
        run.settings.callback(run.history[-1])
