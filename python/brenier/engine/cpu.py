"""The C++ engine: a blocked int8 or float32 pass keeps the targets that could win, float64 decides among them.

The pass is only a filter with a proved bound (csrc/core/{int8_bound,bound}.hpp, docs/numerics.md), so that winners
and scores are those of engine/reference.py bit for bit, on every instruction set, however the work is cut.
"""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from brenier.engine import int8, threads
from brenier.engine.merge import CIRCLES, SINGLE_ROWS, Listing, Rows, join_circles, join_rows, merge_winners
from brenier.engine.native import (
    Body,
    address,
    aligned,
    choose_body,
    core,
    int8_bodies,
    view_rows,
    with_contiguous_rows,
)
from brenier.engine.packed import FloatTargets, PackedTargets, exponent_to_one
from brenier.engine.pieces import Piece, cut, in_turns
from brenier.types import Candidates, CircleCandidates

UNRESTRICTED = 1000
"""Exponent of heights that are all equal: they never limit the scaling of the noise."""


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


class CpuEngine:
    """Exact answers at the speed of a blocked float32 product."""

    name = "cpu"
    devices = ("cpu",)
    dithers = True

    def why_unavailable(self) -> str | None:
        """None, or why the compiled module does not load. Raises EngineError for a wrong BRENIER_CPU_BODY."""
        try:
            choose_body()
        except ImportError as error:
            return f"the compiled module brenier._core does not load: {error}"
        return None

    def detail(self) -> str:
        masked = " (BRENIER_CPU_BODY)" if os.environ.get("BRENIER_CPU_BODY") else ""
        body = choose_body()
        fast = [each.name for each in int8_bodies(body.name) if each.fast]
        filters = f"int8 and int16 by {fast[0]}" if fast else "no integer filter"
        return f"body {body.name}{masked}, {filters}, {threads.thread_count()} threads"

    def prepare(self, y: Tensor) -> PackedTargets:
        """Targets to be packed, for whichever filter a call then needs, at that call, and kept."""
        return PackedTargets(choose_body(), with_contiguous_rows(y))

    def assign(
        self, x: Tensor, y: PackedTargets, h: Tensor, exact: str = "certified", warm: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Winners int64 (N,) and their float64 scores (N,); warm (N,) are guesses, -1 for none."""
        guesses = no_guesses(len(x)) if warm is None else warm.numpy()
        winners = no_guesses(len(x))
        scores = np.full(len(x), -np.inf)
        if len(x) and bool((h > -torch.inf).any()):
            rest = [(0, len(x))]
            chosen = y.choose(len(x), exact).name
            if chosen != "fp32":
                rest = assign_integers(chosen, x, y, h, exact, guesses, (winners, scores))
            for lo, hi in rest:
                winners[lo:hi], scores[lo:hi] = assign_floats(x[lo:hi], y, h, guesses[lo:hi])
        return torch.from_numpy(winners), torch.from_numpy(scores)

    def candidates(self, x: Tensor, y: PackedTargets, h: Tensor, margin: float) -> Candidates:
        """Targets with score ≥ best − margin in float64, per row, ascending by index."""
        return join_rows(listed(SINGLE_ROWS, x, y, h, margin))

    def circle_candidates(self, x: Tensor, y: PackedTargets, h: Tensor, margin: float) -> CircleCandidates:
        """Targets within the margin at one of the points of each pair of rows, ascending by index."""
        return join_circles(listed(CIRCLES, x, y, h, margin))


def no_guesses(rows: int) -> np.ndarray:
    return np.full(rows, -1, dtype=np.int64)


def assign_floats(
    x: Tensor, y: PackedTargets, h: Tensor, guesses: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """assign through the float32 filter, whatever the data."""
    floats, heights = y.floats(), scale_heights(h, y.body)
    assert heights is not None

    def begin(piece: Piece) -> FloatSearch:
        rows = slice(*piece.rows)
        return FloatSearch(x[rows], floats, heights, guesses[rows])

    blocks = cut(len(x), floats)
    pieces = [piece for block in blocks for piece in block]
    done = iter(in_turns(pieces, x.shape[1], begin, FloatSearch.advance, lambda search: search.found))
    merged = [merge_winners([next(done) for _ in block]) for block in blocks]
    return np.concatenate([part[0] for part in merged]), np.concatenate([part[1] for part in merged])


def assign_integers(
    name: str,
    x: Tensor,
    y: PackedTargets,
    h: Tensor,
    exact: str,
    guesses: np.ndarray,
    out: tuple[np.ndarray, np.ndarray],
) -> list[tuple[int, int]]:
    """assign through an integer filter into out; returns ranges of rows for which its bounds were too loose."""
    packed = y.integers(name)
    if packed is None:
        return [(0, len(x))]
    heights = int8.scale_heights(h, packed)
    kappa = int8.dither_factor(len(x) * len(y.source), exact)

    def begin(piece: Piece) -> int8.Int8Search:
        rows = slice(*piece.rows)
        return int8.Int8Search(x[rows], packed, heights, kappa, guesses[rows])

    def advance(search: int8.Int8Search, targets: tuple[int, int]) -> None:
        if loose.is_set():  # one that gave up is enough: the others need not try
            search.found.loose = True
        else:
            search.advance(*targets)
            if search.found.loose:
                loose.set()

    loose = threading.Event()
    blocks = cut(len(x), packed, int8.OPERATIONS_PER_CALL)
    pieces = [piece for block in blocks for piece in block]
    done = in_turns(pieces, x.shape[1], begin, advance, lambda search: search.found)
    parts, rest = iter(done), []
    for block in blocks:
        found = [next(parts) for _ in block]
        if any(each.loose for each in found):
            rest.append(block[0].rows)
        else:
            rows = slice(*block[0].rows)
            out[0][rows], out[1][rows] = merge_winners([(each.winners, each.scores) for each in found])
    pairs, rescored = sum(each.pairs for each in done), sum(int(each.counts[1]) for each in done)
    y.measured[name, exact] = 1.0 if loose.is_set() else rescored / max(1, pairs)
    return rest


class FloatSearch:
    """Best targets so far of a few rows of noise, through the float32 filter."""

    def __init__(self, x: Tensor, y: FloatTargets, h: Heights, guesses: np.ndarray) -> None:
        self.noise = PackedNoise(x, y, h.exponent)
        self.body, self.targets, self.heights = y.body, y.view(), h.view()
        self.found = guesses.copy(), np.full(self.noise.count, -np.inf)

    def advance(self, targets: tuple[int, int]) -> None:
        """Takes targets [lo, hi) in, which ascend: each call goes on from the one before."""
        out = (address(found) for found in self.found)
        core().assign(self.body.index, self.noise.view, self.targets, self.heights, *targets, *out)


def listed(kind: Listing, x: Tensor, y: PackedTargets, h: Tensor, margin: float) -> list[Rows]:
    """Lists of consecutive blocks of rows."""
    heights = scale_heights(h, y.body)
    if heights is None:
        empty = np.zeros(len(x) // kind.rows, dtype=np.int64)
        return [(empty, np.empty(0, dtype=np.int64), np.empty((0, *kind.values)))]
    floats = y.floats()

    def work(piece: Piece) -> Rows:
        return listed_piece(kind, x, floats, heights, margin, piece)

    blocks = cut(len(x), floats)
    parts = iter(threads.run(work, [piece for block in blocks for piece in block]))
    return [kind.join([next(parts) for _ in block], heights.exact, margin) for block in blocks]


def listed_piece(
    kind: Listing, x: Tensor, y: FloatTargets, heights: Heights, margin: float, piece: Piece
) -> Rows:
    """Lists of the rows among the ranges; the best so far bars later ranges."""
    noise = PackedNoise(x[slice(*piece.rows)], y, heights.exponent)
    best = np.full((noise.count // kind.rows, kind.points), -np.inf)
    verb, parts = getattr(core(), kind.verb), []
    for lo, hi in piece.ranges:
        found = verb(y.body.index, noise.view, y.view(), heights.view(), lo, hi, margin, address(best))
        lengths = np.empty(len(best), dtype=np.int64)
        indices, values = np.empty(found.total(), dtype=np.int64), np.empty((found.total(), *kind.values))
        found.copy(address(lengths), address(indices), address(values))
        parts.append((lengths, indices, values))
    return kind.join(parts, heights.exact, margin)


class PackedNoise:
    """A few rows of noise: float32 as given, and in the panels of the body."""

    def __init__(self, x: Tensor, y: FloatTargets, heights_exponent: int) -> None:
        self.count, depth = x.shape
        self.rows = x.to(torch.float32).contiguous()
        self.panels = aligned(-(-self.count // y.body.rows) * y.body.rows * depth, np.float32)
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
