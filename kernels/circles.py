"""The half-precision filter of great circles in Triton: which targets may be near the best at a point of a circle.

    â = ⟨x_2c, y_i⟩    b̂ = ⟨x_2c+1, y_i⟩    ŝ_k = ±(â cos φ_k + b̂ sin φ_k) + scale_c·bias_i    fp16 operands, fp32 sums

Two passes, each over tiles of BLOCK_ROWS circles and BLOCK_TARGETS targets, both rows of a circle in one program:

                 targets of one part ──────►
                 ┌────────┬────────┬────────┐   best_points   the best ŝ_k of each circle and point, 16 of each
    BLOCK_ROWS   │ tile 0 │ tile 1 │ tile 2 │   list_points   the targets that reach a point's floor
                 └────────┴────────┴────────┘   x and y stream in steps of BLOCK_DEPTH, two accumulators a tile

Epilogue. No point gives a target more than hypot(â, b̂) + bias, so a tile is dropped unless one of its targets has
â² + b̂² ≥ (low − bias)², low being the least of the circle's 16 bars: seven operations a score in nearly all tiles,
for 2·width of the tensor cores. Only tiles with a hit are looked at point by point.

Accumulation. Tensor cores, fp16 products exact, fp32 sums from 0; with SECTION the sums of that many depths are taken
apart and added. Nothing is decided here: the floors hold twice the bound of brenier.engine.gpu_circles, and float64
decides among the listed.

Order. Bests are maxima of ordered bits, whoever comes first; lists of `room` places come in any order and are sorted
later. A list that is longer is only counted, and made again with more room.

Bytes per tile. (2·BLOCK_ROWS + BLOCK_TARGETS)·depth·2 read, for 4·BLOCK_ROWS·BLOCK_TARGETS·depth operations; written:
64 bytes per circle and hit tile, 4 per listed target.

Not run on hardware: checked in Triton's interpreter and compiled for sm_80, sm_90 and sm_100.
"""

from __future__ import annotations

from dataclasses import dataclass

import triton
import triton.language as tl
from brenier.kernels.filter import (
    NO_TARGET,
    PROCESSORS,
    SIZES,
    cdiv,
    ordered,
    parts,
    section_of,
    value_of,
    walk_of,
)

ROUNDED_UP = tl.constexpr(1 + 2.0**-18)  # more than the roundings of both squares


@dataclass(frozen=True)
class CircleConfig:
    """How one problem is cut into tiles and units; see the picture at the top of kernels/circles.py."""

    block_rows: int  # circles
    block_targets: int
    block_depth: int
    section: int  # depth summed apart; 0 for all of it in one chain
    splits: int  # parts of the targets
    group: int  # blocks of circles whose units come together
    warps: int
    stages: int


def circle_configuration(circles: int, targets: int, width: int, capability: tuple[int, int]) -> CircleConfig:
    """Tiles for circles × targets, with depth padded to `width`, on that GPU; (0, 0) is the interpreter."""
    section = section_of(width)
    if capability == (0, 0):  # an operation on a tile costs the same whatever its size
        return CircleConfig(64, 128, 64, section, min(2, cdiv(targets, 128)), 4, warps=4, stages=1)
    block_targets = 128 if section == 0 and capability < (10, 0) else 64  # else accumulators spill
    tiles = cdiv(targets, block_targets)
    splits = parts(True, cdiv(circles, 64), tiles, PROCESSORS.get(capability, 80))
    return CircleConfig(64, block_targets, 64, section, splits, 16, warps=8, stages=3)


@triton.jit
def products(
    x, y, circle, target, width,
    BLOCK_ROWS: tl.constexpr, BLOCK_TARGETS: tl.constexpr, BLOCK_DEPTH: tl.constexpr, SECTION: tl.constexpr,
):  # fmt: skip
    """â and b̂ of a tile, (BLOCK_ROWS, BLOCK_TARGETS) each."""
    depth = tl.arange(0, BLOCK_DEPTH)
    first = x + circle[:, None] * (2 * width) + depth[None, :]
    second = first + width
    right = y + target.to(tl.int64)[None, :] * width + depth[:, None]
    a = tl.zeros((BLOCK_ROWS, BLOCK_TARGETS), dtype=tl.float32)
    b = tl.zeros((BLOCK_ROWS, BLOCK_TARGETS), dtype=tl.float32)
    if SECTION == 0:
        for at in range(0, width, BLOCK_DEPTH):
            tile = tl.load(right + at)
            a = tl.dot(tl.load(first + at), tile, a)
            b = tl.dot(tl.load(second + at), tile, b)
    else:
        for section in range(0, width, SECTION):
            part_a = tl.zeros((BLOCK_ROWS, BLOCK_TARGETS), dtype=tl.float32)
            part_b = tl.zeros((BLOCK_ROWS, BLOCK_TARGETS), dtype=tl.float32)
            for at in range(section, tl.minimum(section + SECTION, width), BLOCK_DEPTH):
                tile = tl.load(right + at)
                part_a = tl.dot(tl.load(first + at), tile, part_a)
                part_b = tl.dot(tl.load(second + at), tile, part_b)
            a += part_a
            b += part_b
    return a, b


@triton.jit
def tile_from(
    start, x, y, bias, factor, circle, width,
    BLOCK_ROWS: tl.constexpr, BLOCK_TARGETS: tl.constexpr, BLOCK_DEPTH: tl.constexpr, SECTION: tl.constexpr,
):  # fmt: skip
    """The targets of the tile that begins there, its â and b̂, and its heights in units of each circle."""
    target = start + tl.arange(0, BLOCK_TARGETS)
    a, b = products(x, y, circle, target, width, BLOCK_ROWS, BLOCK_TARGETS, BLOCK_DEPTH, SECTION)
    return target, a, b, tl.load(bias + target)[None, :] * factor[:, None]


@triton.jit
def may_reach(a, b, height, low):
    """Whether hypot(a, b) + height may reach `low`; a height of -inf reaches nothing."""
    wanted = low[:, None] - height
    return ((a * a + b * b) * ROUNDED_UP >= wanted * wanted) | (wanted <= 0)


@triton.jit
def lifted(best, place, score, inside):
    """Raises the best at these places to the largest score of each row, and returns it; +inf outside."""
    top = ordered(tl.max(score, axis=1))
    before = tl.atomic_max(best + place, top, mask=inside, sem="relaxed")
    return tl.where(inside, value_of(tl.maximum(before, top)), float("inf"))


@triton.jit
def next_near(near, target, last):
    """The lowest target after `last` that is near, per row; NO_TARGET if none."""
    later = near & (target[None, :] > last[:, None])
    return tl.min(tl.where(later, target[None, :], NO_TARGET), axis=1)


@triton.jit(do_not_specialize=SIZES)
def best_points(
    x, y, bias, scale, turns, best, rows, targets, width, splits,
    BLOCK_ROWS: tl.constexpr, BLOCK_TARGETS: tl.constexpr, BLOCK_DEPTH: tl.constexpr,
    SECTION: tl.constexpr, GROUP: tl.constexpr,
):  # fmt: skip
    """best (rows, 16): the largest ŝ_k as ordered bits. rows counts circles; turns holds cos φ_k and sin φ_k."""
    circle, first, end = walk_of(tl.program_id(0), rows, targets, splits, GROUP, BLOCK_ROWS, BLOCK_TARGETS)
    inside = circle < rows
    factor = tl.load(scale + circle, mask=inside, other=1.0)
    known = tl.load(
        best + circle[:, None] * 16 + tl.arange(0, 16)[None, :], mask=inside[:, None], other=0x7F800000
    )
    low = value_of(tl.min(known, axis=1))
    for start in range(first, end, BLOCK_TARGETS):
        _, a, b, height = tile_from(
            start, x, y, bias, factor, circle, width, BLOCK_ROWS, BLOCK_TARGETS, BLOCK_DEPTH, SECTION
        )
        if tl.max(may_reach(a, b, height, low).to(tl.int32), axis=None) > 0:
            low = tl.full((BLOCK_ROWS,), float("inf"), dtype=tl.float32)
            for k in range(8):
                along = a * tl.load(turns + 2 * k) + b * tl.load(turns + 2 * k + 1)
                low = tl.minimum(low, lifted(best, circle * 16 + k, along + height, inside))
                low = tl.minimum(low, lifted(best, circle * 16 + k + 8, height - along, inside))


@triton.jit(do_not_specialize=SIZES)
def list_points(
    x, y, bias, scale, turns, floors, lows, count, index, rows, targets, width, splits, room,
    BLOCK_ROWS: tl.constexpr, BLOCK_TARGETS: tl.constexpr, BLOCK_DEPTH: tl.constexpr,
    SECTION: tl.constexpr, GROUP: tl.constexpr,
):  # fmt: skip
    """Lists the targets with ŝ_k ≥ floors[c, k], finite, at some k; lows (rows,) is the least floor of each circle."""
    circle, first, end = walk_of(tl.program_id(0), rows, targets, splits, GROUP, BLOCK_ROWS, BLOCK_TARGETS)
    inside = circle < rows
    factor = tl.load(scale + circle, mask=inside, other=1.0)
    low = tl.load(lows + circle, mask=inside, other=float("inf"))
    for start in range(first, end, BLOCK_TARGETS):
        target, a, b, height = tile_from(
            start, x, y, bias, factor, circle, width, BLOCK_ROWS, BLOCK_TARGETS, BLOCK_DEPTH, SECTION
        )
        if tl.max(may_reach(a, b, height, low).to(tl.int32), axis=None) > 0:
            near = tl.zeros((BLOCK_ROWS, BLOCK_TARGETS), dtype=tl.int1)
            for k in range(8):
                along = a * tl.load(turns + 2 * k) + b * tl.load(turns + 2 * k + 1)
                one = tl.load(floors + circle * 16 + k, mask=inside, other=float("inf"))
                other = tl.load(floors + circle * 16 + k + 8, mask=inside, other=float("inf"))
                near |= (along + height >= one[:, None]) | (height - along >= other[:, None])
            last = next_near(near, target, tl.full((BLOCK_ROWS,), -1, dtype=tl.int32))
            while tl.min(last, axis=0) < NO_TARGET:
                some = last < NO_TARGET
                place = tl.atomic_add(count + circle, 1, mask=some, sem="relaxed")
                tl.store(index + circle * room + place, last, mask=some & (place < room))
                last = next_near(near, target, last)
