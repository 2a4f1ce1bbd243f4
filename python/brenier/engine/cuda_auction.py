"""The launches of csrc/cuda/auction.cu: scores to integers, then bids until the gap is proved. Not run on hardware.

Costs of products come from Triton's kernel (auction_products.py) where Triton is: scores are then never written.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from brenier.engine.auction import (
    MOST_ROUNDS,
    Bids,
    Factors,
    Problems,
    Squares,
    before,
    halves,
    require_sizes,
)
from brenier.engine.auction_products import Costs, fuses, quantise_products
from brenier.engine.cuda_filter import Runner, module


@dataclass(frozen=True)
class Memory:
    """Device memory of one call; 4 bytes a score, 1.1 kB a row. From torch's allocator."""

    tensors: dict[str, Tensor]

    @classmethod
    def of(cls, problems: Squares) -> Memory:
        rows, count, device = problems.rows, len(problems.sizes), problems.device
        a_row, a_problem = module().AUCTION_WORDS
        costs = sum(n * padded(n) for n in problems.sizes)

        def empty(size: int, dtype: torch.dtype = torch.int32) -> Tensor:
            return torch.empty(size, dtype=dtype, device=device)

        def zeros(*size: int) -> Tensor:
            return torch.zeros(size, dtype=torch.int64, device=device)

        return cls({
            "cost": empty(costs), "top": empty(rows, torch.float64), "column_sum": zeros(rows),
            "list_column": empty(rows * module().AUCTION_LISTED),
            "list_cost": empty(rows * module().AUCTION_LISTED),
            "bound": empty(rows), "price": empty(rows), "permutation": empty(rows, torch.int64),
            "scratch": empty((rows * a_row + count * a_problem) // 2, torch.int64),
            "facts": zeros(count, module().AUCTION_FACTS),
        })  # fmt: skip

    def addresses(self) -> Any:
        return module().AuctionMemory(**{name: one.data_ptr() for name, one in self.tensors.items()})

    def costs_of(self, factors: Factors) -> Iterator[Costs]:
        """The places of each part's costs."""
        row = cost = problem = 0
        for x, _ in factors.parts:
            count, n = x.shape[:2]
            rows, costs = slice(row, row + count * n), slice(cost, cost + count * n * padded(n))
            yield Costs(
                self.tensors["cost"][costs].view(count, n, padded(n)),
                self.tensors["column_sum"][rows].view(count, n),
                self.tensors["top"][rows].view(count, n),
                self.tensors["facts"][problem : problem + count],
            )
            row, cost, problem = rows.stop, costs.stop, problem + count


class HostRunner:
    """The host check of csrc/cuda/auction_host.cu in place of a GPU: the same bits, slowly, on CPU tensors.

    What runs at once on a GPU runs in turn, forwards or backwards.
    """

    major, processors = 9, 132

    def __init__(self, backwards: bool = False) -> None:
        self.backwards = backwards

    def run(self, verb: str, *arguments: Any) -> None:
        """Quantises, or bids; whoever would share the work does not matter."""
        if verb == "quantise":
            module().quantise_on_host(*arguments)
        else:
            module().auction_on_host(*arguments[:2], self.backwards)


def padded(size: int) -> int:
    """Columns of a row of costs in memory: padded_columns of csrc/cuda/auction_rules.cuh."""
    return -(-size // 4) * 4


def table_of(problems: Squares) -> Tensor:
    """(B, 4) int64 on the device: size, first row, first score, first cost."""
    n = problems.size_tensor()
    stored = n * ((n + 3) // 4 * 4)
    return torch.stack([n, before(n), before(n * n), before(stored)], dim=1).contiguous()


@dataclass(frozen=True)
class CudaBidder:
    """Blocks, clusters or the whole grid on torch's current stream; no host in between, so it can be captured."""

    runner: Runner
    most_rounds: int = MOST_ROUNDS

    def products(self, x: Tensor, z: Tensor, rough: bool) -> Tensor:
        """x zᵀ for (B, m, d) by torch: float32 from float16 on tensor cores if rough, where torch can."""
        if rough and x.is_cuda and x.dtype == torch.float32:
            with contextlib.suppress(TypeError):  # out_dtype: torch 2.8
                return torch.bmm(halves(x), halves(z).transpose(1, 2), out_dtype=torch.float32)
        return torch.bmm(x, z.transpose(1, 2))

    def solve(self, problems: Problems, gap: float) -> Bids:
        """Bids until the gap is proved or nothing finer is left. Raises EngineError."""
        require_sizes(problems.sizes)
        memory, table = Memory.of(problems), table_of(problems)
        self.runner.run("quantise", self.described(problems, table, gap), memory.addresses())
        return self.bids(problems, memory, table, gap)

    def solve_products(self, factors: Factors, gap: float) -> Bids | None:
        """solve for scores that are not written: Triton makes the costs; None where it is not there."""
        require_sizes(factors.sizes)
        if not all(fuses(x) for x, _ in factors.parts):
            return None
        memory, table = Memory.of(factors), table_of(factors)
        for (x, z), costs in zip(factors.parts, memory.costs_of(factors), strict=True):
            quantise_products(x, z, costs)
        return self.bids(factors, memory, table, gap)

    def bids(self, problems: Squares, memory: Memory, table: Tensor, gap: float) -> Bids:
        """The auction of problems whose costs are made."""
        problem, addresses = self.described(problems, table, gap), memory.addresses()
        self.runner.run("auction", problem, addresses, self.configuration(problems))
        got = memory.tensors
        return Bids(got["permutation"], got["price"], got["top"], got["facts"])

    def described(self, problems: Squares, table: Tensor, gap: float) -> Any:
        """What the module is told; the auction itself reads no scores."""
        scores = problems.scores if isinstance(problems, Problems) else None
        return module().AuctionProblem(
            table.data_ptr(), 0 if scores is None else scores.data_ptr(),
            scores is not None and scores.dtype == torch.float64, getattr(problems, "maximize", True),
            problems=len(problems.sizes), largest=problems.largest, rows=problems.rows,
            gap=gap, most_rounds=self.most_rounds,
        )  # fmt: skip

    def configuration(self, problems: Squares) -> Any:
        sizes = (problems.largest, len(problems.sizes))
        return module().auction_configuration(*sizes, self.runner.major, self.runner.processors)
