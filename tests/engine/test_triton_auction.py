"""The rounds of kernels/auction.py in Triton's interpreter: assignments and certificates against scipy."""

import numpy as np
import pytest
import torch
from auction_cases import assert_certified, families, problems, products, solved
from brenier.engine.triton_auction import TritonBidder
from brenier.engine.triton_filter import interpreted

BIDDER = TritonBidder(interpreted=True)
here = pytest.mark.skipif(not interpreted(), reason="a GPU is here")


def with_partners(n: int) -> np.ndarray:
    """Normal scores, and six more where a random permutation pairs: few rounds, for an interpreter that is slow."""
    rng = np.random.default_rng(n)
    return (rng.standard_normal((n, n)) + 6 * np.eye(n)[rng.permutation(n)]).astype(np.float32)


@here
@pytest.mark.parametrize("n", [1, 2, 31, 127, 128, 129, 257])
def test_sizes_around_a_tile_prove_the_gap_asked_for(n: int) -> None:
    scores = with_partners(n)
    bids, (proof,) = solved(BIDDER, problems(scores), 1e-2)
    assert_certified(scores, bids.permutation, proof)
    assert proof.within(1e-2)


@here
@pytest.mark.parametrize("maximize", [True, False])
@pytest.mark.parametrize(
    "name", ["constant", "constant columns", "integers", "duplicate rows", "large offset"]
)
def test_ties_and_constants_stay_inside_their_certificates(name: str, maximize: bool) -> None:
    scores = families(9)[name]
    bids, (proof,) = solved(BIDDER, problems(scores, maximize=maximize), 1e-2)
    assert_certified(scores, bids.permutation, proof, maximize)


@here
def test_rows_that_fight_for_columns_end_in_a_proof() -> None:
    scores = products(23)
    bids, (proof,) = solved(BIDDER, problems(scores), 1e-2)
    assert_certified(scores, bids.permutation, proof)
    assert proof.within(1e-2)


@here
@pytest.mark.slow
def test_worn_out_lists_are_made_anew_and_last_rows_inserted() -> None:
    scores = products(300)
    bids, (proof,) = solved(BIDDER, problems(scores), 2e-2)
    assert_certified(scores, bids.permutation, proof)
    assert proof.within(2e-2)


@here
def test_problems_of_one_call_and_none_at_all() -> None:
    matrices = [products(n, seed=n) for n in (5, 0, 1, 8)]
    given = problems(*matrices)
    bids, proofs = solved(BIDDER, given, 1e-2)
    for scores, permutation, proof in zip(matrices, bids.permutation.split(given.sizes), proofs, strict=True):
        assert_certified(scores, permutation, proof)
    assert solved(BIDDER, problems(np.zeros((0, 0))))[1][0].optimal


@here
def test_out_of_rounds_there_is_still_a_permutation_and_a_bound() -> None:
    scores = products(12)
    bids, (proof,) = solved(TritonBidder(True, most_rounds=2), problems(scores), 1e-3)
    assert_certified(scores, bids.permutation, proof)
    assert proof.stalled


@here
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_scores_that_are_not_finite_are_left_to_others(bad: float) -> None:
    scores = products(8)
    scores[3, 5] = bad
    _, (proof,) = solved(BIDDER, problems(scores))
    assert not proof.finite


@here
@pytest.mark.parametrize("rough", [False, True])
@pytest.mark.parametrize(("m", "n", "depth"), [(1, 1, 1), (63, 65, 31), (64, 64, 32), (67, 5, 33)])
def test_products_are_those_of_torch(m: int, n: int, depth: int, rough: bool) -> None:
    generator = torch.Generator().manual_seed(m)
    x, z = (torch.randn(2, count, depth, generator=generator) for count in (m, n))
    got, expected = BIDDER.products(x, z, rough), x @ z.transpose(1, 2)
    if rough:  # up to a power of two
        got = got * 2.0 ** float((expected.abs().amax() / got.abs().amax()).log2().round())
    scale = x.norm(dim=2).amax() * z.norm(dim=2).amax()
    assert (got - expected).abs().max() <= scale * (2.0**-10 if rough else 2.0**-22 * depth)


@pytest.mark.gpu
@pytest.mark.parametrize("n", [1, 127, 300, 2000])
def test_the_device_proves_the_gap_asked_for(n: int) -> None:
    scores = products(n)
    bids, (proof,) = solved(TritonBidder(), problems(scores, device="cuda"), 1e-3)
    assert_certified(scores, bids.permutation, proof)
    assert proof.within(1e-3)
