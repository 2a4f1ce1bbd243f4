"""When a fit is checked and on which samples, and what is known of its error in between."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from tqdm import tqdm

from brenier.solve import conditional
from brenier.solve.check import Check, independent_check
from brenier.solve.conditional import ConditionalSampler
from brenier.solve.sampling import FullSampler, SamplingPlan, SubspaceSampler
from brenier.solve.subspace_check import subspace_check

if TYPE_CHECKING:
    from brenier.solve.solver import Run

FLOOR_REACHED = 0.23  # χ² of a good fit in units of n/N: 0.21 to 0.25 on digits and mixtures
AIM = 0.7  # share of the tolerance to reach before a check, which adds two standard errors of 0.1 each
SOONEST, LATEST = 1.15, 4.0  # growth of the samples between two checks


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
    if run.sampler is None:
        raise RuntimeError("warm_up comes before the first check")
    return independent_check(
        run.sampler.prepared,
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
