"""What a device's bids prove is nothing where they are no permutation, beat the bound or overflow."""

import dataclasses

import numpy as np
import pytest
import torch
from auction_cases import assert_certified, problems, products, solved
from brenier.engine import triton_auction
from brenier.engine.auction import DUAL, Bids, Factors, certify, certify_costs, distinct_columns
from brenier.engine.auction_products import FINEST_GAP
from brenier.engine.cuda_auction import CudaBidder, HostRunner
from brenier.engine.triton_auction import TritonBidder
from brenier.engine.triton_filter import interpreted
from brenier.pair.device import solve_on_device, solve_products
from brenier.pair.result import PairingStatus

HOST = CudaBidder(HostRunner())
here = pytest.mark.skipif(not interpreted(), reason="a GPU is here")


class Wrong:
    """A bidder whose answer is spoilt."""

    def __init__(self, spoil) -> None:  # type: ignore[no-untyped-def]
        self.spoil = spoil

    def products(self, x: torch.Tensor, z: torch.Tensor, rough: bool) -> torch.Tensor:
        return HOST.products(x, z, rough)

    def solve(self, given, gap: float) -> Bids:  # type: ignore[no-untyped-def]
        return self.spoil(HOST.solve(given, gap))

    def solve_products(self, factors: Factors, gap: float) -> Bids | None:
        bids = HOST.solve_products(factors, gap)
        return None if bids is None else self.spoil(bids)


def twice(bids: Bids) -> Bids:
    """The first problem's first column given to its second row too."""
    permutation = bids.permutation.clone()
    permutation[1] = permutation[0]
    return dataclasses.replace(bids, permutation=permutation)


def bound_too_low(bids: Bids) -> Bids:
    facts = bids.facts.clone()
    facts[:, DUAL] += 1 << 24
    return dataclasses.replace(bids, facts=facts)


@here
@pytest.mark.parametrize("seed", [24, 37])
def test_rows_inserted_before_a_finer_phase_keep_their_columns(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(triton_auction, "LEFT_FINE", 3)
    scores = torch.randn(24, 24, generator=torch.Generator().manual_seed(seed)).numpy()
    bids, (proof,) = solved(TritonBidder(interpreted=True), problems(scores), 1e-6)
    assert_certified(scores, bids.permutation, proof)


@pytest.mark.parametrize("spoil", [twice, bound_too_low])
@pytest.mark.parametrize("gap", [0.0, 1e-3, 0.3])
def test_what_is_no_permutation_or_beats_its_bound_is_solved_again(spoil, gap: float) -> None:  # type: ignore[no-untyped-def]
    given = problems(products(20), products(9, seed=1))
    answer = solve_on_device(Wrong(spoil), given, gap)
    for mine, n in zip(answer.permutation.split(given.sizes), given.sizes, strict=True):
        assert sorted(mine.tolist()) == list(range(n))
    assert answer.status is PairingStatus.FINISHED_ON_CPU
    assert answer.gap <= gap


@pytest.mark.parametrize("spoil", [twice, bound_too_low])
def test_products_that_prove_nothing_are_solved_again(spoil) -> None:  # type: ignore[no-untyped-def]
    x, z = torch.randn(2, 1, 20, 8, generator=torch.Generator().manual_seed(0))
    gap = max(1e-2, FINEST_GAP)
    bids = HOST.solve_products(Factors(((x, z),), (20,)), gap)
    assert bids is not None
    assert not certify_costs(Factors(((x, z),), (20,)), spoil(bids))[0].within(1.0)
    answer = solve_products(Wrong(spoil), Factors(((x, z),), (20,)), gap)
    assert sorted(answer.permutation.tolist()) == list(range(20))
    assert answer.status is PairingStatus.FINISHED_ON_CPU


def test_sums_that_overflow_prove_nothing() -> None:
    scores = np.full((4, 4), 8e307) + np.diag(np.full(4, 8e307))
    given = problems(scores)
    assert not certify(given, HOST.solve(given, 1e-3))[0].within(1.0)


def test_columns_are_counted_problem_by_problem() -> None:
    given = problems(*(np.zeros((n, n)) for n in (2, 0, 3, 1)))
    assert distinct_columns(given, torch.tensor([1, 0, 2, 0, 1, 0])) == [2, 0, 3, 1]
    assert distinct_columns(given, torch.tensor([1, 1, -1, 0, 3, 0])) == [1, 0, 1, 1]
