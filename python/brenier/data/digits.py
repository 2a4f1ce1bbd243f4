"""Handwritten digits, shipped inside scikit-learn: real data without a download."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from brenier.errors import InputError, require_package

IMAGE_SHAPE = (1, 8, 8)


@dataclass(frozen=True)
class Digits:
    """Images (n, 64) float32 in [-1, 1] and labels (n,) int64 in 0..9."""

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.images)

    def split(self, held_out: int, seed: int = 0) -> tuple[Digits, Digits]:
        """(the rest, ``held_out`` images) in an order that the seed alone decides; raises InputError."""
        if not 0 < held_out < len(self):
            raise InputError("held_out", expected=f"a number from 1 to {len(self) - 1}", got=str(held_out))
        order = torch.randperm(len(self), generator=torch.Generator().manual_seed(seed))
        last, first = order[:held_out].sort().values, order[held_out:].sort().values
        return self._take(first), self._take(last)

    def _take(self, rows: Tensor) -> Digits:
        return Digits(self.images[rows], self.labels[rows])


def load_digits() -> Digits:
    """The 1,797 digits of scikit-learn, 8 x 8 pixels of 17 grey levels, scaled to [-1, 1].

    Raises MissingPackageError where scikit-learn is not installed.
    """
    bunch = require_package("sklearn.datasets", "metrics").load_digits()
    images = torch.from_numpy(bunch.data).to(torch.float32) / 8 - 1
    return Digits(images, torch.from_numpy(bunch.target).to(torch.int64))
