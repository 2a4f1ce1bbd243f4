"""Endless shuffled order of a data set: a function of (seed, position)."""

from __future__ import annotations

import torch
from torch import Tensor

from brenier.data import noise
from brenier.errors import InputError


class Shuffle:
    """An endless stream of the indices 0 to n − 1, each once per epoch, in an order given by the seed."""

    def __init__(self, count: int, seed: int) -> None:
        if not (isinstance(count, int) and count >= 1):
            raise InputError("images", expected="an integer ≥ 1", got=repr(count))
        self.count, self.seed = count, int(seed)
        self._epoch: tuple[int, Tensor] | None = None

    def take(self, first: int, rows: int) -> Tensor:
        """Indices number first to first + rows − 1 of the stream, int64 (rows,)."""
        pieces, last = [], first + rows
        while first < last:
            epoch, lo = divmod(first, self.count)
            hi = min(self.count, lo + last - first)
            pieces.append(self._permutation(epoch)[lo:hi])
            first += hi - lo
        return torch.cat(pieces) if pieces else torch.empty(0, dtype=torch.int64)

    def _permutation(self, epoch: int) -> Tensor:
        known = self._epoch
        if known is None or known[0] != epoch:
            keys = noise.integers(
                self.seed, epoch * self.count, self.count, 1 << 62, stream=noise.Stream.TRAIN
            )
            known = self._epoch = (epoch, torch.as_tensor(keys).argsort(stable=True))
        return known[1]
