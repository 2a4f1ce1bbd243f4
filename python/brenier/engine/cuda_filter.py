"""The launches of csrc/cuda/filter_*.cu and rows.cu, as a backend of brenier.engine.filtered."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Protocol

import torch
from torch import Tensor

from brenier.engine.filtered import HalfTasks, Tasks
from brenier.engine.halves import Lists

ELEMENT = {torch.float32: 0, torch.float16: 1, torch.bfloat16: 2}  # csrc/cuda/scan.hpp, Element


class Runner(Protocol):
    """Who executes the verbs of brenier._cuda: a GPU, or the host check of the tests."""

    major: int
    processors: int

    def run(self, verb: str, *arguments: Any) -> None:
        """Launches one verb; raises EngineError."""


def module() -> ModuleType:
    return importlib.import_module("brenier._cuda")


def matrix(tensor: Tensor) -> Any:
    return module().Matrix(tensor.data_ptr(), ELEMENT[tensor.dtype], *tensor.stride())


def lists(given: Lists) -> Any:
    """The addresses of the lists, for one call."""
    names = ("packed", "scale", "slack", "best", "count", "index", "estimate")
    return module().Lists16(**{name: getattr(given, name).data_ptr() for name in names}, room=given.room)


@dataclass(frozen=True)
class CudaBackend:
    """The CUDA kernels on torch's current stream."""

    runner: Runner

    def config(self, rows: int, targets: int, width: int) -> Any:
        return module().filter_configuration(rows, targets, width, self.runner.major, self.runner.processors)

    def section(self, rows: int, targets: int, width: int) -> int:
        return int(self.config(rows, targets, width).section)

    def pack(self, tasks: HalfTasks) -> None:
        sizes = {"rows": len(tasks.x), "depth": tasks.x.shape[1], "width": tasks.y.width}
        weights = tasks.weights.values.data_ptr()
        self.runner.run("pack", module().Packing(matrix(tasks.x), weights, lists(tasks.lists), **sizes))

    def filter(self, tasks: HalfTasks) -> None:
        sizes = {"rows": len(tasks.x), "targets": len(tasks.y.values), "width": tasks.y.width}
        addresses = (tasks.y.packed.data_ptr(), tasks.bias.data_ptr())
        problem = module().Filter(lists(tasks.lists), *addresses, tasks.weights.rho, **sizes)
        self.runner.run("filter", problem, self.config(*sizes.values()))

    def decide(self, tasks: Tasks, winners: Tensor, scores: Tensor, walk: bool) -> None:
        y = tasks.y.values
        sizes = {"rows": len(tasks.x), "targets": len(y), "depth": tasks.x.shape[1]}
        out = {"winners": winners.data_ptr(), "scores": scores.data_ptr(), "walk": walk}
        operands = (matrix(tasks.x), matrix(y), tasks.h.data_ptr(), lists(tasks.lists))
        self.runner.run("decide", module().Decision(*operands, **sizes, **out))

    def pair_scores(self, x: Tensor, y: Tensor, h: Tensor, row: Tensor, target: Tensor) -> Tensor:
        out = torch.empty(len(row), dtype=torch.float64, device=row.device)
        addresses = {"rows": row.data_ptr(), "targets": target.data_ptr(), "scores": out.data_ptr()}
        pairs = module().Pairs(
            matrix(x), matrix(y), h.data_ptr(), depth=x.shape[1], **addresses, count=len(row)
        )
        self.runner.run("pair_scores", pairs)
        return out
