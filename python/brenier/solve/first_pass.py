"""What is learnt of streamed targets before the first step: mean, norms and a fingerprint, in two passes."""

from __future__ import annotations

import numpy as np
import torch

from brenier.data.sources import LatentSource
from brenier.engine.checks import require_finite
from brenier.engine.ranks import Ranks
from brenier.errors import BrenierError, InputError
from brenier.solve.fingerprint import summary
from brenier.solve.problem import Problem, add_weighted, block_rows, blocks, masses_of, row_norms
from brenier.solve.shares import rows_of
from brenier.solve.streamed import StreamedTargets, Targets, tiles_of

SEGMENTS = 64  # sums of the mean that ranks share


def streamed_problem(
    source: LatentSource, weights: object, columns: int, ranks: Ranks | None = None
) -> Problem:
    """The problem over a source: the mean in one pass, the norms of the centred rows in another.

    Targets are centred by their mean rounded to float32, as precise as any centre (it changes no winner).
    Equal targets are not merged: each keeps a cell of its own, and no height can divide the mass between them,
    so a source with many of them does not converge. Masses must all be positive. Ranks share both passes.

    Raises InputError for empty or non-finite targets and for masses that do not fit them.
    """
    if min(source.shape) < 1:
        raise InputError(
            "targets", expected="at least one target of at least one dimension", got=f"shape {source.shape}"
        )
    masses = masses_of(weights, len(source))
    if masses.min() <= 0:
        raise InputError(
            "weights",
            expected="masses > 0 for targets that are streamed",
            got="0",
            remedy="leave them out of the source",
        )
    targets, norms = centred_source(source, masses, columns, ranks or Ranks())
    return Problem(targets, masses, norms, targets.centre.double().numpy(), np.arange(len(masses)))


def centred_source(
    source: LatentSource, masses: np.ndarray, columns: int, ranks: Ranks
) -> tuple[StreamedTargets, np.ndarray]:
    """The source less its mean, with its fingerprint, and the norms of the centred rows."""
    targets = StreamedTargets(source, block_rows(source.shape[1]), columns)
    targets.centre = torch.from_numpy(mean_of(targets, masses, ranks)).float()
    norms = shared_norms(targets, ranks)
    targets.fingerprint = summary(targets.shape, targets.centre.double().numpy(), norms)
    return targets, norms


def shared_norms(targets: StreamedTargets, ranks: Ranks) -> np.ndarray:
    """‖y_i‖ in float64, each rank those of its rows."""
    norms, (first, end) = np.empty(len(targets)), ranks.rows(len(targets))
    mine = rows_of(targets, first, end)
    for lo, hi, tile in mine.tiles() if isinstance(mine, StreamedTargets) else ():
        norms[first + lo : first + hi] = row_norms(tile)
    return ranks.joined(torch.from_numpy(norms)).numpy()


def mean_of(targets: StreamedTargets, masses: np.ndarray, ranks: Ranks) -> np.ndarray:
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
