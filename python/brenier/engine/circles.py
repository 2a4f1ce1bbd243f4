"""Great circles through pairs of draws: the solver's samples, and soft counts over them.

If a and b are independent N(0, I), then x(φ) = a cos φ + b sin φ is N(0, I) for every φ. The two products
⟨a, y_i⟩ and ⟨b, y_i⟩ give the scores on the whole circle, so averaging over its points costs little more than the
two draws; for soft counts it leaves 0.27 to 0.29 of their variance (docs/concept.md).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from brenier.engine import checks, threads
from brenier.engine.merge import point_scores
from brenier.engine.native import address, choose_body, core
from brenier.engine.soft import SoftCounts, contiguous, shards
from brenier.engine.verbs import PreparedTargets, operands
from brenier.errors import InputError
from brenier.types import CIRCLE_POINTS, Array, Candidates, CircleCandidates

ENTRIES_PER_CALL = 1 << 17  # 16 points each: under 0.1 s


def circle_candidates(
    x: Array,
    y: Array | PreparedTargets,
    h: Array | None = None,
    *,
    margin: float,
    engine: str | None = None,
) -> CircleCandidates:
    """Every target whose score is within the margin of the best at some point of its great circle.

        score[c, k, i] = (⟨x_2c, y_i⟩ cos φ_k + ⟨x_2c+1, y_i⟩ sin φ_k) + h_i,   φ_k = 2πk/16, k = 0..15

    in float64, products in the fixed order of engine/reference.py.

    x : (2C, d) draws, rows 2c and 2c + 1 spanning circle c; y, h, engine : as in assign
    margin : ≥ 0, in units of the score

    Raises InputError and EngineError.
    """
    reach = checks.number(margin, "margin")
    noise, targets, h64 = operands(x, y, h, engine)
    if len(noise) % 2:
        raise InputError("x", expected="an even number of rows, two for each circle", got=str(len(noise)))
    return targets.engine.circle_candidates(noise, targets.packed, h64, reach)


def circle_counts(circles: CircleCandidates, heights: Tensor, epsilon: float) -> SoftCounts:
    """Soft counts over all points of the circles: p_i = exp((s_i − max s)/ε)/Σ over a circle's candidates.

    heights : (n,) float64, from which the points' scores are made; epsilon : temperature in units of the score, > 0

    A point counts one, a circle 16. Integer sums as in soft_counts: the same bits for any threads and cuts.
    Raises InputError for ε ≤ 0, NaN or +inf among scores, and indices outside [0, n).
    """
    epsilon = checks.number(epsilon, "epsilon", positive=True)

    def add(body: int, rows: Any, lo: int, hi: int, sums: np.ndarray) -> int:
        return core().circle_counts(body, rows, lo, hi, epsilon, address(sums))

    return SoftCounts(*_sums(circles, heights, add, columns=4))


def circle_wins(circles: CircleCandidates, heights: Tensor) -> tuple[Tensor, Tensor]:
    """Points won by each target under these heights, Σ_c n_ci, and Σ_c n_ci², both (n,) int64.

    The lowest index wins a tie. Raises InputError as circle_counts does.
    """

    def add(body: int, rows: Any, lo: int, hi: int, sums: np.ndarray) -> int:
        return core().circle_wins(body, rows, lo, hi, address(sums))

    wins, squares = _sums(circles, heights, add, columns=2)
    return wins, squares


def circle_points(circles: CircleCandidates, heights: Tensor) -> Candidates:
    """The candidates with their scores at each point, as 16 rows for each circle."""
    index = circles.indices.numpy()
    scores = point_scores(circles.products.numpy(), heights.numpy()[index])
    lengths = np.repeat(np.diff(circles.offsets.numpy()), CIRCLE_POINTS)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    row = np.repeat(np.arange(len(lengths)), lengths)
    start = circles.offsets.numpy()[:-1].repeat(CIRCLE_POINTS)
    entry = np.arange(len(row)) - offsets[row] + start[row]
    parts = (offsets, index[entry], scores[entry, row % CIRCLE_POINTS])
    return Candidates(*(torch.from_numpy(np.ascontiguousarray(part)) for part in parts))


def _sums(circles: CircleCandidates, heights: Tensor, add: Callable[..., int], columns: int) -> list[Tensor]:
    """Runs a native sum over shards of circles; (n,) integers per column."""
    n = len(heights)
    offsets, indices = (contiguous(t, torch.int64, "circles") for t in (circles.offsets, circles.indices))
    products = contiguous(circles.products, torch.float64, "circles.products")
    height = contiguous(heights, torch.float64, "heights")
    _check(offsets, indices, products)
    rows = core().CircleRows(address(offsets), address(indices), address(products), address(height), n)
    body = choose_body().index

    def work(pieces: list[tuple[int, int]]) -> np.ndarray:
        sums = np.zeros((n, columns), dtype=np.int64)
        for lo, hi in pieces:
            bad = add(body, rows, lo, hi, sums)
            if bad >= 0:
                raise InputError(
                    "circles", expected=f"numbers and indices in [0, {n})", got=f"others in circle {bad}"
                )
        return sums

    total = sum(
        threads.run(work, shards(offsets, n, ENTRIES_PER_CALL)), np.zeros((n, columns), dtype=np.int64)
    )
    return [torch.from_numpy(np.ascontiguousarray(total[:, i])) for i in range(columns)]


def _check(offsets: np.ndarray, indices: np.ndarray, products: np.ndarray) -> None:
    fits = len(offsets) > 0 and offsets[0] == 0 and offsets[-1] == len(indices)
    if not fits or products.shape != (len(indices), 2) or (np.diff(offsets) < 0).any():
        raise InputError(
            "circles",
            expected="offsets ascending from 0 to the number of indices, and two products for each",
            got=f"{len(offsets)} offsets, {len(indices)} indices, products {products.shape}",
        )
