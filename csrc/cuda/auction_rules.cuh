// What one row's bid is: lists whose bound stays proved, the best two, packed bids. Shared by kernels and host check.
//
// A list holds, for each lane l, the four cheapest columns j with j / 4 % 32 = l at the prices of its making; `bound` is
// the least cost + price that was left out. Prices only rise, so every column that is not listed stays at or above it.
// Columns are walked from the row's own position on: rows that are indifferent then want different columns.
#pragma once

#include <climits>

#include "cuda/auction.hpp"
#include "cuda/order.cuh"

#ifdef __CUDA_ARCH__
#define BRENIER_UNROLL _Pragma("unroll")
#else
#define BRENIER_UNROLL
#endif

namespace brenier::cuda {

constexpr int kCostBits = 26;
constexpr std::int32_t kNone = -1;
constexpr std::int32_t kUnmade = INT_MIN;            // bound of a list that was never made
constexpr std::int32_t kInfinite = INT_MAX;
constexpr std::int32_t kHighestPrice = 1 << 30;      // cost + price stays below 2^31

// ---- atomics: on the host, one thread does everything in turn

BRENIER_BOTH int add_to(int* place, int value) {
#ifdef __CUDA_ARCH__
    return atomicAdd(place, value);
#else
    const int before = *place;
    *place += value;
    return before;
#endif
}

BRENIER_BOTH void add_to(std::int64_t* place, std::int64_t value) {
#ifdef __CUDA_ARCH__
    atomicAdd(reinterpret_cast<unsigned long long*>(place), static_cast<unsigned long long>(value));
#else
    *place += value;
#endif
}

BRENIER_BOTH unsigned long long raise_to(unsigned long long* place, unsigned long long value) {
#ifdef __CUDA_ARCH__
    return atomicMax(place, value);
#else
    const unsigned long long before = *place;
    *place = before < value ? value : before;
    return before;
#endif
}

BRENIER_BOTH void lower_to(unsigned long long* place, unsigned long long value) {
#ifdef __CUDA_ARCH__
    atomicMin(place, value);
#else
    *place = *place < value ? *place : value;
#endif
}

// ---- one problem as the rounds see it

struct Control {
    int waiting;      // rows without a column
    int queued[2];    // rows that bid in the last round, and in this one
    int displaced[2];
    int touched[2];   // columns that were bid for
    int free, left;
    int flags, renewals, inserted;
    std::int64_t spread, dual, primal;
    unsigned long long pick[2];
};

struct State {
    int n;
    std::int64_t stride;          // of a row of costs
    const std::int32_t* cost;
    const std::int64_t* column_sum;
    std::int64_t cost_sum;
    std::int32_t *list_column, *list_cost, *bound;
    std::int32_t* price;
    unsigned long long* bid;      // of a column: the highest, 0 for none
    std::int32_t *owner, *column; // row of a column, column of a row; kNone
    std::int32_t *queue[2], *displaced[2], *touched;
    Control* control;

    BRENIER_BOTH std::int32_t cost_at(int row, int column_) const { return cost[row * stride + column_]; }
    // How far a column is from the row's own position: the order among equals.
    BRENIER_BOTH int turn(int row, int column_) const { return column_ >= row ? column_ - row : column_ - row + n; }
};

// Columns of a row of costs in memory: 16-byte loads.
BRENIER_BOTH std::int64_t padded_columns(std::int64_t size) { return (size + 3) / 4 * 4; }

// ---- bids: a higher price wins, then a lower row; the result is that of any schedule

BRENIER_BOTH unsigned long long packed_bid(std::int32_t price, int row) {
    const auto high = static_cast<std::uint32_t>(price) ^ 0x80000000u;
    return static_cast<unsigned long long>(high) << 32 | (0xffffffffu - static_cast<std::uint32_t>(row));
}

BRENIER_BOTH std::int32_t price_of(unsigned long long bid) {
    return static_cast<std::int32_t>(static_cast<std::uint32_t>(bid >> 32) ^ 0x80000000u);
}

BRENIER_BOTH int row_of(unsigned long long bid) { return static_cast<int>(0xffffffffu - static_cast<std::uint32_t>(bid)); }

// ---- lists

// A lane's cheapest columns, cheapest first, and the cheapest that was left out. Equals stay in the order of offers.
struct Cheapest {
    std::int32_t value[kSlots], column[kSlots], rest;

    BRENIER_BOTH void clear() {
        for (int k = 0; k < kSlots; ++k) value[k] = kInfinite, column[k] = kNone;
        rest = kInfinite;
    }
    BRENIER_BOTH void offer(std::int32_t offered, std::int32_t where) {
        if (offered >= rest) return;
BRENIER_UNROLL
        for (int k = 0; k < kSlots; ++k) {
            const bool before = offered < value[k];
            const std::int32_t v = value[k], c = column[k];
            value[k] = before ? offered : v;
            column[k] = before ? where : c;
            offered = before ? v : offered;
            where = before ? c : where;
        }
        rest = offered;
    }
};

struct Four {
    std::int32_t at[4];
};

BRENIER_BOTH Four load_four(const std::int32_t* place) {
#ifdef __CUDA_ARCH__
    const int4 loaded = *reinterpret_cast<const int4*>(place);
    return {{loaded.x, loaded.y, loaded.z, loaded.w}};
#else
    return {{place[0], place[1], place[2], place[3]}};
#endif
}

BRENIER_BOTH void walk_lane(const State& s, int row, int lane, Cheapest& cheapest) {
    cheapest.clear();
    const std::int32_t *costs = s.cost + row * s.stride, *price = s.price;
    const int n = s.n, blocks = (n + kListed - 1) / kListed, start = row / kListed;
    for (int b = 0; b < blocks; ++b) {
        const int block = start + b < blocks ? start + b : start + b - blocks;
        const int first = block * kListed + 4 * lane;
        if (first >= n) continue;
        const Four four = load_four(costs + first);
BRENIER_UNROLL
        for (int k = 0; k < 4; ++k) {
            if (first + k < n) cheapest.offer(four.at[k] + price[first + k], first + k);
        }
    }
}

template <class Warp>
BRENIER_BOTH void renew(const Warp& warp, const State& s, int row) {
    typename Warp::template Of<std::int32_t> rest;
    warp.each([&](int lane) {
        Cheapest cheapest;
        walk_lane(s, row, lane, cheapest);
        rest[lane] = cheapest.rest;
BRENIER_UNROLL
        for (int k = 0; k < kSlots; ++k) {
            const std::int64_t slot = (static_cast<std::int64_t>(row) * kSlots + k) * 32 + lane;
            const std::int32_t listed = cheapest.column[k];
            s.list_column[slot] = listed;
            s.list_cost[slot] = listed == kNone ? 0 : cheapest.value[k] - s.price[listed];
        }
    });
    const std::int32_t bound = warp.least([&](int lane) { return rest[lane]; });
    if (warp.leads()) {
        s.bound[row] = bound;
        add_to(&s.control->renewals, 1);
    }
    warp.meet();
}

// ---- looks

struct BestTwo {
    std::int32_t best, second, column;
};

struct LaneTwo {
    std::int32_t best = kInfinite, second = kInfinite, turn = kInfinite;

    BRENIER_BOTH void see(std::int32_t value, std::int32_t its_turn) {
        const bool first = value < best || (value == best && its_turn < turn);
        const std::int32_t other = first ? best : value;
        second = other < second ? other : second;
        best = first ? value : best;
        turn = first ? its_turn : turn;
    }
};

BRENIER_BOTH LaneTwo look_in_lane(const State& s, int row, int lane) {
    LaneTwo two;
BRENIER_UNROLL
    for (int k = 0; k < kSlots; ++k) {
        const std::int64_t slot = (static_cast<std::int64_t>(row) * kSlots + k) * 32 + lane;
        const std::int32_t column = s.list_column[slot];
        if (column != kNone) two.see(s.list_cost[slot] + s.price[column], s.turn(row, column));
    }
    return two;
}

template <class Warp>
BRENIER_BOTH BestTwo look_in_list(const Warp& warp, const State& s, int row) {
    typename Warp::template Of<LaneTwo> two;
    warp.each([&](int lane) { two[lane] = look_in_lane(s, row, lane); });
    const std::int32_t best = warp.least([&](int lane) { return two[lane].best; });
    const std::int32_t turn = warp.least([&](int lane) { return two[lane].best == best ? two[lane].turn : kInfinite; });
    const std::int32_t second =
        warp.least([&](int lane) { return two[lane].turn == turn ? two[lane].second : two[lane].best; });
    const std::int32_t column = row + turn;
    return {best, second, column < s.n ? column : column - s.n};
}

// The best two of the whole row; where the list cannot tell the second, the bound stands for it.
template <class Warp>
BRENIER_BOTH BestTwo look(const Warp& warp, const State& s, int row) {
    if (s.bound[row] != kUnmade) {
        const BestTwo two = look_in_list(warp, s, row);
        if (two.second <= s.bound[row]) return two;
    }
    renew(warp, s, row);
    BestTwo two = look_in_list(warp, s, row);
    two.second = two.second < s.bound[row] ? two.second : s.bound[row];
    return two;
}

// The least cost + price of the whole row.
template <class Warp>
BRENIER_BOTH std::int32_t lowest(const Warp& warp, const State& s, int row) {
    if (s.bound[row] != kUnmade) {
        const std::int32_t best = look_in_list(warp, s, row).best;
        if (best <= s.bound[row]) return best;
    }
    renew(warp, s, row);
    return look_in_list(warp, s, row).best;
}

}  // namespace brenier::cuda
