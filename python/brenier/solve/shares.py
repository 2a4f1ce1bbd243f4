"""A rank's own rows of the targets, in memory or streamed."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from brenier.data.sources import LatentSource, require_range
from brenier.solve.streamed import StreamedTargets, Targets


class RowRange:
    """Rows lo to hi − 1 of a latent source, as a source of their own."""

    dtype = torch.float32

    def __init__(self, source: LatentSource, lo: int, hi: int) -> None:
        require_range(lo, hi, len(source))
        self.source, self.first = source, lo
        self.shape = (hi - lo, source.shape[1])

    def __len__(self) -> int:
        return self.shape[0]

    def read(self, lo: int, hi: int, out: Tensor | None = None) -> Tensor:
        require_range(lo, hi, len(self))
        return self.source.read(self.first + lo, self.first + hi, out)


def rows_of(targets: Targets, lo: int, hi: int) -> Targets:
    """Targets lo to hi − 1, not copied; streamed ones keep centre and traffic, and all of them are themselves."""
    if (lo, hi) == (0, len(targets)):
        return targets
    if not isinstance(targets, StreamedTargets):
        return targets[lo:hi]
    if lo == hi:
        return torch.empty(0, targets.shape[1])
    part = copy.copy(targets)
    part.source, part.shape = RowRange(targets.source, lo, hi), (hi - lo, targets.shape[1])
    return part
