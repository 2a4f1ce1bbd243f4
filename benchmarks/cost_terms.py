"""The terms of a fit's cost: what the solver's own plans say it draws, reads, computes and holds.

Two operations are a multiply-add. Targets are thought to be like those of fit_scale.py: variances like 1/k in some
basis, plus white noise of GRAIN.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import torch
from brenier.engine.structured import block_size
from brenier.errors import InputError
from brenier.solve import conditional, memory, solver
from brenier.solve.check import full_check_samples
from brenier.solve.checking import AIM, LATEST, first_check
from brenier.solve.directions import FRAME_SHARE
from brenier.solve.hierarchical import COARSE_SHARE
from brenier.solve.level_memory import level_plan
from brenier.solve.parts import AXES, ROUNDS, TRAINING, part_count
from brenier.solve.principal import COUNTS
from brenier.solve.sampling import (
    EPILOGUE,
    LEAST_SAVING,
    OVERHEAD,
    SUBSPACE_SIZES,
    SamplingPlan,
    choose_sampling,
)
from brenier.solve.streamed import MOST_DENSE, WIDEST
from brenier.solve.subspace_check import CheckPlan, plan_check

GRAIN = 0.3  # deviation of the white noise, as in fit_scale.py, where the rest has ‖y‖² = d
FIRST_PASSES = 2  # mean; norms


@dataclass(frozen=True)
class Cost:
    """Of one fit."""

    how: str
    draws: int
    passes: int  # over the data
    projecting: float  # operations of the passes, and of projections in memory
    scoring: float  # of the steps' draws
    checking: float  # of one independent check
    values: float  # numbers read (and noised, and centred), as float32
    memory: int  # bytes, targets held in memory included

    @property
    def operations(self) -> float:
        return self.projecting + self.scoring + self.checking


def residual(rank: int, dimension: int) -> float:
    """Share of the variance outside the leading directions."""
    whole = math.log(dimension) + 0.5772  # Σ 1/k
    content = max(0.0, 1 - (math.log(rank) + 0.5772) / whole) if rank else 1.0
    return (content + GRAIN**2 * (1 - rank / dimension)) / (1 + GRAIN**2)


def plan_for(n: int, d: int, widest: int | None) -> SamplingPlan:
    """The sampling that the solver would choose; widest : the largest subspace of streamed targets, else None."""
    shares = {0: 1.0}
    if d > LEAST_SAVING * min(SUBSPACE_SIZES):
        shares |= {r: residual(r, d) for r in COUNTS if r <= min(d, n // 2)}
    return choose_sampling(n, d, solver.batch_size(n), shares, widest)


def plan_of(sampling: str) -> SamplingPlan:
    """The sampling that a record names."""
    found = re.search(r"subspace of (\d+)(, structured)?(?: \+ (\d+) principal)?", sampling)
    if found is None:
        return SamplingPlan(0, 0, 0.0)
    return SamplingPlan(int(found[1]), int(found[3] or 0), 0.0, structured=bool(found[2]))


def resident_bytes(n: int, d: int) -> int:
    """Of targets in memory and their fit."""
    return 4 * n * d + memory.memory_plan(n, d).total


def level_bytes(n: int, d: int, parts: int) -> int:
    """Of targets in memory and their fit in two levels, parts of one size."""
    targets = torch.empty(1, 1).expand(n, d)  # only its shape and type are looked at
    return 4 * n * d + level_plan(targets, parts, math.ceil(n / parts), found=True).total


def fit_cost(
    n: int, d: int, tol: float, limit: int, plan: SamplingPlan | None = None, draws: int | None = None
) -> Cost:
    """brenier.fit within so many bytes; plan and draws as measured, or as the solver would have them."""
    columns = columns_within(n, d, limit) if resident_bytes(n, d) > limit else None
    plan = plan or plan_for(n, d, None if columns is None else min(columns, WIDEST))
    batch = solver.batch_size(n)
    steps = math.ceil((draws or first_check(n, plan, tol)) / batch)
    draws, width = steps * batch, (d if plan.full else plan.subspace + plan.principal)
    scoring = 2.0 * draws * (n * (width + EPILOGUE) + OVERHEAD)
    if columns is not None:
        return streamed_cost(n, d, tol, columns, plan, steps, scoring)
    projecting = 0.0 if plan.full else 2.0 * steps * n * plan.subspace * (d + plan.principal)
    if plan.full:
        checking = 2.0 * full_check_samples(n, tol) * n * d
    else:
        checking = subspace_check_cost(n, d, plan, check_plan(n, d, tol, plan, WIDEST))
    return Cost(f"in memory, {plan}", draws, 0, projecting, scoring, checking, 0.0, resident_bytes(n, d))


def streamed_cost(
    n: int, d: int, tol: float, columns: int, plan: SamplingPlan, steps: int, scoring: float
) -> Cost:
    """Targets read tile by tile, several subspaces a pass of so many directions."""
    m, r = plan.subspace, plan.principal
    ahead = max(1, min(columns // m, math.ceil(LATEST * steps)))
    check = check_plan(n, d, tol, plan, min(columns, WIDEST))
    checking = subspace_check_cost(n, d, plan, check)
    together = max(1, min(columns, MOST_DENSE) // check.subspace)
    passes_of_steps, passes_of_check = math.ceil(steps / ahead), math.ceil(check.groups / together)
    count = ahead * m
    frames = math.ceil(count / (block_size(d) // FRAME_SHARE))
    each = (block_size(d).bit_length() + 1.0) * frames if plan.structured else 2.0 * count
    projecting = n * d * (2.0 * FIRST_PASSES + 2.0 * r + passes_of_steps * each)
    projecting += 2.0 * n * r * count * passes_of_steps
    passes = FIRST_PASSES + (r > 0) + passes_of_steps + passes_of_check
    bytes_held = memory.stream_plan(n, d, columns).total
    draws = steps * solver.batch_size(n)
    return Cost(
        f"streamed, {plan}", draws, passes, projecting, scoring, checking, float(passes) * n * d, bytes_held
    )


def check_plan(n: int, d: int, tol: float, plan: SamplingPlan, widest: int) -> CheckPlan:
    """The subspaces in which the solver would check."""
    return plan_check(n, tol, residual(plan.principal, d), widest)


def subspace_check_cost(n: int, d: int, plan: SamplingPlan, check: CheckPlan) -> float:
    """Projections on the check's subspaces, and its samples there."""
    each = d * check.subspace + check.samples * (check.subspace + plan.principal)
    return 2.0 * n * check.groups * each


def columns_within(n: int, d: int, limit: int) -> int:
    """Directions that a pass serves: the most that fit, and where none do the fewest, which the solver would refuse."""
    try:
        return memory.require_stream_memory((n, d), limit).columns
    except InputError:
        return memory.COLUMN_STEP


def hierarchical_cost(n: int, d: int, tol: float, draws: int | None = None) -> Cost:
    """brenier.fit_hierarchical in √n parts: k-means, the parts' potential, and draws that meet 2√n targets each."""
    parts, axes = part_count(None, n), min(d, AXES)
    asked = draws or math.ceil(conditional.FLOOR_REACHED * n / (AIM * tol))
    batch = 2 * math.ceil(conditional.BATCH * n / 2)
    draws = math.ceil(asked / batch) * batch
    met = 2.0 * math.sqrt(n) * d
    coarse = fit_cost(parts, d, COARSE_SHARE * tol, 1 << 62).operations
    k_means = 2.0 * axes * (n * d + parts * (ROUNDS * min(n, TRAINING * parts) + n))
    scoring = 2.0 * draws * (met + OVERHEAD)
    checking = 2.0 * full_check_samples(n, tol) * met
    how = f"{parts:,} parts"
    held = level_bytes(n, d, parts)
    return Cost(how, draws, 0, k_means + coarse, scoring, checking, 0.0, held)
