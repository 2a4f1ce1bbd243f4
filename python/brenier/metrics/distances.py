"""Nearest-neighbour distances in blocks: memory for blocks only, never for all pairs."""

from __future__ import annotations

import torch
from torch import Tensor

from brenier.engine.checks import as_tensor, require_finite
from brenier.errors import InputError
from brenier.types import Array

ROWS, COLUMNS = 512, 4096
EXACT = "donot_use_mm_for_euclid_dist"  # products would lose the zeros between copies


def as_features(value: Array, what: str, *, least: int = 1) -> Tensor:
    """Finite rows (N, ...) flattened to float64 (N, d), at least `least` of them; raises InputError."""
    tensor = as_tensor(value, what)
    if tensor.ndim < 2 or not tensor.is_floating_point() or tensor.shape[1:].numel() == 0:
        raise InputError(
            what, expected="floating-point rows (N, d), d ≥ 1", got=f"{tensor.dtype} {tuple(tensor.shape)}"
        )
    if len(tensor) < least:
        raise InputError(what, expected=f"at least {least} rows", got=str(len(tensor)))
    require_finite(tensor, what)
    return tensor.flatten(1).double()


def same_width(first: Tensor, second: Tensor, what: str) -> None:
    if first.shape[1] != second.shape[1]:
        raise InputError(what, expected="rows of one width d", got=f"{first.shape[1]} and {second.shape[1]}")


def nearest_distances(x: Tensor, y: Tensor, k: int = 1) -> Tensor:
    """The k smallest Euclidean distances from each row of x (N, d) to rows of y (n, d), ascending: (N, k)."""
    result = torch.full((len(x), k), torch.inf, dtype=x.dtype, device=x.device)
    for lo in range(0, len(x), ROWS):
        rows = slice(lo, lo + ROWS)
        for start in range(0, len(y), COLUMNS):
            block = torch.cdist(x[rows], y[start : start + COLUMNS], compute_mode=EXACT)
            result[rows] = torch.cat([result[rows], block], dim=1).topk(k, dim=1, largest=False).values
    return result


def within_any_ball(x: Tensor, centres: Tensor, radii: Tensor) -> Tensor:
    """Whether each row of x (N, d) lies in a closed ball around one of the centres (n, d): bool (N,)."""
    inside = torch.zeros(len(x), dtype=torch.bool, device=x.device)
    for lo in range(0, len(x), ROWS):
        rows = slice(lo, lo + ROWS)
        for start in range(0, len(centres), COLUMNS):
            columns = slice(start, start + COLUMNS)
            block = torch.cdist(x[rows], centres[columns], compute_mode=EXACT)
            inside[rows] |= (block <= radii[columns]).any(dim=1)
    return inside


def count_in_balls(x: Tensor, centres: Tensor, radii: Tensor) -> Tensor:
    """How many rows of x (N, d) lie in the closed ball around each centre (n, d): int64 (n,)."""
    held = torch.zeros(len(centres), dtype=torch.int64, device=x.device)
    for lo in range(0, len(x), ROWS):
        for start in range(0, len(centres), COLUMNS):
            columns = slice(start, start + COLUMNS)
            block = torch.cdist(x[lo : lo + ROWS], centres[columns], compute_mode=EXACT)
            held[columns] += (block <= radii[columns]).sum(dim=0)
    return held
