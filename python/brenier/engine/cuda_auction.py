"""The launches of csrc/cuda/auction.cu: scores to integers, then bids until the gap is proved. Not run on hardware."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from brenier.engine.auction import MOST_ROUNDS, Bids, Problems, before, halves, require_sizes
from brenier.engine.cuda_filter import Runner, module


@dataclass(frozen=True)
class Memory:
    """Device memory of one call; 4 bytes a score, 1.1 kB a row. From torch's allocator."""

    tensors: dict[str, Tensor]

    @classmethod
    def of(cls, problems: Problems) -> Memory:
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


def table_of(problems: Problems) -> Tensor:
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
        problem = module().AuctionProblem(
            table.data_ptr(), problems.scores.data_ptr(), problems.scores.dtype == torch.float64, problems.maximize,
            problems=len(problems.sizes), largest=problems.largest, rows=problems.rows,
            gap=gap, most_rounds=self.most_rounds,
        )  # fmt: skip
        addresses = memory.addresses()
        self.runner.run("quantise", problem, addresses)
        self.runner.run("auction", problem, addresses, self.configuration(problems))
        got = memory.tensors
        return Bids(got["permutation"], got["price"], got["top"], got["facts"])

    def configuration(self, problems: Problems) -> Any:
        sizes = (problems.largest, len(problems.sizes))
        return module().auction_configuration(*sizes, self.runner.major, self.runner.processors)
