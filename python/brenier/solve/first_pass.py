"""What is learnt of streamed targets before the first step: mean, norms and a fingerprint, in two passes."""

from __future__ import annotations

import numpy as np
import torch

from brenier.data.sources import LatentSource
from brenier.engine import checks
from brenier.engine.ranks import Ranks
from brenier.errors import InputError
from brenier.solve.centring import CENTRED, block_rows, row_norms
from brenier.solve.fingerprint import summary
from brenier.solve.mean import mean_of
from brenier.solve.problem import Problem, masses_of, require_same_targets
from brenier.solve.shares import rows_of
from brenier.solve.streamed import StreamedTargets


def streamed_problem(
    source: LatentSource, weights: object, columns: int, ranks: Ranks | None = None
) -> Problem:
    """The problem over a source: the mean in one pass, the norms of the centred rows in another.

    Targets are centred by their mean rounded to float32, as precise as any centre (it changes no winner).
    Equal targets are not merged: each keeps a cell of its own, and no height can divide the mass between them,
    so a source with many of them does not converge. Masses must all be positive. Ranks share both passes.

    Raises InputError for empty or non-finite targets, for masses that do not fit them, and where ranks hold others.
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
    peers = ranks or Ranks()
    if peers.world > 1:
        require_same_targets(peers, f"{tuple(source.shape)} streamed", masses)
    targets, norms = centred_source(source, masses, columns, peers)
    return Problem(targets, masses, norms, targets.centre.double().numpy(), np.arange(len(masses)))


def centred_source(
    source: LatentSource, masses: np.ndarray, columns: int, ranks: Ranks
) -> tuple[StreamedTargets, np.ndarray]:
    """The source less its mean, with its fingerprint, and the norms of the centred rows.

    Raises InputError for rows that centring takes out of float32.
    """
    targets = StreamedTargets(source, block_rows(source.shape[1]), columns)
    targets.centre = torch.from_numpy(mean_of(targets, masses, ranks)).float()
    norms = shared_norms(targets, ranks)
    if not np.isfinite(norms).all():  # float64: a row of finite float32 has a finite norm
        first = int(np.flatnonzero(~np.isfinite(norms))[0])
        checks.require_finite(targets[torch.tensor([first])], CENTRED, first=first)
    targets.fingerprint = summary(targets.shape, targets.centre.double().numpy(), norms)
    return targets, norms


def shared_norms(targets: StreamedTargets, ranks: Ranks) -> np.ndarray:
    """‖y_i‖ in float64, each rank those of its rows."""
    norms, (first, end) = np.empty(len(targets)), ranks.rows(len(targets))
    mine = rows_of(targets, first, end)
    for lo, hi, tile in mine.tiles() if isinstance(mine, StreamedTargets) else ():
        norms[first + lo : first + hi] = row_norms(tile)
    return ranks.joined(torch.from_numpy(norms)).numpy()
