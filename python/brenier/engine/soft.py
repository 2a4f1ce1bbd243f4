"""Soft counts over lists of candidates: what the solver's gradient and preconditioner are made of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from brenier.engine import checks, threads
from brenier.engine.native import address, choose_body, core
from brenier.errors import InputError
from brenier.types import Candidates

ENTRIES_PER_CALL = 1 << 21
SHARD_BYTES = 1 << 28
"""All threads' own sums together: 32 bytes per target and thread."""


@dataclass(frozen=True)
class SoftCounts:
    """Sums over rows, per target, as integers of 1/FIXED_POINT_ONE (winners: plain counts)."""

    weight: Tensor  # (n,) int64, Σ p at ε
    weight_sharp: Tensor  # (n,) int64, Σ p at ε/√2: 2·weight_sharp − weight has no first-order bias
    square: Tensor  # (n,) int64, Σ p² at ε
    winners: Tensor  # (n,) int64, rows won


def soft_counts(
    cands: Candidates, n: int, epsilon: float, heights_change: Tensor | None = None
) -> SoftCounts:
    """Soft counts of candidates: per row p_i = exp((s_i − max s)/ε) / Σ, s_i = score_i + heights_change_i.

    cands : candidates of any number of rows; rows without one (or with −inf only) add nothing
    n : number of targets
    epsilon : temperature in units of the score, > 0
    heights_change : (n,) new minus old heights, in the units of the score; None for zeros

    The sums are 64-bit integers, so their bits do not depend on threads, on how rows are grouped or on the
    instruction set. Raises InputError for ε ≤ 0, NaN or +inf among scores, and indices outside [0, n).
    """
    epsilon = checks.number(epsilon, "epsilon", positive=True)
    change = _as_change(heights_change, n)
    offsets, indices = (contiguous(t, torch.int64, "cands") for t in (cands.offsets, cands.indices))
    scores = contiguous(cands.scores, torch.float64, "cands.scores")
    _check_rows(offsets, indices, scores)
    rows = core().SoftRows(
        address(offsets), address(indices), address(scores), 0 if change is None else address(change), n
    )
    body = choose_body().index

    def work(pieces: list[tuple[int, int]]) -> np.ndarray:
        sums = np.zeros((n, 4), dtype=np.int64)
        for lo, hi in pieces:
            bad = core().soft_counts(body, rows, lo, hi, epsilon, address(sums))
            if bad >= 0:
                raise InputError(
                    "cands", expected=f"numbers and indices in [0, {n})", got=f"others in row {bad}"
                )
        return sums

    total = sum(threads.run(work, shards(offsets, n, ENTRIES_PER_CALL)), np.zeros((n, 4), dtype=np.int64))
    return SoftCounts(*(torch.from_numpy(np.ascontiguousarray(total[:, i])) for i in range(4)))


def shards(offsets: np.ndarray, n: int, entries: int) -> list[list[tuple[int, int]]]:
    """Ranges of rows of about that many candidates, dealt to as many workers as their sums allow."""
    cuts = np.searchsorted(offsets, np.arange(0, offsets[-1] + 1, entries)[1:])
    workers = max(1, min(threads.thread_count(), SHARD_BYTES // (32 * max(1, n))))
    even = np.searchsorted(offsets, offsets[-1] * np.arange(1, workers) // workers)
    edges = np.unique(np.concatenate([[0], cuts, even, [len(offsets) - 1]]))
    pieces = list(zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True))
    return [pieces[len(pieces) * w // workers : len(pieces) * (w + 1) // workers] for w in range(workers)]


def _as_change(change: Tensor | None, n: int) -> np.ndarray | None:
    if change is None:
        return None
    array = contiguous(change, torch.float64, "heights_change")
    if array.shape != (n,):
        raise InputError("heights_change", expected=f"shape (n,) = ({n},)", got=str(array.shape))
    return array


def contiguous(tensor: Tensor, dtype: torch.dtype, what: str) -> np.ndarray:
    if tensor.device.type != "cpu":
        raise InputError(what, expected="a CPU tensor", got=str(tensor.device), remedy="call .cpu()")
    return tensor.detach().to(dtype).contiguous().numpy()


def _check_rows(offsets: np.ndarray, indices: np.ndarray, scores: np.ndarray) -> None:
    fits = len(offsets) > 0 and offsets[0] == 0 and offsets[-1] == len(indices) == len(scores)
    if not fits or (np.diff(offsets) < 0).any():
        raise InputError(
            "cands",
            expected="offsets ascending from 0 to the number of indices and scores",
            got=f"{len(offsets)} offsets, {len(indices)} indices, {len(scores)} scores",
        )
