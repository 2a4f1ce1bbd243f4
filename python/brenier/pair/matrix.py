"""Assignment on given scores."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from brenier.engine import checks
from brenier.engine.assignment import assign_batch, assign_square
from brenier.engine.auction import Bidder
from brenier.errors import InputError
from brenier.pair.device import bidder_for, problems_of, solve_on_device
from brenier.pair.result import Pairing, judge, optimal
from brenier.types import Array


def solve_assignment(
    scores: Array, *, maximize: bool = True, gap: float = 0.0, engine: str | None = None
) -> Pairing:
    """The one-to-one assignment of columns to rows with the largest total score.

        permutation = argmax over permutations of Σ_i scores[i, permutation[i]]

    by an ε-scaled auction (Bertsekas 1988) and shortest augmenting paths (Jonker and Volgenant 1987), the first
    from 160 rows; scipy.optimize.linear_sum_assignment(scores, maximize) has the same optimum. It is the faster one
    below some 20 rows, by up to 3 µs: the record and the proof returned here cost that much.

    scores : (n, n), or (B, n, n) for B problems on all threads; real numbers of any type, solved in float64;
        -inf (+inf without maximize) forbids a pair
    maximize : False for costs
    gap : share of the gain over a random permutation that may be lost, 0 for the exact optimum
    engine : "cpu", "cuda", "triton", or None for that of the scores' device. On a device scores stay there, unless the
        CPU has to finish: for the optimum, where the device has not proved it already (Pairing.status says so)

    Returns a Pairing: permutation int64 (n,) or (B, n), a tensor on the device of scores where scores is one;
    cost the total score, cost_before that of the identity, which is -inf (+inf) where it has a forbidden pair.
    Raises InputError (not square, NaN, infeasible, totals beyond float64) and EngineError.
    """
    started = time.perf_counter()
    exact = type(gap) in (float, int) and gap == 0
    if exact and engine is None and type(scores) is np.ndarray:
        small = _core().assign_small(scores, maximize)
        if small is not None:
            permutation, total, before = small
            return optimal(permutation, total, before, time.perf_counter() - started)
    checks.number(gap, "gap")
    check_maximize(maximize)
    device = scores.device if isinstance(scores, Tensor) else torch.device("cpu")
    bidder = bidder_for(device, engine)
    if bidder is not None:
        return _solve_on_device(bidder, scores, bool(maximize), gap, started)
    array = to_numpy(scores, "scores")
    if exact and array is not scores:  # a tensor, a list, float16
        small = _core().assign_small(array, maximize)
        if small is not None:
            permutation, total, before = small
            return optimal(like(permutation, scores), total, before, time.perf_counter() - started)
    if array.ndim == 3:
        return _solve_batch(scores, array, bool(maximize), gap, started)
    one = assign_square(array, maximize=bool(maximize), gap=gap)
    proved, status = judge([one], gap)
    permutation = like(one.permutation, scores)
    return Pairing(permutation, one.total, one.identity_total, proved, status, time.perf_counter() - started)


def linear_sum_assignment(cost_matrix: Array, maximize: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """scipy.optimize.linear_sum_assignment for square matrices: rows and their columns, of the least total cost.

        from brenier.pair import linear_sum_assignment  # was: from scipy.optimize import linear_sum_assignment

    cost_matrix : (n, n), real numbers of any type; +inf (-inf with maximize) forbids a pair
    maximize : True for the greatest total

    Returns (0, ..., n - 1) and the columns, int64. Where several assignments are best, scipy may choose another one.
    Raises InputError, a ValueError like scipy's (not square, which scipy takes; NaN; infeasible).
    """
    columns = np.asarray(
        solve_assignment(to_numpy(cost_matrix, "cost_matrix"), maximize=maximize).permutation
    )
    if columns.ndim != 1:
        shape = checks.shown(tuple(np.shape(cost_matrix)))
        remedy = "solve_assignment takes several matrices at once"
        raise InputError("cost_matrix", expected="one square matrix", got=shape, remedy=remedy)
    return np.arange(len(columns)), columns


@cache
def _core() -> Any:
    from brenier import _core

    return _core


def _solve_batch(scores: Array, array: np.ndarray, maximize: bool, gap: float, started: float) -> Pairing:
    solved = assign_batch(list(array), maximize=maximize, gap=gap)
    proved, status = judge(solved, gap)
    permutations = np.empty(array.shape[:2], np.int64)
    for row, one in zip(permutations, solved, strict=True):
        row[:] = one.permutation
    cost, before = (like(_column(solved, name), scores) for name in ("total", "identity_total"))
    return Pairing(like(permutations, scores), cost, before, proved, status, time.perf_counter() - started)


def _column(solved: Sequence[Any], name: str) -> np.ndarray:
    return np.array([getattr(one, name) for one in solved], dtype=np.float64)


def _solve_on_device(bidder: Bidder, scores: Array, maximize: bool, gap: float, started: float) -> Pairing:
    problems, shape = problems_of(scores, maximize)
    solved = solve_on_device(bidder, problems, gap)
    found = solved.permutation.view(shape)
    totals = [_column(solved.proofs, name) for name in ("total", "identity_total")]
    cost, before = (float(each[0]) if len(shape) == 1 else like(each, scores) for each in totals)
    permutation = found if isinstance(scores, Tensor) else found.numpy()
    seconds = time.perf_counter() - started
    return Pairing(permutation, cost, before, solved.gap, solved.status, seconds)


def check_maximize(maximize: Any) -> None:
    if not (isinstance(maximize, bool | np.bool_ | int) and maximize in (0, 1)):
        got = checks.shown(maximize)
        raise InputError("maximize", expected="True or False", got=got, remedy="pass False for costs")


def to_numpy(value: Any, what: str) -> np.ndarray:
    """The numbers as an array over the caller's memory where possible; float16 kinds become float32."""
    if isinstance(value, Tensor):
        tensor = checks.as_tensor(value, what).cpu()
        return (tensor.float() if tensor.dtype in (torch.bfloat16, torch.float16) else tensor).numpy()
    array = checks.as_array(value, what)
    return array.astype(np.float32) if array.dtype == np.float16 else array


def like(array: np.ndarray, model: Any) -> Any:
    """The array as the caller's kind: a tensor on the model's device where that is a tensor."""
    return torch.from_numpy(array).to(model.device) if isinstance(model, Tensor) else array
