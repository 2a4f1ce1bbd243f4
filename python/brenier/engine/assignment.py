"""Exact linear assignment of square score matrices on the CPU, in interruptible steps.

The compiled solver (csrc/cpu/assignment) works for a bounded time per call without the interpreter lock and ends with
dual prices, which bound every permutation's total. It reads the scores until it is done: _solve holds them. Memory:
2 bytes a score and 0.9 kB a row while bidding (from 160 rows), 8 bytes a score on augmenting paths. Each thread keeps
up to 16 MB of it for its next problem.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from threading import Event
from typing import Any

import numpy as np

from brenier.engine import threads
from brenier.errors import EngineError, InputError

ELEMENTS_PER_STEP = 1 << 24
"""Matrix elements read in one native call: some 20 ms, so that an interrupt is answered soon."""

LARGEST_EXACT_INTEGER = 1 << 53


@dataclass(frozen=True)
class Assigned:
    """The answer for one matrix of scores (n, n), with its proof.

    With maximize, scores[i, j] ≤ row_duals[i] + column_duals[j] for all i, j (≥ without), so the duals' sum
    bounds every permutation's total; ``excess`` ≥ 0 is the distance of ``total`` to that bound.
    """

    permutation: np.ndarray  # (n,) int64: the column given to each row
    row_duals: np.ndarray  # (n,) float64
    column_duals: np.ndarray  # (n,) float64
    total: float
    identity_total: float  # -inf (+inf without maximize) where the identity has a forbidden pair
    random_total: float  # mean over random permutations, of the allowed scores
    excess: float
    rounding: float  # an excess up to this is what float64 sums may lose
    stalled: bool  # bidding gave up and augmenting paths finished

    @property
    def gain(self) -> float:
        """The most by which any permutation can beat a random one."""
        return abs(self.total - self.random_total) + self.excess


def assign_square(
    scores: np.ndarray,
    *,
    maximize: bool = True,
    gap: float = 0.0,
    bid_from: int = -1,
    prices: np.ndarray | None = None,
) -> Assigned:
    """The permutation with the largest (smallest) sum of scores (n, n); -inf (+inf) forbids a pair.

    gap is the share of the gain over a random permutation that may be lost; bid_from is the smallest n that
    starts with bidding, negative for the solver's own choice; prices (n,) of columns, in scores, are what bidding
    starts from: any give the optimum, good ones sooner. Raises InputError and EngineError.
    """
    return _solve(as_scores(scores), maximize, gap, bid_from, None, prices)


def assign_batch(
    scores: list[np.ndarray],
    *,
    maximize: bool = True,
    gap: float = 0.0,
    prices: list[np.ndarray | None] | None = None,
) -> list[Assigned]:
    """assign_square for several matrices, one per thread at a time."""
    cancelled = Event()  # after Ctrl-C the other threads stop at their next step
    starts = prices or [None] * len(scores)
    return threads.run(
        lambda one: _solve(as_scores(one[0]), maximize, gap, -1, cancelled, one[1]),
        list(zip(scores, starts, strict=True)),
        cancel=cancelled.set,
    )


def as_scores(scores: np.ndarray) -> np.ndarray:
    """Square float32 or float64 in native layout; other numbers exactly as float64. Raises InputError."""
    if scores.ndim != 2 or scores.shape[0] != scores.shape[1]:
        raise InputError(
            "scores",
            expected="a square matrix (n, n)",
            got=f"shape {tuple(scores.shape)}",
            remedy="pad a rectangular problem with rows or columns of equal scores",
        )
    if scores.dtype == np.float64 or scores.dtype == np.float32:
        item = scores.itemsize
        straight = scores.flags.aligned and scores.strides[0] % item == 0 and scores.strides[1] % item == 0
        return scores if straight else np.ascontiguousarray(scores)
    if scores.dtype.kind not in "buif" or scores.dtype.itemsize > 8:
        raise InputError("scores", expected="real numbers of at most 64 bits", got=f"dtype {scores.dtype}")
    if scores.dtype.kind in "iu" and scores.dtype.itemsize == 8:
        _require_exact(scores)
    return scores.astype(np.float64)


def _require_exact(scores: np.ndarray) -> None:
    if scores.size and max(int(scores.max()), -int(scores.min())) > LARGEST_EXACT_INTEGER:
        raise InputError(
            "scores",
            expected="integers of magnitude up to 2^53, which float64 holds exactly",
            got=f"values from {scores.min()} to {scores.max()}",
            remedy="subtract a constant from each row or column: it changes no permutation",
        )


def _solve(
    scores: np.ndarray,
    maximize: bool,
    gap: float,
    bid_from: int,
    cancelled: Event | None,
    prices: np.ndarray | None = None,
) -> Assigned:
    n = len(scores)
    permutation, row_duals, column_duals = np.empty(n, np.int64), np.empty(n), np.empty(n)
    if n == 0:
        return Assigned(permutation, row_duals, column_duals, 0.0, 0.0, 0.0, 0.0, 0.0, False)
    held = None if prices is None else np.ascontiguousarray(prices, np.float64)
    if held is not None and held.shape != (n,):
        raise InputError("prices", expected=f"shape ({n},)", got=f"shape {held.shape}")
    problem = _open(scores, maximize, gap, bid_from, held)
    status = problem.step(ELEMENTS_PER_STEP)
    while status == RUNNING and not (cancelled and cancelled.is_set()):
        status = problem.step(ELEMENTS_PER_STEP)
    if status != DONE:
        raise _failure(status, scores, maximize)
    facts = problem.write(permutation.ctypes.data, row_duals.ctypes.data, column_duals.ctypes.data)
    answer = Assigned(permutation, row_duals, column_duals, *facts)
    _require_totals(answer, scores, maximize)
    return answer


def _require_totals(answer: Assigned, scores: np.ndarray, maximize: bool) -> None:
    """Raise InputError where sums of huge scores do not fit into float64; only the solver scales them."""
    forbidden = -np.inf if maximize else np.inf
    identity_fits = math.isfinite(answer.identity_total) or (scores.diagonal() == forbidden).any()
    if identity_fits and all(map(math.isfinite, (answer.total, answer.random_total, answer.excess))):
        return
    largest = np.abs(scores[np.isfinite(scores)]).max()
    raise InputError(
        "scores",
        expected="totals over a permutation that float64 holds, below 1.8e308",
        got=f"{len(scores)} rows of scores of magnitude up to {largest:.3g}",
        remedy="divide all scores by one constant: it changes no permutation",
    )


RUNNING, DONE, INFEASIBLE, NOT_A_NUMBER, UNBOUNDED, OUT_OF_MEMORY = range(
    6
)  # csrc/cpu/assignment/assignment.hpp


def _open(scores: np.ndarray, maximize: bool, gap: float, bid_from: int, prices: np.ndarray | None) -> Any:
    from brenier import _core

    item = scores.itemsize
    rows, columns = (stride // item for stride in scores.strides)
    body = os.environ.get("BRENIER_CPU_BODY", "")
    problem = _core.open_assignment(
        scores.ctypes.data,
        item == 4,
        len(scores),
        rows,
        columns,
        maximize,
        gap,
        bid_from,
        body,
        0 if prices is None else prices.ctypes.data,
    )
    if problem is None:
        raise EngineError(
            "BRENIER_CPU_BODY",
            expected="one of " + ", ".join(_core.assignment_instruction_sets()),
            got=repr(body),
            remedy="unset it to let the fastest be chosen",
        )
    return problem


def _failure(status: int, scores: np.ndarray, maximize: bool) -> Exception:
    forbidden = "-inf" if maximize else "+inf"
    if status == INFEASIBLE:
        return InputError(
            "scores",
            expected="at least one permutation without a forbidden pair",
            got=f"so many {forbidden} that none is left",
            remedy="allow more pairs, at a low score if need be",
        )
    if status == OUT_OF_MEMORY:
        return EngineError("engine 'cpu'", expected=f"memory for {scores.size} scores", got="none left")
    if status == RUNNING:
        return EngineError("engine 'cpu'", got="cancelled")
    bad = np.isnan(scores) if status == NOT_A_NUMBER else scores == (np.inf if maximize else -np.inf)
    i, j = (int(k) for k in np.argwhere(bad)[0])
    return InputError(
        "scores",
        expected=f"finite numbers, or {forbidden} for a forbidden pair",
        got=f"{scores[i, j]} at [{i}, {j}]",
        remedy="remove or replace such entries first",
    )
