"""brenier.fit_hierarchical: potentials in two levels, for more targets than every noise can meet."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Callable

import numpy as np
import torch

from brenier.data.interrupts import held
from brenier.data.mapped import is_read_only_map
from brenier.engine import checks
from brenier.errors import InputError, NotConvergedWarning
from brenier.solve import solver
from brenier.solve.checkpoint import restore
from brenier.solve.conditional import ConditionalSampler
from brenier.solve.fitting import finished, fit, in_memory, info_of, owned_masses
from brenier.solve.hierarchical_potential import HierarchicalPotential
from brenier.solve.level_memory import equal_sizes, require_level_memory
from brenier.solve.memory import require_bytes, require_room, say_plan
from brenier.solve.options import checkpoint_file, require_cpu_engine, require_options
from brenier.solve.parts import Parts, divide, part_count
from brenier.solve.placement import Placement
from brenier.solve.potential import Potential
from brenier.solve.problem import ACCEPTED, Problem
from brenier.solve.result import FitResult, Record, Status
from brenier.types import Array

COARSE_SHARE = 0.1  # of the tolerance, for the masses of the parts


def fit_hierarchical(
    targets: Array,
    *,
    parts: int | Array | None = None,
    weights: Array | None = None,
    tol: float = 0.05,
    max_samples: int | None = None,
    seed: int = 0,
    engine: str | None = None,
    max_memory: int | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    resume: bool = False,
    progress: bool = True,
    callback: Callable[[Record], None] | None = None,
) -> FitResult:
    """Fit a map of two levels: a potential over parts of the targets, and one inside each part.

        p = argmax_q ⟨x, c_q⟩ + H_q,   i = argmax_{i in p} ⟨x, y_i⟩ + h_i,   P(i wins) = ν_i

    c_q is the centroid of part q. H is fitted first, to a tenth of the tolerance; then all h together, each part on
    the draws that fall into its cell. A draw meets P + n/P targets instead of n. The map has the masses wanted,
    proved by the same independent check over all n cells as in ``fit``; it is not the optimal map, and
    docs/scaling.md says what that costs.

    targets : (n, d) tensor or array in memory, float16 to float64; an array that may not be written, such as a
        memmap for reading, is copied into memory, and the plan counts the copy
    parts : their number P, by k-means (needs scikit-learn); or the part of each target, integers (n,);
        None for √n by k-means. Parts with equal centroids become one
    weights, tol, max_samples, seed, engine, max_memory, checkpoint, resume, progress, callback : as in brenier.fit;
        max_samples bounds the draws of the second level; the memory plan is printed, and refused if too large, once
        the sizes of the parts are known

    Returns a FitResult whose potential is a HierarchicalPotential. Ctrl-C in the second level returns the best so far;
    in the first it raises KeyboardInterrupt, for there is no map yet. Not shared by ranks: each would fit alone. Warns
    NotConvergedWarning, raises InputError, EngineError, FileError, and MissingPackageError without scikit-learn.
    """
    require_options("normal", tol, max_samples, seed)
    require_cpu_engine(engine)
    if isinstance(targets, str | os.PathLike) or not isinstance(targets, torch.Tensor | np.ndarray):
        raise InputError("targets", expected="a tensor or an array", got=type(targets).__name__)
    require_bytes(max_memory)
    if is_read_only_map(targets):
        require_room(targets.nbytes, max_memory, " for the copy of a memory map")
    given = checks.as_matrix(in_memory(targets), "targets", dtypes=ACCEPTED)
    if 0 in given.shape:
        raise InputError("targets", expected="at least one target and dimension", got=str(tuple(given.shape)))
    file = checkpoint_file(checkpoint, resume)
    allow, matrix = allowance(given, parts, max_memory, progress, targets), given.cpu()
    divided = divide(matrix, weights, parts, int(seed), allow)
    coarse = upper_level(divided, float(tol), int(seed), engine)
    problem = joined_problem(divided, len(matrix))
    budget = int(max_samples or solver.default_max_samples(problem.size, tol))
    settings = solver.Settings(float(tol), budget, int(seed), Placement(engine), progress, callback, file)
    run = solver.begin(problem, settings)
    run.sampler = ConditionalSampler(divided, coarse, int(seed), engine)
    if resume and file is not None:
        restore(file, run)
    status = solver.solve(run)
    with held():
        return finished(run, status, hierarchical_potential(run, coarse, divided, matrix))


def allowance(
    matrix: torch.Tensor, parts: int | Array | None, max_memory: int | None, progress: bool, given: Array
) -> Callable[[list[int]], None]:
    """What prints the plan for parts of given sizes, or refuses it; what no division can keep is refused at once."""
    found = False
    if parts is None or isinstance(parts, int):
        found = True
        even = equal_sizes(len(matrix), part_count(parts, len(matrix)))
        require_level_memory(matrix, even, max_memory, found=True, given=given)

    def allow(sizes: list[int]) -> None:
        say_plan(require_level_memory(matrix, sizes, max_memory, found=found, given=given), progress)

    return allow


def upper_level(parts: Parts, tol: float, seed: int, engine: str | None) -> Potential:
    """The potential over the parts' centroids; Ctrl-C raises KeyboardInterrupt: nothing can stand on half of it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", re.escape(str(Status.INTERRUPTED)), NotConvergedWarning)
        result = fit(
            parts.centroids,
            weights=parts.masses,
            tol=max(COARSE_SHARE * tol, 1e-9),
            seed=seed,
            engine=engine,
            progress=False,
            ranks=False,
        )
    if result.status is Status.INTERRUPTED:
        raise KeyboardInterrupt
    return result.potential


def hierarchical_potential(
    run: solver.Run, coarse: Potential, parts: Parts, matrix: torch.Tensor
) -> HierarchicalPotential:
    """The potential of both levels, for the targets as given."""
    potential: HierarchicalPotential = HierarchicalPotential.over(
        coarse,
        torch.from_numpy(parts.labels),
        matrix,
        run.problem.expand(run.state.average),
        owned_masses(run.problem),
        info=info_of(run) | {"parts": len(parts.masses)},
        engine=run.settings.place.engine,
    )
    return potential


def joined_problem(parts: Parts, given: int) -> Problem:
    """All parts' distinct targets in the order of parts, each less the centroid of its part."""
    ends = np.concatenate([[0], np.cumsum(parts.sizes)])
    members = np.full(given, -1, dtype=np.int64)
    for first, rows, problem in zip(ends, parts.rows, parts.problems, strict=False):
        members[rows] = first + problem.members
    return Problem(
        parts.targets,
        np.concatenate([mass * own.masses for mass, own in zip(parts.masses, parts.problems, strict=True)]),
        np.concatenate([problem.norms for problem in parts.problems]),
        np.zeros(parts.problems[0].dimension),
        members,
    )
