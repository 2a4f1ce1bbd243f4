"""The public verbs: validate, choose an engine, run it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from brenier.engine import checks, ops, threads
from brenier.engine.registry import Engine, engine_for
from brenier.errors import InputError
from brenier.types import Array, Candidates

EXACT = ("certified", "strict")
ROWS_PER_COUNT = 1 << 16  # that a thread counts at the least: fewer take less time than waking it


@dataclass(frozen=True)
class PreparedTargets:
    """Targets checked and packed once for one engine, for many calls with other noise and other heights.

    ``packed`` may be the caller's own memory (the reference and GPU engines keep it; the CPU engine reads it
    again to score exactly): do not change the targets while this is in use, or winners and scores are wrong.
    """

    engine: Engine
    packed: Any
    shape: tuple[int, int]
    device: torch.device

    def __len__(self) -> int:
        return self.shape[0]


def prepare(y: Array, *, engine: str | None = None) -> PreparedTargets:
    """Check and pack targets y (n, d) once; pass the result to assign and candidates in place of y.

    The memory of y may be kept and not copied: do not change y while the result is in use (pass y.clone() if
    you must), for nothing is checked again and the answers would be wrong.

    y : (n, d) float32, bfloat16 or float16, tensor or array, any strides
    engine : "reference", "cpu", "triton" or "cuda"; None chooses (see brenier.engines())

    Raises InputError for anything but a finite float matrix, EngineError for an engine that cannot run here.
    """
    targets = checks.as_matrix(y, "y")
    chosen = engine_for(targets.device.type, engine)
    return PreparedTargets(chosen, chosen.prepare(targets), (len(targets), targets.shape[1]), targets.device)


def assign(
    x: Array,
    y: Array | PreparedTargets,
    h: Array | None = None,
    *,
    counts: Tensor | None = None,
    return_scores: bool = False,
    exact: str = "certified",
    warm: Array | None = None,
    engine: str | None = None,
) -> Any:
    """The target with the largest score ⟨x_j, y_i⟩ + h_i for each row of noise.

    Scores are float64 in the fixed order of engine/reference.py; the lowest index wins ties; targets with
    h = -inf never win; a row with no target to win it gets -1.

    x : (N, d) float32, bfloat16 or float16, tensor or array, any strides
    y : (n, d) likewise, or the result of prepare
    h : (n,) heights, None for zeros
    counts : int64 (n,) tensor, to which the number of wins of each target is added in place
    return_scores : also return the winners' float64 scores (N,)
    exact : "certified" takes the fastest filter, which misses a winner with probability below 1e-12 per call,
        over a dither of our own; "strict" takes bounds that hold for certain (docs/numerics.md)
    warm : (N,) guesses of the winners, -1 for none: those of the last call with these rows and other heights, say.
        The answer is the same, sooner if the guesses are good
    engine : "reference", "cpu", "triton" or "cuda"; None chooses (see brenier.engines())

    Returns int64 winners (N,), and scores if asked; arrays where x is an array, else tensors.
    Raises InputError and EngineError.
    """
    if (
        torch.compiler.is_compiling()
    ):  # one operator that torch.compile does not look into; guesses change no answer
        return ops.traced_assign(x, y, h, counts, return_scores, exact, engine)
    noise, targets, h64 = operands(x, y, h, engine)
    if counts is not None:
        checks.wins_to_add_to(counts, len(targets), targets.device)
    if exact not in EXACT:
        raise InputError("exact", expected=" or ".join(map(repr, EXACT)), got=repr(exact))
    guesses = checks.last_winners(warm, len(noise), len(targets), targets.device)
    # Only an engine that dithers has two ways of being exact, or uses guesses; the others are strict always.
    how = {"exact": exact, "warm": guesses} if getattr(targets.engine, "dithers", False) else {}
    winners, scores = targets.engine.assign(noise, targets.packed, h64, **how)
    if counts is not None:
        add_wins(counts, winners)
    if not isinstance(x, Tensor):
        return (winners.numpy(), scores.numpy()) if return_scores else winners.numpy()
    return (winners, scores) if return_scores else winners


def candidates(
    x: Array,
    y: Array | PreparedTargets,
    h: Array | None = None,
    *,
    margin: float,
    engine: str | None = None,
) -> Candidates:
    """Every target whose score is at least the best score of its row minus the margin, with those scores.

    Arguments as in assign; margin ≥ 0 in units of the score. Raises InputError and EngineError.
    """
    if torch.compiler.is_compiling():
        return ops.traced_candidates(x, y, h, margin, engine)
    reach = checks.number(margin, "margin")
    noise, targets, h64 = operands(x, y, h, engine)
    return targets.engine.candidates(noise, targets.packed, h64, reach)


def add_wins(counts: Tensor, winners: Tensor) -> None:
    """counts[i] += the number of rows that i won, by integer additions: their order does not matter.

    On the CPU each thread counts its own share, by NumPy: torch's loops over so little wait for each other.
    """
    if len(counts) == 0:
        return
    if winners.device.type != "cpu":
        counts.scatter_add_(0, winners.clamp(min=0), (winners >= 0).to(counts.dtype))
        return
    shares = np.array_split(
        winners.numpy(), max(1, min(threads.thread_count(), len(winners) // ROWS_PER_COUNT))
    )
    total = counts.numpy()
    for wins in threads.run(partial(wins_of, targets=len(counts)), shares):
        total += wins


def wins_of(winners: np.ndarray, targets: int) -> np.ndarray:
    """int64 (targets,); a row that nobody won, -1, counts for none."""
    return np.bincount(winners + 1, minlength=targets + 1)[1:]


def operands(
    x: Array, y: Array | PreparedTargets, h: Array | None, engine: str | None
) -> tuple[Tensor, PreparedTargets, Tensor]:
    """The checked noise, the prepared targets and the heights in float64 of a call. Raises InputError."""
    noise = checks.as_matrix(x, "x", finite=False)
    targets = y if isinstance(y, PreparedTargets) else prepare(y, engine=engine)
    if engine is not None and targets.engine.name != engine:
        raise InputError(
            "engine",
            expected=f"{targets.engine.name!r}, for which y was prepared",
            got=checks.shown(engine),
            remedy="leave engine=None, or prepare y for the other engine",
        )
    if not getattr(targets.engine, "screens", False):  # the GPU engines meet NaN and Inf on their way
        checks.require_finite(noise, "x")
    checks.same_depth(noise, targets)
    return noise, targets, checks.heights(h, len(targets), targets.device)
