"""Where a fit computes: the same heights on every engine, and what is refused."""

import threading
from collections.abc import Callable
from typing import Any

import brenier
import pytest
import torch
from brenier.engine.registry import why_unavailable
from brenier.engine.triton_filter import interpreted
from brenier.errors import EngineError, NotConvergedWarning
from brenier.solve import solver
from brenier.solve.memory import free_on, gpu_bytes
from brenier.solve.placement import Placement, placement
from brenier.solve.sampling import FullSampler, SamplingPlan, SubspaceSampler
from helpers.problems import normal

GPU = torch.device("cuda")


PLANS = {"full dimension": SamplingPlan(0, 0, 0.0), "subspace of 32 + 16": SamplingPlan(32, 16, 0.0)}


@pytest.fixture(params=PLANS)
def plan(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Steps of few draws in the full dimension, or in subspaces."""
    monkeypatch.setattr(solver, "SMALLEST_BATCH", 64)
    monkeypatch.setattr(solver, "choose_sampling", lambda *_: PLANS[request.param])
    return str(request.param)


def assert_same_fit(targets: torch.Tensor, engine: str, device: str, plan: str) -> None:
    """All heights of a few steps and a check, bit for bit."""
    options = {"tol": 0.02, "max_samples": 400, "progress": False, "seed": 3}
    with pytest.warns(NotConvergedWarning):
        here = brenier.fit(targets, **options)
    with pytest.warns(NotConvergedWarning):
        there = brenier.fit(targets, engine=engine, device=device, **options)
    assert plan in here.sampling
    assert here.sampling == there.sampling
    assert here.samples == there.samples > 250
    assert torch.equal(here.potential.heights, there.potential.heights.cpu())
    assert (here.error, here.error_stderr) == (there.error, there.error_stderr)


@pytest.mark.skipif(not interpreted(), reason="for Triton's interpreter")
def test_a_fit_on_tritons_kernels_has_the_heights_of_the_processor(plan: str) -> None:
    assert_same_fit(normal(1, 100, 150).y, "triton", "cpu", plan)


@pytest.mark.gpu
@pytest.mark.parametrize("engine", ["triton", "cuda"])
def test_a_fit_on_a_gpu_has_the_heights_of_the_processor(plan: str, engine: str) -> None:
    if (reason := why_unavailable(engine)) is not None:
        pytest.skip(reason)
    assert_same_fit(normal(1, 2000, 150).y, engine, "cuda", plan)


@pytest.mark.gpu
def test_targets_on_a_gpu_are_fitted_there() -> None:
    result = brenier.fit(normal(1, 300, 20).y.cuda(), tol=0.2, progress=False)
    assert result.converged
    assert result.potential.heights.is_cuda


def test_targets_of_the_processor_stay_there() -> None:
    assert placement(None, torch.device("cpu")) == Placement()
    assert placement("reference", torch.device("cpu")) == Placement("reference")


@pytest.fixture(autouse=True)
def _no_engine_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BRENIER_ENGINE", raising=False)


def test_a_gpu_without_an_engine_leaves_the_fit_to_the_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("brenier.solve.placement.runs_here", lambda _name: False)
    assert placement(None, GPU) == Placement()
    monkeypatch.setattr("brenier.solve.placement.runs_here", lambda name: name == "triton")
    assert placement(None, GPU) == Placement(None, GPU)
    assert placement("cpu", GPU) == Placement("cpu")
    monkeypatch.setattr("brenier.solve.placement.runs_here", lambda name: name == "cuda")
    assert placement(None, GPU) == Placement()  # no circles without triton


def test_an_engine_of_gpus_alone_takes_the_fit_to_one(monkeypatch: pytest.MonkeyPatch) -> None:
    class Elsewhere:
        devices = ("cuda",)

    monkeypatch.setattr("brenier.solve.placement.available", lambda _name: Elsewhere)
    assert placement("cuda", torch.device("cpu")) == Placement("cuda", GPU)
    with pytest.raises(EngineError, match="meta"):
        placement("cuda", torch.device("meta"))


def test_the_environments_engine_is_asked_as_by_every_verb(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BRENIER_ENGINE", "cpu")
    assert placement(None, GPU) == Placement("cpu")
    assert placement(None, torch.device("cpu")) == Placement()  # the verbs ask it themselves
    monkeypatch.setenv("BRENIER_ENGINE", "nonsense")
    with pytest.raises(EngineError, match="nonsense"):
        placement(None, GPU)


def test_steps_begin_where_ctrl_c_arrives_and_what_comes_ahead_has_the_same_bits(
    plan: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def whole() -> torch.Tensor:
        with pytest.warns(NotConvergedWarning):
            result = brenier.fit(normal(1, 200, 150).y, tol=0.02, max_samples=400, progress=False)
        assert plan in result.sampling
        return result.potential.heights

    here, drawing, began = whole(), set(), set()
    for sampler in (FullSampler, SubspaceSampler):
        for name, threads in (("draw_circles", drawing), ("begin", began)):
            monkeypatch.setattr(sampler, name, noting(getattr(sampler, name), threads))
    monkeypatch.setattr(Placement, "on_gpu", True)
    assert torch.equal(whole(), here)
    assert began == {threading.main_thread()}
    assert drawing.isdisjoint(began)


def noting(method: Callable[..., Any], threads: set[threading.Thread]) -> Callable[..., Any]:
    def noted(*arguments: Any) -> Any:
        threads.add(threading.current_thread())
        return method(*arguments)

    return noted


def test_memory_that_torch_keeps_for_its_next_tensors_counts_as_free(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, size in {"mem_get_info": (3, 80), "memory_reserved": 60, "memory_allocated": 20}.items():
        monkeypatch.setattr(torch.cuda, name, lambda _device, size=size: size)
    assert free_on(GPU) == 43


def test_what_a_gpu_makes_ahead_comes_in_order_and_with_its_errors() -> None:
    def failing() -> object:
        yield from range(3)
        raise ValueError("fourth")

    assert list(Placement(None, GPU).ahead(iter(range(5)))) == list(range(5))
    items = Placement(None, GPU).ahead(failing())
    assert [next(items) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="fourth"):
        next(items)


def test_a_gpus_memory_grows_with_targets_and_coordinates() -> None:
    small, large = gpu_bytes(1000, 64), gpu_bytes(2_560_000, 160)
    assert small < 4 << 30
    assert 2_560_000 * 160 * 6 < large - small < 8 << 30
