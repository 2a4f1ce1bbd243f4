"""Elements past 2³¹: strides of that size on the host, in memory that is never touched, and packed rows on a GPU.

The host's checks are Triton's interpreter and the CUDA rules, which compute the places as the kernels do.
"""

import numpy as np
import pytest
import torch
from brenier.engine.cuda import why_module_missing
from brenier.engine.reference import ReferenceEngine
from brenier.engine.registry import load
from brenier.engine.triton import TritonEngine
from brenier.engine.triton_filter import interpreted
from gpu_cases import Problem, assert_same_answer, normal
from test_cuda_engine import HostEngine

FAR = 1 << 30  # elements from row to row: the last of three lies at 2³¹


def far_apart(values: torch.Tensor) -> torch.Tensor:
    """The rows with FAR elements from one to the next, in memory that the system hands out only where it is written."""
    base = torch.from_numpy(np.zeros(2 * FAR + 4096, dtype=np.float16))
    spread = base.as_strided(values.shape, (FAR, 1))
    spread.copy_(values)
    return spread


@pytest.fixture(params=["triton half", "triton int8", "triton plain", "cuda half", "cuda plain"])
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> TritonEngine | HostEngine:
    name, _, which = request.param.partition(" ")
    monkeypatch.setenv("BRENIER_GPU_FILTER", which)
    if name == "triton":
        pytest.importorskip("triton")
        if not interpreted():
            pytest.skip("a GPU is here: see test_gpu_engines.py")
        return TritonEngine()
    if why_module_missing() is not None:
        pytest.skip(str(why_module_missing()))
    return HostEngine()


def problems() -> dict[str, Problem]:
    x, y, h = normal(3, 3, 64, seed=11)
    return {"targets": (x, far_apart(y), h), "noise": (far_apart(x), y.half(), h)}


@pytest.mark.parametrize("which", ["targets", "noise"])
@pytest.mark.parametrize("margin", [None, 1.0])
def test_rows_past_two_to_the_31_elements_are_read_where_they_are(
    engine: TritonEngine | HostEngine, which: str, margin: float | None
) -> None:
    assert_same_answer(engine, ReferenceEngine(), problems()[which], margin)


@pytest.mark.gpu
@pytest.mark.parametrize("name", ["triton", "cuda"])
def test_packed_targets_past_two_to_the_31_elements_are_found(name: str) -> None:
    """34 million targets of depth 64: one winner in the first and one in the last block, all else zero."""
    reason = load(name).why_unavailable()
    if reason is not None:
        pytest.skip(reason)
    n, engine = (1 << 25) + 300, load(name)
    y = torch.zeros(n, 64, dtype=torch.float16, device="cuda")
    x, *_ = normal(4, 1, 64, seed=12)
    y[5], y[n - 2] = x[0].half(), x[1].half()
    heights = torch.zeros(n, dtype=torch.float64, device="cuda")
    winners, scores = engine.assign(x.cuda(), engine.prepare(y), heights)
    assert winners[:2].tolist() == [5, n - 2]
    some = torch.tensor([0, 5, n - 2])
    expected = ReferenceEngine().assign(x, y[some.cuda()].cpu(), torch.zeros(3, dtype=torch.float64))
    assert torch.equal(winners.cpu(), some[expected[0]])
    assert torch.equal(scores.cpu(), expected[1])
