"""The half-precision filter in Triton: which targets of each row may have the largest float64 score.

    f[j, i] = scale_j·bias_i − bar_j + ⟨x_j, y_i⟩    fp16 operands, fp32 sums; f ≥ 0: target i may win row j

Tiles. A persistent program takes units (block of rows, part of the targets) in turn and walks each part:

                 targets of one part ──────►
                 ┌────────┬────────┬────────┐   the accumulator starts at the bias less the bar, so that the
    BLOCK_ROWS   │ tile 0 │ tile 1 │ tile 2 │   sign bit says whether a target may win: one integer maximum per
                 └────────┴────────┴────────┘   score, and indices are looked at only where a row has a hit
      narrow_filter: the block's whole depth stays on chip; wide_filter: x and y stream in steps of BLOCK_DEPTH

Accumulation. Tensor cores, fp16 products exact, fp32 sums; with SECTION the sums of that many depths are taken
apart and added. Ties and rounding: nothing is decided here. Every target within `slack` of the best so far goes
to the row's list of `room` places (a longer list is only counted: such a row is done again without this filter),
and float64 decides (kernels/rescore.py). The bound behind slack and rho is in brenier.engine.halves.

Order. Units of one group of row blocks come first, so that the programs that run together share tiles in the L2
cache. A row's best is one 64-bit maximum (ordered score bits, inverted index): whoever finishes first, the lowest
index of the largest estimate stays; it hands the bar from part to part.

Bytes per tile. (BLOCK_ROWS + BLOCK_TARGETS)·depth·2 read (narrow: BLOCK_TARGETS·depth·2), for
2·BLOCK_ROWS·BLOCK_TARGETS·depth operations; written: 8 bytes per listed target, about ln n of them per row.

Not run on hardware: checked in Triton's interpreter and compiled for sm_80, sm_90 and sm_100.
"""

from __future__ import annotations

from dataclasses import dataclass

import triton
import triton.language as tl

PROCESSORS = {(8, 0): 108, (8, 6): 84, (8, 9): 142, (9, 0): 132, (10, 0): 148, (12, 0): 170}
NARROW = (64, 128, 256)  # depths, padded, of which a block of rows stays on chip
ONE_CHAIN = 4096
LITTLE_SHARED = {(8, 6), (8, 9), (12, 0)}  # 100 KB of shared memory in place of 160 or more
NO_TARGET = tl.constexpr(0x7FFFFFFF)
SIZES = ["rows", "targets", "splits", "units"]  # another size is no reason to compile again


@dataclass(frozen=True)
class FilterConfig:
    """How one problem is cut into tiles and units; see the picture at the top of kernels/filter.py."""

    narrow: bool
    block_rows: int
    block_targets: int
    block_depth: int
    section: int  # depth summed apart; 0 for all of it in one chain
    splits: int  # parts of the targets
    group: int  # row blocks whose units come together
    programs: int
    warps: int
    stages: int


def filter_configuration(rows: int, targets: int, width: int, capability: tuple[int, int]) -> FilterConfig:
    """Tiles for rows × targets, with depth padded to `width`, on that GPU; (0, 0) is the interpreter."""
    narrow = width in NARROW
    if capability == (0, 0):  # an operation on a tile costs the same whatever its size
        parts_here = min(2, cdiv(targets, 128))
        return FilterConfig(
            narrow, 64, 128, width if narrow else 64, section_of(width), parts_here, 4, 2, 4, 1
        )
    block_rows, block_targets, block_depth, stages = tile(narrow, width, capability)
    processors = PROCESSORS.get(capability, 80)
    blocks, tiles = cdiv(rows, block_rows), cdiv(targets, block_targets)
    splits = parts(narrow, blocks, tiles, processors)
    programs = min(processors, blocks * splits)
    return FilterConfig(
        narrow, block_rows, block_targets, block_depth, section_of(width), splits, 16, programs, 8, stages
    )


def section_of(width: int) -> int:
    """Short sections where the depth is great: the bound of one chain grows with its length."""
    return 0 if width <= ONE_CHAIN else 512


def tile(narrow: bool, width: int, capability: tuple[int, int]) -> tuple[int, int, int, int]:
    """Rows, targets and depth of a tile, and stages of the pipeline that fit in shared memory."""
    small = capability in LITTLE_SHARED
    few = capability >= (10, 0)  # more targets spill
    if narrow:
        stages = 2 if width == 256 or small else 3
        fewer = few or (capability < (9, 0) and width == 256)
        return (64 if small and width == 256 else 128), (64 if small or fewer else 128), width, stages
    block_targets = 64 if few or section_of(width) > 0 else 128  # sections need a second accumulator
    if capability >= (9, 0) and not small:
        return 128, block_targets, 64, 4
    return 128, block_targets, 32, 2 if small else 4


def parts(narrow: bool, blocks: int, tiles: int, processors: int) -> int:
    """Parts of the targets: short walks where x streams anyway, else only as many as fill the GPU evenly."""
    if not narrow:
        return cdiv(tiles, 4)
    enough = 8 * processors  # units: the last round of programs then wastes an eighth at most
    return max(1, min(tiles, cdiv(enough, blocks)))


def cdiv(total: int, size: int) -> int:
    return -(-total // size)


def unit_place(unit: int, blocks: int, splits: int, group: int) -> tuple[int, int]:
    """(row block, part) of a unit: group by group of row blocks, in each group part by part."""
    first = unit // (group * splits) * group
    height = min(group, blocks - first)
    within = unit - first * splits
    return first + within % height, within // height


@triton.jit
def place_of(unit, blocks, splits, GROUP: tl.constexpr):
    """unit_place for a program."""
    first = unit // (GROUP * splits) * GROUP
    height = tl.minimum(GROUP, blocks - first)
    within = unit - first * splits
    return first + within % height, within // height


@triton.jit
def walk_of(
    unit, rows, targets, splits, GROUP: tl.constexpr, BLOCK_ROWS: tl.constexpr, BLOCK_TARGETS: tl.constexpr
):
    """The rows of a unit (BLOCK_ROWS,), and the first target and the end of its part."""
    block, split = place_of(unit, tl.cdiv(rows, BLOCK_ROWS), splits, GROUP)
    walk = tl.cdiv(tl.cdiv(targets, BLOCK_TARGETS), splits) * BLOCK_TARGETS
    row = block.to(tl.int64) * BLOCK_ROWS + tl.arange(0, BLOCK_ROWS)
    first = split * walk
    return row, first, first + tl.minimum(walk, targets - first)  # first + walk may leave int32


@triton.jit
def ordered(value):
    """int32 in the order of the float32 values."""
    bits = value.to(tl.int32, bitcast=True)
    return bits ^ ((bits >> 31) & 0x7FFFFFFF)


@triton.jit
def packed_best(estimate, target):
    """Larger for a larger estimate, then for a lower index."""
    return (ordered(estimate).to(tl.int64) << 32) | (0xFFFFFFFF - target.to(tl.int64))


@triton.jit
def value_of(bits):
    """The float32 of ordered bits."""
    return (bits ^ ((bits >> 31) & 0x7FFFFFFF)).to(tl.float32, bitcast=True)


@triton.jit
def estimate_of(packed):
    """The float32 estimate in a packed best."""
    return value_of((packed >> 32).to(tl.int32))


@triton.jit
def open_rows(row, rows, scale, slack, best, count, room):
    """Scale, slack and bar of these rows; a bar of +inf where the list has overflowed or there is no row.

    The best is read by adding 0, once for each row: other programs raise it meanwhile, and lanes that hold copies of
    a row and read it one by one might not agree on the bar that its scores are counted from.
    """
    inside = row < rows
    seen = tl.where(inside, tl.atomic_add(best + row, 0, mask=inside, sem="relaxed"), 0)
    width = tl.load(slack + row, mask=inside, other=0.0)
    found = tl.load(count + row, mask=inside, other=0)
    bar = estimate_of(seen) - width
    closed = (found > room) | (row >= rows)
    return tl.load(scale + row, mask=inside, other=1.0), width, tl.where(closed, float("inf"), bar)


@triton.jit
def any_hit(score):
    """Whether a score of the tile is not negative: the largest of the float32 read as integers tells.

    One reduction over both axes: Triton 3.6 does not compile one after the other for sm_100.
    """
    return tl.max(score.to(tl.int32, bitcast=True), axis=None) >= 0


@triton.jit
def next_listed(score, least, target, last):
    """The lowest target after `last` whose score reaches `least`, per row, and its score; NO_TARGET if none."""
    later = (score >= least[:, None]) & (target[None, :] > last[:, None])
    after = tl.min(tl.where(later, target[None, :], NO_TARGET), axis=1)
    return after, tl.max(tl.where(target[None, :] == after[:, None], score, float("-inf")), axis=1)


@triton.jit
def collect(score, bar, slack, rho, row, target, best, count, index, estimate, room, ROUNDS: tl.constexpr):
    """Raises the bar of rows with a hit, lists what still reaches it, and returns the bars.

    One target of every row per round; a row with more than ROUNDS hits in a tile overflows.
    """
    top = tl.max(score, axis=1)
    raised = tl.maximum(top * (1 - rho) - slack, 0.0)
    hit = top >= 0.0
    first = tl.min(tl.where(score == top[:, None], target[None, :], NO_TARGET), axis=1)
    tl.atomic_max(best + row, packed_best(top * (1 - rho) + bar, first), mask=hit)
    last = tl.full(row.shape, -1, dtype=tl.int32)
    for _ in tl.static_range(ROUNDS):
        last, value = next_listed(score, raised, target, last)
        found = last < NO_TARGET
        place = tl.atomic_add(count + row, 1, mask=found)
        listed = found & (place < room)
        tl.store(index + row * room + place, last, mask=listed)
        tl.store(estimate + row * room + place, value * (1 + rho) + bar, mask=listed)
    more, _ = next_listed(score, raised, target, last)
    tl.atomic_add(count + row, room + 1, mask=more < NO_TARGET)
    return tl.where(hit, bar + raised, bar)


@triton.jit(do_not_specialize=SIZES)
def narrow_filter(
    x, y, bias, scale, slack, best, count, index, estimate, rho, rows, targets, splits, units, room,
    BLOCK_ROWS: tl.constexpr, BLOCK_TARGETS: tl.constexpr, BLOCK_DEPTH: tl.constexpr,
    GROUP: tl.constexpr, ROUNDS: tl.constexpr,
):  # fmt: skip
    """The filter where the whole depth is one step (BLOCK_DEPTH = width): x stays, only y moves."""
    depth = tl.arange(0, BLOCK_DEPTH)
    for unit in range(tl.program_id(0), units, tl.num_programs(0)):
        row, first_target, end = walk_of(unit, rows, targets, splits, GROUP, BLOCK_ROWS, BLOCK_TARGETS)
        factor, room_for_error, bar = open_rows(row, rows, scale, slack, best, count, room)
        left = tl.load(x + row[:, None] * BLOCK_DEPTH + depth[None, :])
        for start in range(first_target, end, BLOCK_TARGETS):
            target = start + tl.arange(0, BLOCK_TARGETS)
            right = tl.load(y + target.to(tl.int64)[None, :] * BLOCK_DEPTH + depth[:, None])
            score = tl.load(bias + target)[None, :] * factor[:, None] - bar[:, None]
            score = tl.dot(left, right, score)
            if any_hit(score):
                bar = collect(
                    score, bar, room_for_error, rho, row, target, best, count, index, estimate, room, ROUNDS
                )


@triton.jit(do_not_specialize=SIZES)
def wide_filter(
    x, y, bias, scale, slack, best, count, index, estimate, rho, rows, targets, width, splits, units, room,
    BLOCK_ROWS: tl.constexpr, BLOCK_TARGETS: tl.constexpr, BLOCK_DEPTH: tl.constexpr,
    SECTION: tl.constexpr, GROUP: tl.constexpr, ROUNDS: tl.constexpr,
):  # fmt: skip
    """The filter for any width, a multiple of BLOCK_DEPTH; SECTION = 0 sums the whole depth in one chain."""
    depth = tl.arange(0, BLOCK_DEPTH)
    for unit in range(tl.program_id(0), units, tl.num_programs(0)):
        row, first_target, end = walk_of(unit, rows, targets, splits, GROUP, BLOCK_ROWS, BLOCK_TARGETS)
        factor, room_for_error, bar = open_rows(row, rows, scale, slack, best, count, room)
        left = x + row[:, None] * width + depth[None, :]
        for start in range(first_target, end, BLOCK_TARGETS):
            target = start + tl.arange(0, BLOCK_TARGETS)
            right = y + target.to(tl.int64)[None, :] * width + depth[:, None]
            score = tl.load(bias + target)[None, :] * factor[:, None] - bar[:, None]
            if SECTION == 0:
                for first in range(0, width, BLOCK_DEPTH):
                    score = tl.dot(tl.load(left + first), tl.load(right + first), score)
            else:
                for section in range(0, width, SECTION):
                    part = tl.zeros((BLOCK_ROWS, BLOCK_TARGETS), dtype=tl.float32)
                    for first in range(section, tl.minimum(section + SECTION, width), BLOCK_DEPTH):
                        part = tl.dot(tl.load(left + first), tl.load(right + first), part)
                    score += part
            if any_hit(score):
                bar = collect(
                    score, bar, room_for_error, rho, row, target, best, count, index, estimate, room, ROUNDS
                )
