"""The compiled module: its bodies, the choice among them, and views of tensors for it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from brenier.errors import EngineError

ELEMENTS = {torch.float32: 0, torch.bfloat16: 1, torch.float16: 2}  # csrc/core/views.hpp


def core() -> Any:
    """The compiled module, loaded at first use; raises ImportError where it does not load."""
    from brenier import _core

    return _core


@dataclass(frozen=True)
class Body:
    """One instruction set's compiled verbs, and the panels it wants."""

    index: int
    name: str
    runs_here: bool
    rows: int
    targets: int


@dataclass(frozen=True)
class Int8Body:
    """One instruction set's verbs for int8 or int16, and the panels they want."""

    index: int
    name: str
    runs_here: bool
    bits: int  # 8 or 16 per value
    fast: bool
    rows: int
    targets: int

    def steps(self, depth: int) -> int:
        """Words of four bytes that a row takes."""
        return -(-depth * self.bits // 32)


INT8_BODIES = {  # which int8 bodies go with which float32 body, so that masking one masks the other
    "avx512": ("avx512vnni", "avx512vlvnni", "portable"),
    "avx2": ("avxvnni", "portable"),
    "neon": ("portable",),
    "portable": ("portable",),
}


def int8_bodies(body: str, bits: int = 8) -> list[Int8Body]:
    """Those of that width that run here beside a float32 body of that name, fastest first."""
    table = [Int8Body(index, *row) for index, row in enumerate(core().int8_bodies())]
    return [row for row in table if row.runs_here and row.bits == bits and row.name in INT8_BODIES[body]]


def choose_body() -> Body:
    """The fastest body this processor runs, or the one that BRENIER_CPU_BODY names.

    Raises EngineError for a name that does not exist or does not run here.
    """
    table = [Body(index, *row) for index, row in enumerate(core().bodies())]
    asked = os.environ.get("BRENIER_CPU_BODY")
    usable = [body for body in table if body.runs_here]
    if not asked:
        return usable[0]
    for body in usable:
        if body.name == asked:
            return body
    known = asked in [body.name for body in table]
    raise EngineError(
        "BRENIER_CPU_BODY",
        expected="one of " + ", ".join(body.name for body in usable),
        got=f"{asked!r}" + (", which this processor does not run" if known else ""),
        remedy="unset it to let the fastest be chosen",
    )


def with_contiguous_rows(y: Tensor) -> Tensor:
    """The tensor itself where each row is contiguous in memory, else a copy in its own type."""
    return y if y.shape[1] < 2 or y.stride(1) == 1 else y.contiguous()


def view_rows(rows: Tensor, depth: int) -> Any:
    return core().Matrix(rows.data_ptr(), rows.stride(0), depth, ELEMENTS[rows.dtype])


def address(array: np.ndarray) -> int:
    return array.ctypes.data


CACHE_LINE = 64
HUGE_PAGE = 1 << 21
HUGE_PAGES_FROM = 1 << 22  # bytes for which numpy asks Linux for huge pages


def aligned(count: int, dtype: type) -> np.ndarray:
    """An array that begins at a cache line: numpy's begin 16 bytes after, and every vector load would cross two.

    From half a huge page on it begins at one, in an array for which numpy asks for huge pages: panels that are
    walked by many streams would miss the page tables.
    """
    size = count * np.dtype(dtype).itemsize
    large = size >= HUGE_PAGE // 2
    edge = HUGE_PAGE if large else CACHE_LINE
    memory = np.empty(max(size + edge, HUGE_PAGES_FROM if large else 0), dtype=np.uint8)
    first = -memory.ctypes.data % edge
    return memory[first : first + size].view(dtype)
