"""Cuts a call into pieces for the threads: blocks of rows, ranges of targets, none for longer than 0.1 s."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Generic, TypeVar

from brenier.engine import int8, threads
from brenier.engine.packed import FloatTargets

State = TypeVar("State")

OPERATIONS_PER_CALL = 4e9
"""Multiply-adds count twice: below 0.1 s at 40 GFLOP/s, so that an interrupt is answered soon."""

LEAST_ROWS = 96
"""In a block of rows, where there are so many: fewer would read the targets too often."""

BLOCK_ROWS, BLOCK_VALUES = 384, 1 << 23
"""In a block of rows that takes longer than one call: more rows read the targets less often, but are kept packed."""

LEAST_OPERATIONS = 1e8
"""In a block of rows, where there are so many: about a millisecond, less costs more to hand out than to do."""

SHORTEST = 8
"""A range takes half of the targets that are left, but one in so many at least: short ranges last, so that all threads
end together; few of them, because a row's leader is scored in float64 at the end of each."""

HELD_VALUES = 1 << 25
"""Of noise, in all blocks that go in rounds: the panels of all of them are kept meanwhile."""


@dataclass(frozen=True)
class Piece:
    """Rows of noise against groups of target ranges: what one task of the pool does."""

    rows: tuple[int, int]
    ranges: list[tuple[int, int]]


def cut(rows: int, y: FloatTargets | int8.Int8Targets, operations: float | None = None) -> list[list[Piece]]:
    """Blocks of rows, each a list of pieces over ascending groups of targets.

    Every range of every piece is one native call of about that many operations at most. Where there are fewer
    blocks of rows than threads, the targets are dealt among the threads.
    """
    (targets, depth), body, workers = y.source.shape, y.body, threads.thread_count()
    operations = operations or OPERATIONS_PER_CALL
    per_row = 2 * max(1, targets) * max(1, depth)
    long = 10 * SHORTEST * LEAST_OPERATIONS / per_row  # rows of a block that is worth many ranges
    least = max(BLOCK_ROWS // 2 if long < BLOCK_ROWS // 2 else LEAST_ROWS, int(LEAST_OPERATIONS / per_row))
    most = max(int(operations / per_row), LEAST_ROWS, min(BLOCK_ROWS, BLOCK_VALUES // max(1, depth)))
    blocks = row_blocks(rows, least, most, workers, body.rows)
    tallest = max((hi - lo for lo, hi in blocks), default=1)
    affordable = int(operations / (2 * tallest * max(1, depth)))
    groups = 1 if len(blocks) >= workers else -(-workers // max(1, len(blocks)))
    shares = SHORTEST if tallest > long else 1
    most = min(affordable, -(-targets // groups), 1 << 30)
    ranges = list(target_ranges(targets, most, shares, body.targets))
    groups = min(groups, len(ranges))
    dealt = [ranges[len(ranges) * g // groups : len(ranges) * (g + 1) // groups] for g in range(groups)]
    return [[Piece(block, group) for group in dealt] for block in blocks]


def in_turns(
    pieces: list[Piece],
    depth: int,
    begin: Callable[[Piece], State],
    advance: Callable[[State, tuple[int, int]], object],
) -> list[State]:
    """What ``begin`` makes of each piece, after ``advance`` has taken it through its ranges, in their order.

    All pieces advance together, range by range, where their noise is little; else each is done before the next.
    """

    def whole(piece: Piece) -> State:
        state = begin(piece)
        for each in piece.ranges:
            advance(state, each)
        return state

    if depth * sum(hi - lo for lo, hi in (piece.rows for piece in pieces)) > HELD_VALUES:
        return threads.run(whole, pieces)
    under_way = [_UnderWay(piece, begin, advance) for piece in pieces]
    rounds = max((len(piece.ranges) for piece in pieces), default=0)
    threads.run(
        _UnderWay.go_on, [each for r in range(rounds) for each in under_way if r < len(each.piece.ranges)]
    )
    return [each.state for each in under_way if each.state is not None]


class _UnderWay(Generic[State]):
    """A piece that whichever threads come by take through its ranges, one after the other."""

    def __init__(
        self,
        piece: Piece,
        begin: Callable[[Piece], State],
        advance: Callable[[State, tuple[int, int]], object],
    ) -> None:
        self.piece, self.begin, self.advance = piece, begin, advance
        self.rest = iter(piece.ranges)
        self.state: State | None = None
        self.lock = threading.Lock()

    def go_on(self) -> None:
        with self.lock:
            if self.state is None:
                self.state = self.begin(self.piece)
            self.advance(self.state, next(self.rest))


def row_blocks(rows: int, least: int, most: int, workers: int, panel: int) -> list[tuple[int, int]]:
    """Ranges of rows, whole panels that differ by one panel at most: as many for one thread as for another, and at
    least four for each where that leaves ``least`` rows in a block."""
    count = max(-(-rows // most), min(4 * workers, rows // least), 1)
    if rows >= workers * LEAST_ROWS:
        count = -(-count // workers) * workers
    panels = -(-rows // panel)
    count = min(count, panels)
    edges = [panels * i // max(1, count) * panel for i in range(count + 1)]
    return [(lo, min(hi, rows)) for lo, hi in pairwise(edges)]


def target_ranges(targets: int, most: int, shares: int, panel: int) -> Iterator[tuple[int, int]]:
    """Whole panels, ``most`` targets in each at most; with more than one share, shorter ones towards the end."""
    lo, longest, shortest = 0, panels_of(most, panel), panels_of(-(-targets // shares), panel)
    while lo < targets:
        half = max(panels_of((targets - lo) // 2, panel), shortest)
        hi = min(lo + min(longest, half if shares > 1 else longest), targets)
        yield lo, hi
        lo = hi


def panels_of(targets: int, panel: int) -> int:
    """Up to whole panels: a range that is all targets must not leave a rest."""
    return max(1, -(-targets // panel)) * panel
