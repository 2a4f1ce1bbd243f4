"""Rows onto structured random directions: as many as a fit needs, for the price of a few dense ones.

    A y = (H Σ_b D₂_b H D₁_b y_b / √B)[chosen],     y in blocks y_b of B = 2ᵗ, the last padded with zeros

H is the Walsh–Hadamard matrix and D are random signs (randomised Hadamard transforms: Ailon and Chazelle 2006; two
of them in a row: Le, Sarlós and Smola 2013). Over the signs, the entries of A have mean 0, variance 1 and no
correlation, and A Aᵀ is close to d·I; they are not independent, and normal only in the limit of large d.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from brenier.engine import checks, threads
from brenier.engine.native import address, choose_body, core
from brenier.errors import InputError

SMALLEST_BLOCK, LARGEST_BLOCK = 1 << 10, 1 << 16  # a leaf of the transform; what stays in the L2 cache
VALUES_PER_CALL = 1 << 24


@dataclass(frozen=True)
class Frame:
    """Signs (2, blocks · block) uint8, 1 for minus, and the rows of H (F,) int32 that are directions."""

    dimension: int
    block: int
    signs: np.ndarray
    chosen: np.ndarray


def block_size(dimension: int) -> int:
    """The power of two at or above d, within the bounds."""
    return min(max(SMALLEST_BLOCK, 1 << (dimension - 1).bit_length()), LARGEST_BLOCK)


def sign_count(dimension: int) -> int:
    """Random signs that a frame takes: two for each place of the padded rows."""
    block = block_size(dimension)
    return 2 * -(-dimension // block) * block


def frame_of(dimension: int, signs: np.ndarray, chosen: np.ndarray) -> Frame:
    """A frame of given random signs (sign_count(d),) in {0, 1} and rows of H below block_size(d)."""
    block = block_size(dimension)
    bits = np.ascontiguousarray(signs, dtype=np.uint8).reshape(2, -1)
    return Frame(dimension, block, bits, np.ascontiguousarray(chosen, dtype=np.int32))


def structured(y: Tensor, frame: Frame) -> Tensor:
    """A y for each row, float32 (n, F), the same bits for any thread count, chunking and instruction set.

    y : float32 (n, d) on the CPU. Raises InputError.
    """
    rows = checks.as_matrix(y, "y", dtypes=(torch.float32,), finite=False).contiguous()
    if rows.shape[1] != frame.dimension or rows.device.type != "cpu":
        raise InputError(
            "y",
            expected=f"a CPU matrix of dimension {frame.dimension}",
            got=f"{tuple(rows.shape)} on {rows.device}",
        )
    values, body = rows.numpy(), choose_body()
    out = np.empty((len(rows), len(frame.chosen)), dtype=np.float32)

    def work(piece: tuple[int, int]) -> None:
        lo, hi = piece
        place = (address(values[lo:]), hi - lo, frame.dimension)
        signs, chosen = address(frame.signs), address(frame.chosen)
        core().structured(
            body.index, *place, frame.block, signs, chosen, len(frame.chosen), address(out[lo:])
        )

    if out.size > 0:
        step = max(1, min(VALUES_PER_CALL // frame.dimension, -(-len(rows) // (4 * threads.thread_count()))))
        threads.run(work, [(lo, min(lo + step, len(rows))) for lo in range(0, len(rows), step)])
    projected = torch.from_numpy(out)
    checks.require_finite(projected, "y, projected,")  # a value of y that is not finite spoils its whole row
    return projected
