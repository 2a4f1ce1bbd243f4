"""Pairing where the scores are: the CUDA rounds by their host check and Triton's by its interpreter, on CPU tensors."""

import brenier
import numpy as np
import pytest
import torch
from brenier.engine import auction_products
from brenier.engine.assignment import assign_square
from brenier.engine.auction import Factors
from brenier.engine.cuda import why_module_missing
from brenier.engine.cuda_auction import CudaBidder, HostRunner
from brenier.engine.triton_filter import interpreted
from brenier.errors import EngineError, InputError
from brenier.pair import PairingStatus, device
from scipy.optimize import linear_sum_assignment

GENERATOR = torch.Generator().manual_seed(8)
DATA, NOISE = (torch.randn(200, 12, generator=GENERATOR) for _ in range(2))


class HostEngine:
    name = "cuda"

    def bidder(self, device: torch.device) -> CudaBidder:  # noqa: ARG002
        return CudaBidder(HostRunner())


@pytest.fixture(params=["cuda", "triton"])
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """An engine that bids, on CPU tensors."""
    if request.param == "triton":
        if not interpreted():
            pytest.skip("a GPU is here")
    elif why_module_missing() is not None:
        pytest.skip(str(why_module_missing()))
    else:
        monkeypatch.setattr(device, "engine_for", lambda *_: HostEngine())
    return str(request.param)


def size(engine: str, many: int) -> int:
    """Fewer rows for the interpreter, which is slow."""
    return many if engine == "cuda" else min(many, 8)


def scores_of(n: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return (DATA[:n] @ NOISE[:n].T).to(dtype)


def best(scores: torch.Tensor, maximize: bool = True) -> float:
    found = linear_sum_assignment(scores.double().numpy(), maximize)
    return float(scores.double().numpy()[found].sum())


@pytest.mark.parametrize(
    ("dtype", "maximize"),
    [(torch.float32, True), (torch.float64, False), (torch.float16, False), (torch.int64, True)],
)
def test_the_gap_asked_for_is_kept_for_every_type(engine: str, dtype: torch.dtype, maximize: bool) -> None:
    scores = scores_of(size(engine, 150)) if dtype.is_floating_point else 100 * scores_of(size(engine, 150))
    scores = scores.to(dtype)
    kept = scores.clone()
    found = brenier.solve_assignment(scores, maximize=maximize, gap=1e-2, engine=engine)
    assert isinstance(found.permutation, torch.Tensor)
    assert sorted(found.permutation.tolist()) == list(range(len(scores)))
    assert found.gap <= 1e-2
    assert found.status in (PairingStatus.WITHIN_GAP, PairingStatus.OPTIMAL)
    optimum = best(scores, maximize)
    random = float(scores.double().mean()) * len(scores)
    assert abs(optimum - found.cost) <= 1e-2 * abs(optimum - random)
    assert found.cost_before == pytest.approx(float(scores.double().trace()))
    assert torch.equal(scores, kept)


def test_the_optimum_is_finished_on_the_cpu_and_said_so(engine: str) -> None:
    scores = scores_of(size(engine, 200))
    found = brenier.solve_assignment(scores, engine=engine)
    assert found.cost == pytest.approx(best(scores), rel=1e-12)
    assert found.gap == 0
    assert found.status is PairingStatus.FINISHED_ON_CPU


def test_a_proof_on_the_device_needs_no_finish(engine: str) -> None:
    found = brenier.solve_assignment(torch.ones(20, 20), engine=engine)
    assert found.status is PairingStatus.OPTIMAL
    assert found.cost == 20


def test_forbidden_pairs_are_solved_by_the_cpu(engine: str) -> None:
    scores = scores_of(8).fill_diagonal_(-torch.inf)
    found = brenier.solve_assignment(scores, gap=1e-2, engine=engine)
    assert found.status is PairingStatus.FINISHED_ON_CPU
    assert (found.permutation != torch.arange(8)).all()
    with pytest.raises(InputError, match="at least one permutation"):
        brenier.solve_assignment(torch.full((4, 4), -torch.inf), engine=engine)
    with pytest.raises(InputError, match="nan"):
        brenier.solve_assignment(torch.full((4, 4), torch.nan), gap=0.1, engine=engine)


def test_a_batch_is_solved_at_once_and_views_are_taken(engine: str) -> None:
    n = size(engine, 20)
    scores = torch.stack([scores_of(n), -scores_of(n), scores_of(n).T])
    found = brenier.solve_assignment(scores.transpose(1, 2), engine=engine)
    assert found.permutation.shape == (3, n)
    for one, cost in zip(scores, found.cost, strict=True):
        assert float(cost) == pytest.approx(best(one.T))
    assert brenier.solve_assignment(torch.zeros(0, 5, 5), engine=engine).permutation.shape == (0, 5)
    assert brenier.solve_assignment(torch.zeros(0, 0), engine=engine).cost == 0


def test_pairs_are_those_of_the_cpu(engine: str) -> None:
    n = size(engine, 200)
    found, expected = (brenier.pair(DATA[:n], NOISE[:n], engine=one) for one in (engine, "cpu"))
    assert found.cost == pytest.approx(expected.cost, rel=1e-6)
    assert found.cost_before == pytest.approx(expected.cost_before)
    near = brenier.pair(DATA[:n], NOISE[:n], gap=1e-2, engine=engine)
    assert expected.cost <= near.cost * (1 + 1e-6)
    assert near.cost - expected.cost <= 1.1e-2 * (near.cost_before - expected.cost) + 1e-6


@pytest.mark.parametrize("labels", [torch.arange(24) % 3, torch.arange(24) // 5])
def test_classes_keep_their_noise_whether_of_one_size_or_not(engine: str, labels: torch.Tensor) -> None:
    n = size(engine, 24)
    labels = labels[:n]
    found, expected = (
        brenier.pair(DATA[:n], NOISE[:n], labels=labels, engine=one) for one in (engine, "cpu")
    )
    assert torch.equal(labels[found.permutation], labels)
    assert torch.equal(found.permutation, expected.permutation)


def test_conditions_and_arrays_go_the_same_way(engine: str) -> None:
    n = size(engine, 24)
    condition = DATA[:n, :2]
    found, expected = (
        brenier.pair(DATA[:n].numpy(), NOISE[:n].numpy(), condition=condition, share=0.05, engine=one)
        for one in (engine, "cpu")
    )
    assert isinstance(found.permutation, np.ndarray)
    assert found.weight == expected.weight
    assert found.cost == pytest.approx(expected.cost, rel=1e-6)


def test_scores_are_written_only_where_a_problem_stays_open(
    engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not interpreted():
        pytest.skip("a GPU is here")
    asked: list[float] = []
    scored = Factors.scored
    monkeypatch.setattr(Factors, "scored", lambda *given, rough: asked.append(rough) or scored(*given, rough))
    n = size(engine, 60)
    near = brenier.pair(DATA[:n], NOISE[:n], gap=1e-2, engine=engine)
    assert asked == []
    assert near.gap <= 1e-2
    for gap in (0.0, 1e-7):
        assert brenier.pair(DATA[:n], NOISE[:n], gap=gap, engine=engine).gap <= gap
    assert asked == [False, True]
    monkeypatch.setattr(auction_products, "ROOM_FOR_SUMS", 2.0**-5)
    found = brenier.pair(DATA[:n], NOISE[:n], gap=1e-2, engine=engine)
    assert found.status is PairingStatus.FINISHED_ON_CPU
    assert asked == [False, True, True]


def test_overflowing_products_are_about_data_and_noise(engine: str) -> None:
    with pytest.raises(InputError, match=r"^data and noise: expected .* that float32 holds"):
        brenier.pair(DATA[:6] * 1e30, NOISE[:6] * 1e30, engine=engine)


def test_no_rows_are_no_pairs(engine: str) -> None:
    assert brenier.pair(DATA[:0], NOISE[:0], engine=engine).permutation.shape == (0,)


@pytest.mark.parametrize(
    "scores", [torch.zeros(2, 3), torch.zeros(4), torch.tensor([[2**53 + 2, 0], [0, 0]])]
)
def test_what_is_no_problem_is_an_input_error(engine: str, scores: torch.Tensor) -> None:
    with pytest.raises(InputError, match=r"^scores: expected .*"):
        brenier.solve_assignment(scores, engine=engine)


def test_an_engine_without_bids_says_who_has_them() -> None:
    with pytest.raises(EngineError, match="'cpu', 'cuda' or 'triton' for assignment"):
        brenier.solve_assignment(torch.zeros(3, 3), engine="reference")
    with pytest.raises(EngineError, match="one of reference, cpu, triton, cuda"):
        brenier.pair(DATA, NOISE, engine="cpuu")


def test_prices_to_start_from_change_how_soon_and_not_what() -> None:
    rng = np.random.default_rng(2)
    scores = rng.standard_normal((400, 30)) @ rng.standard_normal((30, 400))
    plain = assign_square(scores)
    warm = assign_square(scores, prices=-plain.column_duals)
    wild = assign_square(scores, prices=rng.standard_normal(400) * 1e30)
    for other in (warm, wild, assign_square(scores, prices=np.full(400, np.nan))):
        assert np.array_equal(other.permutation, plain.permutation)
        assert other.excess <= other.rounding


@pytest.mark.gpu
@pytest.mark.parametrize("engine", ["cuda", "triton", None])
@pytest.mark.parametrize("n", [30, 300, 2000])
def test_pairs_on_the_device_are_those_of_the_cpu(engine: str | None, n: int) -> None:
    generator = torch.Generator().manual_seed(n)
    data, noise = (torch.randn(n, 20, generator=generator) for _ in range(2))
    expected = brenier.pair(data, noise)
    found = brenier.pair(data.cuda(), noise.cuda(), engine=engine)
    assert found.permutation.is_cuda
    assert found.cost == pytest.approx(expected.cost, rel=1e-5)
    near = brenier.pair(data.cuda(), noise.cuda(), gap=1e-3, engine=engine)
    assert near.gap <= 1e-3
    assert near.status in (PairingStatus.WITHIN_GAP, PairingStatus.OPTIMAL)
    assert near.cost - expected.cost <= 2e-3 * (expected.cost_before - expected.cost)
