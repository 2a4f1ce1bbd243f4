"""The int8 filter on a GPU: the launches of kernels/filter8.py, between packing and the float64 decision."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from brenier.engine import halves, int8_rows
from brenier.engine.filtered import Filtering, Tasks
from brenier.engine.halves import Lists
from brenier.engine.int8 import dither_factor
from brenier.engine.int8_rows import ByteTargets
from brenier.engine.triton_filter import MORE_ROUNDS, TritonBackend, kernels, launch

ROOM = 256
"""Places of a row's list: its bar lies lower than that of halves by some three times."""


@dataclass(frozen=True)
class ByteTasks(Tasks):
    """What int8 needs besides."""

    shift: Tensor  # c, what the rows' dither adds to each target


@dataclass(frozen=True)
class ByteBackend(TritonBackend):
    """Triton's int8 kernels on the tensors' device, on torch's current stream."""

    def config(self, rows: int, targets: int, width: int) -> Any:
        return kernels("filter8").filter8_configuration(rows, targets, width, self.capability)

    def pack_bytes(self, x: Tensor, scale: Tensor, y: ByteTargets, packed: Tensor) -> tuple[Tensor, Tensor]:
        """Fills packed (rows padded, width) from x; returns ‖x/s‖ and ‖x_q/s − x/s‖, float32 (rows padded,)."""
        code = kernels("filter8")
        together = code.INTERPRETED if self.interpreted else code.PACKED[0]
        norm, rest = (torch.empty(len(packed), dtype=torch.float32, device=x.device) for _ in range(2))
        inverse = (int8_rows.F / scale).float()
        launch(
            code.pack_bytes, (len(packed) // together,),
            x, inverse, y.row_bits, packed, norm, rest, len(x), x.shape[1], y.width, *x.stride(),
            ROWS=together, BLOCK=code.PACKED[1], num_warps=4, enable_fp_fusion=False,
        )  # fmt: skip
        return norm, rest

    def filter_bytes(self, tasks: ByteTasks) -> None:
        """Lists every target that may win."""
        y, lists = tasks.y, tasks.lists
        rows, targets = len(tasks.x), len(y.values)
        config = self.config(rows, targets, y.width)
        units = -(-rows // config.block_rows) * config.splits
        launch(
            kernels("filter8").byte_filter, (min(config.programs, units),),
            lists.packed, y.packed, tasks.bias, tasks.shift, lists.scale, lists.slack, lists.best, lists.count,
            lists.index, lists.estimate, rows, targets, y.width, config.splits, units, lists.room,
            BLOCK_ROWS=config.block_rows, BLOCK_TARGETS=config.block_targets, BLOCK_DEPTH=config.block_depth,
            GROUP=config.group, ROUNDS=MORE_ROUNDS, num_warps=config.warps, num_stages=config.stages,
            enable_fp_fusion=True,
        )  # fmt: skip


@dataclass(frozen=True)
class ByteFiltered(Filtering[ByteBackend, ByteTargets]):
    """One problem through the int8 filter, for winners."""

    room: int = ROOM
    exact: str = "certified"

    def listed(self, lo: int, hi: int, margin: float, room: int) -> Tasks:
        assert margin == 0
        x, y = self.x[lo:hi], self.y
        bias, pivot = int8_rows.biases(self.h, y)
        panel = self.backend.config(len(x), len(y.values), y.width).block_rows
        scale = int8_rows.row_scales(x, panel)
        lists = halves.empty_lists(len(x), y.width, room, x.device, torch.int8)
        norm, rest = self.backend.pack_bytes(x, scale, y, lists.packed)
        kappa = dither_factor(len(self.x) * len(y.values), self.exact)
        unit = scale * y.scale
        open_lists(lists, unit, int8_rows.row_bounds(norm, rest, unit, y, pivot, kappa), len(x))
        tasks = ByteTasks(x, y, self.h, bias, lists, y.shift)
        self.backend.filter_bytes(tasks)
        return tasks


def open_lists(lists: Lists, unit: Tensor, bounds: int8_rows.RowBounds, rows: int) -> None:
    """Scale 1/w, slack, starting best and count of every row; a list that cannot be trusted counts as overflowed."""
    lists.scale.copy_(torch.where((unit > int8_rows.UNITS[0]) & (unit < int8_rows.UNITS[1]), 1 / unit, 0.0))
    lists.slack.copy_(bounds.slack)
    bits = bounds.lowest.view(torch.int32)
    lists.best.copy_((bits ^ ((bits >> 31) & 0x7FFFFFFF)).long() << 32)
    usable = bounds.usable.clone()
    usable[rows:] = False
    lists.count.copy_(torch.where(usable, 0, lists.room + 1))
