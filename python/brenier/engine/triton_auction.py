"""The launches of kernels/auction.py: two a round, the phases driven from here. Not run on hardware.

The phases are those of csrc/cuda/auction_rounds.cuh. The host reads how many rows wait every few rounds; rounds
launched beyond the last find nobody to serve.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from brenier.engine.auction import (
    COST_BITS,
    FACTS,
    MOST_ROUNDS,
    NOT_FINITE,
    STALLED,
    Bids,
    Problems,
    halves,
    require_sizes,
)
from brenier.engine.triton_filter import kernels

FIRST_EPSILON, LAST_EPSILON, EPSILON_RATIO, SAMPLED_ROWS = 0.2, 0.7, 5, 64
LEFT_COARSE, LEFT_FINE = 128, 256
UNMADE = -(1 << 31)


@dataclass(frozen=True)
class Steps:
    """ε of this phase and the finest one, and how many rows the finest leaves to insertion."""

    epsilon: int
    last: int
    left: int

    @classmethod
    def first(cls, n: int, spread: float, gap: float) -> Steps:
        last, coarse = max(1, int(LAST_EPSILON * gap * spread)), max(1, int(FIRST_EPSILON * spread))
        return cls(max(last, coarse), last, n // LEFT_FINE)

    @property
    def finest(self) -> bool:
        return self.epsilon <= self.last

    def finer(self) -> Steps:
        return replace(self, epsilon=max(self.last, self.epsilon // EPSILON_RATIO))

    def refined(self) -> Steps | None:
        """What the certificate asks for when it was not reached; None where there is nothing finer."""
        if self.last <= 1 and self.left == 0:
            return None
        last = max(1, self.last // EPSILON_RATIO) if self.left == 0 else self.last
        return Steps(last, last, self.left * 3 // 4)


@dataclass(frozen=True)
class TritonBidder:
    """Triton's kernels, one problem after the other; reads a few numbers back between rounds."""

    interpreted: bool = False
    most_rounds: int = MOST_ROUNDS

    def solve(self, problems: Problems, gap: float) -> Bids:
        """Bids until the gap is proved or nothing finer is left."""
        require_sizes(problems.sizes)
        parts = [
            self.one(scores, problems.maximize, gap)
            for scores in problems.scores_of(range(len(problems.sizes)))
        ]
        if not parts:
            empty = torch.empty(0, device=problems.device)
            return Bids(empty.long(), empty.int(), empty.double(), empty.long().reshape(0, FACTS))
        fields = zip(*((one.permutation, one.price, one.top, one.facts) for one in parts), strict=True)
        return Bids(*(torch.cat(field) for field in fields))

    def products(self, x: Tensor, z: Tensor, rough: bool) -> Tensor:
        """x zᵀ for (B, m, d), float32 from float32 or, if rough, from float16; float64 by torch."""
        if x.dtype == torch.float64 or x.numel() == 0:
            return x @ z.transpose(1, 2)
        out = torch.empty(len(x), x.shape[1], z.shape[1], dtype=torch.float32, device=x.device)
        left, right = (halves(one) if rough else one.contiguous() for one in (x, z))
        block = 64 if self.interpreted or not rough else 128
        grid = (-(-x.shape[1] // block), -(-z.shape[1] // block))
        for k in range(len(x)):
            kernels("auction").products[grid](
                left[k], right[k], out[k], x.shape[1], z.shape[1], x.shape[2], x.shape[2], x.shape[2],
                BLOCK=block, BLOCK_DEPTH=32, PRECISION="ieee", num_warps=8, num_stages=3,
            )  # fmt: skip
        return out

    def one(self, scores: Tensor, maximize: bool, gap: float) -> Bids:
        n = len(scores)
        top = (scores.amax(1) if maximize else scores.amin(1)).double() if n else scores.new_zeros(0).double()
        worst = (scores.amin(1) if maximize else scores.amax(1)).double() if n else top
        width = float((top - worst).abs().max()) if n else 0.0
        facts = torch.zeros(1, FACTS, dtype=torch.int64, device=scores.device)
        if not width < torch.inf:  # NaN too
            facts[0, 1] = NOT_FINITE
        if n == 0 or not width < torch.inf:
            price = torch.zeros(n, dtype=torch.int32, device=scores.device)
            return Bids(torch.arange(n, device=scores.device), price, top, facts)
        rounds = Rounds(self, scores, top, width, 1.0 if maximize else -1.0)
        return rounds.run(gap)


class Rounds:
    """One problem on its way: costs, prices, lists and who has what, all on the device."""

    def __init__(self, bidder: TritonBidder, scores: Tensor, top: Tensor, width: float, sign: float) -> None:
        self.n, self.top, self.bidder = len(scores), top, bidder
        device, n = scores.device, self.n
        listed = kernels("auction").LISTED

        def full(value: int, *size: int, dtype: torch.dtype = torch.int32) -> Tensor:
            return torch.full(size, value, dtype=dtype, device=device)

        self.range_bits = int(torch.tensor(width, dtype=torch.float64).view(torch.int64))
        self.cost, self.column_sum = full(0, n, n), full(0, n, dtype=torch.int64)
        self.quantise(scores, sign)
        self.cost_sum = int(self.column_sum.sum())
        self.price = ((self.cost_sum // n - self.column_sum) // n).int()
        self.bid, self.owner, self.column = full(0, n, dtype=torch.int64), full(-1, n), full(-1, n)
        self.list_column, self.list_cost, self.bound = (
            full(-1, n, listed),
            full(0, n, listed),
            full(UNMADE, n),
        )
        self.control = torch.tensor([n, 0], dtype=torch.int32, device=device)
        self.least, self.rounds, self.inserted = full(0, n), 0, 0
        self.together = min(128, 1 << (n - 1).bit_length())  # rows or columns of a program in the interpreter

    def quantise(self, scores: Tensor, sign: float) -> None:
        exponent = 0 if self.range_bits == 0 else (self.range_bits >> 52) - 1023 - (COST_BITS - 1)
        units = torch.tensor([2.0 ** -max(exponent, -1000)], dtype=torch.float64, device=scores.device)
        tile, code = (64, 128) if self.bidder.interpreted else (16, 128), kernels("auction")
        code.quantise[(-(-self.n // tile[0]), -(-self.n // tile[1]))](
            scores, self.top, units, self.cost, self.column_sum, self.n, sign,
            ROWS=tile[0], BLOCK=tile[1], num_warps=4, enable_fp_fusion=False,
        )  # fmt: skip

    def spread(self) -> float:
        """5/4 of the mean distance of cost + price from its row's mean, over some rows."""
        rows = min(self.n, SAMPLED_ROWS)
        picked = torch.arange(rows, device=self.cost.device) * self.n // rows
        value = self.cost[picked].double() + self.price
        return float((value - value.mean(dim=1, keepdim=True)).abs().mean()) * 1.25

    def run(self, gap: float) -> Bids:
        """All phases, until the gap is proved, prices are too high, or nothing finer is left."""
        steps: Steps | None = Steps.first(self.n, self.spread(), gap)
        last = steps
        while steps is not None:
            last = steps
            stalled = self.phase(steps)
            if not stalled and not steps.finest:
                steps = steps.finer()
                continue
            self.fill() if stalled else self.insert()
            primal, dual = self.bounds()
            proved = primal + self.n - dual <= gap * (self.cost_sum / self.n - dual)
            steps = None if proved or stalled else steps.refined()
        assert last is not None
        facts = [self.range_bits, STALLED if stalled else 0, self.cost_sum, primal, dual, self.rounds, 0]
        row = torch.tensor([*facts, last.epsilon, self.inserted, *[0] * (FACTS - 9)], dtype=torch.int64)
        return Bids(self.column.long(), self.price, self.top, row[None].to(self.cost.device))

    def phase(self, steps: Steps) -> bool:
        """Rounds until few enough rows wait; whether prices ran away or patience ran out."""
        code = kernels("auction")
        left = steps.left if steps.finest else self.n // LEFT_COARSE
        self.look(code.SIFT, steps.epsilon, left)
        together = 1 if self.bidder.interpreted else 8
        while True:
            waiting, high = self.control.tolist()
            if high or self.rounds >= self.bidder.most_rounds:
                return True
            if waiting <= left:
                return False
            for _ in range(together):
                self.look(code.BID, steps.epsilon, left)
                size = self.together if self.bidder.interpreted else 256
                code.resolve[(-(-self.n // size),)](
                    self.price, self.bid, self.owner, self.column, self.control, self.n,
                    BLOCK=size, num_warps=4,
                )  # fmt: skip
            self.rounds += together

    def look(self, mode: int, epsilon: int, left: int) -> None:
        code, rows = kernels("auction"), self.together if self.bidder.interpreted else 4
        code.look[(-(-self.n // rows),)](
            self.cost, self.price, self.bid, self.owner, self.column, self.list_column, self.list_cost,
            self.bound, self.control, self.least, self.n, epsilon, left,
            MODE=mode, ROWS=rows, LISTED=code.LISTED, num_warps=4,
        )  # fmt: skip

    def bounds(self) -> tuple[int, int]:
        """Σ cost of the pairs, and the dual of the prices."""
        self.look(kernels("auction").LEAST, 0, 0)
        primal = self.cost.gather(1, self.column.long()[:, None]).sum(dtype=torch.int64)
        dual = self.least.sum(dtype=torch.int64) - self.price.sum(dtype=torch.int64)
        return int(primal), int(dual)

    def rest(self) -> tuple[Tensor, Tensor]:
        return (self.column < 0).nonzero()[:, 0], (self.owner < 0).nonzero()[:, 0]

    def fill(self) -> None:
        """After a price war: any columns for the rows that are left."""
        rows, free = self.rest()
        self.column[rows], self.owner[free] = free.int(), rows.int()
        self.control[0] = 0

    def insert(self) -> None:
        """Each row that is left, ascending: to a free column, or to that of a row that moves to one."""
        rows, free = self.rest()
        self.inserted += len(rows)
        everyone = torch.arange(self.n, device=self.cost.device)
        to_free = self.cost[:, free].long()
        for i in rows.tolist():
            least, chosen = to_free.min(dim=1)
            own = self.column.long()
            moved = self.cost[i].long()[own] - self.cost[everyone, own].long()
            moved = torch.where(own >= 0, moved, torch.iinfo(torch.int64).max // 2)
            moved[i] = 0
            k = int((moved + least).argmin())
            self.take(i, k, int(free[chosen[k]]))
            to_free[:, chosen[k]] = torch.iinfo(torch.int32).max

    def take(self, i: int, k: int, column: int) -> None:
        """Row k moves to a free column, and i to the one that k had."""
        self.column[i] = self.column[k]
        self.owner[self.column[k]] = i
        self.column[k], self.owner[column] = column, k
        self.control[0] -= 1
