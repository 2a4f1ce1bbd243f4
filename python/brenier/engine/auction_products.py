"""Costs of assignment problems straight from data and noise: product and quantisation in one Triton kernel.

    score[i, j] = ⟨x̂_i, ẑ_j⟩,  x̂ and ẑ in float16 (engine/auction.py, `halves`), sums in float32
    cost[i, j]  = T_i − ⌈score[i, j]/unit⌉,  T_i = ⌈r_i/unit⌉,  r_i = (1 + 2⁻⁶)·‖x̂_i‖·max_j ‖ẑ_j‖,  unit = 2^k

The scale must be known before the product: it comes from norms, one pass over x̂ and ẑ, because |score| ≤ ‖x̂_i‖‖ẑ_j‖
(Cauchy-Schwarz) but for the rounding of sums, for which 2⁻⁶ is kept. That is not taken on trust: the kernel looks
whether a cost leaves its 26 bits, and such a problem is scored and goes to the CPU. `unit` is the least power
of two with 2·max_i r_i < 2²⁶·unit, so that score/unit is exact in float32 and the ceiling is the only rounding: costs
are what engine/auction.py says, ⌊(top_i − score)/unit⌋ with top_i = T_i·unit, for the sums as the kernel made them.
What norms cost against the scores' own range: about √d/4 of the 26 bits' reach, 4 bits at d = 3,072.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass

import torch
from torch import Tensor

from brenier.engine.auction import COST_BITS, COST_SUM, FACTS, FLAGS, NOT_FINITE, RANGE, halves
from brenier.engine.triton_filter import capability, interpreted, kernels, launch

FINEST_GAP = 1e-5
"""Below it the floor of the costs would be a good part of the gap: scores are then written and quantised apart."""

ROOM_FOR_SUMS = 1 + 2.0**-6


@dataclass(frozen=True)
class Costs:
    """Memory for the costs of B problems of n rows."""

    cost: Tensor  # int32 (B, n, stride)
    column_sum: Tensor  # int64 (B, n), zeros
    top: Tensor  # float64 (B, n)
    facts: Tensor  # int64 (B, FACTS), zeros

    @classmethod
    def empty(cls, problems: int, n: int, stride: int, device: torch.device) -> Costs:
        def new(dtype: torch.dtype, *size: int) -> Tensor:
            return torch.zeros(size, dtype=dtype, device=device)

        cost = torch.empty(problems, n, stride, dtype=torch.int32, device=device)
        sums = new(torch.int64, problems, n)
        return cls(cost, sums, new(torch.float64, problems, n), new(torch.int64, problems, FACTS))


def fuses(x: Tensor) -> bool:
    """Whether the kernel runs for such rows: float32, and Triton is there for their device."""
    here = interpreted() or (x.is_cuda and importlib.util.find_spec("triton") is not None)
    return here and x.dtype == torch.float32 and x.numel() > 0


def quantise_products(x: Tensor, z: Tensor, into: Costs) -> None:
    """Fills `into` from x and z (B, n, d); waits for nothing. FLAGS is set where the scores must be looked at."""
    left, right = halves(x), halves(z)
    r = reaches(left, right)
    width = 2 * r.amax(dim=1)
    finite = width < torch.inf
    units = units_in_one(torch.where(finite, width, 0.0))
    steps = torch.where(finite[:, None], r * units[:, None], 0.0).ceil()
    into.top.copy_(steps / units[:, None])
    into.facts[:, RANGE] = torch.where(finite, width, 0.0).view(torch.int64)
    into.facts[:, FLAGS] = torch.where(finite, 0, NOT_FINITE)
    multiply(left, right, steps.int(), units, into)
    into.facts[:, COST_SUM] = into.column_sum.sum(dim=1)


def reaches(left: Tensor, right: Tensor) -> Tensor:
    """r_i: no score of row i is further from 0, (B, n) float64."""
    norm, longest = (
        torch.linalg.vector_norm(one, dim=2, dtype=torch.float32).double() for one in (left, right)
    )
    return ROOM_FOR_SUMS * norm * longest.amax(dim=1, keepdim=True)


def units_in_one(width: Tensor) -> Tensor:
    """1/unit for costs up to `width`, as csrc/cuda/auction_memory.cuh has it; float64."""
    exponent = ((width.view(torch.int64) >> 52) - 1023 - (COST_BITS - 1)).clamp(min=-1000)
    return torch.where(width == 0, 1.0, ((1023 - exponent) << 52).view(torch.float64))


def multiply(left: Tensor, right: Tensor, reach: Tensor, units: Tensor, into: Costs) -> None:
    code = kernels("auction")
    problems, n, depth = left.shape
    config = code.product_configuration(n, capability(left))
    tiles = -(-n // config.block) * -(-n // config.columns)
    launch(
        code.product_costs, (tiles, problems),
        left, right, reach, units, into.cost, into.column_sum, into.facts[:, FLAGS], n, depth,
        into.cost.stride(1), into.facts.stride(0), BLOCK=config.block, COLUMNS=config.columns,
        BLOCK_DEPTH=config.depth, GROUP=code.GROUP, num_warps=config.warps, num_stages=config.stages,
    )  # fmt: skip
