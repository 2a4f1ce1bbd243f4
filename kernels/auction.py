"""Assignment by rounds of bids in Triton: product, integer costs, and two kernels a round.

    cost[i, j] = ⌊(top_i − score[i, j])/unit⌋ (26 bits),  bid = price + second best − best + ε,  highest bid wins

The rules are those of csrc/cuda/auction_rules.cuh, with lists of another shape: slot s of row i holds the cheapest
column of j mod 128 = s at the prices of the list's making, and `bound` the least that was left out. Prices only
rise, so all that is not listed stays at or above it. Among equals the column next after the row's own position is
best; the highest bid wins, then the lower row: packed into one 64-bit maximum, the result is that of any schedule.

`look` reads 1 kB a row that bids (128 columns, costs and their prices), or the whole row where the list is worn out;
`resolve` reads 8 bytes a column. Not run on hardware: checked in Triton's interpreter.
"""

from __future__ import annotations

import triton
import triton.language as tl

LISTED = 128
BID, SIFT, LEAST = 0, 1, 2
"""What a look is for: to bid, to give up a column that is off the best by more than ε, to know the least."""

INFINITE = tl.constexpr(2**31 - 1)
UNMADE = tl.constexpr(-(2**31))
HIGHEST_PRICE = tl.constexpr(1 << 30)
ROW_BITS = tl.constexpr(24)
LAST_ROW = tl.constexpr((1 << 24) - 1)


@triton.jit
def products(
    x, z, out, rows, columns, depth, x_stride, z_stride,
    BLOCK: tl.constexpr, BLOCK_DEPTH: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """out[i, j] = ⟨x_i, z_j⟩ in float32, from float32 or float16."""
    i = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    j = tl.program_id(1).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    sums = tl.zeros((BLOCK, BLOCK), dtype=tl.float32)
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
    tl.store(out + i[:, None] * columns + j[None, :], sums, mask=(i[:, None] < rows) & (j[None, :] < columns))


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


@triton.jit
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
