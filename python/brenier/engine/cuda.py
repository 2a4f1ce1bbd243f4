"""The CUDA C++ engine: a half-precision filter on tensor cores, and float64 scores in the contract's order.

Rows that the filter leaves with more than their lists hold get float64 scores of every target (csrc/cuda/scan.cu).
"""

from __future__ import annotations

import importlib.util
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from brenier.engine import gpu_circles
from brenier.engine.certified import fold_parts
from brenier.engine.checks import require_finite
from brenier.engine.cuda_auction import CudaBidder
from brenier.engine.cuda_filter import CudaBackend, matrix, module
from brenier.engine.filtered import Filtered, assigned_in_blocks, listed_in_blocks
from brenier.engine.gpu_filter import gpu_filter, lists_fit
from brenier.engine.halves import HalfTargets, pack_targets
from brenier.engine.reference import ReferenceEngine
from brenier.errors import EngineError
from brenier.types import Candidates, CircleCandidates

OLDEST = (8, 0)
NOT_BUILT = (
    "brenier was built without CUDA (nvcc was not found at build time; reinstall with BRENIER_CUDA=ON)"
)


def why_module_missing() -> str | None:
    try:
        module()
    except ModuleNotFoundError:
        return NOT_BUILT
    except ImportError as error:
        return f"brenier._cuda cannot be loaded: {error}"
    return None


def check(code: int, call: str, message: str) -> None:
    """Raise EngineError with the CUDA call that failed; it is never retried."""
    if code != 0:
        raise EngineError(f"engine 'cuda', {call}", expected="success", got=f"CUDA error {code}: {message}")


class Device:
    """The verbs of brenier._cuda on one GPU, on torch's current stream."""

    def __init__(self, device: torch.device) -> None:
        self.device = device

    @cached_property
    def processors(self) -> int:
        return int(torch.cuda.get_device_properties(self.device).multi_processor_count)

    @cached_property
    def major(self) -> int:
        """Major compute capability, 8 where the module holds no machine code for Hopper's own instructions."""
        major = torch.cuda.get_device_capability(self.device)[0]
        return 8 if major == 9 and "90a" not in module().architectures else major

    def run(self, verb: str, *arguments: Any) -> None:
        """Launch one verb; raises EngineError."""
        stream = torch.cuda.current_stream(self.device).cuda_stream
        with torch.cuda.device(self.device):
            launch = module().Launch(device=torch.cuda.current_device(), stream=stream)
            check(*getattr(module(), verb)(*arguments, launch))


class CudaTargets:
    """Targets as given; the filter's view of them is made when it is first wanted."""

    def __init__(self, values: Tensor) -> None:
        self.values = values

    @cached_property
    def halves(self) -> HalfTargets:
        return pack_targets(self.values)


class CudaEngine:
    """brenier._cuda on CUDA tensors; see csrc/cuda/scan.cu for its tiles and docs/gpu.md for what was run."""

    name = "cuda"
    devices: tuple[str, ...] = ("cuda",)
    runner: Any = Device

    @property
    def screens(self) -> bool:
        """Whether rows of noise that are not finite are found on the way."""
        return gpu_filter() != "plain"

    def why_unavailable(self) -> str | None:
        missing = why_module_missing()
        if missing is not None:
            return missing
        count, code, call, message = module().device_count()
        if code != 0 or count == 0:
            return f"no NVIDIA driver / no device: {call or 'cudaGetDeviceCount'}: {message or 'found 0'}"
        if not torch.cuda.is_available():
            return "no CUDA device in torch: torch.cuda.is_available() is False"
        capability = torch.cuda.get_device_capability()
        if capability < OLDEST:
            return f"compute capability {capability} is older than {OLDEST}, the oldest it is compiled for"
        return None

    def detail(self) -> str:
        return f"{torch.cuda.get_device_name()}, compiled for {module().architectures}"

    def prepare(self, y: Tensor) -> CudaTargets:
        targets = CudaTargets(y)
        if y.numel() > 0 and lists_fit(len(y)):
            targets.halves  # noqa: B018 - packed here, not in the first call
        return targets

    def assign(self, x: Tensor, y: CudaTargets, h: Tensor) -> tuple[Tensor, Tensor]:
        """Winners int64 (N,) and their float64 scores (N,), as in engine/reference.py."""
        trivial = x.numel() == 0 or y.values.numel() == 0
        halves = lists_fit(len(y.values)) and not trivial
        if not halves:
            require_finite(x, "x")
        if trivial:
            return ReferenceEngine().assign(x, y.values, h)
        if halves:
            return self.filtered(x, y, h).assign(lambda rows: self.plain(rows, y, h))
        return self.plain(x, y, h)

    def candidates(self, x: Tensor, y: CudaTargets, h: Tensor, margin: float) -> Candidates:
        """Targets with float64 score ≥ best − margin, ascending by index, as in engine/reference.py."""
        trivial = x.numel() == 0 or y.values.numel() == 0
        halves = lists_fit(len(y.values)) and not trivial
        if not halves:
            require_finite(x, "x")
        if trivial:
            return ReferenceEngine().candidates(x, y.values, h, margin)
        if halves:
            filtered = self.filtered(x, y, h)
            return filtered.candidates(margin, lambda rows: self.plain_candidates(rows, y, h, margin))
        return self.plain_candidates(x, y, h, margin)

    def circle_candidates(self, x: Tensor, y: CudaTargets, h: Tensor, margin: float) -> CircleCandidates:
        """Targets within the margin at a point of the circle of each pair of rows, by Triton's kernels."""
        if x.numel() == 0 or y.values.numel() == 0 or not lists_fit(len(y.values)):
            require_finite(x, "x")
            return ReferenceEngine().circle_candidates(x, y.values, h, margin)
        if importlib.util.find_spec("triton") is None:
            raise EngineError(
                "engine 'cuda'",
                expected="triton for great circles, whose kernels both GPU engines share",
                got="none installed",
                remedy="pip install triton",
            )
        return gpu_circles.circle_candidates(x, y.halves, h, margin)

    def bidder(self, device: torch.device) -> CudaBidder:
        """Who bids in assignment problems on that device."""
        return CudaBidder(self.runner(device))

    def filtered(self, x: Tensor, y: CudaTargets, h: Tensor) -> Filtered:
        return Filtered(CudaBackend(self.runner(x.device)), x, y.halves, h.contiguous())

    def plain(self, x: Tensor, y: CudaTargets, h: Tensor) -> tuple[Tensor, Tensor]:
        """Winners and scores from float64 scores of every target."""
        runner = self.runner(x.device)

        def scanned(rows: Tensor) -> tuple[Tensor, Tensor]:
            scores, winners = Scan(rows, y.values, h, runner).best()
            return winners, scores

        return assigned_in_blocks(x, scanned)

    def plain_candidates(self, x: Tensor, y: CudaTargets, h: Tensor, margin: float) -> Candidates:
        runner = self.runner(x.device)

        def scanned(rows: Tensor) -> Candidates:
            scan = Scan(rows, y.values, h, runner)
            return scan.reaching(scan.best()[0] - margin)

        return listed_in_blocks(x, scanned)


class Scan:
    """One problem as the module takes it; scratch comes from torch's allocator: O(N · splits)."""

    def __init__(self, x: Tensor, y: Tensor, h: Tensor, runner: Any) -> None:
        self.x, self.y, self.h, self.runner = x, y, h.contiguous(), runner
        self.splits = module().splits_for(len(x), len(y), runner.processors)
        sizes = {"rows": len(x), "targets": len(y), "depth": x.shape[1]}
        self.problem = module().Problem(matrix(x), matrix(y), self.h.data_ptr(), **sizes, splits=self.splits)

    def best(self) -> tuple[Tensor, Tensor]:
        """Best score of each row and its lowest index; -inf and -1 where no target can win."""
        scores = self.empty(torch.float64)
        winners = self.empty(torch.int64)
        self.runner.run("assign", self.problem, module().Best(scores.data_ptr(), winners.data_ptr()))
        return fold_parts(scores, winners)

    def reaching(self, thresholds: Tensor) -> Candidates:
        """Targets at or above their row's threshold: counted, then listed; both passes have the same bits."""
        counts = self.empty(torch.int64)
        self.runner.run(
            "count", self.problem, module().Lists(thresholds.data_ptr(), counts=counts.data_ptr())
        )
        starts = torch.zeros(counts.numel() + 1, dtype=torch.int64, device=self.x.device)
        starts[1:] = counts.flatten().cumsum(0)
        total = int(starts[-1])
        indices = torch.empty(total, dtype=torch.int64, device=self.x.device)
        scores = torch.empty(total, dtype=torch.float64, device=self.x.device)
        pointers = {"starts": starts, "indices": indices, "scores": scores}
        lists = module().Lists(thresholds.data_ptr(), **{k: v.data_ptr() for k, v in pointers.items()})
        self.runner.run("fill", self.problem, lists)
        return Candidates(starts[:: self.splits].contiguous(), indices, scores)

    def empty(self, dtype: torch.dtype) -> Tensor:
        return torch.empty(len(self.x), self.splits, dtype=dtype, device=self.x.device)
