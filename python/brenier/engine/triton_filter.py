"""The launches of kernels/filter.py and kernels/rescore.py, as a backend of brenier.engine.filtered."""

from __future__ import annotations

import contextlib
import importlib
import os
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from brenier.engine.filtered import ROOM, HalfTasks, Tasks
from brenier.errors import EngineError

ROUNDS, MORE_ROUNDS = 4, 16
"""Hits that one tile may add to a row's list, for winners and for candidates within a margin."""


def kernels(name: str) -> ModuleType:
    return importlib.import_module(f"brenier.kernels.{name}")


def interpreted() -> bool:
    """Whether Triton was told to interpret its kernels on the CPU (before its first import)."""
    return os.environ.get("TRITON_INTERPRET", "0").lower() in ("1", "true", "yes", "on", "y")


def capability(tensor: Tensor) -> tuple[int, int]:
    """Compute capability of the tensor's device; (0, 0) is the interpreter."""
    return torch.cuda.get_device_capability(tensor.device) if tensor.is_cuda else (0, 0)


def on_device(x: Tensor) -> contextlib.AbstractContextManager[Any]:
    """Triton launches on the current device: this makes it the tensor's."""
    return torch.cuda.device(x.device) if x.is_cuda else contextlib.nullcontext()


def launch(kernel: Any, grid: tuple[int, ...], *arguments: Any, **options: Any) -> None:
    """kernel[grid](…) on the current stream of the device of the first argument, a tensor. Once: nothing is retried.

    Raises EngineError with the kernel's name and Triton's words; torch.cuda.OutOfMemoryError is left to the caller.
    """
    try:
        with on_device(arguments[0]):
            kernel[grid](*arguments, **options)
    except torch.cuda.OutOfMemoryError:
        raise
    except Exception as error:
        words = f"{type(error).__name__}: {error}".splitlines()[0]
        raise EngineError(f"engine 'triton', {kernel.fn.__name__}", expected="success", got=words) from error


@dataclass(frozen=True)
class TritonBackend:
    """Triton's kernels on the tensors' device, on torch's current stream; (0, 0) is the interpreter."""

    capability: tuple[int, int]

    @property
    def interpreted(self) -> bool:
        return self.capability == (0, 0)

    def config(self, rows: int, targets: int, width: int) -> Any:
        return kernels("filter").filter_configuration(rows, targets, width, self.capability)

    def section(self, rows: int, targets: int, width: int) -> int:
        return int(self.config(rows, targets, width).section)

    def pack(self, tasks: HalfTasks) -> None:
        x, lists, rescore = tasks.x, tasks.lists, kernels("rescore")
        together = rescore.INTERPRETED[0] if self.interpreted else rescore.PACKED[0]
        launch(
            rescore.pack_rows, (len(lists.packed) // together,),
            x, tasks.weights.values, lists.packed, lists.scale, lists.slack, lists.best, lists.count,
            len(x), x.shape[1], tasks.y.width, *x.stride(), lists.room,
            ROWS=together, BLOCK=rescore.PACKED[1], num_warps=4, enable_fp_fusion=True,
        )  # fmt: skip

    def filter(self, tasks: HalfTasks) -> None:
        y, lists = tasks.y, tasks.lists
        rows, targets = len(tasks.x), len(y.values)
        config = self.config(rows, targets, y.width)
        units = -(-rows // config.block_rows) * config.splits
        tiles = {
            "BLOCK_ROWS": config.block_rows, "BLOCK_TARGETS": config.block_targets,
            "BLOCK_DEPTH": config.block_depth, "GROUP": config.group,
            "ROUNDS": ROUNDS if lists.room == ROOM or self.interpreted else MORE_ROUNDS,
            "num_warps": config.warps, "num_stages": config.stages, "enable_fp_fusion": True,
        }  # fmt: skip
        addresses = (
            lists.packed, y.packed, tasks.bias, lists.scale, lists.slack, lists.best, lists.count,
            lists.index, lists.estimate,
        )  # fmt: skip
        sizes = (tasks.weights.rho, rows, targets)
        grid, walk = (min(config.programs, units),), (config.splits, units, lists.room)
        if config.narrow:
            launch(kernels("filter").narrow_filter, grid, *addresses, *sizes, *walk, **tiles)
        else:
            wide = kernels("filter").wide_filter
            launch(wide, grid, *addresses, *sizes, y.width, *walk, SECTION=config.section, **tiles)

    def decide(self, tasks: Tasks, winners: Tensor, scores: Tensor, walk: bool) -> None:
        x, y, lists, rescore = tasks.x, tasks.y.values, tasks.lists, kernels("rescore")
        together = rescore.INTERPRETED[1] if self.interpreted else rescore.DECIDED_TOGETHER
        launch(
            rescore.decide, (-(-len(x) // together),),
            x, y, tasks.h, lists.slack, lists.best, lists.count, lists.index, lists.estimate,
            winners, scores, len(x), len(y), x.shape[1], *x.stride(), *y.stride(),
            ROOM=lists.room, BLOCK=together, WALK=walk, num_warps=4, enable_fp_fusion=True,
        )  # fmt: skip

    def pair_scores(self, x: Tensor, y: Tensor, h: Tensor, row: Tensor, target: Tensor) -> Tensor:
        out = torch.empty(len(row), dtype=torch.float64, device=row.device)
        if len(row):
            size = 1024 if self.interpreted else 16
            launch(
                kernels("assign").pair_scores, (-(-len(row) // size),),
                x, y, h, row, target, out, len(row), x.shape[1], *x.stride(), *y.stride(),
                BLOCK_PAIRS=size, num_warps=4, enable_fp_fusion=True,
            )  # fmt: skip
        return out
