"""The verbs as operators of torch: schemas, fake kernels, torch.compile; on CPU tensors here, on CUDA where it is."""

import brenier
import pytest
import torch
from brenier.engine import ops
from brenier.engine.reference import ReferenceEngine
from brenier.errors import InputError
from gpu_cases import normal
from torch._dynamo.testing import CompileCounterWithBackend

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]


def problem(device: str, rows: int = 33) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    return tuple(t.to(device) for t in normal(rows, 50, 17))


@pytest.fixture(autouse=True)
def _fresh_compiler() -> None:
    torch._dynamo.reset()


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("with_heights", [True, False])
def test_operators_pass_torchs_own_checks(device: str, with_heights: bool) -> None:
    x, y, h = problem(device)
    torch.library.opcheck(torch.ops.brenier.assign, (x, y, h if with_heights else None, "certified", ""))
    counts = torch.zeros(50, dtype=torch.int64, device=device)
    torch.library.opcheck(torch.ops.brenier.add_wins, (counts, torch.tensor([3, -1, 3], device=device)))
    torch.library.opcheck(torch.ops.brenier.candidates, (x, y, h if with_heights else None, 0.5, ""))


@pytest.mark.parametrize("device", DEVICES)
def test_a_compiled_function_gives_the_same_bits_for_any_number_of_rows(device: str) -> None:
    compiler = CompileCounterWithBackend("aot_eager")

    @torch.compile(fullgraph=True, dynamic=True, backend=compiler)
    def nearest(x, y, h, counts):
        winners, scores = brenier.assign(x * 2, y, h, counts=counts, return_scores=True)
        return winners + 0, scores * 1

    for rows in (33, 40, 7):
        x, y, h = problem(device, rows)
        counts = torch.zeros(50, dtype=torch.int64, device=device)
        winners, scores = nearest(x, y, h, counts)
        expected, values = ReferenceEngine().assign((x * 2).cpu(), y.cpu(), h.cpu())
        assert torch.equal(winners.cpu(), expected)
        assert torch.equal(scores.cpu(), values)
        assert torch.equal(counts.cpu(), torch.bincount(expected, minlength=50))
    assert compiler.frame_count == 1


@pytest.mark.parametrize("device", DEVICES)
@torch._dynamo.config.patch(capture_dynamic_output_shape_ops=True)  # fullgraph says so by itself, lately
def test_compiled_candidates_are_as_many_as_they_are(device: str) -> None:
    compiler = CompileCounterWithBackend("aot_eager")

    @torch.compile(fullgraph=True, dynamic=True, backend=compiler)
    def near(x, y, h):
        found = brenier.candidates(x * 2, y, h, margin=0.7)
        return found.offsets + 0, found.indices * 1, found.scores * 1

    for rows in (33, 40, 7):
        x, y, h = problem(device, rows)
        expected = ReferenceEngine().candidates((x * 2).cpu(), y.cpu(), h.cpu(), 0.7)
        wanted = (expected.offsets, expected.indices, expected.scores)
        for mine, theirs in zip(near(x, y, h), wanted, strict=True):
            assert torch.equal(mine.cpu(), theirs)
    assert compiler.frame_count == 1


def test_prepared_targets_are_refused_inside_compiled_code_with_a_remedy() -> None:
    x, y, h = problem("cpu")
    with pytest.raises(
        InputError, match=r"expected tensors inside torch\.compile, got Tensor and PreparedTargets"
    ):
        ops.traced_assign(x, brenier.prepare(y), h, None, False, "certified", None)


def test_wins_are_added_and_losers_are_not_counted() -> None:
    counts = torch.tensor([5, 0, 1])
    torch.ops.brenier.add_wins(counts, torch.tensor([2, 2, -1, 0]))
    assert counts.tolist() == [6, 0, 3]


@pytest.mark.gpu
def test_a_captured_graph_replays_with_new_noise_in_the_same_memory() -> None:
    for engine in ("triton", "cuda"):
        if brenier.engine.registry.why_unavailable(engine) is not None:
            continue
        x, y, h = problem("cuda", 300)
        prepared = brenier.prepare(y, engine=engine)
        brenier.assign(x, prepared, h)  # compiles outside the capture
        counts = torch.zeros(50, dtype=torch.int64, device="cuda")
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            winners, scores = brenier.assign(x, prepared, h, counts=counts, return_scores=True)
        for seed in (1, 2):
            counts.zero_()
            x.copy_(normal(300, 50, 17, seed=seed)[0])
            graph.replay()
            expected, values = ReferenceEngine().assign(x.cpu(), y.cpu(), h.cpu())
            assert torch.equal(winners.cpu(), expected)
            assert torch.equal(scores.cpu(), values)
            assert torch.equal(counts.cpu(), torch.bincount(expected, minlength=50))
