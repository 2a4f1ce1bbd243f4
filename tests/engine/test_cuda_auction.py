"""The rounds of csrc/cuda/auction_rounds.cuh, run by the host check: assignments, certificates, no schedule."""

import numpy as np
import pytest
import torch
from auction_cases import (
    FAMILIES,
    assert_certified,
    best_total,
    families,
    problems,
    products,
    solved,
)
from brenier.engine.auction import INSERTED, certify
from brenier.engine.cuda import Device, why_module_missing
from brenier.engine.cuda_auction import CudaBidder, HostRunner
from brenier.engine.cuda_filter import module

pytestmark = pytest.mark.skipif(why_module_missing() is not None, reason=str(why_module_missing()))


HOST = CudaBidder(HostRunner())


def test_many_small_random_problems_stay_inside_their_certificates() -> None:
    rng = np.random.default_rng(0)
    for dtype in (np.float32, np.float64):
        matrices = [rng.standard_normal((n, n)).astype(dtype) for n in rng.integers(1, 40, 150)]
        given = problems(*matrices)
        bids, proofs = solved(HOST, given)
        for scores, permutation, proof in zip(
            matrices, bids.permutation.split(given.sizes), proofs, strict=True
        ):
            assert_certified(scores, permutation, proof)
            assert proof.within(1e-3)


@pytest.mark.parametrize("n", [1, 2, 3, 127, 128, 129, 257, 509, 1024])
def test_the_gap_asked_for_is_proved(n: int) -> None:
    scores = products(n)
    for gap in (1e-2, 1e-3, 1e-4):
        bids, (proof,) = solved(HOST, problems(scores), gap)
        assert_certified(scores, bids.permutation, proof)
        assert proof.within(gap)
        assert gap < 1e-3 or proof.rounds < 1000


@pytest.mark.parametrize("n", [2, 33, 130])
@pytest.mark.parametrize("name", FAMILIES)
def test_hard_families_stay_inside_their_certificates(name: str, n: int) -> None:
    scores = families(n)[name]
    for maximize in (True, False):
        bids, (proof,) = solved(HOST, problems(scores, maximize=maximize))
        assert_certified(scores, bids.permutation, proof, maximize)
        assert not proof.stalled


@pytest.mark.parametrize("name", ["products", "zeros and ones", "duplicate columns", "three wanted columns"])
def test_no_order_of_what_runs_at_once_changes_anything(name: str) -> None:
    given = problems(families(300)[name])
    first, last = HOST.solve(given, 1e-3), CudaBidder(HostRunner(backwards=True)).solve(given, 1e-3)
    assert torch.equal(first.permutation, last.permutation)
    assert torch.equal(first.price, last.price)
    assert torch.equal(first.facts, last.facts)


def test_problems_of_one_call_do_not_know_of_each_other() -> None:
    matrices = [products(n, seed=n) for n in (5, 1, 300, 64, 129)]
    together = HOST.solve(problems(*matrices), 1e-3)
    apart = [HOST.solve(problems(one), 1e-3) for one in matrices]
    assert torch.equal(together.permutation, torch.cat([one.permutation for one in apart]))
    assert torch.equal(together.facts, torch.cat([one.facts for one in apart]))


def test_rows_that_want_nothing_in_particular_are_proved_at_once() -> None:
    for scores in (np.ones((200, 200)), np.repeat(np.arange(200.0)[:, None], 200, 1)):
        _, (proof,) = solved(HOST, problems(scores))
        assert proof.optimal
        assert proof.rounds == 1


def test_the_last_rows_are_inserted_and_not_bid_for() -> None:
    bids, (proof,) = solved(HOST, problems(products(1024)), 1e-2)
    assert bids.facts[0, INSERTED] == 4
    assert proof.rounds < 400


@pytest.mark.parametrize("rounds", [0, 1, 20])
def test_out_of_rounds_there_is_still_a_permutation_and_a_bound(rounds: int) -> None:
    scores = products(200)
    bids, (proof,) = solved(CudaBidder(HostRunner(), most_rounds=rounds), problems(scores), 1e-4)
    assert_certified(scores, bids.permutation, proof)
    assert proof.stalled
    assert not proof.within(1e-4)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_scores_that_are_not_finite_are_left_to_others(bad: float) -> None:
    scores = products(40)
    scores[3, 5] = bad
    bids, proofs = solved(HOST, problems(products(9), scores))
    assert proofs[0].finite
    assert not proofs[1].finite
    assert not proofs[1].within(1.0)
    assert bids.permutation[9:].tolist() == list(range(40))


def test_float64_scores_are_proved_in_float64() -> None:
    scores = 1.0 + 1e-9 * np.random.default_rng(5).random((60, 60))
    bids, (proof,) = solved(HOST, problems(scores), 1e-4)
    assert_certified(scores, bids.permutation, proof)
    assert proof.within(1e-4)
    assert proof.total == pytest.approx(best_total(scores), abs=1e-4 * 60e-9)


@pytest.mark.parametrize("sizes", [(), (0,), (0, 3, 0)])
def test_nothing_is_bid_for_nothing(sizes: tuple[int, ...]) -> None:
    given = problems(np.zeros((0, 0)), *(np.eye(n) for n in sizes))
    bids, proofs = solved(HOST, given)
    assert len(bids.permutation) == sum(sizes)
    assert all(proof.optimal for proof in proofs)


@pytest.mark.parametrize(
    ("largest", "count", "major", "team", "blocks"),
    [
        (1, 1, 9, "block", 1),
        (1536, 1, 9, "block", 1),
        (256, 128, 9, "block", 1),
        (1537, 1, 9, "cluster", 8),
        (4096, 1, 9, "cluster", 8),
        (8192, 1, 9, "cluster", 16),
        (8193, 1, 9, "grid", 132),
        (4096, 1, 8, "grid", 132),
        (4096, 100, 9, "grid", 132),
    ],
)
def test_who_works_on_a_problem_follows_from_its_size(
    largest: int, count: int, major: int, team: str, blocks: int
) -> None:
    config = module().auction_configuration(largest, count, major, 132)
    assert config.team == getattr(module().Team, team)
    assert config.blocks == blocks
    assert config.threads in (256, 512, 896)


@pytest.mark.gpu
@pytest.mark.parametrize("n", [1, 33, 256, 1024, 1536, 1537, 3000, 4097, 8192, 9001])
def test_the_device_bids_as_the_host_does(n: int) -> None:
    """Blocks up to 1,536 rows, clusters up to 8,192, the grid beyond: integers, so every bit is the same."""
    scores = products(n, depth=16)
    got = CudaBidder(Device(torch.device("cuda"))).solve(problems(scores, device="cuda"), 1e-3)
    expected = HOST.solve(problems(scores), 1e-3)
    assert torch.equal(got.facts.cpu(), expected.facts)
    assert torch.equal(got.permutation.cpu(), expected.permutation)
    assert torch.equal(got.price.cpu(), expected.price)


@pytest.mark.gpu
@pytest.mark.parametrize("name", FAMILIES)
def test_hard_families_on_the_device_have_the_bits_of_the_host(name: str) -> None:
    matrices = [families(n)[name] for n in (2, 33, 130)]
    got = CudaBidder(Device(torch.device("cuda"))).solve(problems(*matrices, device="cuda"), 1e-3)
    expected = HOST.solve(problems(*matrices), 1e-3)
    assert torch.equal(got.permutation.cpu(), expected.permutation)
    assert torch.equal(got.facts.cpu(), expected.facts)


@pytest.mark.gpu
@pytest.mark.parametrize("n", [300, 2000, 9000])
def test_a_captured_auction_replays(n: int) -> None:
    bidder, given = CudaBidder(Device(torch.device("cuda"))), problems(products(n, depth=16), device="cuda")
    expected = bidder.solve(given, 1e-3)  # allocates outside the capture first
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        bids = bidder.solve(given, 1e-3)
    graph.replay()
    torch.cuda.synchronize()
    assert torch.equal(bids.permutation, expected.permutation)
    assert certify(given, bids)[0].within(1e-3)
