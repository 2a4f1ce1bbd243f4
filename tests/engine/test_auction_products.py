"""Costs made in the product's epilogue: their integers, their certificates, and what falls outside."""

import numpy as np
import pytest
import torch
from auction_cases import best_total
from brenier.engine import auction_products
from brenier.engine.auction import (
    COST_BITS,
    COST_SUM,
    FLAGS,
    RANGE,
    Bidder,
    Factors,
    certify_costs,
    halves,
    unit_of,
)
from brenier.engine.auction_products import Costs, quantise_products
from brenier.engine.cuda import why_module_missing
from brenier.engine.cuda_auction import CudaBidder, HostRunner
from brenier.engine.triton_auction import TritonBidder
from brenier.engine.triton_filter import interpreted, kernels

here = pytest.mark.skipif(not interpreted(), reason="a GPU is here")
needs_module = pytest.mark.skipif(why_module_missing() is not None, reason=str(why_module_missing()))
BIDDERS = [pytest.param(CudaBidder(HostRunner()), marks=needs_module), TritonBidder(interpreted=True)]


def drawn(problems: int, n: int, depth: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows of small integers: products are exact in float32, so that the costs can be told to the bit."""
    generator = torch.Generator().manual_seed(seed)
    x, z = (torch.randint(-9, 10, (problems, n, depth), generator=generator).float() for _ in range(2))
    x[0, 0, 0] = z[0, 0, 0] = 9  # both sides are scaled by the same power of two in every case
    return x, z


def costs_of(x: torch.Tensor, z: torch.Tensor, stride: int | None = None) -> Costs:
    made = Costs.empty(len(x), x.shape[1], stride or x.shape[1], x.device)
    quantise_products(x, z, made)
    return made


def exact_scores(x: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
    """Float64 products of what the kernel multiplies."""
    left, right = halves(x).double(), halves(z).double()
    return left @ right.transpose(1, 2)


@here
@pytest.mark.parametrize(
    ("problems", "n", "depth"), [(1, 1, 1), (2, 63, 31), (1, 64, 64), (3, 65, 65), (1, 131, 7)]
)
def test_costs_are_floors_of_the_distance_to_the_top(problems: int, n: int, depth: int) -> None:
    x, z = drawn(problems, n, depth)
    made, scores = costs_of(x, z), exact_scores(x, z)
    for k in range(problems):
        unit = unit_of(int(made.facts[k, RANGE]))
        expected = ((made.top[k][:, None] - scores[k]) / unit).floor().long()
        assert torch.equal(made.cost[k].long(), expected)
        assert torch.equal(made.column_sum[k], expected.sum(dim=0))
        assert int(made.facts[k, COST_SUM]) == int(expected.sum())
        assert int(made.facts[k, FLAGS]) == 0


@here
def test_rows_of_costs_may_be_padded() -> None:
    x, z = drawn(2, 61, 20)
    assert torch.equal(costs_of(x, z, stride=64).cost[:, :, :61], costs_of(x, z).cost)


@here
@pytest.mark.parametrize("scale", [1.0, 1e-44, 1e30])
def test_no_product_leaves_the_bits_that_its_norms_promise(scale: float) -> None:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(1, 70, 300, generator=generator)
    x[0, 3] *= 1000
    z = torch.cat([x[:, :35], -x[:, 35:]], dim=1)  # parallel rows: norms are reached, on both sides
    made = costs_of(x * scale, z * scale)
    assert int(made.facts[0, FLAGS]) == 0
    assert int(made.cost.min()) >= 0
    assert int(made.cost.max()) >> COST_BITS == 0
    assert int(made.cost.max()) >> (COST_BITS - 2) > 0 or scale < 1  # and use them


@here
def test_what_is_not_finite_or_outside_is_said_and_not_bid_for(monkeypatch: pytest.MonkeyPatch) -> None:
    x, z = drawn(2, 40, 8)
    x[1, 2, 3] = torch.inf
    assert costs_of(x, z).facts[:, FLAGS].tolist() == [0, 1]
    monkeypatch.setattr(auction_products, "ROOM_FOR_SUMS", 2.0**-4)
    assert costs_of(*drawn(2, 40, 8)).facts[:, FLAGS].tolist() == [1, 1]


@here
@pytest.mark.parametrize("bidder", BIDDERS)
def test_nothing_but_zeros_costs_nothing(bidder: Bidder) -> None:
    x = torch.zeros(1, 5, 4)
    bids = bidder.solve_products(Factors(((x, x),), (5,)), 1e-2)
    assert bids is not None
    assert sorted(bids.permutation.tolist()) == list(range(5))
    assert certify_costs(Factors(((x, x),), (5,)), bids)[0].excess == 0


@here
@pytest.mark.parametrize("bidder", BIDDERS)
def test_a_single_row_is_proved_optimal(bidder: Bidder) -> None:
    x, z = drawn(1, 1, 8)
    factors = Factors(((x, z),), (1,))
    bids = bidder.solve_products(factors, 1e-2)
    assert bids is not None
    assert certify_costs(factors, bids)[0].excess == 0


@here
@pytest.mark.parametrize("bidder", BIDDERS)
def test_scipys_optimum_is_inside_the_certificate_of_every_problem(bidder: Bidder) -> None:
    many = isinstance(bidder, CudaBidder)
    sizes = [(3, 120, 40), (1, 257, 16)] if many else [(2, 20, 40), (1, 13, 300)]
    generator = torch.Generator().manual_seed(5)
    parts = tuple(tuple(torch.randn(size, generator=generator) for _ in range(2)) for size in sizes)
    factors = Factors(parts, tuple(n for count, n, _ in sizes for _ in range(count)))  # type: ignore[arg-type]
    bids = bidder.solve_products(factors, 1e-2)
    assert bids is not None
    scores = [one.numpy() for x, z in parts for one in exact_scores(x, z)]
    for matrix, permutation, proof in zip(
        scores, bids.permutation.split(factors.sizes), certify_costs(factors, bids), strict=True
    ):
        n = len(matrix)
        assert sorted(permutation.tolist()) == list(range(n))
        assert proof.within(1e-2)
        optimum, total = best_total(matrix), float(matrix[np.arange(n), permutation.numpy()].sum())
        sums = n * 2.0**-20 * float(np.abs(matrix).max())  # of float32 sums, which the proof is for
        assert optimum - total <= proof.excess + sums
        assert proof.gain >= (optimum - float(matrix.mean()) * n) * (1 - 1e-4) - sums


@here
@pytest.mark.parametrize("bidder", BIDDERS)
@pytest.mark.parametrize(
    "x", [torch.zeros(1, 3, 4, dtype=torch.float64), torch.zeros(1, 0, 4), torch.zeros(1, 3, 0)]
)
def test_other_rows_are_left_to_scores_in_memory(bidder: Bidder, x: torch.Tensor) -> None:
    assert bidder.solve_products(Factors(((x, x),), (x.shape[1],)), 1e-3) is None


@pytest.mark.parametrize("capability", [(8, 0), (8, 6), (8, 9), (9, 0), (10, 0), (12, 0)])
@pytest.mark.parametrize("size", [1, 256, 513, 16384])
def test_tiles_of_the_product_fit_in_shared_memory(size: int, capability: tuple[int, int]) -> None:
    config = kernels("auction").product_configuration(size, capability)
    kilobytes = {(8, 0): 163, (9, 0): 227, (10, 0): 227}.get(capability, 99)
    assert 2 * (config.stages - 1) * (config.block + config.columns) * config.depth <= kilobytes * 1024
    assert config == kernels("auction").product_configuration(size, capability)


@pytest.mark.gpu
@pytest.mark.parametrize(("problems", "n", "depth"), [(1, 1000, 3072), (5, 257, 100)])
def test_the_device_makes_the_costs_of_the_host(problems: int, n: int, depth: int) -> None:
    x, z = drawn(problems, n, depth)
    made, scores = costs_of(x.cuda(), z.cuda()), exact_scores(x, z)
    for k in range(problems):
        unit = unit_of(int(made.facts[k, RANGE]))
        assert torch.equal(
            made.cost[k].cpu().long(), ((made.top[k].cpu()[:, None] - scores[k]) / unit).floor().long()
        )
