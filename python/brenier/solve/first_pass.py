"""What is learnt of streamed targets before the first step: mean, norms and a fingerprint, in two passes."""

from __future__ import annotations

import hashlib

import numpy as np
import torch

from brenier.data.sources import LatentSource
from brenier.engine.checks import require_finite
from brenier.engine.ranks import Ranks
from brenier.errors import InputError
from brenier.solve.problem import Problem, add_weighted, block_rows, masses_of, row_norms
from brenier.solve.shares import rows_of
from brenier.solve.streamed import StreamedTargets


def streamed_problem(
    source: LatentSource, weights: object, columns: int, ranks: Ranks | None = None
) -> Problem:
    """The problem over a source: the mean in one pass, the norms of the centred rows in another.

    Targets are centred by their mean rounded to float32, as precise as any centre (it changes no winner).
    Equal targets are not merged: each keeps a cell of its own, and no height can divide the mass between them,
    so a source with many of them does not converge. Masses must all be positive. Ranks share the second pass.

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
    targets = StreamedTargets(source, block_rows(source.shape[1]), columns)
    mean = mean_of(targets, masses)
    targets.centre = torch.from_numpy(mean).float()
    norms = shared_norms(targets, ranks or Ranks())
    centre = targets.centre.double().numpy()
    targets.fingerprint = fingerprint_of(targets.shape, centre, norms)
    return Problem(targets, masses, norms, centre, np.arange(len(masses)))


def shared_norms(targets: StreamedTargets, ranks: Ranks) -> np.ndarray:
    """‖y_i‖ in float64, each rank those of its rows."""
    mine = rows_of(targets, *ranks.rows(len(targets)))
    tiles = mine.tiles() if isinstance(mine, StreamedTargets) else ()
    norms = np.concatenate([np.empty(0), *(row_norms(tile) for _, _, tile in tiles)])
    return ranks.joined(torch.from_numpy(norms), len(targets)).numpy()


def mean_of(targets: StreamedTargets, masses: np.ndarray) -> np.ndarray:
    """Σ ν_i y_i in float64 over fixed blocks: the same bits for any tile size."""
    mean = np.zeros(targets.shape[1])
    for lo, hi, tile in targets.tiles():
        add_weighted(mean, tile, masses[lo:hi])
        if not np.isfinite(mean).all():
            require_finite(tile, f"targets {lo} to {hi - 1}")
    return mean


def fingerprint_of(shape: tuple[int, int], centre: np.ndarray, norms: np.ndarray) -> str:
    """SHA-256 of shape, centre and norms: another value of any target changes its norm."""
    digest = hashlib.sha256(f"streamed {shape}".encode())
    digest.update(centre.tobytes())
    digest.update(norms.tobytes())
    return digest.hexdigest()
