"""The C++ engine: a blocked float32 pass keeps the targets that could win, float64 decides among them.

The float32 pass is only a filter with a proved bound (csrc/core/bound.hpp, docs/numerics.md), so that winners
and scores are those of engine/reference.py bit for bit, on every instruction set, however the work is cut.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from brenier.engine import threads
from brenier.engine.merge import Rows, join_ranges, join_rows, merge_winners
from brenier.engine.native import Body, address, choose_body, core, view_rows, with_contiguous_rows
from brenier.types import Candidates

OPERATIONS_PER_CALL = 4e9
"""Multiply-adds count twice: below 0.1 s at 40 GFLOP/s, so that an interrupt is answered soon."""

ELEMENTS_PER_PACK = 1 << 23
UNRESTRICTED = 1000
"""Exponent of heights that are all equal: they never limit the scaling of the noise."""


@dataclass(frozen=True)
class PackedTargets:
    """Targets packed for one body; ``source`` may be the caller's memory, which must then stay unchanged."""

    body: Body
    source: Tensor  # (n, d), kept for the float64 scores
    panels: np.ndarray  # float32, [panel][depth][target]
    exponent: int
    largest_norm: float

    def view(self) -> Any:
        count, depth = self.source.shape
        return core().Targets(
            count, view_rows(self.source, depth), address(self.panels), self.exponent, self.largest_norm
        )


@dataclass(frozen=True)
class Heights:
    """Heights in float64, and scaled to [-1, 0] in float32 for the filter."""

    exact: np.ndarray
    bias: np.ndarray
    pivot: float
    largest: float
    exponent: int

    def view(self) -> Any:
        return core().Heights(
            address(self.exact), address(self.bias), self.pivot, self.largest, self.exponent
        )


@dataclass(frozen=True)
class Piece:
    """Rows of noise against groups of target ranges: what one task of the pool does."""

    rows: tuple[int, int]
    ranges: list[tuple[int, int]]


class CpuEngine:
    """Exact answers at the speed of a blocked float32 product."""

    name = "cpu"
    devices = ("cpu",)

    def why_unavailable(self) -> str | None:
        """None, or why the compiled module does not load. Raises EngineError for a wrong BRENIER_CPU_BODY."""
        try:
            choose_body()
        except ImportError as error:
            return f"the compiled module brenier._core does not load: {error}"
        return None

    def detail(self) -> str:
        masked = " (BRENIER_CPU_BODY)" if os.environ.get("BRENIER_CPU_BODY") else ""
        return f"body {choose_body().name}{masked}, {threads.thread_count()} threads"

    def prepare(self, y: Tensor) -> PackedTargets:
        """Float32 panels of the targets, and their source, copied only where its rows are strided."""
        body = choose_body()
        source = with_contiguous_rows(y)
        count, depth = source.shape
        step = body.targets * max(1, ELEMENTS_PER_PACK // (body.targets * max(1, depth)))
        tiles = [(lo, min(lo + step, count)) for lo in range(0, count, step)]

        def largest(tile: tuple[int, int]) -> float:
            lo, hi = tile
            return float(core().largest(body.index, view_rows(source[lo:], depth), hi - lo))

        exponent = exponent_to_one(max(threads.run(largest, tiles), default=0.0))
        panels = np.empty(-(-count // body.targets) * body.targets * depth, dtype=np.float32)

        def pack(tile: tuple[int, int]) -> float:
            lo, hi = tile
            rows = view_rows(source[lo:], depth)
            to = address(panels[lo * depth :])
            return float(core().pack_targets(body.index, rows, hi - lo, exponent, to))

        norms = threads.run(pack, tiles)
        return PackedTargets(body, source, panels, exponent, max(norms, default=0.0))

    def assign(self, x: Tensor, y: PackedTargets, h: Tensor) -> tuple[Tensor, Tensor]:
        """Winners int64 (N,) and their float64 scores (N,)."""
        winners = np.full(len(x), -1, dtype=np.int64)
        scores = np.full(len(x), -np.inf)
        heights = scale_heights(h, y.body)
        if heights is None:
            return torch.from_numpy(winners), torch.from_numpy(scores)

        def work(piece: Piece) -> tuple[np.ndarray, np.ndarray]:
            return assign_piece(x, y, heights, piece)

        blocks = cut(len(x), y)
        parts = iter(threads.run(work, [piece for block in blocks for piece in block]))
        for block in blocks:
            rows = slice(*block[0].rows)
            winners[rows], scores[rows] = merge_winners([next(parts) for _ in block])
        return torch.from_numpy(winners), torch.from_numpy(scores)

    def candidates(self, x: Tensor, y: PackedTargets, h: Tensor, margin: float) -> Candidates:
        """Targets with score ≥ best − margin in float64, per row, ascending by index."""
        heights = scale_heights(h, y.body)
        if heights is None:
            return join_rows([(np.zeros(len(x), dtype=np.int64), np.empty(0, dtype=np.int64), np.empty(0))])

        def work(piece: Piece) -> Rows:
            return candidates_piece(x, y, heights, margin, piece)

        blocks = cut(len(x), y)
        parts = iter(threads.run(work, [piece for block in blocks for piece in block]))
        return join_rows([join_ranges([next(parts) for _ in block], margin) for block in blocks])


def assign_piece(
    x: Tensor, y: PackedTargets, heights: Heights, piece: Piece
) -> tuple[np.ndarray, np.ndarray]:
    """Best target of each row among the ranges, which ascend: each call goes on from the one before."""
    noise = PackedNoise(x[slice(*piece.rows)], y, heights.exponent)
    winners = np.full(noise.count, -1, dtype=np.int64)
    scores = np.full(noise.count, -np.inf)
    for lo, hi in piece.ranges:
        core().assign(
            y.body.index, noise.view, y.view(), heights.view(), lo, hi, address(winners), address(scores)
        )
    return winners, scores


def candidates_piece(x: Tensor, y: PackedTargets, heights: Heights, margin: float, piece: Piece) -> Rows:
    """(lengths, indices, scores) of the rows among the ranges; the best so far bars later ranges."""
    noise = PackedNoise(x[slice(*piece.rows)], y, heights.exponent)
    best = np.full(noise.count, -np.inf)
    parts = []
    for lo, hi in piece.ranges:
        found = core().candidates(
            y.body.index, noise.view, y.view(), heights.view(), lo, hi, margin, address(best)
        )
        lengths = np.empty(noise.count, dtype=np.int64)
        indices, scores = np.empty(found.total(), dtype=np.int64), np.empty(found.total())
        found.copy(address(lengths), address(indices), address(scores))
        parts.append((lengths, indices, scores))
    return join_ranges(parts, margin)


class PackedNoise:
    """A few rows of noise: float32 as given, and in the panels of the body."""

    def __init__(self, x: Tensor, y: PackedTargets, heights_exponent: int) -> None:
        self.count, depth = x.shape
        self.rows = x.to(torch.float32).contiguous()
        self.panels = np.empty(-(-self.count // y.body.rows) * y.body.rows * depth, dtype=np.float32)
        self.exponents = np.empty(self.count, dtype=np.int32)
        self.norms = np.empty(self.count)
        core().pack_noise(
            y.body.index,
            view_rows(self.rows, depth),
            self.count,
            heights_exponent - y.exponent,
            address(self.panels),
            address(self.exponents),
            address(self.norms),
        )
        self.view = core().Noise(
            self.count,
            self.rows.data_ptr(),
            address(self.panels),
            address(self.exponents),
            address(self.norms),
        )


def scale_heights(h: Tensor, body: Body) -> Heights | None:
    """Heights for the filter; None when no target can win.

    Halved before the subtraction, which then cannot overflow, and taken to [-1, 0] by a power of two.
    """
    exact = np.ascontiguousarray(h.numpy())
    finite = exact[exact > -np.inf]
    if len(finite) == 0:
        return None
    pivot = float(finite.max())
    halves = 0.5 * exact - 0.5 * pivot
    span = -float(0.5 * finite.min() - 0.5 * pivot)
    exponent = exponent_to_one(span) if span > 0 else UNRESTRICTED
    bias = np.full(-(-len(exact) // body.targets) * body.targets, -np.inf, dtype=np.float32)
    bias[: len(exact)] = np.ldexp(halves, exponent)
    return Heights(exact, bias, pivot, float(np.abs(finite).max()), exponent - 1)


def cut(rows: int, y: PackedTargets) -> list[list[Piece]]:
    """Blocks of rows, each a list of pieces over ascending groups of targets.

    Every range of every piece is one native call of about OPERATIONS_PER_CALL at most. Where there are fewer
    blocks of rows than threads, the targets are dealt among the threads.
    """
    (targets, depth), body, workers = y.source.shape, y.body, threads.thread_count()
    panel = 16 * body.rows
    per_thread = -(-rows // (4 * workers * panel)) * panel
    affordable = int(OPERATIONS_PER_CALL / (2 * max(1, targets) * max(1, depth))) // panel * panel
    height = max(panel, min(per_thread, affordable))
    blocks = [(lo, min(lo + height, rows)) for lo in range(0, rows, height)]
    affordable = int(OPERATIONS_PER_CALL / (2 * min(height, max(1, rows)) * max(1, depth)))
    groups = 1 if len(blocks) >= workers else -(-workers // max(1, len(blocks)))
    ranges = list(target_ranges(targets, min(affordable, -(-targets // groups), 1 << 30), body.targets))
    groups = min(groups, len(ranges))
    dealt = [ranges[len(ranges) * g // groups : len(ranges) * (g + 1) // groups] for g in range(groups)]
    return [[Piece(block, group) for group in dealt] for block in blocks]


def target_ranges(targets: int, most: int, panel: int) -> Iterator[tuple[int, int]]:
    step = max(1, most // panel) * panel
    for lo in range(0, targets, step):
        yield lo, min(lo + step, targets)


def exponent_to_one(value: float) -> int:
    """e such that value · 2^e lies in [0.5, 1); 0 for 0."""
    return -int(np.frexp(value)[1])
