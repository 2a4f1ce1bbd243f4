"""brenier as a solver of the benchmark: its trajectory, and whole calls of fit with their own checks."""

from __future__ import annotations

import time
from collections.abc import Iterator

import brenier
import torch
from brenier.solve import FitResult, Potential, solver
from brenier.solve.placement import Placement
from brenier.solve.problem import build_problem

from .judge import Answer
from .problems import Case


def trajectory(case: Case, ladder: list[int], seed: int = 0) -> Iterator[Answer]:
    """The averaged potential after each number of samples in the ladder, without checks in between."""
    began = time.perf_counter()
    problem = build_problem(torch.from_numpy(case.targets))
    run = solver.begin(problem, solver.Settings(1.0, ladder[-1], seed, Placement(), False, None))
    solver.warm_up(run)
    seconds = time.perf_counter() - began
    for goal in ladder:
        began = time.perf_counter()
        while run.state.samples < goal:
            run.state = solver.step(run)
        seconds += time.perf_counter() - began
        potential = Potential.of(case.targets, problem.expand(run.state.average))
        yield Answer(potential, run.state.samples, seconds)


def whole_fit(case: Case, tol: float, seed: int = 0) -> FitResult:
    """A user's call, checks and all."""
    return brenier.fit(case.targets, tol=tol, seed=seed, progress=False)
