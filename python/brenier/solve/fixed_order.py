"""Arithmetic whose bits do not depend on the number of threads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def dot(a: np.ndarray, b: np.ndarray) -> float:
    """⟨a, b⟩ in numpy's own order; np.dot would go to BLAS, which splits long vectors among its threads."""
    return float((a * b).sum())


@contextmanager
def single_threaded() -> Iterator[None]:
    """Torch's LAPACK on one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
