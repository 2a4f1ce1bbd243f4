"""Targets in memory less their mean, rounded once to float32, and their norms; whole, or each rank its rows."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from brenier.engine import checks, threads
from brenier.engine.ranks import Ranks
from brenier.solve.fixed_order import at_once, squares

BLOCK_VALUES = 1 << 20  # values of the target matrix that a thread takes at a time

CENTRED = "targets after centring, in float32"  # as messages name them


def block_rows(dimension: int) -> int:
    return max(1, BLOCK_VALUES // max(1, dimension))


def blocks(matrix: Tensor) -> list[tuple[int, int]]:
    """Row ranges of bounded size; fixed by the shape alone, so that sums over them have fixed bits."""
    size = block_rows(matrix.shape[1])
    return [(lo, min(lo + size, len(matrix))) for lo in range(0, len(matrix), size)]


def add_weighted(mean: np.ndarray, block: Tensor, masses: np.ndarray) -> None:
    """mean += Σ ν_i y_i over a block's rows, in one order (einsum does not thread)."""
    for lo, hi in at_once(block):
        mean += np.einsum("i,ij->j", masses[lo:hi], block[lo:hi].double().numpy())


def row_norms(matrix: Tensor) -> np.ndarray:
    """‖y_i‖ in float64."""
    parts = threads.run(lambda block: np.sqrt(squares(matrix[slice(*block)])), blocks(matrix))
    return np.concatenate([np.empty(0), *parts])


def subtract(matrix: Tensor, centre: np.ndarray) -> tuple[Tensor, np.ndarray]:
    """Centred targets rounded once to float32, and the norms of the rounded rows, float64.

    Raises InputError for those that centring takes out of float32.
    """
    norms = np.empty(len(matrix))
    centred = less(matrix, centre, norms)
    if not np.isfinite(norms).all():  # float64: a row of finite float32 has a finite norm
        checks.require_finite(centred, CENTRED)
    return centred, norms


def less(
    matrix: Tensor, centre: np.ndarray, norms: np.ndarray | None = None, index: Tensor | None = None
) -> Tensor:
    """Centred targets, infinite where float32 ends; their norms into norms while they are in cache.

    index : centre these rows only, copied as given no more than a block a thread at once
    """
    count = len(matrix) if index is None else len(index)
    centred = torch.empty((count, matrix.shape[1]), dtype=torch.float32)

    def write(block: tuple[int, int]) -> None:
        chosen = slice(*block)
        rows, out = matrix[chosen if index is None else index[chosen]], centred[chosen]
        for lo, hi in at_once(rows):
            with np.errstate(over="ignore"):
                out[lo:hi].numpy()[...] = rows[lo:hi].double().numpy() - centre
            if norms is not None:
                norms[block[0] + lo : block[0] + hi] = np.sqrt(squares(out[lo:hi]))

    threads.run(write, blocks(centred))
    return centred


class SharedTargets:
    """Centred targets (n, d) of which a rank has centred its own rows; it centres others when it needs them."""

    def __init__(self, given: Tensor, centre: np.ndarray, ranks: Ranks, norms: np.ndarray) -> None:
        """norms : (n,), of which the rank's own are written"""
        self.given, self.centre = given, centre
        self.shape = (len(given), given.shape[1])
        own = slice(*ranks.rows(len(given)))
        self.first, self.end, self.rows = own.start, own.stop, less(given[own], centre, norms[own])

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Tensor) -> Tensor:
        """Single rows."""
        return less(self.given, self.centre, index=index)

    def range(self, lo: int, hi: int) -> Tensor:
        """Rows lo to hi − 1, not copied where they are this rank's own."""
        if self.first <= lo <= hi <= self.end:
            return self.rows[lo - self.first : hi - self.first]
        return less(self.given[lo:hi], self.centre)

    def whole(self) -> Tensor:
        """All rows, kept from the first call on."""
        if self.first > 0 or self.end < len(self):
            self.rows = less(self.given, self.centre)
            self.first, self.end = 0, len(self)
        return self.rows


def share(matrix: Tensor, centre: np.ndarray, ranks: Ranks) -> tuple[Tensor | SharedTargets, np.ndarray]:
    """As subtract, each rank its own rows; the norms are those of all."""
    if ranks.world == 1:
        return subtract(matrix, centre)
    norms = np.empty(len(matrix))
    targets = SharedTargets(matrix, centre, ranks, norms)
    ranks.joined(torch.from_numpy(norms))
    if not np.isfinite(norms).all():
        return subtract(matrix, centre)  # so that every rank says which
    return targets, norms
