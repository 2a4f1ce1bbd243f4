"""brenier.fit: from targets to a potential."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from typing import Any, overload

import numpy as np
import torch

from brenier.data.files import load_array
from brenier.data.interrupts import held
from brenier.data.mapped import is_read_only_map, read_in
from brenier.data.sources import ArraySource, LatentSource, open_source
from brenier.engine import checks
from brenier.engine.ranks import Ranks, together
from brenier.engine.registry import available
from brenier.errors import BrenierError, InputError
from brenier.solve import checking, solver
from brenier.solve.checkpoint import identity, restore
from brenier.solve.conditional import ConditionalSampler
from brenier.solve.first_pass import streamed_problem
from brenier.solve.labelled import LabelledFitResult, fit_classes
from brenier.solve.memory import (
    copied_bytes,
    is_copy,
    must_stream,
    require_memory,
    require_stream_memory,
    say_plan,
)
from brenier.solve.options import checkpoint_file, moved, require_options
from brenier.solve.placement import Placement, placement
from brenier.solve.potential import Potential
from brenier.solve.problem import ACCEPTED, Problem, build_problem, masses_of
from brenier.solve.result import FitResult, Record, Status, warn_unconverged
from brenier.solve.streamed import StreamedTargets
from brenier.solve.streamed_potential import StreamedPotential
from brenier.types import Array


@overload
def fit(targets: Any, *, labels: None = None, **options: Any) -> FitResult: ...
@overload
def fit(targets: Any, *, labels: Array, **options: Any) -> LabelledFitResult: ...
def fit(  # type: ignore[misc]  # the overloads name only what they differ in
    targets: Array | str | os.PathLike[str] | LatentSource,
    *,
    weights: Array | None = None,
    labels: Array | None = None,
    noise: str = "normal",
    tol: float = 0.05,
    max_samples: int | None = None,
    seed: int = 0,
    engine: str | None = None,
    device: str | torch.device | None = None,
    max_memory: int | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    resume: bool = False,
    progress: bool = True,
    callback: Callable[[Record], None] | None = None,
    ranks: bool = True,
) -> FitResult | LabelledFitResult:
    """Fit the Brenier potential that sends standard normal noise onto the targets.

    Minimises E(h) = E_x[max_i ⟨x, y_i⟩ + h_i] − ⟨ν, h⟩, whose gradient is w(h) − ν, by stochastic steps on
    soft counts (docs/concept.md), until an independent check proves χ² = Σ (w_i − ν_i)²/ν_i ≤ tol at two
    standard errors.

    targets : (n, d) float tensor or array, n, d ≥ 1 (float64 is rounded to float32 after centring, streamed before);
        a LatentSource such as NoisedLatents; or a file that brenier.data.open_source or load_array reads.
        A source, file or np.memmap whose fit would need more than max_memory (None: half of the machine's memory)
        is streamed: read tile by tile, in subspaces only, its equal targets not merged (docs/scaling.md)
    weights : (n,) masses ≥ 0, normalised to sum 1; None for equal masses. A target of mass 0 never wins.
        Equal targets share one cell and the sum of their masses; the lowest index wins it.
    labels : (n,) integers: one potential for each label, fitted on its own targets alone (max_samples and callback
        then hold for each; checkpoints get .label and the label behind their name). Targets in memory are copied
        class by class, for each potential keeps its own, and max_memory counts these copies. A source that must be
        streamed is read class by class, and the potentials read it when asked.
        Returns a LabelledFitResult, whose potential takes labels beside the noise
    noise : "normal", the only source so far
    tol : bound on χ²; √tol bounds the root-mean-square relative error of the cell masses; 0.05 by default
    max_samples : bound on fitting samples, None for max(10 n/tol, 4 million); checks use their own. No step
        starts that could pass it; a step draws max(768, 0.15 n), or 4096 for crowded targets
    seed : same seed, same version → same heights, bit for bit, whatever the number of threads
    engine : "cpu", "triton", "cuda" or "reference"; None for the fastest of the device
    device : where the potential's targets and heights go, None to leave them where the targets are. On a GPU with
        an engine the fit's draws meet the targets there; the heights have the bits that the processor gives them
    max_memory : bytes the fit may use (beyond the targets, where those are given in memory); refused before
        the work starts if too little
    checkpoint : a file for the state of the fit, written every minute, before checks, at Ctrl-C and at the end
    resume : continue from that file if it exists; the heights end with the bits of an unbroken fit
    progress : show a progress bar
    callback : called with each Record of the history, on every rank
    ranks : where torch.distributed is initialised (torchrun), share the work with all its ranks: each must make the
        same call, and gets the same result, with the bits of one process (docs/scaling.md). False to fit alone

    Returns a FitResult. Ctrl-C, once the targets are checked and centred, ends the fit and returns the best
    potential so far, as not converged; with labels, those of the classes begun, the others in ``unfitted``.
    Warns NotConvergedWarning when the tolerance was not proved. Raises InputError, EngineError, for the
    checkpoint FileError, and RankLostError, after a checkpoint, where another rank died.
    """
    require_options(noise, tol, max_samples, seed)
    if callback is not None and not callable(callback):
        raise InputError("callback", expected="a function of a Record", got=repr(callback))
    source = streamed_source(targets, max_memory, labels is not None)
    if source is not None and labels is not None:
        require_processor(device)
    if labels is not None:
        options: dict[str, Any] = {"noise": noise, "tol": tol, "max_samples": max_samples, "seed": seed}
        options |= {"engine": engine, "max_memory": max_memory, "resume": resume, "progress": progress}
        options |= {"callback": callback, "ranks": ranks}
        if source is not None:
            return fit_classes(fit, source, labels, weights, checkpoint, **options)
        matrix = matrix_of(targets)
        read = matrix.nbytes if is_copy(matrix, targets) else 0
        return fit_classes(fit, moved(matrix, device), labels, weights, checkpoint, read, **options)
    with together(ranks) as peers:
        matrix = moved(torch.empty(0) if source is not None else matrix_of(targets, finite=False), device)
        place = placement(engine, matrix.device)
        file = checkpoint_file(checkpoint, resume)
        said = progress and peers.rank == 0
        if source is None:
            problem = resident_problem(targets, matrix, weights, max_memory, said, peers)
        else:
            problem = problem_over(source, weights, max_memory, said, peers)
        budget = int(max_samples or solver.default_max_samples(problem.size, tol))
        settings = solver.Settings(float(tol), budget, int(seed), place, progress, callback, file)
        run = solver.begin(problem, settings, peers)
        if resume and file is not None:
            restore(file, run)
        require_same_fit(run)
        status = solver.solve(run)
        with held():
            return finished(run, status, potential_of(run, run.problem, matrix))


def require_same_fit(run: solver.Run) -> None:
    """Refuse ranks that would go apart: other targets or settings, or not resumed at the same step."""
    if run.ranks.world > 1:
        targets = run.problem.targets
        columns = targets.columns if isinstance(targets, StreamedTargets) else 0
        options = identity(run, run.problem.summary()), columns, run.settings.max_samples
        place = run.state.step, run.state.samples, len(run.checks), run.next_check
        run.ranks.require_same(f"{options} {place}", "targets, options and checkpoint")


def streamed_source(targets: object, max_memory: int | None, labelled: bool = False) -> LatentSource | None:
    """The source, where targets must be streamed; None where they are to be in memory."""
    # copies of a map are of its type too, but have none
    if isinstance(targets, np.memmap) and getattr(targets, "_mmap", None) is not None:
        return streamed_map(targets, max_memory, labelled)
    if isinstance(targets, torch.Tensor | np.ndarray) or not isinstance(
        targets, LatentSource | str | os.PathLike
    ):
        return None
    try:
        source = open_source(targets)
    except BrenierError:  # load_array says what is wrong with it, or reads it whole
        return None
    return source if must_stream(source.shape, max_memory, labelled) else None


def streamed_map(targets: np.memmap, max_memory: int | None, labelled: bool) -> LatentSource | None:
    """A memory map as a source, where it is one of targets that must be streamed."""
    if targets.ndim != 2 or targets.dtype.kind != "f" or targets.itemsize > 8:
        return None  # as_matrix says what is wrong with it
    rows, width = targets.shape
    if not must_stream((rows, width), max_memory, labelled, targets.itemsize):
        return None
    if width > 1 and targets.strides[1] != targets.itemsize:  # every tile would read the whole file
        expected, remedy = "rows in C order, to be streamed", "save numpy.ascontiguousarray(...) of it"
        raise InputError("targets", expected=expected, got="another order", remedy=remedy)
    return ArraySource(targets)


def require_processor(device: object) -> None:
    """Streamed classes become potentials of the processor's."""
    if device is not None and torch.device(str(device)).type != "cpu":
        raise InputError(
            "device",
            expected="cpu or None, for these targets are streamed class by class",
            got=str(device),
            remedy="leave device=None, or fit without labels",
        )


def resident_problem(
    given: object,
    matrix: torch.Tensor,
    weights: object,
    max_memory: int | None,
    progress: bool,
    ranks: Ranks,
) -> Problem:
    """The problem of targets in memory, once the plan is known to fit and is printed."""
    with_mass = len(matrix) if weights is None else np.count_nonzero(masses_of(weights, len(matrix)))
    copied = copied_bytes(matrix, int(with_mass), given)
    say_plan(require_memory(matrix, copied, max_memory), progress)
    return build_problem(matrix, weights, ranks)


def problem_over(
    source: LatentSource, weights: object, max_memory: int | None, progress: bool, ranks: Ranks
) -> Problem:
    """The problem of streamed targets, once the plan is known to fit and is printed."""
    plan = require_stream_memory((source.shape[0], source.shape[1]), max_memory)
    say_plan(plan, progress)
    return streamed_problem(source, weights, plan.columns, ranks)


def matrix_of(targets: Array | str | os.PathLike[str] | LatentSource, *, finite: bool = True) -> torch.Tensor:
    """The targets as a matrix in memory, found finite unless the caller sees to that."""
    if not isinstance(targets, torch.Tensor | np.ndarray) and isinstance(targets, LatentSource):
        matrix: object = targets.read(0, len(targets))
    else:
        matrix = load_array(targets).array if isinstance(targets, str | os.PathLike) else in_memory(targets)
    return checks.as_matrix(matrix, "targets", dtypes=ACCEPTED, finite=finite)


def in_memory(targets: Array) -> Array:
    """Targets that torch can hold: a map that it cannot is read in, if it is of the right kind."""
    if is_read_only_map(targets):
        checks.as_matrix(targets[:0], "targets", dtypes=ACCEPTED)
    array: Array = read_in(targets)
    return array


def finished(run: solver.Run, status: Status, potential: Potential) -> FitResult:
    """The result of a run, with a warning unless it converged."""
    targets, (error, stderr, source) = run.problem.targets, checking.final_error(run)
    if status is not Status.CONVERGED:
        warn_unconverged(status, error, stderr, run.settings.tol, source)
    return FitResult(
        potential=potential,
        status=status,
        error=error,
        error_stderr=stderr,
        samples=run.state.samples,
        seconds=run.seconds,
        tol=run.settings.tol,
        targets=run.problem.size,
        history=run.history,
        checks=run.checks,
        sampling=str(run.sampler) if isinstance(run.sampler, ConditionalSampler) else str(run.plan),
        start=run.start.kind,
        traffic=str(targets.traffic) if isinstance(targets, StreamedTargets) else "",
        error_source=source,
    )


def potential_of(run: solver.Run, problem: Problem, matrix: torch.Tensor) -> Potential:
    info = info_of(run)
    centre, engine = torch.from_numpy(problem.centre), engine_of(run.settings.place, matrix.device)
    if isinstance(problem.targets, StreamedTargets):
        vectors = torch.tensor(run.state.average), centre, torch.from_numpy(problem.masses)
        potential: Potential = StreamedPotential.over(problem.targets, *vectors, info=info, engine=engine)
        return potential
    heights = problem.expand(run.state.average).to(matrix.device)
    return Potential(matrix, heights, centre, owned_masses(problem), info, engine)


def engine_of(place: Placement, device: torch.device) -> str | None:
    """The fit's engine, for a potential on that device; None, the fastest there, where it takes no such tensors."""
    return (
        place.engine if place.engine is not None and device.type in available(place.engine).devices else None
    )


def info_of(run: solver.Run) -> dict[str, Any]:
    """What a potential's file says about its fit; an error that is not known is None, as JSON has no nan."""
    error, _, source = checking.final_error(run)
    return {
        "error": None if math.isnan(error) else error,
        **({"error_source": source} if source else {}),
        "tol": run.settings.tol,
        "seed": run.settings.seed,
        "samples": run.state.samples,
    }


def owned_masses(problem: Problem) -> torch.Tensor:
    """Masses of the targets as given, (given,): equal ones are the first one's."""
    owner = torch.zeros(len(problem.members), dtype=torch.float64)
    owner[first_members(problem)] = torch.from_numpy(problem.masses)
    return owner


def first_members(problem: Problem) -> torch.Tensor:
    """Where each distinct target first stands among those given."""
    members = torch.from_numpy(problem.members)
    first = torch.full((problem.size,), len(members), dtype=torch.int64)
    has_mass = members >= 0
    return first.scatter_reduce(0, members[has_mass], torch.arange(len(members))[has_mass], "amin")
