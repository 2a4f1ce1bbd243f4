"""Assignments bid for where the scores are: which engine takes them, and who finishes what it leaves open.

A device stops when the gap asked for is proved, or 1e-3 where the optimum was asked for. What is then still open, and
what a device does not take (forbidden pairs, prices that ran away), goes to the CPU's solver with the device's
prices to start from; only then do scores leave the device, and the status says so.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from brenier.engine import checks
from brenier.engine.assignment import LARGEST_EXACT_INTEGER, assign_batch
from brenier.engine.auction import (
    CLOSE_ENOUGH,
    Bidder,
    Bids,
    Factors,
    Problems,
    Proof,
    certify,
    certify_costs,
)
from brenier.engine.auction_products import FINEST_GAP
from brenier.engine.registry import available, engine_for
from brenier.errors import EngineError, InputError
from brenier.pair.result import PairingStatus, judge
from brenier.types import Array

BIDDERS, BIDDING_DEVICES = ("cuda", "triton"), ("cuda",)


class Solved(NamedTuple):
    """Permutations where the scores are, one after the other, and what is proved of each problem."""

    permutation: Tensor  # (rows,) int64, positions within each problem
    proofs: list[Any]  # Proof, or Assigned where the CPU finished
    gap: float
    status: PairingStatus


def bidder_for(device: torch.device, engine: str | None) -> Bidder | None:
    """Who bids for scores on that device; None is the CPU's solver. Raises EngineError."""
    if engine == "cpu" or (engine is None and device.type not in BIDDING_DEVICES):
        return None
    if engine is not None and engine not in BIDDERS:
        available(engine)
        raise EngineError(
            f"engine {engine!r}",
            expected="'cpu', 'cuda' or 'triton' for assignment problems",
            got="an engine without them",
            remedy="leave engine=None",
        )
    chosen: Any = engine_for(device.type, engine)
    return chosen.bidder(device) if chosen.name in BIDDERS else None


def solve_on_device(bidder: Bidder, problems: Problems, gap: float) -> Solved:
    """Permutations proved to lose at most that share of the gain, 0 for the optimum. Raises InputError."""
    bids = bidder.solve(problems, gap if gap > 0 else CLOSE_ENOUGH)
    return settled(bids, certify(problems, bids), gap, lambda: problems)


def solve_products(bidder: Bidder, factors: Factors, gap: float) -> Solved:
    """The same for products, whose scores are written only for the optimum or for what stays open."""
    bids = bidder.solve_products(factors, gap) if gap >= FINEST_GAP else None
    if bids is None:
        return solve_on_device(bidder, factors.scored(bidder, rough=gap > 0), gap)
    return settled(bids, certify_costs(factors, bids), gap, lambda: factors.scored(bidder, rough=True))


def settled(bids: Bids, proofs: list[Any], gap: float, scored: Callable[[], Problems]) -> Solved:
    """The answer, finished by the CPU where the proofs leave it open."""
    open_problems = [k for k, one in enumerate(proofs) if not (one.within(gap) if gap > 0 else one.optimal)]
    permutation = finish(scored(), bids, proofs, open_problems, gap) if open_problems else bids.permutation
    proved, status = judge(proofs, gap)
    finished = open_problems and status is not PairingStatus.UNPROVED
    return Solved(permutation, proofs, proved, PairingStatus.FINISHED_ON_CPU if finished else status)


def finish(problems: Problems, bids: Bids, proofs: list[Any], which: Sequence[int], gap: float) -> Tensor:
    """The permutation with those problems solved again on the CPU, from the device's prices; their proofs replaced."""
    permutation = bids.permutation.clone()
    matrices, prices, rows = (
        problems.scores_of(which),
        bids.price.split(problems.sizes),
        problems.rows_of(which),
    )
    answers = assign_batch(
        [one.cpu().numpy() for one in matrices],
        maximize=problems.maximize,
        gap=gap,
        prices=[start_prices(proofs[k], prices[k]) for k in which],
    )
    for k, mine, answer in zip(which, rows, answers, strict=True):
        permutation[mine] = torch.from_numpy(answer.permutation).to(permutation.device)
        proofs[k] = dataclasses.replace(answer, stalled=proofs[k].stalled or answer.stalled)
    return permutation


def start_prices(proof: Proof, price: Tensor) -> np.ndarray | None:
    """The device's prices in the scores' unit; None where it did not bid."""
    return proof.unit * price.cpu().numpy().astype(np.float64) if proof.finite else None


def problems_of(scores: Array, maximize: bool) -> tuple[Problems, tuple[int, ...]]:
    """Scores (n, n) or (B, n, n) as problems, and the shape of their permutations. Raises InputError.

    float32 as it is, 16-bit floats exactly as float32, other numbers exactly as float64.
    """
    tensor = checks.as_tensor(scores, "scores")
    if tensor.ndim not in (2, 3) or tensor.shape[-1] != tensor.shape[-2]:
        raise InputError(
            "scores",
            expected="a square matrix (n, n), or (B, n, n)",
            got=f"shape {tuple(tensor.shape)}",
            remedy="pad a rectangular problem with rows or columns of equal scores",
        )
    if tensor.dtype == torch.int64 and tensor.numel() and not fits_float64(tensor):
        raise InputError("scores", expected="integers of magnitude up to 2^53", got="larger ones")
    narrow = (torch.float16, torch.bfloat16, torch.float32)
    dtype = torch.float32 if tensor.dtype in narrow else torch.float64
    sizes = (tensor.shape[-1],) * (len(tensor) if tensor.ndim == 3 else 1)
    return Problems(tensor.to(dtype).contiguous().view(-1), sizes, maximize), tuple(tensor.shape[:-1])


def fits_float64(integers: Tensor) -> bool:
    low, high = integers.aminmax()
    return int(high) <= LARGEST_EXACT_INTEGER and -int(low) <= LARGEST_EXACT_INTEGER
