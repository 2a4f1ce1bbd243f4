"""Assignment by rounds of bids in Triton: product and integer costs in one kernel, and two kernels a round.

    cost[i, j] = ⌊(top_i − score[i, j])/unit⌋ (26 bits),  bid = price + second best − best + ε,  highest bid wins

The rules are those of csrc/cuda/auction_rules.cuh, with lists of another shape: slot s of row i holds the cheapest
column of j mod 128 = s at the prices of the list's making, and `bound` the least that was left out. Prices only
rise, so all that is not listed stays at or above it. Among equals the column next after the row's own position is
best; the highest bid wins, then the lower row: packed into one 64-bit maximum, the result is that of any schedule.

`look` reads 1 kB a row that bids (128 columns, costs and their prices), or the whole row where the list is worn out;
`resolve` reads 8 bytes a column. Not run on hardware: checked in Triton's interpreter.
"""

from __future__ import annotations

from dataclasses import dataclass

import triton
import triton.language as tl
from brenier.kernels.filter import place_of

LISTED = 128
BID, SIFT, LEAST = 0, 1, 2
"""What a look is for: to bid, to give up a column that is off the best by more than ε, to know the least."""

GROUP = 8  # row blocks whose tiles come together and share columns in the L2 cache
COST_BITS = tl.constexpr(26)
INFINITE = tl.constexpr(2**31 - 1)
UNMADE = tl.constexpr(-(2**31))
HIGHEST_PRICE = tl.constexpr(1 << 30)
ROW_BITS = tl.constexpr(24)
LAST_ROW = tl.constexpr((1 << 24) - 1)


@dataclass(frozen=True)
class ProductConfig:
    """Tiles of a product whose costs are made in its epilogue."""

    block: int  # rows
    columns: int
    depth: int
    warps: int
    stages: int


def product_configuration(size: int, capability: tuple[int, int]) -> ProductConfig:
    """Tiles for (size, d) times (d, size) in float16 on that GPU; (0, 0) is the interpreter."""
    if capability == (0, 0):
        return ProductConfig(64, 64, 64, 4, 1)
    if size <= 512:  # batches of classes: many small problems fill the GPU
        return ProductConfig(64, 64, 64, 4, 3)
    depth, stages = (64, 3) if capability >= (10, 0) else (32, 4)  # each spills where the other does not
    return ProductConfig(128, 128, depth, 8, stages)


@triton.jit
def tile_sums(
    x, z, rows, columns, depth, x_stride, z_stride,
    BLOCK: tl.constexpr, COLUMNS: tl.constexpr, BLOCK_DEPTH: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """⟨x_i, z_j⟩ in float32, from float32 or float16, of the first rows at x and at z; 0 beyond the rows left there."""
    i, j = tl.arange(0, BLOCK), tl.arange(0, COLUMNS)
    sums = tl.zeros((BLOCK, COLUMNS), dtype=tl.float32)
    for first in range(0, depth, BLOCK_DEPTH):
        k = first + tl.arange(0, BLOCK_DEPTH)
        left = tl.load(
            x + i[:, None] * x_stride + k[None, :], mask=(i[:, None] < rows) & (k[None, :] < depth), other=0
        )
        right = tl.load(
            z + j[:, None] * z_stride + k[None, :],
            mask=(j[:, None] < columns) & (k[None, :] < depth),
            other=0,
        )
        sums = tl.dot(left, tl.trans(right), sums, input_precision=PRECISION)
    return sums


@triton.jit
def products(
    x, z, out, rows, columns, depth, x_stride, z_stride,
    BLOCK: tl.constexpr, BLOCK_DEPTH: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """out[i, j] = ⟨x_i, z_j⟩ in float32, from float32 or float16."""
    row, column = tl.program_id(0).to(tl.int64) * BLOCK, tl.program_id(1).to(tl.int64) * BLOCK
    sums = tile_sums(
        x + row * x_stride, z + column * z_stride, rows - row, columns - column, depth, x_stride, z_stride,
        BLOCK, BLOCK, BLOCK_DEPTH, PRECISION,
    )  # fmt: skip
    i, j = tl.arange(0, BLOCK)[:, None], tl.arange(0, BLOCK)[None, :]
    inside = (i < rows - row) & (j < columns - column)
    tl.store(out + row * columns + column + i * columns + j, sums, mask=inside)


@triton.jit
def sums_by_column(cost):
    """int64 sums of costs of 26 bits over at most 2¹⁸ rows, without 64 bits a cost: high and low halves apart."""
    return (tl.sum(cost >> 13, axis=0).to(tl.int64) << 13) + tl.sum(cost & 8191, axis=0)


@triton.jit
def product_costs(
    x, z, reach, units, cost, column_sum, flags, n, depth, cost_stride, flags_stride,
    BLOCK: tl.constexpr, COLUMNS: tl.constexpr, BLOCK_DEPTH: tl.constexpr, GROUP: tl.constexpr,
):  # fmt: skip
    """Problem k = program_id(1): cost[k, i, j] = reach[k, i] − ⌈⟨x_ki, z_kj⟩·units_k⌉, and sums by column.

    x, z (B, n, depth) float16; reach (B, n) int32; units (B,) float64, powers of two: the product is exact, and with
    it the floor. Sets the problem's flag where a cost leaves its 26 bits: no bound is taken on trust.
    """
    k = tl.program_id(1).to(tl.int64)
    block, part = place_of(tl.program_id(0), tl.cdiv(n, BLOCK), tl.cdiv(n, COLUMNS), GROUP)
    row, column = block * BLOCK, part * COLUMNS
    score = tile_sums(
        x + (k * n + row) * depth, z + (k * n + column) * depth, n - row, n - column, depth, depth, depth,
        BLOCK, COLUMNS, BLOCK_DEPTH, "ieee",
    )  # fmt: skip
    i, j = tl.arange(0, BLOCK), tl.arange(0, COLUMNS)
    inside = (i[:, None] < n - row) & (j[None, :] < n - column)
    steps = tl.ceil(score * tl.load(units + k).to(tl.float32)).to(tl.int32)
    farthest = tl.load(reach + k * n + row + i, mask=i < n - row, other=0)
    whole = tl.where(inside, farthest[:, None] - steps, 0)
    tile = cost + (k * n + row) * cost_stride + column
    tl.store(tile + i[:, None] * cost_stride + j[None, :], whole, mask=inside)
    tl.atomic_add(column_sum + k * n + column + j, sums_by_column(whole), mask=j < n - column)
    if tl.max((whole >> COST_BITS != 0).to(tl.int32), axis=None) > 0:  # negative ones too
        tl.atomic_max(flags + k * flags_stride, 1)


@triton.jit
def quantise(scores, top, units, cost, column_sum, n, sign, ROWS: tl.constexpr, BLOCK: tl.constexpr):
    """Costs (n, n) from scores (n, n), and their sums by column, which are added to."""
    i = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    j = tl.program_id(1).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = (i[:, None] < n) & (j[None, :] < n)
    score = tl.load(scores + i[:, None] * n + j[None, :], mask=inside, other=0).to(tl.float64)
    best = tl.load(top + i, mask=i < n, other=0)
    exact = (best[:, None] - score) * sign * tl.load(units)
    whole = tl.where(inside, exact, 0).to(tl.int32)
    tl.store(cost + i[:, None] * n + j[None, :], whole, mask=inside)
    tl.atomic_add(column_sum + j, tl.sum(whole.to(tl.int64), axis=0), mask=j < n)


@triton.jit
def best_two(value, column, row, n):
    """Per row: the least of value (ROWS, LISTED), the second least, and the column of the least."""
    best = tl.min(value, axis=1)
    turn = tl.where(column >= row[:, None], column - row[:, None], column - row[:, None] + n)
    turn = tl.where((value == best[:, None]) & (column >= 0), turn, INFINITE)
    first = tl.min(turn, axis=1)
    second = tl.min(tl.where(turn == first[:, None], INFINITE, value), axis=1)
    place = row + first
    return best, second, tl.where(place < n, place, place - n)


@triton.jit
def cheapest_by_slot(cost, price, row, stale, n, start, LISTED: tl.constexpr, ROWS: tl.constexpr):
    """Per row and slot: the least cost + price over the slot's columns, where it is; and the least left out."""
    slot = tl.arange(0, LISTED)
    least = tl.full((ROWS, LISTED), INFINITE, dtype=tl.int32)
    where = tl.full((ROWS, LISTED), -1, dtype=tl.int32)
    rest = tl.full((ROWS, LISTED), INFINITE, dtype=tl.int32)
    blocks = tl.cdiv(n, LISTED)
    for b in range(blocks):
        column = (start + b) % blocks * LISTED + slot
        wanted = stale[:, None] & (column[None, :] < n)
        its_price = tl.load(price + column, mask=column < n, other=0)
        its_cost = tl.load(cost + row.to(tl.int64)[:, None] * n + column[None, :], mask=wanted, other=0)
        value = tl.where(wanted, its_cost + its_price[None, :], INFINITE)
        lower = value < least
        rest = tl.minimum(rest, tl.maximum(least, value))
        where = tl.where(lower, column[None, :], where)
        least = tl.minimum(least, value)
    return least, where, tl.min(rest, axis=1)


@triton.jit(do_not_specialize=["epsilon", "left"])  # others are no reason to compile again
def look(
    cost, price, bid, owner, column, list_column, list_cost, bound, control, least_out, n, epsilon, left,
    MODE: tl.constexpr, ROWS: tl.constexpr, LISTED: tl.constexpr,
):  # fmt: skip
    """The best two columns of some rows, from their lists, which are made anew where they cannot tell."""
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    own = tl.load(column + row, mask=row < n, other=0)
    active = row < n
    if MODE == 0:
        everyone = tl.full((ROWS,), 0, dtype=tl.int32)
        waiting, high = tl.load(control + everyone), tl.load(control + 1 + everyone)
        active = active & (own < 0) & (waiting > left) & (high == 0)
    if MODE == 1:
        active = active & (own >= 0)
    if tl.sum(active.to(tl.int32), axis=0) > 0:
        slot = row.to(tl.int64)[:, None] * LISTED + tl.arange(0, LISTED)[None, :]
        listed = tl.load(list_column + slot, mask=active[:, None], other=-1)
        its_cost = tl.load(list_cost + slot, mask=active[:, None], other=0)
        its_price = tl.load(price + listed, mask=listed >= 0, other=0)
        value = tl.where(listed >= 0, its_cost + its_price, INFINITE)
        limit = tl.load(bound + row, mask=active, other=0)
        best, second, place = best_two(value, listed, row, n)
        needed = second if MODE == 0 else best
        stale = active & ((limit == UNMADE) | (needed > limit))
        if tl.sum(stale.to(tl.int32), axis=0) > 0:
            start = tl.program_id(0) * ROWS // LISTED
            least, where, rest = cheapest_by_slot(cost, price, row, stale, n, start, LISTED, ROWS)
            found_price = tl.load(price + where, mask=where >= 0, other=0)
            tl.store(list_column + slot, where, mask=stale[:, None])
            tl.store(list_cost + slot, tl.where(where >= 0, least - found_price, 0), mask=stale[:, None])
            tl.store(bound + row, rest, mask=stale)
            value = tl.where(stale[:, None], least, value)
            listed = tl.where(stale[:, None], where, listed)
            limit = tl.where(stale, rest, limit)
        best, second, place = best_two(value, listed, row, n)
        if MODE == 0:
            submit(price, bid, row, active, best, tl.minimum(second, limit), place, epsilon)
        if MODE == 1:
            give_up(cost, price, owner, column, control, row, own, active, best, epsilon, n)
        if MODE == 2:
            tl.store(least_out + row, best, mask=active)


@triton.jit
def submit(price, bid, row, active, best, second, place, epsilon):
    """The price at which the second best is ε better, packed above the row; no second best raises it by ε alone."""
    raised = tl.load(price + place, mask=active, other=0) + epsilon
    raised += tl.where(second == INFINITE, 0, second - best)
    packed = (raised.to(tl.int64) + HIGHEST_PRICE << ROW_BITS) | (row.to(tl.int64) ^ LAST_ROW)
    tl.atomic_max(bid + place, packed, mask=active)


@triton.jit
def give_up(cost, price, owner, column, control, row, own, active, best, epsilon, n):
    paid = tl.load(cost + row.to(tl.int64) * n + own, mask=active, other=0).to(tl.int64)
    paid += tl.load(price + own, mask=active, other=0)
    gone = active & (paid > best.to(tl.int64) + epsilon)
    tl.store(owner + own, tl.full(own.shape, -1, dtype=tl.int32), mask=gone)
    tl.store(column + row, tl.full(own.shape, -1, dtype=tl.int32), mask=gone)
    tl.atomic_add(control, tl.sum(gone.to(tl.int32), axis=0))


@triton.jit
def resolve(price, bid, owner, column, control, n, BLOCK: tl.constexpr):
    """The highest bid takes the column; whoever had it waits. control: rows waiting, whether a price is too high."""
    j = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    packed = tl.load(bid + j, mask=j < n, other=0)
    wanted = packed > 0
    row = (packed & LAST_ROW) ^ LAST_ROW
    raised = (packed >> ROW_BITS) - HIGHEST_PRICE
    previous = tl.load(owner + j, mask=wanted, other=-1)
    displaced = wanted & (previous >= 0)
    tl.store(column + previous, tl.full(j.shape, -1, dtype=tl.int32), mask=displaced)
    tl.store(column + row, j, mask=wanted)
    tl.store(owner + j, row.to(tl.int32), mask=wanted)
    tl.store(price + j, raised.to(tl.int32), mask=wanted)
    tl.store(bid + j, tl.zeros(j.shape, dtype=tl.int64), mask=wanted)
    taken = tl.sum((wanted & (previous < 0)).to(tl.int32), axis=0)
    high = tl.max((wanted & (raised >= HIGHEST_PRICE)).to(tl.int32), axis=0)
    if taken > 0:
        tl.atomic_add(control, -taken)
    if high > 0:
        tl.atomic_max(control + 1, 1)
