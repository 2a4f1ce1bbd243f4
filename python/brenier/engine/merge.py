"""Joins what native calls on pieces of the work return: exact, so answers do not depend on the pieces."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from brenier.types import CIRCLE_POINTS, COSINES, SINES, Candidates, CircleCandidates

Rows = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Lengths (rows,), indices (total,) and float64 scores (total,), or products (total, 2), of some lists."""


def merge_winners(parts: list[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """Best (winners, scores) over groups of targets; the lower index where scores are equal."""
    winners, scores = parts[0]
    for other_winners, other_scores in parts[1:]:
        better = (other_scores > scores) | ((other_scores == scores) & (other_winners < winners))
        winners = np.where(better, other_winners, winners)
        scores = np.where(better, other_scores, scores)
    return winners, scores


@dataclass(frozen=True)
class Listing:
    """What a native verb lists: the targets of groups of rows of noise, each with some float64 values."""

    verb: str
    rows: int  # that share a list
    points: int  # at which its targets compete
    values: tuple[int, ...]  # shape of a target's values

    def scores(self, values: np.ndarray, heights: np.ndarray) -> np.ndarray:
        """(total, points)"""
        return values[:, None] if self.points == 1 else point_scores(values, heights)

    def join(self, parts: list[Rows], heights: np.ndarray, margin: float) -> Rows:
        """One set of lists from ascending ranges of targets, kept to the margin of the best at some point."""
        if len(parts) == 1:
            return parts[0]
        count = len(parts[0][0])
        owner = np.concatenate([np.repeat(np.arange(count), lengths) for lengths, _, _ in parts])
        indices = np.concatenate([part[1] for part in parts])
        values = np.concatenate([part[2] for part in parts])
        scores = self.scores(values, heights[indices])
        best = np.full(count * self.points, -np.inf)
        place = owner[:, None] * self.points + np.arange(self.points)
        np.maximum.at(
            best, place.ravel(), scores.ravel()
        )  # in one dimension: in two it takes nine times as long
        kept = np.flatnonzero((scores >= best[place] - margin).any(axis=1))
        kept = kept[np.argsort(owner[kept], kind="stable")]
        return np.bincount(owner[kept], minlength=count), indices[kept], values[kept]


SINGLE_ROWS = Listing("candidates", 1, 1, ())
CIRCLES = Listing("circle_candidates", 2, CIRCLE_POINTS, (2,))


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
