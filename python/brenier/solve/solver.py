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
from brenier.engine import prepare
from brenier.engine.ranks import Ranks
from brenier.errors import RankLostError
from brenier.solve import checkpoint, conditional
from brenier.solve.check import Check, converged, independent_check
from brenier.solve.conditional import ConditionalSampler
from brenier.solve.crowded import CROWDED, CROWDED_STEPS, ROWS, crowded_step
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
)
from brenier.solve.spread import spread_step
from brenier.solve.start import Start, choose_start, extreme_value_start, temperatures
from brenier.solve.state import State
from brenier.solve.streamed import StreamedTargets, Targets, resident
from brenier.solve.subspace_check import subspace_check

BATCH = 0.15  # draws per target and step
SMALLEST_BATCH = 768
FLOOR_REACHED = 0.23  # χ² of a good fit in units of n/N: 0.21 to 0.25 on digits and mixtures
AIM = 0.7  # share of the tolerance to reach before a check, which adds two standard errors of 0.1 each
SOONEST, LATEST = 1.15, 4.0  # growth of the samples between two checks
LEAST_BUDGET = 4_000_000


@dataclass(frozen=True)
class Settings:
    """What the caller decides."""

    tol: float
    max_samples: int
    seed: int
    engine: str | None
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
    targets, seed, engine = problem.targets, settings.seed, settings.engine
    if run.plan.full:
        run.sampler = FullSampler(resident(targets), seed, engine, run.ranks)
    else:
        ahead = steps_ahead(targets, run.plan, settings.tol)
        run.sampler = SubspaceSampler(targets, run.plan, principal, seed, engine, ahead, run.ranks)
    if run.state.step == 0:
        run.start = choose_start(problem, settings.seed, settings.engine)
        run.state = first_state(problem, run.start)
    if not run.checks:
        run.next_check = first_check(problem.size, run.plan, settings.tol)


def warm_up_parts(run: Run, sampler: ConditionalSampler) -> None:
    """The start of a hierarchical fit, whose sampler is made before."""
    run.start = conditional.start(run.problem, sampler)
    if run.state.step == 0:
        run.state = first_state(run.problem, run.start)
    if not run.checks:
        run.next_check = math.ceil(conditional.FLOOR_REACHED * run.problem.size / (AIM * run.settings.tol))


def steps_ahead(targets: Targets, plan: SamplingPlan, tol: float) -> int:
    """Steps whose subspaces one pass serves: as many as fit, but no more than a fit can be thought to take."""
    if not isinstance(targets, StreamedTargets):
        return max(SUBSPACE_SIZES) // plan.subspace
    likely = LATEST * first_check(len(targets), plan, tol) / batch_size(len(targets))
    return max(1, min(targets.columns // plan.subspace, math.ceil(likely)))


def first_check(targets: int, plan: SamplingPlan, tol: float) -> int:
    """Samples after which a good fit has χ² = AIM·tol; correlated samples count for less."""
    if targets == 1:
        return 0
    inflation = 1.0 if plan.full else plan.inflation
    return math.ceil(FLOOR_REACHED * inflation * targets / (AIM * tol))


def following_check(check: Check, tol: float) -> int:
    """Samples after which χ², falling like 1/N, is AIM·tol."""
    growth = check.error / (AIM * tol)
    return math.ceil(check.at_samples * min(max(growth, SOONEST), LATEST))


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

    Raises RankLostError once every rank that is left has written a checkpoint.
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
        with held():
            save_checkpoint(run)
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
    """Write the checkpoint, if one is asked for; rank 0 does, for all ranks are in the same state."""
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


def own_check(run: Run) -> Check | None:
    """The check of the run's present state, if one was made."""
    return run.checks[-1] if run.checks and run.checks[-1].at_samples == run.state.samples else None


def current_check(run: Run, bar: tqdm) -> Check:
    """An independent check of the averaged potential, on samples of its own; made once per state."""
    if (made := own_check(run)) is not None:
        return made
    bar.set_description_str("check")
    check = fresh_check(run, sum(check.samples for check in run.checks))
    run.checks.append(check)
    run.next_check = following_check(check, run.settings.tol)
    bar.set_description_str("fit")
    return check


def fresh_check(run: Run, first: int) -> Check:
    """A check from its sample number ``first`` on: in subspaces of its own where the steps are in subspaces."""
    tol, masses, state = run.settings.tol, run.problem.masses, run.state
    if isinstance(run.sampler, ConditionalSampler):
        return conditional.check(run.problem, state, run.sampler, tol=tol, first=first)
    if isinstance(run.sampler, SubspaceSampler):
        return subspace_check(
            run.sampler,
            state.average,
            masses,
            tol=tol,
            residual=run.residual,
            number=len(run.checks),
            at_samples=state.samples,
        )
    return independent_check(
        prepare(resident(run.problem.targets), engine=run.settings.engine),
        state.average,
        masses,
        tol=tol,
        seed=run.settings.seed,
        first=first,
        at_samples=state.samples,
        ranks=run.ranks,
    )


def shown_error(run: Run, monitored: float) -> str:
    """χ² for the progress line. Draws of one subspace are alike, so there the monitor errs far upwards."""
    if isinstance(run.sampler, SubspaceSampler):
        return f"χ² {run.checks[-1].error:.3g} at the last check" if run.checks else "not checked yet"
    return f"χ² ≈ {monitored:.3g}"


def final_error(run: Run) -> tuple[float, float, str]:
    """χ², its standard error and where it comes from: a check of the final state (""), or the most that is known.

    In full dimension that is the monitor, which is unbiased. In subspaces the monitor errs far upwards: the last
    check, though of an earlier state, says more, and before the first one nothing is known (nan, inf).
    """
    unbiased = isinstance(run.sampler, FullSampler | ConditionalSampler)
    if own_check(run) is None and unbiased and run.state.step > 0:
        return *run.state.monitor.error(
            run.problem.size
        ), "by the fitting samples, not by an independent check"
    if not run.checks:
        return math.nan, math.inf, "not measured, for no check was made"
    check = run.checks[-1]
    source = "" if own_check(run) is check else f"by the check after {check.at_samples:,} fitting samples"
    return check.error, check.error_stderr, source
