"""Arithmetic whose bits do not depend on the number of threads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

VALUES_AT_ONCE = 1 << 15


def dot(a: np.ndarray, b: np.ndarray) -> float:
    """⟨a, b⟩ in numpy's own order; np.dot would go to BLAS, which splits long vectors among its threads."""
    return float((a * b).sum())


def at_once(rows: Tensor) -> list[tuple[int, int]]:
    """Ranges of rows whose copies in float64 stay in cache; fixed by the shape alone."""
    count, width = rows.shape
    step = max(1, VALUES_AT_ONCE // max(1, width))
    return [(lo, min(lo + step, count)) for lo in range(0, count, step)]


def squares(rows: Tensor) -> np.ndarray:
    """Squared lengths of rows, float64, (n,); einsum's would depend on the rows beside, where rows are long."""
    found = np.empty(len(rows))
    for lo, hi in at_once(rows):
        exact = rows[lo:hi].double().numpy()
        np.add.reduce(exact * exact, axis=1, out=found[lo:hi])
    return found


@contextmanager
def single_threaded() -> Iterator[None]:
    """Torch's LAPACK on one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
