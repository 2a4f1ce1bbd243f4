"""Cuts a call into pieces for the threads: blocks of rows, ranges of targets, none for longer than 0.1 s."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from brenier.engine import int8, threads
from brenier.engine.packed import FloatTargets

OPERATIONS_PER_CALL = 4e9
"""Multiply-adds count twice: below 0.1 s at 40 GFLOP/s, so that an interrupt is answered soon."""

LEAST_ROWS = 96
"""In a block of rows, where there are so many: fewer would read the targets too often."""

LEAST_OPERATIONS = 1e8
"""In a block of rows, where there are so many: about a millisecond, less costs more to hand out than to do."""


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
    affordable = int(operations / (2 * max(1, targets) * max(1, depth)))
    least = max(LEAST_ROWS, int(LEAST_OPERATIONS / (2 * max(1, targets) * max(1, depth))))
    blocks = row_blocks(rows, least, max(affordable, LEAST_ROWS), workers, body.rows)
    tallest = max((hi - lo for lo, hi in blocks), default=1)
    affordable = int(operations / (2 * tallest * max(1, depth)))
    groups = 1 if len(blocks) >= workers else -(-workers // max(1, len(blocks)))
    ranges = list(target_ranges(targets, min(affordable, -(-targets // groups), 1 << 30), body.targets))
    groups = min(groups, len(ranges))
    dealt = [ranges[len(ranges) * g // groups : len(ranges) * (g + 1) // groups] for g in range(groups)]
    return [[Piece(block, group) for group in dealt] for block in blocks]


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


def target_ranges(targets: int, most: int, panel: int) -> Iterator[tuple[int, int]]:
    step = max(1, -(-most // panel)) * panel  # up: a range that is all targets must not leave a rest
    for lo in range(0, targets, step):
        yield lo, min(lo + step, targets)
