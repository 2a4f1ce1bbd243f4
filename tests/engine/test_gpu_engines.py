"""The contract on a real GPU: run by benchmarks/gpu.sh (pytest -m gpu)."""

import brenier
import pytest
import torch
from brenier.engine.circles import circle_candidates
from brenier.engine.reference import ReferenceEngine
from brenier.engine.registry import load
from brenier.errors import EngineError
from gpu_cases import CASES, normal

pytestmark = [pytest.mark.gpu, pytest.mark.parametrize("engine", ["triton", "cuda"])]


@pytest.fixture(autouse=True)
def _available(engine: str) -> None:
    reason = load(engine).why_unavailable()
    if reason is not None:
        pytest.skip(reason)


def assert_same_on_gpu(engine: str, problem: tuple, margin: float | None = None) -> None:
    x, y, h = problem
    moved = [t.cuda() for t in (x, y, h)]
    if margin is None:
        got = brenier.assign(*moved, return_scores=True, engine=engine)
        expected = ReferenceEngine().assign(x, y, h)
    else:
        lists = brenier.candidates(*moved, margin=margin, engine=engine)
        reference = ReferenceEngine().candidates(x, y, h, margin)
        got, expected = ((c.offsets, c.indices, c.scores) for c in (lists, reference))
    for mine, theirs in zip(got, expected, strict=True):
        assert mine.is_cuda
        assert torch.equal(mine.cpu(), theirs)


@pytest.mark.parametrize("name", CASES)
def test_winners_and_scores_are_those_of_the_reference(engine: str, name: str) -> None:
    assert_same_on_gpu(engine, CASES[name])


@pytest.mark.parametrize("margin", [0.0, 0.7])
@pytest.mark.parametrize("name", CASES)
def test_candidates_are_those_of_the_reference(engine: str, name: str, margin: float) -> None:
    assert_same_on_gpu(engine, CASES[name], margin)


@pytest.mark.parametrize("margin", [0.0, 0.7])
@pytest.mark.parametrize("name", CASES)
def test_circles_are_those_of_the_reference(engine: str, name: str, margin: float) -> None:
    x, y, h = CASES[name]
    x = x[: len(x) // 2 * 2]
    found = circle_candidates(x.cuda(), y.cuda(), h.cuda(), margin=margin, engine=engine)
    expected = ReferenceEngine().circle_candidates(x, y, h, margin)
    assert found.offsets.is_cuda
    for mine, theirs in zip(vars(found.cpu()).values(), vars(expected).values(), strict=True):
        assert torch.equal(mine, theirs)


@pytest.mark.parametrize("rows", [1, 31, 32, 33, 63, 64, 65, 129])
@pytest.mark.parametrize("targets", [1, 7, 8, 9, 63, 64, 65, 521])
def test_every_tail_of_rows_and_targets(engine: str, rows: int, targets: int) -> None:
    assert_same_on_gpu(engine, normal(rows, targets, 37))


@pytest.mark.parametrize("depth", [1, 15, 16, 17, 31, 32, 33, 63, 64, 65, 511, 512, 513, 1031])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_every_tail_of_depth_in_every_type(engine: str, depth: int, dtype: torch.dtype) -> None:
    x, y, h = normal(67, 131, depth)
    assert_same_on_gpu(engine, (x.to(dtype), y.to(dtype), h))


def test_the_answer_is_the_same_every_time(engine: str) -> None:
    x, y, h = (t.cuda() for t in normal(1000, 3000, 96))
    first = brenier.assign(x, y, h, return_scores=True, engine=engine)
    for _ in range(5):
        again = brenier.assign(x, y, h, return_scores=True, engine=engine)
        assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))


def test_work_follows_the_current_stream(engine: str) -> None:
    """Noise made late on a side stream is read by kernels of that stream, after it was made."""
    x, y, h = normal(64, 500, 48)
    stream = torch.cuda.Stream()
    y, h = y.cuda(), h.cuda()
    late = torch.zeros(64, 48, device="cuda")
    torch.cuda.synchronize()
    with torch.cuda.stream(stream):
        torch.cuda._sleep(50_000_000)
        late.copy_(x.cuda())
        winners = brenier.assign(late, y, h, engine=engine)
    stream.synchronize()
    assert torch.equal(winners.cpu(), ReferenceEngine().assign(x, y.cpu(), h.cpu())[0])


def test_memory_is_bounded_by_rows_and_targets(engine: str) -> None:
    x, y, _ = (t.cuda() for t in normal(8192, 65536, 32))
    brenier.assign(x[:64], y, engine=engine)
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    brenier.assign(x, y, engine=engine)
    assert torch.cuda.max_memory_allocated() - before < 200 << 20  # scores alone would be 2 GiB in float32


def test_little_memory_makes_the_blocks_smaller_and_not_the_answer_another(engine: str) -> None:
    x, y, h = (t.cuda() for t in normal(1 << 20, 700, 64))
    prepared = brenier.prepare(y, engine=engine)
    expected = brenier.assign(x, prepared, h, return_scores=True)
    torch.cuda.synchronize()
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + (400 << 20)) / total)
    try:  # one block of all rows would take 660 MB
        got = brenier.assign(x, prepared, h, return_scores=True)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert all(torch.equal(a, b) for a, b in zip(got, expected, strict=True))


def test_offsets_past_two_to_the_31_are_right(engine: str) -> None:
    """Rows of a strided view lie up to 2^31 elements apart and beyond."""
    base = torch.zeros((1 << 31) + 4096, dtype=torch.float16, device="cuda")
    y = base.as_strided((3, 64), (1 << 30, 1))
    x, values, h = normal(40, 3, 64, seed=11)
    y.copy_(values.half())
    got = brenier.assign(x.cuda(), y, h.cuda(), return_scores=True, engine=engine)
    expected = ReferenceEngine().assign(x, values.half(), h)
    assert all(torch.equal(a.cpu(), b) for a, b in zip(got, expected, strict=True))


def test_tensors_of_the_cpu_are_refused(engine: str) -> None:
    if "cpu" in load(engine).devices:
        pytest.skip("the interpreter takes them")
    with pytest.raises(EngineError, match="expected tensors on cuda"):
        brenier.assign(torch.zeros(2, 3), torch.zeros(4, 3), engine=engine)
