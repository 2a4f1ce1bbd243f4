"""Joins what native calls on pieces of the work return: exact, so answers do not depend on the pieces."""

from __future__ import annotations

import numpy as np
import torch

from brenier.types import CIRCLE_POINTS, COSINES, SINES, Candidates, CircleCandidates

Rows = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Lengths (rows,), indices (total,) and float64 scores (total,) of some rows of candidates."""


def merge_winners(parts: list[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """Best (winners, scores) over groups of targets; the lower index where scores are equal."""
    winners, scores = parts[0]
    for other_winners, other_scores in parts[1:]:
        better = (other_scores > scores) | ((other_scores == scores) & (other_winners < winners))
        winners = np.where(better, other_winners, winners)
        scores = np.where(better, other_scores, scores)
    return winners, scores


def join_ranges(parts: list[Rows], margin: float) -> Rows:
    """One set of rows from ascending ranges of targets, kept to the margin of the best over all of them."""
    if len(parts) == 1:
        return parts[0]
    count = len(parts[0][0])
    row = np.concatenate([np.repeat(np.arange(count), lengths) for lengths, _, _ in parts])
    indices = np.concatenate([part[1] for part in parts])
    scores = np.concatenate([part[2] for part in parts])
    best = np.full(count, -np.inf)
    np.maximum.at(best, row, scores)
    kept = np.flatnonzero(scores >= best[row] - margin)
    kept = kept[np.argsort(row[kept], kind="stable")]
    return np.bincount(row[kept], minlength=count), indices[kept], scores[kept]


def join_circle_ranges(parts: list[Rows], heights: np.ndarray, margin: float) -> Rows:
    """One set of circles from ascending ranges of targets, kept to the margin of the best at some point."""
    if len(parts) == 1:
        return parts[0]
    count = len(parts[0][0])
    circle = np.concatenate([np.repeat(np.arange(count), lengths) for lengths, _, _ in parts])
    indices = np.concatenate([part[1] for part in parts])
    products = np.concatenate([part[2] for part in parts])
    scores = point_scores(products, heights[indices])
    best = np.full((count, CIRCLE_POINTS), -np.inf)
    np.maximum.at(best, circle, scores)
    kept = np.flatnonzero((scores >= best[circle] - margin).any(axis=1))
    kept = kept[np.argsort(circle[kept], kind="stable")]
    return np.bincount(circle[kept], minlength=count), indices[kept], products[kept]


def point_scores(products: np.ndarray, heights: np.ndarray) -> np.ndarray:
    """Scores (total, 16) of entries with these products (total, 2) and heights (total,), in the contract's order."""
    along = products[:, :1] * COSINES + products[:, 1:] * SINES
    return np.concatenate([along + heights[:, None], heights[:, None] - along], axis=1)


def join_circles(parts: list[Rows]) -> CircleCandidates:
    """Circles of consecutive blocks."""
    joined = join_rows(parts)
    return CircleCandidates(joined.offsets, joined.indices, joined.scores.reshape(-1, 2))


def join_rows(parts: list[Rows]) -> Candidates:
    """Candidates of consecutive blocks of rows."""
    lengths = np.concatenate([part[0] for part in parts]) if parts else np.empty(0, dtype=np.int64)
    offsets = np.zeros(len(lengths) + 1, dtype=np.int64)
    np.cumsum(lengths, out=offsets[1:])
    indices = np.concatenate([part[1] for part in parts]) if parts else np.empty(0, dtype=np.int64)
    scores = np.concatenate([part[2] for part in parts]) if parts else np.empty(0)
    return Candidates(torch.from_numpy(offsets), torch.from_numpy(indices), torch.from_numpy(scores))
