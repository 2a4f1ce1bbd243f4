"""A rank's own rows of the targets, in memory or streamed."""

from __future__ import annotations

import copy

import torch

from brenier.data.latents import RowRange
from brenier.solve.centring import SharedTargets
from brenier.solve.streamed import StreamedTargets, Targets


def rows_of(targets: Targets, lo: int, hi: int) -> Targets:
    """Targets lo to hi − 1, not copied; streamed ones keep centre and traffic, and all of them are themselves."""
    if isinstance(targets, SharedTargets):
        return targets.range(lo, hi)
    if (lo, hi) == (0, len(targets)):
        return targets
    if not isinstance(targets, StreamedTargets):
        return targets[lo:hi]
    if lo == hi:
        return torch.empty(0, targets.shape[1])
    part = copy.copy(targets)
    part.source, part.shape = RowRange(targets.source, lo, hi), (hi - lo, targets.shape[1])
    return part
