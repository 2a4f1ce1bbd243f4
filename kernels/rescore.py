"""Around the filter in Triton: rows packed as fp16 with their bounds, and the float64 decision among the listed.

    pack_rows     x̂_j = fp16(2^a_j x_j), 2^a_j, slack_j and the starting best of each row (brenier.engine.halves)
    decide        winner_j = the lowest listed i with the largest float64 ⟨x_j, y_i⟩ + h_i

pack_rows reads each row three times (the largest magnitude; the norms; the values), the later times from a cache.
decide walks four lists side by side, each ascending by index, so that a later target must be strictly better. The
float64 score is summed in the fixed order of kernels/assign.py: 32 lanes, then folded.

Not run on hardware: checked in Triton's interpreter and compiled for sm_80, sm_90 and sm_100.
"""

from __future__ import annotations

import triton
import triton.language as tl
from brenier.kernels.assign import exact_scores
from brenier.kernels.filter import estimate_of, ordered

PACKED = (4, 256)  # rows of a program, and depths of a step
DECIDED_TOGETHER = 4  # a warp for each: with more, some compiler spills for some GPU
INTERPRETED = (256, 256)  # rows packed, rows decided: an operation costs the same whatever its size


@triton.jit
def power_of_two(exponent):
    """2^exponent as float32 for exponents in [-126, 127]."""
    return ((exponent + 127) << 23).to(tl.float32, bitcast=True)


@triton.jit
def exponent_for(largest):
    """The power of two that brings this magnitude into [2^7, 2^8), within [-126, 126]; 0 for zero."""
    scaled = tl.where(largest < 1.1754943508222875e-38, largest * 16777216.0, largest)
    exponent = (scaled.to(tl.int32, bitcast=True) >> 23) - 126  # largest = m 2^exponent, m in [1/2, 1)
    exponent = tl.where(largest < 1.1754943508222875e-38, exponent - 24, exponent)
    wanted = tl.minimum(tl.maximum(8 - exponent, -126), 126)
    return tl.where(largest == 0.0, 0, wanted)


@triton.jit
def load_rows(x, row, rows, first, depth, x_row_stride, x_depth_stride, BLOCK: tl.constexpr):
    """(rows, BLOCK) values from depth `first` as fp32; zeros outside."""
    column = first + tl.arange(0, BLOCK)
    place = row[:, None] * x_row_stride + column.to(tl.int64)[None, :] * x_depth_stride
    inside = (row < rows)[:, None] & (column < depth)[None, :]
    return tl.load(x + place, mask=inside, other=0.0).to(tl.float32)


@triton.jit(do_not_specialize=["rows"])
def pack_rows(
    x, weights, packed, scale, slack, best, count, rows, depth, width, x_row_stride, x_depth_stride, room,
    ROWS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """ROWS rows per program; those beyond the last are zeros whose lists are closed from the start."""
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    largest = tl.zeros((ROWS,), dtype=tl.float32)
    for first in range(0, depth, BLOCK):
        value = load_rows(x, row, rows, first, depth, x_row_stride, x_depth_stride, BLOCK)
        largest = tl.maximum(largest, tl.max(tl.abs(value), axis=1))
    factor = power_of_two(exponent_for(largest))

    squares = tl.zeros((ROWS, BLOCK), dtype=tl.float32)
    residuals = tl.zeros((ROWS, BLOCK), dtype=tl.float32)
    for first in range(0, width, BLOCK):
        value = load_rows(x, row, rows, first, depth, x_row_stride, x_depth_stride, BLOCK) * factor[:, None]
        half = value.to(tl.float16)
        column = first + tl.arange(0, BLOCK)
        tl.store(packed + row[:, None] * width + column[None, :], half, mask=(column < width)[None, :])
        rest = half.to(tl.float32) - value
        squares += value * value
        residuals += rest * rest

    norm = tl.sqrt(tl.sum(squares, axis=1))
    rest = tl.sqrt(tl.sum(residuals, axis=1))
    of_norm, of_rest = tl.load(weights), tl.load(weights + 1)
    bound = of_norm * norm + of_rest * rest + tl.load(weights + 2) * factor + tl.load(weights + 3)
    lowest = -of_rest * (norm + rest)
    hopeless = factor * 2.0**118  # a quarter of -LOWEST_BIAS: who is held as that must be out of it
    usable = (row < rows) & (bound < 1e30) & (bound - 2 * lowest < hopeless)
    tl.store(scale + row, factor)
    tl.store(slack + row, tl.where(usable, bound, 0.0))
    tl.store(best + row, ordered(tl.where(usable, lowest, 0.0)).to(tl.int64) << 32)
    tl.store(count + row, tl.where(usable, 0, room + 1))


@triton.jit
def listed_after(last, over, listed, live, targets, WALK: tl.constexpr):
    """The next target of each row after `last`: of its list, or every target where the list overflowed."""
    after = tl.min(tl.where(live & (listed > last[:, None]), listed, 0x7FFFFFFF), axis=1)
    if WALK:
        after = tl.where(over, last + 1, after)
    return tl.where(after < targets, after, 0x7FFFFFFF)


@triton.jit(do_not_specialize=["rows", "targets"])
def decide(
    x, y, h, slack, best, count, index, estimate, winner_out, score_out, rows, targets, depth,
    x_row_stride, x_depth_stride, y_row_stride, y_depth_stride,
    ROOM: tl.constexpr, BLOCK: tl.constexpr, WALK: tl.constexpr,
):  # fmt: skip
    """Winner and score of each row; where the list overflowed all targets are scored (WALK), or none."""
    row = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = row < rows
    found = tl.load(count + row, mask=inside, other=0)
    over = found > ROOM
    bar = estimate_of(tl.load(best + row, mask=inside, other=0)) - tl.load(
        slack + row, mask=inside, other=0.0
    )
    place = tl.arange(0, ROOM)[None, :]
    there = (place < found[:, None]) & (~over)[:, None] & inside[:, None]
    slot = row[:, None] * ROOM + place
    listed = tl.load(index + slot, mask=there, other=0)
    live = there & (tl.load(estimate + slot, mask=there, other=0.0) >= bar[:, None])

    winner = tl.full((BLOCK,), -1, dtype=tl.int64)
    top = tl.full((BLOCK,), float("-inf"), dtype=tl.float64)
    target = listed_after(tl.full((BLOCK,), -1, dtype=tl.int32), over, listed, live, targets, WALK)
    has = (target < targets) & inside
    while tl.max(has.to(tl.int32), axis=0) > 0:
        score = exact_scores(
            x, y, h, row, target, has, depth, x_row_stride, x_depth_stride, y_row_stride, y_depth_stride,
            BLOCK,
        )  # fmt: skip
        better = has & (score > top)
        winner = tl.where(better, target.to(tl.int64), winner)
        top = tl.where(better, score, top)
        target = listed_after(target, over, listed, live, targets, WALK)
        has = (target < targets) & inside
    tl.store(winner_out + row, winner, mask=inside)
    tl.store(score_out + row, top, mask=inside)
