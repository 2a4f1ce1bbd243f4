"""Targets onto a few directions, with bits that do not depend on how the work is cut."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from brenier.engine import checks, threads
from brenier.engine.native import Body, address, aligned, choose_body, core, view_rows, with_contiguous_rows
from brenier.errors import InputError
from brenier.types import Array

OPERATIONS_PER_CALL = 4e9  # below 0.1 s
LEAST_ROWS = 96  # of a call, what one strip of directions in cache meets
ELEMENTS_PER_CALL = 1 << 22
BLOCK = 32  # directions made at a time

Piece = tuple[tuple[int, int], tuple[int, int]]  # of rows, of directions


@dataclass(frozen=True)
class Directions:
    """Directions packed once for many projections."""

    panels: np.ndarray
    shape: tuple[int, int]  # (m, d)
    body: Body


def prepare_directions(z: Array) -> Directions:
    """Pack z, (m, d) on the CPU, for ``project``; raises InputError."""
    directions = checks.as_matrix(z, "z")
    if directions.device.type != "cpu":
        raise InputError("z", expected="a CPU matrix", got=str(directions.device))
    body = choose_body()
    return Directions(pack_directions(directions, body), (len(directions), directions.shape[1]), body)


def project(y: Array, z: Array | Directions) -> Tensor:
    """P = y zᵀ in float32: each output is one chain of fused multiply-adds over ascending depth.

    y : (n, d) float32, bfloat16 or float16, any strides
    z : (m, d) likewise, or prepared

    Returns float32 (n, m), the same bits for any thread count, chunking and instruction set (the portable
    body is slow here: it fuses in software on most processors). Raises InputError.
    """
    rows = checks.as_matrix(y, "y", finite=False)
    prepared = z if isinstance(z, Directions) else prepare_directions(z)
    directions, body = prepared.shape[0], prepared.body
    if rows.shape[1] != prepared.shape[1] or rows.device.type != "cpu":
        raise InputError(
            "y and z",
            expected="CPU matrices of the same dimension d",
            got=f"{tuple(rows.shape)} on {rows.device} and {prepared.shape}",
        )
    out = np.empty((len(rows), directions), dtype=np.float32)

    def work(piece: Piece) -> None:
        (lo, hi), (first, last) = piece
        block, part = with_contiguous_rows(rows[lo:hi]), out[lo:hi]
        if last - first < directions:
            part = np.empty((hi - lo, last - first), dtype=np.float32)
        view, panels = view_rows(block, rows.shape[1]), address(prepared.panels[first * rows.shape[1] :])
        core().project(body.index, view, hi - lo, panels, last - first, address(part))
        if last - first < directions:
            out[lo:hi, first:last] = part

    if out.size > 0:
        threads.run(work, pieces(len(rows), directions, rows.shape[1], body))
    # a value of y that is not finite spoils its whole row
    if directions == 0 or not np.isfinite(out[:, 0]).all():
        checks.require_finite(rows, "y")
    return torch.from_numpy(out)


def pack_directions(z: Tensor, body: Body) -> np.ndarray:
    """Panels of z, unscaled."""
    source = with_contiguous_rows(z)
    count, depth = source.shape
    panels = aligned(padded(count, body) * depth, np.float32)
    core().pack_targets(body.index, view_rows(source, depth), count, 0, address(panels))
    return panels


def directions_by_blocks(make: Callable[[int, int], Tensor], count: int, depth: int) -> Directions:
    """Directions 0 to count − 1 packed as ``make(lo, hi)`` gives them, never all of them as rows."""
    body = choose_body()
    panels = aligned(padded(count, body) * depth, np.float32)
    step = padded(BLOCK, body)
    for lo in range(0, count, step):
        hi = min(lo + step, count)
        packed = pack_directions(make(lo, hi), body)
        panels[lo * depth : lo * depth + len(packed)] = packed
    return Directions(panels, (count, depth), body)


def padded(count: int, body: Body) -> int:
    """Directions in whole panels."""
    return -(-count // body.targets) * body.targets


def pieces(rows: int, directions: int, depth: int, body: Body) -> list[Piece]:
    """Ranges of rows and of whole panels of directions, bounded in operations.

    Few rows at a time would read the directions from memory too often, so below LEAST_ROWS directions are cut.
    """
    affordable = min(OPERATIONS_PER_CALL / (2 * directions), ELEMENTS_PER_CALL) / max(1, depth)
    even = -(-rows // (4 * threads.thread_count()))
    # whole strips: what is left over reads all directions too
    unit = max(1, LEAST_ROWS // body.rows) * body.rows
    height = max(1, int(min(affordable, even) / unit)) * unit
    panels = OPERATIONS_PER_CALL / (2 * min(rows, height) * max(1, depth) * body.targets)
    width = min(max(1, int(panels)) * body.targets, directions)
    blocks = [(lo, min(lo + height, rows)) for lo in range(0, rows, height)]
    return [
        (block, (lo, min(lo + width, directions))) for block in blocks for lo in range(0, directions, width)
    ]
