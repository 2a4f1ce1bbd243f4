"""The Triton kernels in the interpreter (TRITON_INTERPRET=1, tests/conftest.py) against the reference."""

import contextlib
import importlib.util
from types import SimpleNamespace
from typing import Any

import brenier
import pytest
import torch
from brenier.engine import triton as engine_module
from brenier.engine import triton_filter
from brenier.engine.reference import ReferenceEngine
from brenier.engine.triton import TritonEngine
from brenier.engine.triton_filter import interpreted, kernels
from brenier.errors import EngineError
from gpu_cases import CASES, assert_same_answer, normal, scarce
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("triton")


TILES = {"fp32": "plain", "narrow": "half", "wide": "half"}


@pytest.fixture(autouse=True, params=TILES)
def tiles(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """One filter, with tiles of 16 × 32 in place of the interpreter's large ones: every tail is met."""
    assign, filters = kernels("assign"), kernels("filter")

    def small(_rows: int, targets: int, _capability: tuple[int, int]) -> Any:
        return assign.AssignConfig(16, 32, 16, 64, min(3, assign.cdiv(targets, 32)), 128, warps=4, stages=1)

    def small_filter(_rows: int, targets: int, width: int, _capability: tuple[int, int]) -> Any:
        narrow = request.param == "narrow" and width in filters.NARROW
        splits = min(3, filters.cdiv(targets, 32))
        depth, section = (width, 0) if narrow else (32, 64)
        return filters.FilterConfig(narrow, 16, 32, depth, section, splits, 2, 2, 4, 1)

    monkeypatch.setattr(assign, "configuration", small)
    monkeypatch.setattr(filters, "filter_configuration", small_filter)
    monkeypatch.setattr(triton_filter, "MORE_ROUNDS", 5)
    monkeypatch.setenv("BRENIER_GPU_FILTER", TILES[request.param])
    return str(request.param)


needs_interpreter = pytest.mark.skipif(not interpreted(), reason="a GPU is here: see test_gpu_engines.py")


@needs_interpreter
@pytest.mark.parametrize("name", CASES)
def test_winners_and_scores_are_those_of_the_reference(name: str) -> None:
    assert_same_answer(TritonEngine(), ReferenceEngine(), CASES[name])


@needs_interpreter
@pytest.mark.parametrize("margin", [0.0, 0.7])
@pytest.mark.parametrize(
    "name",
    [
        "one of each", "tiles and one", "integer ties", "targets one ulp apart",
        "some heights minus infinity",
        "all heights minus infinity", "only heights that fp32 cannot hold", "tiny", "transposed and sliced",
    ],
)  # fmt: skip
def test_candidates_are_those_of_the_reference(name: str, margin: float) -> None:
    assert_same_answer(TritonEngine(), ReferenceEngine(), CASES[name], margin)


@needs_interpreter
@pytest.mark.parametrize("margin", [None, 1e30, 1.0])
def test_groups_of_survivors_are_put_together(margin: float | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_module, "PAIRS_AT_ONCE", 7)
    assert_same_answer(TritonEngine(), ReferenceEngine(), CASES["integer ties"], margin)


@needs_interpreter
@settings(max_examples=12, deadline=None, derandomize=True)
@given(
    rows=st.integers(0, 18), targets=st.integers(0, 40), depth=st.integers(0, 70),
    levels=st.sampled_from([1, 3, 1000]), x_power=st.integers(-130, 100), y_power=st.integers(-130, 100),
)  # fmt: skip
def test_any_size_and_scale_gives_the_answer_of_the_reference(
    rows: int, targets: int, depth: int, levels: int, x_power: int, y_power: int
) -> None:
    x, y, h = normal(rows, targets, depth)
    x, y = ((t * levels).round() / levels * 2.0**p for t, p in ((x, x_power), (y, y_power)))
    assert_same_answer(TritonEngine(), ReferenceEngine(), (x, y, h * 2.0 ** (x_power + y_power)))


@needs_interpreter
def test_the_public_verb_takes_prepared_targets_and_counts() -> None:
    x, y, h = normal(20, 33, 8)
    counts = torch.zeros(33, dtype=torch.int64)
    prepared = brenier.prepare(y, engine="triton")
    winners = brenier.assign(x, prepared, h, counts=counts)
    assert torch.equal(winners, brenier.assign(x, y, h, engine="reference"))
    assert torch.equal(counts, torch.bincount(winners, minlength=33))


@needs_interpreter
def test_the_filter_itself_keeps_the_lowest_of_equal_scores() -> None:
    x, y, h = CASES["integer ties"]
    engine = TritonEngine()
    best, winner = engine_module.Filter(x, engine.prepare(y).scaled, h).best()
    expected, _ = ReferenceEngine().assign(x, y, h)
    assert best.dtype == torch.float32
    assert torch.equal(winner, expected)  # sums of small integers are exact in fp32


@needs_interpreter
def test_users_memory_is_unchanged() -> None:
    problem = normal(17, 33, 17)
    before = [t.clone() for t in problem]
    x, y, h = problem
    TritonEngine().assign(x, TritonEngine().prepare(y), h)
    assert all(torch.equal(a, b) for a, b in zip(problem, before, strict=True))


@needs_interpreter
@pytest.mark.parametrize("margin", [None, 0.5])
def test_without_a_filter_too_out_of_memory_halves_the_block(
    margin: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BRENIER_GPU_FILTER", "plain")
    tried = scarce(monkeypatch, engine_module.Filter, 256)
    assert_same_answer(TritonEngine(), ReferenceEngine(), normal(300, 20, 8), margin)
    assert tried == [300, 256, 44]


class Kernel:
    """In place of one of Triton's: writes down how it is launched, and fails if asked to."""

    fn = staticmethod(normal)

    def __init__(self, error: Exception | None = None) -> None:
        self.error, self.launched = error, []

    def __getitem__(self, grid: tuple[int, ...]) -> Any:
        return lambda *arguments: self.launch(grid, *arguments)

    def launch(self, *asked: Any) -> None:
        self.launched.append(asked)
        if self.error is not None:
            raise self.error


def test_an_error_of_a_launch_has_the_name_of_the_kernel_and_is_not_retried() -> None:
    kernel = Kernel(RuntimeError("Triton Error [CUDA]: an illegal memory access was encountered\nmore"))
    wanted = r"engine 'triton', normal: expected success, got RuntimeError: Triton Error .* encountered$"
    with pytest.raises(EngineError, match=wanted):
        triton_filter.launch(kernel, (3,), torch.zeros(1))
    assert len(kernel.launched) == 1
    short = torch.cuda.OutOfMemoryError("out of memory")
    with pytest.raises(torch.cuda.OutOfMemoryError):  # the blocks of rows are made smaller
        triton_filter.launch(Kernel(short), (3,), torch.zeros(1))


def test_launches_are_guarded_by_the_device_of_their_tensors(monkeypatch: pytest.MonkeyPatch) -> None:
    entered: list[torch.device] = []
    monkeypatch.setattr(torch.cuda, "device", lambda on: entered.append(on) or contextlib.nullcontext())
    tensor, kernel = SimpleNamespace(is_cuda=True, device=torch.device("cuda", 3)), Kernel()
    triton_filter.launch(kernel, (2, 1), tensor, 5)
    assert entered == [tensor.device]
    assert kernel.launched == [((2, 1), tensor, 5)]


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    assert TritonEngine().why_unavailable() == "package triton is not installed"


def test_without_a_gpu_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRITON_INTERPRET", "0")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    engine = TritonEngine()
    assert engine.devices == ("cuda",)
    assert "torch.cuda.is_available() is False; set TRITON_INTERPRET=1" in (engine.why_unavailable() or "")
