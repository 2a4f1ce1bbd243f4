"""Assignment bid for on a device: what csrc/cuda and kernels/auction.py share, and what their prices prove.

    cost[i, j] = ⌊|top_i − score[i, j]| / unit⌋,  top_i the best score of row i,  unit a power of two
    bound = Σ_i top_i ∓ unit·dual,  dual = Σ_i min_j (cost[i, j] + p_j) − Σ_j p_j ≤ Σ_i cost[i, π(i)]

No permutation's total is beyond the bound, whatever was bid: the integers are exact, costs are rounded down, and
prices are integers. Totals are float64 sums of the scores themselves. What gives a column twice, beats the bound or
overflows in its sums proves nothing: its excess is infinite, and the CPU solves it again. Nothing here waits for the
device but `certify`, which reads a few numbers a problem; scores stay where they are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Protocol

import torch
from torch import Tensor

from brenier.errors import InputError

COST_BITS = 26
CLOSE_ENOUGH = 1e-3
"""The gap at which a device stops where the exact optimum was asked for: the CPU is faster at the rest."""

MOST_ROUNDS = 20_000
LARGEST, MOST_PROBLEMS = 1 << 20, 65_535  # rows of one problem, problems of one call
RANGE, FLAGS, COST_SUM, PRIMAL, DUAL, ROUNDS, RENEWALS, EPSILON, INSERTED = range(9)  # csrc/cuda/auction.hpp
FACTS = 12
NOT_FINITE, STALLED = 1, 2


class Squares:
    """Square problems, one after the other."""

    sizes: tuple[int, ...]

    @property
    def device(self) -> torch.device:
        raise NotImplementedError

    @property
    def rows(self) -> int:
        return sum(self.sizes)

    @property
    def largest(self) -> int:
        return max(self.sizes, default=0)

    def rows_of(self, which: Sequence[int]) -> list[slice]:
        """Where the rows of these problems lie among all."""
        ends = list(accumulate(self.sizes))
        return [slice(ends[k] - self.sizes[k], ends[k]) for k in which]

    def per_row(self, each: Tensor) -> Tensor:
        """A number of each problem (B,), for each of its rows (rows,)."""
        return each.repeat_interleave(self.size_tensor(), output_size=self.rows)

    def first_rows(self) -> Tensor:
        """The first row of each row's problem, (rows,)."""
        return self.per_row(before(self.size_tensor()))

    def size_tensor(self) -> Tensor:
        """(B,) int64 on the device; without a copy from the host where all sizes are equal, for graph capture."""
        if len(set(self.sizes)) <= 1:
            return torch.full((len(self.sizes),), self.largest, dtype=torch.int64, device=self.device)
        return torch.tensor(self.sizes, dtype=torch.int64).to(self.device)


@dataclass(frozen=True)
class Problems(Squares):
    """Square score matrices one after the other in one tensor, each contiguous."""

    scores: Tensor  # (Σ n_k²,) float32 or float64
    sizes: tuple[int, ...]
    maximize: bool = True

    @property
    def device(self) -> torch.device:
        return self.scores.device

    def scores_of(self, which: Sequence[int]) -> list[Tensor]:
        """The (n, n) scores of these problems, as views."""
        ends = list(accumulate(n * n for n in self.sizes))
        places = [(ends[k], self.sizes[k]) for k in which]
        return [self.scores[end - n * n : end].view(n, n) for end, n in places]


@dataclass(frozen=True)
class Factors(Squares):
    """Problems whose scores are products x zᵀ, to be maximised; neither is written before somebody asks."""

    parts: tuple[tuple[Tensor, Tensor], ...]  # at least one: x and z (B, n, d) of B problems of one size
    sizes: tuple[int, ...]

    @property
    def device(self) -> torch.device:
        return self.parts[0][0].device

    def scored(self, bidder: Bidder, rough: bool) -> Problems:
        """The same problems with their scores in memory; rough as for Bidder.products."""
        scores = [bidder.products(x, z, rough).view(-1) for x, z in self.parts]
        return Problems(scores[0] if len(scores) == 1 else torch.cat(scores), self.sizes)


@dataclass(frozen=True)
class Bids:
    """Where bidding ended, on the device."""

    permutation: Tensor  # (rows,) int64, positions within each problem
    price: Tensor  # (rows,) int32, in units of cost
    top: Tensor  # (rows,) float64
    facts: Tensor  # (B, FACTS) int64


class Bidder(Protocol):
    """An engine that bids on its own device."""

    def products(self, x: Tensor, z: Tensor, rough: bool) -> Tensor:
        """x zᵀ for rows (B, m, d), float32 or float64; if rough and float32, of `halves`."""

    def solve(self, problems: Problems, gap: float) -> Bids:
        """Bids until the gap is proved, or until nothing more can be; launches only where it can."""

    def solve_products(self, factors: Factors, gap: float) -> Bids | None:
        """The same for scores that are not written (engine/auction_products.py); None where that cannot be."""


@dataclass(frozen=True)
class Proof:
    """What is known of one problem's permutation; the fields of engine.assignment.Assigned that judge it."""

    total: float  # below every row's best together, where scores were never written
    identity_total: float  # nan where scores were never written
    excess: float  # at most this far from the optimum
    rounding: float
    gain: float  # the most by which any permutation can beat a random one
    finite: bool  # False: nothing was bid
    stalled: bool
    unit: float  # of prices, in scores
    rounds: int

    @property
    def optimal(self) -> bool:
        return self.finite and self.excess <= self.rounding

    def within(self, gap: float) -> bool:
        """Whether at most this share of the gain is lost, by the prices."""
        return self.optimal or (self.finite and self.excess <= gap * self.gain)


def halves(rows: Tensor) -> Tensor:
    """Rows as float16, times a power of two that brings the largest element to between 2⁷ and 2⁸."""
    largest = rows.abs().amax() if rows.numel() else rows.new_zeros(())
    exponent = torch.where(largest > 0, 8 - torch.frexp(largest.float()).exponent, 0).clamp(max=126)
    return torch.ldexp(rows, exponent).half().contiguous()


def require_sizes(sizes: tuple[int, ...]) -> None:
    if max(sizes, default=0) > LARGEST:
        raise InputError("scores", expected=f"at most {LARGEST} rows on a device", got=str(max(sizes)))
    if len(sizes) > MOST_PROBLEMS:
        expected = f"at most {MOST_PROBLEMS} problems at once on a device"
        raise InputError(
            "scores", expected=expected, got=str(len(sizes)), remedy="pass fewer, or engine='cpu'"
        )


def row_starts(problems: Problems) -> tuple[Tensor, Tensor]:
    """Where each row's scores begin, and its position within its problem, both (rows,)."""
    sizes = problems.size_tensor()
    each, first_score = problems.per_row(sizes), problems.per_row(before(sizes * sizes))
    mine = torch.arange(problems.rows, device=sizes.device) - problems.first_rows()
    return first_score + mine * each, mine


def before(counts: Tensor) -> Tensor:
    """The sum of all earlier counts."""
    return counts.cumsum(0) - counts


def totals_of(problems: Problems, bids: Bids) -> Tensor:
    """(B, 4) float64: the permutation's total, the identity's, Σ top, and the largest |top|."""
    starts, mine = row_starts(problems)
    lengths = problems.size_tensor()
    picked = [problems.scores[starts + place].double() for place in (bids.permutation, mine)]
    sums = [torch.segment_reduce(one, "sum", lengths=lengths, initial=0) for one in (*picked, bids.top)]
    largest = torch.segment_reduce(bids.top.abs(), "max", lengths=lengths, initial=0)
    return torch.stack([*sums, largest], dim=1)


def distinct_columns(problems: Squares, permutation: Tensor) -> list[int]:
    """How many different columns of each problem are given to rows: n, or it is no permutation. Waits."""
    sizes = problems.size_tensor()
    inside = (permutation >= 0) & (permutation < problems.per_row(sizes))
    given = torch.zeros(problems.rows, dtype=torch.float64, device=permutation.device)
    given[(problems.first_rows() + permutation)[inside]] = 1
    counts = torch.segment_reduce(given, "sum", lengths=sizes, initial=0).cpu().tolist()
    return [int(count) for count in counts]


def unit_of(range_bits: int) -> float:
    """The unit of cost: 1 / units_in_one of csrc/cuda/auction_memory.cuh."""
    if range_bits == 0:
        return 1.0
    return 2.0 ** max((range_bits >> 52) - 1023 - (COST_BITS - 1), -1000)


def certify(problems: Problems, bids: Bids) -> list[Proof]:
    """What the prices prove of each problem; waits for the device and reads 17 numbers a problem."""
    if not problems.sizes:
        return []
    totals = totals_of(problems, bids).cpu().tolist()
    return proofs_of(problems, problems.maximize, bids, totals)


def certify_costs(factors: Factors, bids: Bids) -> list[Proof]:
    """What the prices prove of scores that were never written: from integers alone, a floor of each cost given away.

    Σ score[i, π(i)] > Σ_i top_i − unit·(primal + n): less than n units more are lost than the costs say. A single
    row has but one permutation, and scores that are all 0 no floors.
    """
    totals = []
    for n, fact in zip(factors.sizes, bids.facts.cpu().tolist(), strict=True):
        floors = 0 if n == 1 or fact[RANGE] == 0 else n
        lost = unit_of(fact[RANGE]) * (fact[PRIMAL] + floors)
        totals.append([-lost, math.nan, 0.0, 0.0])
    return proofs_of(factors, True, bids, totals)


def proofs_of(problems: Squares, maximize: bool, bids: Bids, totals: list[list[float]]) -> list[Proof]:
    facts, distinct = bids.facts.cpu().tolist(), distinct_columns(problems, bids.permutation)
    each = zip(problems.sizes, distinct, facts, totals, strict=True)
    return [proof(n, columns == n, maximize, fact, total) for n, columns, fact, total in each]


def proof(n: int, one_to_one: bool, maximize: bool, facts: list[int], totals: list[float]) -> Proof:
    total, identity, tops, largest = totals
    sign, unit = (1.0 if maximize else -1.0), unit_of(facts[RANGE])
    finite = not facts[FLAGS] & NOT_FINITE
    stalled = bool(facts[FLAGS] & STALLED)
    if n == 0 or not finite:
        return Proof(total, identity, 0.0 if n == 0 else math.inf, 0.0, 0.0, finite, stalled, unit, 0)
    spent = sign * (tops - total)  # what the permutation loses against every row's best
    excess = spent - unit * facts[DUAL]
    gain = max(0.0, unit * (facts[COST_SUM] / n - facts[DUAL]))
    rounding = 2.0**-46 * n * (largest + unit * 2**COST_BITS)
    if not (one_to_one and excess >= -rounding and math.isfinite(excess + gain + rounding)):
        excess, rounding, gain = math.inf, 0.0, 0.0  # no permutation is beyond the bound: something is wrong
    return Proof(total, identity, max(0.0, excess), rounding, gain, True, stalled, unit, facts[ROUNDS])
