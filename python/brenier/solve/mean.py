"""The mean of targets, its sums in one order: the same bits for any tiles, threads and ranks."""

from __future__ import annotations

import numpy as np
import torch

from brenier.engine.checks import require_finite
from brenier.engine.ranks import Ranks
from brenier.errors import BrenierError
from brenier.solve.centring import add_weighted, block_rows, blocks
from brenier.solve.shares import rows_of
from brenier.solve.streamed import Targets, tiles_of

SEGMENTS = 64  # sums of the mean that ranks share


def mean_of(targets: Targets, masses: np.ndarray, ranks: Ranks) -> np.ndarray:
    """Σ ν_i y_i in float64: sums over fixed blocks, added up inside fixed segments, and these in order.

    So the bits are the same for any tile size and any number of ranks, each of which reads its segments.
    """
    length = segment_rows(*targets.shape)
    sums = np.zeros((-(-len(targets) // length), targets.shape[1]))
    lo, hi = (min(segment * length, len(targets)) for segment in ranks.rows(len(sums)))
    failure = add_segments(sums, rows_of(targets, lo, hi), masses, lo)
    ranks.joined(torch.from_numpy(sums))
    if failure is not None:
        raise failure
    require_finite(torch.from_numpy(sums), "targets read by another rank, their sums")
    mean = np.zeros(targets.shape[1])
    for part in sums:
        mean += part
    return mean


def segment_rows(targets: int, dimension: int) -> int:
    """Rows of a segment, whole blocks."""
    block = block_rows(dimension)
    return -(-targets // (SEGMENTS * block)) * block


def add_segments(sums: np.ndarray, mine: Targets, masses: np.ndarray, start: int) -> BrenierError | None:
    """Adds a rank's targets, from number ``start`` on, to their segments.

    Targets that cannot be read or are not finite make the sums nan, so that all ranks know; the error is returned.
    """
    length = segment_rows(len(masses), sums.shape[1])
    try:
        for first, end, tile in tiles_of(mine):
            for lo, hi in blocks(tile):
                place = slice(start + first + lo, start + first + hi)
                add_weighted(sums[place.start // length], tile[lo:hi], masses[place])
            if not np.isfinite(sums[(start + first) // length : (start + end - 1) // length + 1]).all():
                require_finite(tile, f"targets {start + first} to {start + end - 1}")
    except BrenierError as error:
        sums[start // length] = np.nan
        return error
    return None
