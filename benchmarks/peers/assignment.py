"""Every solver of square assignment problems that is installed, as a function of prepared costs.

Each row: the name, how the scores are prepared (outside the clock), the call, and how the columns are read from its
answer. Costs go in in the type that the solver works in, so that no peer pays for a conversion that is not its own.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any, NamedTuple

import brenier
import numpy as np
from scipy.optimize import linear_sum_assignment

LAPX = ("lapjv", "lapjvx", "lapjvc", "lapjvh", "lapjvr", "lapjvs")  # the others repack one of these


class Solver(NamedTuple):
    prepare: Callable[[np.ndarray], Any]
    solve: Callable[[Any], Any]
    columns: Callable[[Any], np.ndarray]


def as_costs(scores: np.ndarray) -> np.ndarray:
    return -scores.astype(np.float64)


def ortools_arcs(scores: np.ndarray) -> tuple[np.ndarray, ...]:
    """All arcs with integer costs, the range cut into 2²⁰ steps."""
    n = len(scores)
    steps = np.rint((scores.max() - scores.astype(np.float64)) * ((1 << 20) / np.ptp(scores))).astype(
        np.int64
    )
    left, right = (index.astype(np.int32).ravel() for index in np.indices((n, n)))
    return left, right, steps.ravel()


def solve_ortools(arcs: tuple[np.ndarray, ...]) -> list[int]:
    problem = importlib.import_module(
        "ortools.graph.python.linear_sum_assignment"
    ).SimpleLinearSumAssignment()
    problem.add_arcs_with_cost(*arcs)
    problem.solve()
    return [problem.right_mate(i) for i in range(problem.num_nodes())]


def solve_emd(costs: np.ndarray) -> np.ndarray:
    ot = importlib.import_module("ot")
    return ot.emd([], [], costs, numItermax=10**9)


def installed(name: str) -> bool:
    try:
        importlib.import_module(name)
    except ImportError:
        return False
    return True


def solvers() -> dict[str, Solver]:
    """Name -> solver, ours and scipy first."""
    same = np.ascontiguousarray
    found = {
        "brenier": Solver(same, lambda s: brenier.solve_assignment(s).permutation, np.asarray),
        "scipy": Solver(same, lambda s: linear_sum_assignment(s, maximize=True)[1], np.asarray),
    }
    if installed("lap"):
        lap = importlib.import_module("lap")
        for name in (name for name in LAPX if hasattr(lap, name)):
            place = 1 if name == "lapjv" else 2
            found[f"lapx {name}"] = Solver(
                as_costs, getattr(lap, name), lambda answer, k=place: np.asarray(answer[k])
            )
    if installed("lapjv"):
        lapjv = importlib.import_module("lapjv").lapjv
        found["lapjv"] = Solver(lambda s: -s.astype(np.float32), lapjv, lambda answer: np.asarray(answer[0]))
    if installed("ortools"):
        found["OR-tools"] = Solver(ortools_arcs, solve_ortools, np.asarray)
    if installed("ot"):
        found["POT emd"] = Solver(as_costs, solve_emd, lambda plan: plan.argmax(1))
    return found
