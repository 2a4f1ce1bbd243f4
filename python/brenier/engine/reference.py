"""The definition of every engine's answer, in float64, boring on purpose.

    score[j, i] = ⟨x_j, y_i⟩ + h_i        winner[j] = lowest i with the largest score[j, i]

Products of float32 are exact in float64 (24 + 24 bits of 53), so only the order of the sums matters.
It is fixed: lane l of 32 sums depth l, l+32, ... in ascending order, then lanes i and i+16 are added,
then i and i+8, and so on; h comes last. A target with h = -inf never wins; a row without a finite score
has winner -1.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from brenier.types import COSINES, LANES, SINES, Candidates, CircleCandidates

ROWS_TIMES_TARGETS = 1 << 17


def scores(x: Tensor, y: Tensor, h: Tensor) -> Tensor:
    """Float64 scores (N, n) of noise x (N, d) against targets y (n, d) with heights h (n,)."""
    padding = (0, -x.shape[1] % LANES)
    x, y = (torch.nn.functional.pad(t.double(), padding).unflatten(1, (-1, LANES)) for t in (x, y))
    lanes = torch.zeros(len(x), len(y), LANES, dtype=torch.float64, device=x.device)
    for step in range(x.shape[1]):
        lanes += x[:, None, step] * y[None, :, step]
    while lanes.shape[-1] > 1:
        lanes = lanes[..., : lanes.shape[-1] // 2] + lanes[..., lanes.shape[-1] // 2 :]
    return lanes[..., 0] + h


class ReferenceEngine:
    """The contract itself: slow, and right by reading."""

    name = "reference"
    devices = ("cpu", "cuda")

    def why_unavailable(self) -> str | None:
        return None

    def prepare(self, y: Tensor) -> Tensor:
        return y

    def assign(self, x: Tensor, y: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        """Winners int64 (N,) and their float64 scores (N,)."""
        winners = torch.full((len(x),), -1, dtype=torch.int64)
        best = torch.full((len(x),), -torch.inf, dtype=torch.float64)
        for lo, hi in row_blocks(len(x), len(y)):
            block = scores(x[lo:hi], y, h).cpu().numpy()
            winner = block.argmax(
                axis=1
            )  # numpy returns the first of equal maxima; torch does not promise it
            best[lo:hi] = torch.from_numpy(block[np.arange(hi - lo), winner])
            winners[lo:hi] = torch.from_numpy(winner)
        winners[best == -torch.inf] = -1
        return winners.to(x.device), best.to(x.device)

    def candidates(self, x: Tensor, y: Tensor, h: Tensor, margin: float) -> Candidates:
        """Targets with score ≥ best − margin (float64, one rounding), for each row, ascending by index."""
        if len(y) == 0:
            return concatenate([torch.zeros(len(x), dtype=torch.int64, device=x.device)], [], [], x.device)
        lengths, indices, values = [], [], []
        for lo, hi in row_blocks(len(x), len(y)):
            block = scores(x[lo:hi], y, h)
            keep = (block >= block.amax(dim=1, keepdim=True) - margin) & (block > -torch.inf)
            lengths.append(keep.sum(dim=1))
            indices.append(keep.nonzero()[:, 1])
            values.append(block[keep])
        return concatenate(lengths, indices, values, x.device)

    def circle_candidates(self, x: Tensor, y: Tensor, h: Tensor, margin: float) -> CircleCandidates:
        """Targets with score ≥ best − margin at one of the circle's 16 points, ascending by index."""
        lengths, indices, products = [], [], []
        none = torch.zeros(len(y), dtype=torch.float64, device=h.device)
        for lo, hi in row_blocks(len(x) // 2, 32 * len(y)):
            draws = scores(x[2 * lo : 2 * hi], y, none).unflatten(0, (-1, 2)).transpose(1, 2)
            block = on_circle(draws, h)
            near = block >= block.amax(dim=1, keepdim=True) - margin
            keep = (near & (block > -torch.inf)).any(dim=2)
            lengths.append(keep.sum(dim=1))
            indices.append(keep.nonzero()[:, 1])
            products.append(draws[keep])
        if not lengths:
            lengths = [torch.zeros(len(x) // 2, dtype=torch.int64, device=h.device)]
        found = concatenate(lengths, indices, [], h.device)
        empty = torch.empty(0, 2, dtype=torch.float64, device=h.device)
        return CircleCandidates(found.offsets, found.indices, torch.cat([empty, *products]))


def on_circle(products: Tensor, h: Tensor) -> Tensor:
    """Scores (C, n, 16) at the points of each circle from the products (C, n, 2) with its two draws."""
    cosines, sines = (torch.from_numpy(table).to(h.device) for table in (COSINES, SINES))
    along = products[..., :1] * cosines + products[..., 1:] * sines
    return torch.cat([along + h[:, None], h[:, None] - along], dim=2)


def row_blocks(rows: int, targets: int) -> list[tuple[int, int]]:
    """Ranges of rows whose scores fit in bounded memory; none where there is nothing to score."""
    if targets == 0:
        return []
    size = max(1, ROWS_TIMES_TARGETS // targets)
    return [(lo, min(lo + size, rows)) for lo in range(0, rows, size)]


def concatenate(
    lengths: list[Tensor], indices: list[Tensor], values: list[Tensor], device: torch.device
) -> Candidates:
    def joined(parts: list[Tensor], dtype: torch.dtype) -> Tensor:
        return torch.cat(parts) if parts else torch.empty(0, dtype=dtype, device=device)

    counts = joined(lengths, torch.int64)
    offsets = torch.zeros(len(counts) + 1, dtype=torch.int64, device=device)
    offsets[1:] = counts.cumsum(0)
    return Candidates(offsets, joined(indices, torch.int64), joined(values, torch.float64))
