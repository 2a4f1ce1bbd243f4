"""How a call is cut among threads: every pair once, in order, whatever the sizes."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from brenier.engine import pieces
from brenier.engine.cpu import CpuEngine
from brenier.engine.native import HUGE_PAGE, aligned
from brenier.engine.pieces import Piece, cut, in_turns


def targets_of(count: int, depth: int) -> Any:
    return SimpleNamespace(source=torch.empty(count, depth), body=SimpleNamespace(rows=12, targets=32))


@pytest.mark.parametrize("rows", [1, 11, 12, 13, 1024, 4099])
@pytest.mark.parametrize(("targets", "depth"), [(1, 1), (33, 7), (1797, 64), (20_000, 3072), (129, 196_608)])
@pytest.mark.parametrize("operations", [None, 5e10])
def test_every_pair_lies_in_one_range_of_one_piece(
    rows: int, targets: int, depth: int, operations: float | None
) -> None:
    blocks = cut(rows, targets_of(targets, depth), operations)
    assert blocks[0][0].rows[0] == 0
    assert [block[0].rows[1] for block in blocks] == [block[0].rows[0] for block in blocks[1:]] + [rows]
    for block in blocks:
        ranges = [each for piece in block for each in piece.ranges]
        assert ranges[0][0] == 0
        assert ranges[-1][1] == targets
        assert [hi for _, hi in ranges[:-1]] == [lo for lo, _ in ranges[1:]]
        assert all(lo % 32 == 0 for lo, _ in ranges)


def test_blocks_of_long_rows_stay_small_in_memory() -> None:
    for block in cut(4096, targets_of(20_000, 196_608), 5e10):
        lo, hi = block[0].rows
        assert hi - lo <= pieces.LEAST_ROWS


@pytest.mark.parametrize("held", [0, 1 << 30])
def test_ranges_of_a_piece_are_taken_in_order_by_any_thread(
    monkeypatch: pytest.MonkeyPatch, held: int
) -> None:
    monkeypatch.setenv("BRENIER_NUM_THREADS", "4")
    monkeypatch.setattr(pieces, "HELD_VALUES", held)
    work = [Piece((j, j + 1), [(i, i + 1) for i in range(length)]) for j, length in enumerate((5, 1, 7, 2))]
    taken = in_turns(work, 3, lambda piece: [piece.rows], lambda state, each: state.append(each))
    assert taken == [[piece.rows, *piece.ranges] for piece in work]


def test_pieces_with_little_noise_advance_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BRENIER_NUM_THREADS", "1")
    order: list[tuple[int, int]] = []
    work = [Piece((j, j + 1), [(0, 1), (1, 2)]) for j in range(3)]
    in_turns(work, 1, lambda piece: piece.rows[0], lambda row, each: order.append((each[0], row)))
    assert order == [(r, j) for r in range(2) for j in range(3)]


def test_an_error_in_one_range_reaches_the_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BRENIER_NUM_THREADS", "2")
    begun = threading.Event()

    def advance(_: object, each: tuple[int, int]) -> None:
        begun.set()
        if each == (1, 2):
            raise MemoryError("no room")

    with pytest.raises(MemoryError, match="no room"):
        in_turns([Piece((0, 1), [(0, 1), (1, 2), (2, 3)])], 1, lambda piece: piece, advance)
    assert begun.is_set()


@pytest.mark.parametrize("name", ["fp32", "int8"])
def test_winners_do_not_depend_on_rounds_or_threads(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    generator = torch.Generator().manual_seed(3)
    x, y = torch.randn(211, 67, generator=generator), torch.randn(1009, 67, generator=generator)
    y[500:1000] = y[:500]  # ties: the lowest index
    h = torch.zeros(len(y), dtype=torch.float64)
    monkeypatch.setenv("BRENIER_CPU_FILTER", name)
    found = []
    for threads, operations, held in ((1, 1e12, 1 << 25), (3, 1e6, 1 << 25), (3, 1e6, 0)):
        monkeypatch.setenv("BRENIER_NUM_THREADS", str(threads))
        monkeypatch.setattr(pieces, "OPERATIONS_PER_CALL", operations)
        monkeypatch.setattr("brenier.engine.int8.OPERATIONS_PER_CALL", operations)
        monkeypatch.setattr(pieces, "LEAST_OPERATIONS", operations / 100)
        monkeypatch.setattr(pieces, "HELD_VALUES", held)
        found.append(CpuEngine().assign(x, CpuEngine().prepare(y), h))
    for winners, scores in found[1:]:
        assert torch.equal(winners, found[0][0])
        assert torch.equal(scores, found[0][1])
    assert not bool(((found[0][0] >= 500) & (found[0][0] < 1000)).any())


@pytest.mark.parametrize("size", [1, 63, HUGE_PAGE // 2 - 1, HUGE_PAGE // 2, 3 * HUGE_PAGE + 5])
def test_memory_begins_at_a_cache_line_and_large_memory_at_a_huge_page(size: int) -> None:
    import numpy as np

    memory = aligned(size, np.uint8)
    assert len(memory) == size
    assert memory.ctypes.data % (HUGE_PAGE if size >= HUGE_PAGE // 2 else 64) == 0
