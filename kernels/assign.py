"""Fused assignment in Triton: a certified fp32 filter, then float64 scores of its survivors.

    score[j, i] = ⟨x_j, y_i⟩ + h_i        winner[j] = lowest i with the largest float64 score[j, i]

Tiles. One program owns BLOCK_ROWS rows and one part of the targets; it walks that part left to right:

                 targets of part s ─────────────►
                 ┌────────┬────────┬────────┬──┐      per row it carries the best score and its lowest
    BLOCK_ROWS   │ tile 0 │ tile 1 │ tile 2 │▒▒│      index (best_tiles) or the number of targets that
                 └────────┴────────┴────────┴──┘      reach the threshold (list_tiles); never a score
                  each tile: depth in sections of SECTION, a section in steps of BLOCK_DEPTH

Accumulation. fp32 fused multiply-adds (input_precision "ieee", never tf32). Each section is summed apart
and added to the score, so a product meets at most `roundings(depth, section)` roundings instead of depth; the
error bound in brenier.engine.certified rests on that number. fp16 and bf16 become fp32 exactly on loading,
and x and y are multiplied by powers of two, exactly, so that norms are near 1 and nothing overflows.

Ties. best_tiles keeps the earlier target unless a later one is strictly larger; the parts are folded on the
host with the lowest index first. The decision that counts is made in float64 (pair_scores): 32 lanes, lane l
sums depth l, l+32, ... in ascending order, then lanes i and i+16 are added, i and i+8, ..., and h comes last.

Bytes per tile. (BLOCK_ROWS + BLOCK_TARGETS) · depth · itemsize read, for 2 · BLOCK_ROWS · BLOCK_TARGETS ·
depth operations: at 64 × 64 in fp32, 16 operations per byte, mostly from L2. Written: 12 bytes per row and
part.

Not run on hardware: checked in Triton's interpreter and compiled for sm_80, sm_90 and sm_100.
"""

from __future__ import annotations

from dataclasses import dataclass

import triton
import triton.language as tl

MOST_SPLITS = 64
SIZES = ["rows", "targets", "splits", "pairs"]  # another batch size is no reason to compile again
PROCESSORS = {(8, 0): 108, (8, 6): 84, (8, 9): 142, (9, 0): 132, (10, 0): 148, (12, 0): 170}


@dataclass(frozen=True)
class AssignConfig:
    """How one problem is cut into tiles; see the picture at the top of kernels/assign.py."""

    block_rows: int
    block_targets: int
    block_depth: int
    section: int  # depth summed apart before it joins the score; a multiple of block_depth
    splits: int  # parts of the targets, each walked by its own program
    block_pairs: int  # (row, target) pairs that one program rescores in float64
    warps: int
    stages: int


def configuration(rows: int, targets: int, capability: tuple[int, int]) -> AssignConfig:
    """Tiles for rows × targets, of any depth, on a GPU of that compute capability; (0, 0) is the interpreter."""
    if capability == (0, 0):  # an operation on a tile costs the same whatever its size: few, large tiles
        return AssignConfig(64, 128, 64, 512, min(2, cdiv(targets, 128)), 1024, warps=4, stages=1)
    block_rows, block_targets, block_depth = 64, 64, 16  # others spill, narrower ones and more stages too
    wanted = cdiv(2 * PROCESSORS.get(capability, 80), cdiv(rows, block_rows))
    splits = max(1, min(wanted, cdiv(targets, block_targets), MOST_SPLITS))
    return AssignConfig(block_rows, block_targets, block_depth, 512, splits, 16, warps=8, stages=1)


def cdiv(total: int, size: int) -> int:
    return -(-total // size)


def roundings(depth: int, section: int) -> int:
    """Most fp32 roundings between one product x·y and the score, whatever the order inside a section."""
    return 1 + min(depth, section) + cdiv(depth, section)


@triton.jit
def load_tile(
    pointer, index, inside, row_stride, depth_stride, first, depth, scale, BLOCK_DEPTH: tl.constexpr
):
    """Rows `index`, BLOCK_DEPTH columns from `first`, as fp32 times a power of two; zeros outside."""
    column = first + tl.arange(0, BLOCK_DEPTH)
    place = index[:, None] * row_stride + column[None, :].to(tl.int64) * depth_stride
    tile = tl.load(pointer + place, mask=inside[:, None] & (column < depth)[None, :], other=0.0)
    return tile.to(tl.float32) * scale


@triton.jit
def score_tile(
    x, y, bias, row, row_inside, target, target_inside, depth,
    x_row_stride, x_depth_stride, y_row_stride, y_depth_stride, x_scale, y_scale,
    BLOCK_ROWS: tl.constexpr, BLOCK_TARGETS: tl.constexpr, BLOCK_DEPTH: tl.constexpr, SECTION: tl.constexpr,
):  # fmt: skip
    """fp32 scores (BLOCK_ROWS, BLOCK_TARGETS) with the bias; -inf outside the targets."""
    score = tl.zeros((BLOCK_ROWS, BLOCK_TARGETS), dtype=tl.float32)
    for section in range(0, depth, SECTION):
        part = tl.zeros((BLOCK_ROWS, BLOCK_TARGETS), dtype=tl.float32)
        for first in range(section, tl.minimum(section + SECTION, depth), BLOCK_DEPTH):
            left = load_tile(
                x, row, row_inside, x_row_stride, x_depth_stride, first, depth, x_scale, BLOCK_DEPTH
            )
            right = load_tile(
                y, target, target_inside, y_row_stride, y_depth_stride, first, depth, y_scale, BLOCK_DEPTH
            )
            part = tl.dot(left, tl.trans(right), part, input_precision="ieee")
        score += part
    return score + tl.load(bias + target, mask=target_inside, other=float("-inf"))[None, :]


@triton.jit(do_not_specialize=SIZES)
def best_tiles(
    x, y, bias, best_out, winner_out, rows, targets, depth,
    x_row_stride, x_depth_stride, y_row_stride, y_depth_stride, x_scale, y_scale, splits,
    BLOCK_ROWS: tl.constexpr, BLOCK_TARGETS: tl.constexpr, BLOCK_DEPTH: tl.constexpr, SECTION: tl.constexpr,
):  # fmt: skip
    """best_out, winner_out (rows, splits): the largest fp32 score of each part, its lowest index or -1."""
    row = tl.program_id(0).to(tl.int64) * BLOCK_ROWS + tl.arange(0, BLOCK_ROWS)
    row_inside = row < rows
    split = tl.program_id(1).to(tl.int64)  # the end of the last part may pass 2³¹
    width = tl.cdiv(tl.cdiv(targets, BLOCK_TARGETS), splits) * BLOCK_TARGETS
    best = tl.full((BLOCK_ROWS,), float("-inf"), dtype=tl.float32)
    winner = tl.full((BLOCK_ROWS,), -1, dtype=tl.int64)

    for start in range(split * width, tl.minimum((split + 1) * width, targets), BLOCK_TARGETS):
        target = start + tl.arange(0, BLOCK_TARGETS).to(tl.int64)
        score = score_tile(
            x, y, bias, row, row_inside, target, target < targets, depth,
            x_row_stride, x_depth_stride, y_row_stride, y_depth_stride, x_scale, y_scale,
            BLOCK_ROWS, BLOCK_TARGETS, BLOCK_DEPTH, SECTION,
        )  # fmt: skip
        tile_best = tl.max(score, axis=1)
        tile_winner = tl.min(tl.where(score == tile_best[:, None], target[None, :], targets), axis=1)
        better = tile_best > best  # strictly: an equal score further right does not win
        winner = tl.where(better, tile_winner, winner)
        best = tl.where(better, tile_best, best)

    tl.store(best_out + row * splits + split, best, mask=row_inside)
    tl.store(winner_out + row * splits + split, winner, mask=row_inside)


@triton.jit(do_not_specialize=SIZES)
def list_tiles(
    x, y, bias, row_list, threshold, starts, counts, indices, rows, targets, depth,
    x_row_stride, x_depth_stride, y_row_stride, y_depth_stride, x_scale, y_scale, splits, FILL: tl.constexpr,
    BLOCK_ROWS: tl.constexpr, BLOCK_TARGETS: tl.constexpr, BLOCK_DEPTH: tl.constexpr, SECTION: tl.constexpr,
):  # fmt: skip
    """Targets whose fp32 score reaches the row's threshold: how many (counts), or which, ascending (FILL).

    Slot k is row row_list[k]; its part s owns indices[starts[k·splits + s] : starts[k·splits + s + 1]].
    """
    slot = tl.program_id(0).to(tl.int64) * BLOCK_ROWS + tl.arange(0, BLOCK_ROWS)
    row_inside = slot < rows
    row = tl.load(row_list + slot, mask=row_inside, other=0)
    least = tl.load(threshold + slot, mask=row_inside, other=float("inf"))
    split = tl.program_id(1)
    part = slot * splits + split
    width = tl.cdiv(tl.cdiv(targets, BLOCK_TARGETS), splits) * BLOCK_TARGETS
    found = tl.zeros((BLOCK_ROWS,), dtype=tl.int64)
    if FILL:
        found = tl.load(starts + part, mask=row_inside, other=0)
        end = tl.load(starts + part + 1, mask=row_inside, other=0)

    for start in range(split * width, tl.minimum((split + 1) * width, targets), BLOCK_TARGETS):
        target = start + tl.arange(0, BLOCK_TARGETS).to(tl.int64)
        score = score_tile(
            x, y, bias, row, row_inside, target, target < targets, depth,
            x_row_stride, x_depth_stride, y_row_stride, y_depth_stride, x_scale, y_scale,
            BLOCK_ROWS, BLOCK_TARGETS, BLOCK_DEPTH, SECTION,
        )  # fmt: skip
        reaches = (score >= least[:, None]) & (target < targets)[None, :] & row_inside[:, None]
        kept = reaches.to(tl.int32)
        if FILL:
            place = found[:, None] + tl.cumsum(kept, axis=1) - 1
            names = tl.broadcast_to(target[None, :], (BLOCK_ROWS, BLOCK_TARGETS))
            tl.store(indices + place, names, mask=reaches & (place < end[:, None]))
        found += tl.sum(kept, axis=1)

    if not FILL:
        tl.store(counts + part, found, mask=row_inside)


@triton.jit
def exact_scores(
    x, y, h, row, target, has, depth, x_row_stride, x_depth_stride, y_row_stride, y_depth_stride,
    BLOCK: tl.constexpr,
):  # fmt: skip
    """Float64 scores of (row, target) pairs in the contract's order; -inf where there is no pair."""
    lane = tl.arange(0, 32)
    target = tl.where(has, target, 0).to(tl.int64)
    sums = tl.zeros((BLOCK, 32), dtype=tl.float64)
    for first in range(0, depth, 32):
        column = (first + lane).to(tl.int64)[None, :]
        mask = has[:, None] & (column < depth)
        left = tl.load(x + row[:, None] * x_row_stride + column * x_depth_stride, mask=mask, other=0.0)
        right = tl.load(y + target[:, None] * y_row_stride + column * y_depth_stride, mask=mask, other=0.0)
        sums += left.to(tl.float64) * right.to(tl.float64)  # exact product: a fused add rounds the same
    sums = tl.sum(tl.reshape(sums, (BLOCK, 2, 16)), axis=1)  # lanes i and i+16: one addition each
    sums = tl.sum(tl.reshape(sums, (BLOCK, 2, 8)), axis=1)
    sums = tl.sum(tl.reshape(sums, (BLOCK, 2, 4)), axis=1)
    sums = tl.sum(tl.reshape(sums, (BLOCK, 2, 2)), axis=1)
    return tl.sum(sums, axis=1) + tl.load(h + target, mask=has, other=float("-inf"))


@triton.jit(do_not_specialize=SIZES)
def pair_scores(
    x, y, h, pair_row, pair_target, out, pairs, depth,
    x_row_stride, x_depth_stride, y_row_stride, y_depth_stride, BLOCK_PAIRS: tl.constexpr,
):  # fmt: skip
    """Float64 scores of (row, target) pairs in the contract's order; -inf where the target is -1."""
    pair = tl.program_id(0).to(tl.int64) * BLOCK_PAIRS + tl.arange(0, BLOCK_PAIRS)
    row = tl.load(pair_row + pair, mask=pair < pairs, other=0)
    target = tl.load(pair_target + pair, mask=pair < pairs, other=-1)
    score = exact_scores(
        x, y, h, row, target, target >= 0, depth, x_row_stride, x_depth_stride, y_row_stride, y_depth_stride,
        BLOCK_PAIRS,
    )  # fmt: skip
    tl.store(out + pair, score, mask=pair < pairs)
