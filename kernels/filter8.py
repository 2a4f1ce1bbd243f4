"""The int8 filter in Triton: kernels/filter.py with exact integer sums, at twice the rate of fp16.

    f[j, i] = ⌈bias_i/w_j − c_i⌉ − bar_j + Σ_k q_jk p_ik    int8 operands, int32 sums; f ≥ 0: target i may win row j

Rows and targets are rounded with a shared dither (brenier.engine.int8_rows): q in units of a scale that a block of
rows shares, p in units of one scale for all targets, so that w_j is one number per block and a row's bar is in the same
units on every tile. c_i is what the dither of the rows adds to target i.

    pack_bytes    q_j = ⌊(A + U)/F⌋, A = int(F·x/s), F = 2¹⁶; and ‖x/s‖, ‖x_q/s − x/s‖ of each row
    byte_filter   tiles, units and lists of wide_filter; a tile's start is one integer per target and one per row

Accumulation. Exact: |Σqp| ≤ ‖q‖‖p‖ ≤ 2²⁸, bars within ±2²⁹, starts from −2³⁰ to 2²³ (brenier.engine.int8_rows keeps
them there), so no sum leaves int32. Whatever is rounded on the way to a start is rounded upwards or covered by the
slack. Ties and decisions as in kernels/filter.py.

Bytes per tile. (BLOCK_ROWS + BLOCK_TARGETS)·depth read for 2·BLOCK_ROWS·BLOCK_TARGETS·depth operations.

Not run on hardware: checked in Triton's interpreter and compiled for sm_80, sm_90 and sm_100.
"""

from __future__ import annotations

import triton
import triton.language as tl
from brenier.kernels.filter import (
    LITTLE_SHARED,
    PROCESSORS,
    FilterConfig,
    any_hit,
    cdiv,
    collect,
    open_rows,
    parts,
    walk_of,
)
from brenier.kernels.rescore import load_rows

PACKED = (4, 256)  # rows of a program, and depths of a step
INTERPRETED = 256  # rows packed together: an operation costs the same whatever its size
SIZES = ["rows", "targets", "splits", "units"]
FRACTION = tl.constexpr(16)
ONE = tl.constexpr(65536.0)
LOWEST_START, NO_TARGET_START, FARTHEST_BAR = (
    tl.constexpr(-805306368.0),
    tl.constexpr(-(1 << 30)),
    tl.constexpr(5.36e8),
)


def filter8_configuration(rows: int, targets: int, width: int, capability: tuple[int, int]) -> FilterConfig:
    """Tiles for rows × targets, with depth padded to `width`, on that GPU; (0, 0) is the interpreter."""
    if capability == (0, 0):
        return FilterConfig(False, 64, 128, 64, 0, min(2, cdiv(targets, 128)), 4, 2, 4, 1)
    small = capability in LITTLE_SHARED
    depth = 128 if capability[0] == 9 and width % 128 == 0 else 64  # elsewhere steps of 128 spill
    processors = PROCESSORS.get(capability, 80)
    blocks, tiles = cdiv(rows, 128), cdiv(targets, 128)
    splits = parts(False, blocks, tiles, processors)
    programs = min(processors, blocks * splits)
    return FilterConfig(False, 128, 128, depth, 0, splits, 16, programs, 8, 3 if small else 4)


@triton.jit(do_not_specialize=["rows"])
def pack_bytes(
    x, inverse, dither, packed, norm, rest, rows, depth, width, x_row_stride, x_depth_stride,
    ROWS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Rows as int8 by inverse = F/s (rows,) and the dither's bits U (depth,); zeros beyond the last row and depth."""
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    factor = tl.load(inverse + row)
    squares = tl.zeros((ROWS, BLOCK), dtype=tl.float32)
    residuals = tl.zeros((ROWS, BLOCK), dtype=tl.float32)
    for first in range(0, width, BLOCK):
        column = first + tl.arange(0, BLOCK)
        bits = tl.load(dither + column, mask=column < depth, other=0)[None, :]
        value = load_rows(x, row, rows, first, depth, x_row_stride, x_depth_stride, BLOCK) * factor[:, None]
        whole = (value.to(tl.int32) + bits) >> FRACTION
        inside = (row < rows)[:, None] & (column < width)[None, :]
        tl.store(packed + row[:, None] * width + column[None, :], tl.where(inside, whole, 0).to(tl.int8),
                 mask=(column < width)[None, :])  # fmt: skip
        back = whole.to(tl.float32) - ((bits.to(tl.float32) + 0.5) / ONE - 0.5)
        off = tl.where((column < depth)[None, :], back - value / ONE, 0.0)
        squares += value * value
        residuals += off * off
    tl.store(norm + row, tl.sqrt(tl.sum(squares, axis=1)) / ONE)
    tl.store(rest + row, tl.sqrt(tl.sum(residuals, axis=1)))


@triton.jit
def starts(bias, shift, target, per_score):
    """The integers at which the sums of a tile's targets begin, rounded upwards; far below for no target."""
    height = tl.load(bias + target)
    start = tl.maximum(height * per_score - tl.load(shift + target), LOWEST_START)
    return tl.where(height == float("-inf"), NO_TARGET_START, tl.ceil(start).to(tl.int32))


@triton.jit
def whole_bar(bar):
    """Bars rounded downwards to integers, within what sums can meet; a closed row's is out of their reach."""
    return tl.floor(tl.minimum(tl.maximum(bar, -FARTHEST_BAR), FARTHEST_BAR)).to(tl.int32)


@triton.jit(do_not_specialize=SIZES)
def byte_filter(
    x, y, bias, shift, scale, slack, best, count, index, estimate, rows, targets, width, splits, units, room,
    BLOCK_ROWS: tl.constexpr, BLOCK_TARGETS: tl.constexpr, BLOCK_DEPTH: tl.constexpr,
    GROUP: tl.constexpr, ROUNDS: tl.constexpr,
):  # fmt: skip
    """wide_filter in integers; scale (rows,) is 1/w, the same for the rows of a block."""
    depth = tl.arange(0, BLOCK_DEPTH)
    for unit in range(tl.program_id(0), units, tl.num_programs(0)):
        row, first_target, end = walk_of(unit, rows, targets, splits, GROUP, BLOCK_ROWS, BLOCK_TARGETS)
        _, room_for_error, opened = open_rows(row, rows, scale, slack, best, count, room)
        per_score = tl.max(
            tl.load(scale + row), axis=0
        )  # the same for all rows of the block, padded ones too
        bar = whole_bar(opened)
        left = x + row[:, None] * width + depth[None, :]
        for start in range(first_target, end, BLOCK_TARGETS):
            target = start + tl.arange(0, BLOCK_TARGETS)
            right = y + target.to(tl.int64)[None, :] * width + depth[:, None]
            score = starts(bias, shift, target, per_score)[None, :] - bar[:, None]
            for first in range(0, width, BLOCK_DEPTH):
                score = tl.dot(tl.load(left + first), tl.load(right + first), score, out_dtype=tl.int32)
            if any_hit(score):
                raised = collect(
                    score.to(tl.float32), bar.to(tl.float32), room_for_error, 0.0, row, target, best, count,
                    index, estimate, room, ROUNDS,
                )  # fmt: skip
                bar = whole_bar(raised)
