"""What can be known of the CUDA engine without a GPU: order, tie rule, parts and lists, run on the host."""

import contextlib
import importlib.util
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from brenier.engine import cuda as engine_module
from brenier.engine.cuda import CudaEngine, check, why_module_missing
from brenier.engine.cuda_filter import matrix, module
from brenier.engine.reference import ReferenceEngine
from brenier.errors import EngineError
from gpu_cases import CASES, assert_same_answer, normal, scarce

needs_module = pytest.mark.skipif(why_module_missing() is not None, reason=str(why_module_missing()))
no_device = pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is here: see test_gpu_engines.py")


class Host:
    """The host checks of csrc/cuda (scan_host.cu, filter_host.cu) in place of a GPU of three processors."""

    processors, major = 3, 8

    def __init__(self, device: torch.device) -> None:
        assert device.type == "cpu"

    def run(self, verb: str, *arguments: Any) -> None:
        getattr(module(), f"{verb}_on_host")(*arguments)


class Hopper(Host):
    major = 9


class HostEngine(CudaEngine):
    runner = Host


@pytest.fixture(autouse=True, params=["plain", "sm_80", "sm_90a"])
def kernels(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The kernels whose rules the host runs."""
    monkeypatch.setenv("BRENIER_GPU_FILTER", "plain" if request.param == "plain" else "half")
    monkeypatch.setattr(HostEngine, "runner", Hopper if request.param == "sm_90a" else Host)
    return str(request.param)


@needs_module
@pytest.mark.parametrize("name", CASES)
def test_lane_order_and_tie_rule_are_those_of_the_reference(name: str) -> None:
    assert_same_answer(HostEngine(), ReferenceEngine(), CASES[name])


@needs_module
@pytest.mark.parametrize("margin", [0.0, 0.7, 1e300])
@pytest.mark.parametrize("name", CASES)
def test_candidates_are_those_of_the_reference(name: str, margin: float) -> None:
    assert_same_answer(HostEngine(), ReferenceEngine(), CASES[name], margin)


@needs_module
@pytest.mark.parametrize(("rows", "targets", "depth"), [(0, 3, 4), (3, 0, 4), (3, 4, 0), (0, 0, 0)])
def test_trivial_problems_leave_early(rows: int, targets: int, depth: int) -> None:
    assert_same_answer(HostEngine(), ReferenceEngine(), normal(rows, targets, depth))


@needs_module
@pytest.mark.parametrize("margin", [None, 0.5])
def test_without_a_filter_too_out_of_memory_halves_the_block(
    margin: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BRENIER_GPU_FILTER", "plain")
    tried = scarce(monkeypatch, engine_module.Scan, 256)
    assert_same_answer(HostEngine(), ReferenceEngine(), normal(600, 20, 8), margin)
    assert tried == [600, 512, 256, 256, 88]


@needs_module
def test_a_launch_goes_to_the_current_stream_of_the_tensors_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """Device.run with a module and a torch.cuda that write down what they are asked for."""
    device, entered, launched = torch.device("cuda", 3), [], []
    stream = SimpleNamespace(cuda_stream=77)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda on: stream if on == device else None)
    monkeypatch.setattr(torch.cuda, "device", lambda on: entered.append(on) or contextlib.nullcontext())
    monkeypatch.setattr(torch.cuda, "current_device", lambda: entered[-1].index)
    module_of = SimpleNamespace(
        Launch=lambda **facts: facts, decide=lambda *asked: launched.append(asked) or (0, "", "")
    )
    monkeypatch.setattr(engine_module, "module", lambda: module_of)
    engine_module.Device(device).run("decide", "problem")
    assert entered == [device]
    assert launched == [("problem", {"device": 3, "stream": 77})]


@needs_module
@pytest.mark.parametrize("targets", [1, 7, 8, 9, 63, 64, 65, 1000])
@pytest.mark.parametrize("rows", [1, 32, 33, 10_000])
def test_parts_are_never_more_than_tiles_and_fill_the_gpu_when_rows_are_few(rows: int, targets: int) -> None:
    tiles, blocks = -(-targets // 8), -(-rows // 32)
    splits = module().splits_for(rows, targets, 132)
    assert 1 <= splits <= min(tiles, 64)
    assert splits == min(tiles, 64) or splits * blocks >= 2 * 132


@needs_module
@no_device
def test_without_a_driver_the_module_answers_with_a_status() -> None:
    count, code, call, message = module().device_count()
    assert (count, call) == (0, "cudaGetDeviceCount")
    assert code != 0
    assert message
    facts, code, call, _ = module().device_info(0)
    assert (facts, call) == ({}, "cudaGetDeviceProperties")
    assert code != 0


@needs_module
@no_device
def test_a_launch_without_a_device_is_an_engine_error_that_names_the_call() -> None:
    x, y, h = normal(2, 3, 4)
    problem = module().Problem(matrix(x), matrix(y), h.data_ptr(), rows=2, targets=3, depth=4, splits=1)
    status = module().assign(problem, module().Best(0, 0), module().Launch(device=0, stream=0))
    with pytest.raises(EngineError, match="engine 'cuda', cudaSetDevice: expected success, got CUDA error"):
        check(*status)


@needs_module
@no_device
def test_unavailable_without_a_device_says_which_call_said_so() -> None:
    assert (CudaEngine().why_unavailable() or "").startswith(
        "no NVIDIA driver / no device: cudaGetDeviceCount"
    )


def test_a_build_without_cuda_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent() -> None:
        raise ModuleNotFoundError("No module named 'brenier._cuda'", name="brenier._cuda")

    monkeypatch.setattr(engine_module, "module", absent)
    reason = CudaEngine().why_unavailable() or ""
    assert reason == (
        "brenier was built without CUDA (nvcc was not found at build time; reinstall with BRENIER_CUDA=ON)"
    )


@needs_module
def test_importing_the_module_needs_neither_torch_nor_a_driver() -> None:
    code = "import sys, brenier._cuda as m; assert 'torch' not in sys.modules; print(m.architectures)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "80-real" in done.stdout


def test_kernels_install_without_a_package_file_of_their_own() -> None:
    spec = importlib.util.find_spec("brenier.kernels")
    assert spec is not None
    assert not (spec.origin or "").endswith("__init__.py")
