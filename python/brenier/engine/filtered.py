"""The certified answer on a GPU: the half-precision filter lists what may win, float64 decides among the listed.

A backend (Triton, CUDA) launches four things; everything between them is here, in torch, on the device. Nothing is
read back to the host but one number per call, whether lists overflowed; and not even that while a CUDA graph is
captured, where overflowed rows score every target in `decide` instead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import torch
from torch import Tensor

from brenier.engine import halves
from brenier.engine.checks import capturing, require_finite
from brenier.engine.halves import HalfTargets, Lists, Weights
from brenier.types import Candidates

ROOM, ROOM_FOR_CANDIDATES = 64, 256
SCRATCH_BYTES = 1 << 30
Assigned = tuple[Tensor, Tensor]


class Packed(Protocol):
    """Targets of a filter: halves.HalfTargets, int8_rows.ByteTargets."""

    @property
    def values(self) -> Tensor: ...
    @property
    def packed(self) -> Tensor: ...
    @property
    def width(self) -> int: ...


@dataclass(frozen=True)
class Tasks:
    """One block of rows on its way: operands, bias and lists."""

    x: Tensor  # (rows, d) as given
    y: Packed
    h: Tensor  # (n,) float64
    bias: Tensor
    lists: Lists


@dataclass(frozen=True)
class HalfTasks(Tasks):
    """What half precision needs besides."""

    weights: Weights


class Decider(Protocol):
    """The launches after a filter; each returns without waiting for the device."""

    def decide(self, tasks: Tasks, winners: Tensor, scores: Tensor, walk: bool) -> None:
        """Winners and scores of rows; of overflowed rows too where `walk`, slowly, else -1 and -inf."""

    def pair_scores(self, x: Tensor, y: Tensor, h: Tensor, row: Tensor, target: Tensor) -> Tensor:
        """Float64 scores of pairs in the contract's order."""


class Backend(Decider, Protocol):
    """All launches of half precision."""

    def section(self, rows: int, targets: int, width: int) -> int:
        """Depth that the filter sums apart for this problem; 0 for all of it."""

    def pack(self, tasks: HalfTasks) -> None:
        """Fills lists.packed, scale, slack, best and count from x."""

    def filter(self, tasks: HalfTasks) -> None:
        """Lists every target that may win."""


def row_blocks(rows: int, width: int, room: int, most: int) -> list[tuple[int, int]]:
    """Equal ranges of rows whose scratch stays under `most` bytes, in whole blocks of the filter."""
    fitting = max(halves.ROW_PAD, most // halves.bytes_per_row(width, room))
    blocks = max(1, -(-rows // fitting))
    step = halves.padded(-(-rows // blocks), halves.ROW_PAD)
    return [(lo, min(lo + step, rows)) for lo in range(0, rows, step)]


def each_block(rows: int, width: int, room: int, work: Callable[[int, int], Any]) -> Iterator[Any]:
    """work(lo, hi) over blocks of rows; out of memory halves the blocks that are left: the bits are the same."""
    most, done = SCRATCH_BYTES, 0
    while done < rows:
        lo, hi = (done + edge for edge in row_blocks(rows - done, width, room, most)[0])
        try:
            result = work(lo, hi)
        except torch.cuda.OutOfMemoryError:
            if hi - lo <= halves.ROW_PAD:
                raise
            most = halves.bytes_per_row(width, room) * ((hi - lo) // 2)
            continue
        yield result
        done = hi


def assigned_in_blocks(x: Tensor, answer: Callable[[Tensor], Assigned]) -> Assigned:
    """Winners and scores without a filter, in blocks of rows where memory is short."""
    parts = list(each_block(len(x), 0, ROOM, lambda lo, hi: answer(x[lo:hi])))
    winners, scores = zip(*parts, strict=True)
    return torch.cat(winners), torch.cat(scores)


def listed_in_blocks(x: Tensor, answer: Callable[[Tensor], Candidates]) -> Candidates:
    """Candidates likewise."""
    return joined(list(each_block(len(x), 0, ROOM, lambda lo, hi: answer(x[lo:hi]))))


Launches = TypeVar("Launches", bound=Decider)
Targets = TypeVar("Targets", bound=Packed)


@dataclass(frozen=True)
class Filtering(Generic[Launches, Targets]):
    """One problem on its way from the lists of a filter to the answer; overflowed rows are done by somebody else."""

    backend: Launches
    x: Tensor
    y: Targets
    h: Tensor
    room: int = ROOM

    def listed(self, lo: int, hi: int, margin: float, room: int) -> Tasks:
        """Rows lo to hi packed and filtered."""
        raise NotImplementedError

    def assign(self, plain: Callable[[Tensor], Assigned]) -> Assigned:
        """Winners int64 (N,) and float64 scores (N,); plain(x) answers for rows whose lists overflow."""
        winners = torch.empty(len(self.x), dtype=torch.int64, device=self.x.device)
        scores = torch.empty(len(self.x), dtype=torch.float64, device=self.x.device)

        def work(lo: int, hi: int) -> None:
            tasks = self.listed(lo, hi, 0.0, self.room)
            walk = capturing(self.x)
            self.backend.decide(tasks, winners[lo:hi], scores[lo:hi], walk)
            if not walk:
                over = overflowed(tasks) + lo
                if len(over):
                    screen(self.x, over)
                    winners[over], scores[over] = plain(self.x[over])

        for _ in each_block(len(self.x), self.y.width, self.room, work):
            pass
        return winners, scores

    def candidates(self, margin: float, plain: Callable[[Tensor], Candidates]) -> Candidates:
        """Targets with float64 score ≥ best − margin, ascending by index."""

        def work(lo: int, hi: int) -> Candidates:
            tasks = self.listed(lo, hi, margin, ROOM_FOR_CANDIDATES)
            kept = self.decided(tasks, margin)
            over = overflowed(tasks)
            if len(over) == 0:
                return kept
            screen(self.x, over + lo)
            return replaced(kept, over, plain(tasks.x[over]))

        return joined(list(each_block(len(self.x), self.y.width, ROOM_FOR_CANDIDATES, work)))

    def decided(self, tasks: Tasks, margin: float) -> Candidates:
        """The listed of each row by index, scored in float64, those within the margin of the best kept."""
        rows, lists = len(tasks.x), tasks.lists
        found = lists.count[:rows]
        place = torch.arange(lists.room, device=found.device)
        there = (place < found[:, None]) & (found <= lists.room)[:, None]
        last = torch.iinfo(torch.int32).max
        index = torch.where(there, lists.index, last).sort(dim=1).values
        row, column = (index != last).nonzero(as_tuple=True)
        target = index[row, column].long()
        score = self.backend.pair_scores(tasks.x, tasks.y.values, tasks.h, row, target)
        best = torch.full((rows,), -torch.inf, dtype=torch.float64, device=found.device)
        best = best.scatter_reduce(0, row, score, "amax")
        keep = (score >= (best - margin)[row]) & (score > -torch.inf)
        return gathered(row[keep], target[keep], score[keep], rows)


@dataclass(frozen=True)
class Filtered(Filtering[Backend, HalfTargets]):
    """One problem through the half-precision filter."""

    def listed(self, lo: int, hi: int, margin: float, room: int) -> HalfTasks:
        x = self.x[lo:hi]
        bias, pivot = halves.biases(self.h, self.y)
        section = self.backend.section(len(x), len(self.y.values), self.y.width)
        weights = halves.weights(self.y, pivot, margin, section)
        lists = halves.empty_lists(len(x), self.y.width, room, x.device)
        tasks = HalfTasks(x, self.y, self.h, bias, lists, weights)
        self.backend.pack(tasks)
        self.backend.filter(tasks)
        return tasks


def screen(x: Tensor, rows: Tensor) -> None:
    """Raise InputError for NaN and Inf: rows that hold them have no bound, so that they are among the overflowed."""
    if not torch.isfinite(x[rows]).all():
        require_finite(x, "x")


def overflowed(tasks: Tasks) -> Tensor:
    """Rows whose lists overflowed."""
    return (tasks.lists.count[: len(tasks.x)] > tasks.lists.room).nonzero()[:, 0]


def gathered(row: Tensor, target: Tensor, score: Tensor, rows: int) -> Candidates:
    """Candidates from triples sorted by row."""
    offsets = torch.zeros(rows + 1, dtype=torch.int64, device=row.device)
    offsets[1:] = torch.bincount(row, minlength=rows).cumsum(0)
    return Candidates(offsets, target, score)


def replaced(kept: Candidates, rows: Tensor, theirs: Candidates) -> Candidates:
    """`kept`, with the lists of these rows (empty there) in `theirs`."""
    count = len(kept.offsets) - 1
    owner = torch.arange(count, device=rows.device).repeat_interleave(kept.offsets.diff())
    other = rows.repeat_interleave(theirs.offsets.diff())
    row = torch.cat([owner, other])
    order = row.argsort(stable=True)
    target, score = torch.cat([kept.indices, theirs.indices]), torch.cat([kept.scores, theirs.scores])
    return gathered(row[order], target[order], score[order], count)


def joined(parts: list[Candidates]) -> Candidates:
    """Lists of consecutive blocks of rows."""
    lengths = torch.cat([part.offsets.diff() for part in parts])
    offsets = torch.zeros(len(lengths) + 1, dtype=torch.int64, device=lengths.device)
    offsets[1:] = lengths.cumsum(0)
    indices, scores = (torch.cat([getattr(part, name) for part in parts]) for name in ("indices", "scores"))
    return Candidates(offsets, indices, scores)
