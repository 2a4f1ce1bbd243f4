"""The launches of kernels/auction.py: two a round, the phases driven from here. Not run on hardware.

The phases are those of csrc/cuda/auction_rounds.cuh. The host reads how many rows wait every few rounds; rounds
launched beyond the last find nobody to serve.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from brenier.engine.auction import (
    FACTS,
    FLAGS,
    MOST_ROUNDS,
    NOT_FINITE,
    RANGE,
    STALLED,
    Bids,
    Factors,
    Problems,
    halves,
    require_sizes,
)
from brenier.engine.auction_products import Costs, fuses, quantise_products, units_in_one
from brenier.engine.triton_filter import kernels, launch

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
        return joined(parts)

    def products(self, x: Tensor, z: Tensor, rough: bool) -> Tensor:
        """x zᵀ for (B, m, d), float32 from float32 or, if rough, from float16; float64 by torch."""
        if x.dtype == torch.float64 or x.numel() == 0:
            return x @ z.transpose(1, 2)
        out = torch.empty(len(x), x.shape[1], z.shape[1], dtype=torch.float32, device=x.device)
        left, right = (halves(one) if rough else one.contiguous() for one in (x, z))
        block = 64 if self.interpreted or not rough else 128
        grid = (-(-x.shape[1] // block), -(-z.shape[1] // block))
        for k in range(len(x)):
            launch(
                kernels("auction").products, grid,
                left[k], right[k], out[k], x.shape[1], z.shape[1], x.shape[2], x.shape[2], x.shape[2],
                BLOCK=block, BLOCK_DEPTH=32, PRECISION="ieee", num_warps=8, num_stages=3,
            )  # fmt: skip
        return out

    def solve_products(self, factors: Factors, gap: float) -> Bids | None:
        """solve for scores that are not written; None where Triton cannot multiply such rows."""
        require_sizes(factors.sizes)
        if not all(fuses(x) for x, _ in factors.parts):
            return None
        return joined([bids for x, z in factors.parts for bids in self.part(x, z, gap)])

    def part(self, x: Tensor, z: Tensor, gap: float) -> list[Bids]:
        """Problems of one size, from x and z (B, n, d)."""
        costs = Costs.empty(len(x), x.shape[1], x.shape[1], x.device)
        quantise_products(x, z, costs)
        made = zip(costs.cost, costs.column_sum, costs.top, costs.facts, strict=True)
        return [self.bid(CostMatrix(*one), gap) for one in made]

    def one(self, scores: Tensor, maximize: bool, gap: float) -> Bids:
        return self.bid(self.quantised(scores, maximize), gap)

    def bid(self, costs: CostMatrix, gap: float) -> Bids:
        n = len(costs.cost)
        if n == 0 or int(costs.facts[FLAGS]):
            device = costs.cost.device
            price = torch.zeros(n, dtype=torch.int32, device=device)
            return Bids(torch.arange(n, device=device), price, costs.top, costs.facts[None])
        return Rounds(self, costs).run(gap)

    def quantised(self, scores: Tensor, maximize: bool) -> CostMatrix:
        """Costs from scores (n, n): a pass for the range of each row, one for the costs."""
        n = len(scores)
        made = Costs.empty(1, n, n, scores.device)
        costs = CostMatrix(made.cost[0], made.column_sum[0], made.top[0], made.facts[0])
        if n == 0:
            return costs
        worst = (scores.amin(1) if maximize else scores.amax(1)).double()
        costs.top.copy_(scores.amax(1) if maximize else scores.amin(1))
        width = (costs.top - worst).abs().amax()
        if not float(width) < torch.inf:  # NaN too
            costs.facts[FLAGS] = NOT_FINITE
            return costs
        costs.facts[RANGE] = width.view(torch.int64)
        tile, code = (64, 128) if self.interpreted else (16, 128), kernels("auction")
        launch(
            code.quantise, (-(-n // tile[0]), -(-n // tile[1])),
            scores, costs.top, units_in_one(width), costs.cost, costs.column_sum, n, 1.0 if maximize else -1.0,
            ROWS=tile[0], BLOCK=tile[1], num_warps=4, enable_fp_fusion=False,
        )  # fmt: skip
        return costs


def joined(parts: list[Bids]) -> Bids:
    """Bids of problems one after the other."""
    fields = zip(*((one.permutation, one.price, one.top, one.facts) for one in parts), strict=True)
    return Bids(*(torch.cat(field) for field in fields))


@dataclass(frozen=True)
class CostMatrix:
    """One problem as it is bid for; facts hold its range and whether there is anything to bid for."""

    cost: Tensor  # int32 (n, n)
    column_sum: Tensor  # int64 (n,)
    top: Tensor  # float64 (n,)
    facts: Tensor  # int64 (FACTS,)


class Rounds:
    """One problem on its way: costs, prices, lists and who has what, all on the device."""

    def __init__(self, bidder: TritonBidder, costs: CostMatrix) -> None:
        self.n, self.top, self.bidder = len(costs.cost), costs.top, bidder
        device, n = costs.cost.device, self.n
        listed = kernels("auction").LISTED

        def full(value: int, *size: int, dtype: torch.dtype = torch.int32) -> Tensor:
            return torch.full(size, value, dtype=dtype, device=device)

        self.cost, self.column_sum, self.range_bits = costs.cost, costs.column_sum, int(costs.facts[RANGE])
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
                launch(
                    code.resolve, (-(-self.n // size),),
                    self.price, self.bid, self.owner, self.column, self.control, self.n,
                    BLOCK=size, num_warps=4,
                )  # fmt: skip
            self.rounds += together

    def look(self, mode: int, epsilon: int, left: int) -> None:
        code, rows = kernels("auction"), self.together if self.bidder.interpreted else 4
        launch(
            code.look, (-(-self.n // rows),),
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
        """Row k moves to a free column, and i to the one that k had; k = i takes the free one."""
        if k != i:  # the row itself has none to leave
            self.column[i] = self.column[k]
            self.owner[self.column[k]] = i
        self.column[k], self.owner[column] = column, k
        self.control[0] -= 1
