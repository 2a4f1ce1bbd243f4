"""The barriers of csrc/cuda/filter_sm90.cu as a model: no schedule deadlocks, and every warp reads what it expects.

The model follows produce, begin, score_resident, score_streamed and consume line by line; names are theirs. A barrier
is a phase that completes when all arrivals and announced copies are in, as mbarrier is; a wait on a parity passes when
the phase of that parity is over. Threads are generators, run in random order.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

WARPS = 4  # of a consumer warpgroup


@dataclass
class Barrier:
    arrivals: int
    phase: int = 0
    arrived: int = 0
    pending: int = 0  # copies under way

    def arrive(self, copies: int = 0) -> None:
        self.arrived += 1
        self.pending += copies
        assert self.arrived <= self.arrivals, "more arrivals than a phase has"
        self.settle()

    def landed(self) -> None:
        self.pending -= 1
        self.settle()

    def settle(self) -> None:
        if self.arrived == self.arrivals and self.pending == 0:
            self.phase, self.arrived = self.phase + 1, 0

    def passed(self, parity: int) -> bool:
        return self.phase % 2 != parity % 2


@dataclass
class Ring:
    size: int
    place: int = 0
    parity: int = 0

    def next(self) -> None:
        self.place += 1
        if self.place == self.size:
            self.place, self.parity = 0, self.parity ^ 1


@dataclass
class Block:
    """One thread block: its barriers, what lies in shared memory, and copies under way."""

    units: list[tuple[int, range]]  # row block, tiles
    blocks: int  # of depth
    stages: int
    resident: bool
    copies: list = field(default_factory=list)

    def __post_init__(self) -> None:
        self.full = [Barrier(1) for _ in range(self.stages)]
        self.empty = [Barrier(2 * WARPS) for _ in range(self.stages)]
        self.bias_full, self.bias_empty = [Barrier(1), Barrier(1)], [Barrier(2 * WARPS), Barrier(2 * WARPS)]
        self.x_full, self.x_empty = Barrier(1), Barrier(2 * WARPS)
        self.turn = [Barrier(WARPS), Barrier(WARPS)]
        self.memory: dict = {}
        self.read: list = []

    def copy(self, where: object, what: object, barrier: Barrier) -> None:
        self.copies.append((where, what, barrier))

    def produce(self) -> Iterator[object]:
        stage, bias, x_parity = Ring(self.stages), Ring(2), 0
        for row, tiles in self.units:
            if self.resident:
                yield lambda p=x_parity: self.x_empty.passed(p ^ 1)
                self.x_full.arrive(copies=1)
                self.copy("x", row, self.x_full)
                x_parity ^= 1
            for tile in tiles:
                yield lambda: self.bias_empty[bias.place].passed(bias.parity ^ 1)
                self.bias_full[bias.place].arrive(copies=1)
                self.copy(("bias", bias.place), tile, self.bias_full[bias.place])
                bias.next()
                for k in range(self.blocks):
                    yield lambda: self.empty[stage.place].passed(stage.parity ^ 1)
                    self.full[stage.place].arrive(copies=1)
                    self.copy(
                        ("stage", stage.place),
                        (row if not self.resident else None, tile, k),
                        self.full[stage.place],
                    )
                    stage.next()

    def consume(self, group: int, warp: int) -> Iterator[object]:
        stage, bias, x_parity, count = Ring(self.stages), Ring(2), 0, 0
        for row, tiles in self.units:
            if self.resident:
                yield lambda p=x_parity: self.x_full.passed(p)
                assert self.memory["x"] == row
            for tile in tiles:
                yield lambda: self.bias_full[bias.place].passed(bias.parity)
                assert self.memory["bias", bias.place] == tile
                self.bias_empty[bias.place].arrive()
                bias.next()
                if self.resident:
                    yield lambda c=count: self.turn[group].passed((c & 1) ^ (group == 0))
                    held = []
                    for k in range(self.blocks):
                        yield lambda: self.full[stage.place].passed(stage.parity)
                        assert self.memory["stage", stage.place] == (None, tile, k)
                        held.append((stage.place, (None, tile, k)))
                        stage.next()
                    self.turn[1 - group].arrive()
                    yield lambda: True  # the products are under way
                    for place, expected in held:
                        assert self.memory["stage", place] == expected, "overwritten while it is read"
                        self.empty[place].arrive()
                    count += 1
                else:
                    before = None
                    for k in range(self.blocks):
                        yield lambda: self.full[stage.place].passed(stage.parity)
                        if before is not None:
                            assert self.memory["stage", before] == (row, tile, k - 1)
                            self.empty[before].arrive()
                        before = stage.place
                        stage.next()
                    yield lambda: True
                    assert self.memory["stage", before] == (row, tile, self.blocks - 1)
                    self.empty[before].arrive()
                self.read.append((group, warp, row, tile))
            if self.resident:
                assert self.memory["x"] == row
                self.x_empty.arrive()
                x_parity ^= 1

    def run(self, seed: int) -> None:
        chance = random.Random(seed)
        threads = [self.produce(), *(self.consume(g, w) for g in (0, 1) for w in range(WARPS))]
        waits = {i: next(thread, None) for i, thread in enumerate(threads)}
        while any(wait is not None for wait in waits.values()) or self.copies:
            ready = [i for i, wait in waits.items() if wait is not None and wait()]
            choices = ready + ["copy"] * bool(self.copies)
            assert choices, "deadlock"
            chosen = chance.choice(choices)
            if chosen == "copy":
                where, what, barrier = self.copies.pop(chance.randrange(len(self.copies)))
                self.memory[where] = what
                barrier.landed()
            else:
                waits[chosen] = next(threads[chosen], None)


SHAPES = [(1, 6, True), (2, 5, True), (4, 8, True), (1, 4, False), (5, 4, False), (7, 6, False)]


@pytest.mark.parametrize(("blocks", "stages", "resident"), SHAPES)
@pytest.mark.parametrize("seed", range(3))
def test_no_schedule_deadlocks_and_every_warp_reads_what_it_expects(
    blocks: int, stages: int, resident: bool, seed: int
) -> None:
    units = [(0, range(3)), (1, range(3, 3)), (2, range(2, 9)), (0, range(3, 4))]
    block = Block(units, blocks, stages, resident)
    block.run(seed)
    tiles = [(row, tile) for row, tiles in units for tile in tiles]
    for group in (0, 1):
        for warp in range(WARPS):
            assert [(row, tile) for g, w, row, tile in block.read if (g, w) == (group, warp)] == tiles


def test_the_model_sees_a_deadlock() -> None:
    with pytest.raises(AssertionError, match="deadlock"):
        Block([(0, range(3))], blocks=4, stages=3, resident=True).run(
            0
        )  # a tile needs all of its stages at once
