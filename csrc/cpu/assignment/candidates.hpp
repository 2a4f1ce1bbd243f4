// Short lists of the columns that a row may want, so that most looks at a row read 32 entries instead of n.
//
// A list holds every column whose cost + price was at most a bound when the list was made. Prices only rise, so every
// column that is not on the list stays above the bound: a look is exact while its answer is at or below the bound,
// and the list is made anew when it is not. Costs are whole steps, rounded down; prices count in 64ths of a step.
#pragma once
#include "cpu/assignment/steps.hpp"

namespace brenier::assignment::BRENIER_ISA {

constexpr int32_t CAPACITY = 32;
constexpr int STEP_BITS = 6;
constexpr int32_t STEP = 1 << STEP_BITS, LARGEST_COST = 65535 << STEP_BITS;
constexpr int32_t HIGHEST_PRICE = 1 << 28, PADDING = 1 << 30;  // no bound reaches PADDING − 2^24, no sum 2^31

struct CandidateList {
    alignas(64) uint16_t cost[CAPACITY];
    float spread;  // of its bound above the least when it was made, or a guess
    int32_t count;
    int32_t fetched;  // whether exact costs have been read
    alignas(64) int32_t column[CAPACITY];
};
constexpr int32_t UNMADE = INT32_MIN;  // the bound of a list that is not made yet

struct BidTwo {
    int32_t best, second, column;
    int32_t own = 0;  // cost of the best column without its price
};

// Cost + price of INT_LANES columns, of a row or of its list.
BRENIER_INLINE Ints sums_at(const uint16_t* steps, const int32_t* price, int64_t j) {
    return (widen(steps + j) << STEP_BITS) + load(price + j);
}
BRENIER_INLINE Ints listed_sums(const CandidateList& list, const int32_t* price, int32_t k) {
    return (widen(list.cost + k) << STEP_BITS) + gather(price, load(list.column + k));
}

// Places of the bits, in order; how many. Four are written whatever there are, so that few branches are taken; volatile,
// because gcc would put the four side by side in a vector first, which takes longer than all the rest.
BRENIER_INLINE int32_t places_of(uint64_t bits, int32_t first, int32_t* places) {
    volatile int32_t* const out = places;
    const int32_t count = __builtin_popcountll(bits);
    for (int32_t k = 0; k < 4; ++k, bits &= bits - 1) out[k] = first + __builtin_ctzll(bits | uint64_t(1) << 63);
    for (int32_t k = 4; k < count; ++k, bits &= bits - 1) out[k] = first + __builtin_ctzll(bits);
    return count;
}

// A row and the prices, in 64ths and as whole steps above `low`, rounded down; 65535 for more.
struct Row {
    const uint16_t* steps;
    const int32_t* price;
    const uint16_t* whole_price;
    int32_t low;
    int64_t width;

    int32_t sum(int32_t j) const { return (int32_t(steps[j]) << STEP_BITS) + price[j]; }
};

inline int32_t lowest_of(const Row& row) {
    Ints least = all(INT32_MAX);
    for (int64_t j = 0; j < row.width; j += INT_LANES) least = lower(least, sums_at(row.steps, row.price, j));
    return lowest(least);
}

BRENIER_INLINE uint32_t whole_bits(const Row& row, int64_t j, Steps highest) {
    return at_most_bits(clamped_sum(load(row.steps + j), load(row.whole_price + j)), highest);
}

// All columns of a row at or below a bound, and perhaps some that are less than two steps above it; how many.
inline int32_t collect(const Row& row, int32_t bound, int32_t* columns) {
    const int64_t above_low = (int64_t(bound) - row.low) >> STEP_BITS;
    if (above_low < 0) return 0;
    int32_t count = 0;
    if (above_low < UINT16_MAX) {
        const Steps highest = all(uint16_t(above_low));
        for (int64_t j = 0; j < row.width; j += 2 * STEP_LANES) {
            uint64_t bits = whole_bits(row, j, highest);
            const int64_t k = j + STEP_LANES;
            if (k < row.width) bits |= uint64_t(whole_bits(row, k, highest)) << STEP_LANES;
            count += places_of(bits, int32_t(j), columns + count);
        }
    } else {
        for (int64_t j = 0; j < row.width; j += INT_LANES)
            count += places_of(at_most_bits(sums_at(row.steps, row.price, j), all(bound)), int32_t(j), columns + count);
    }
    return count;
}

// Those of some columns of the row that are at or below a bound.
inline int32_t collect_again(const Row& row, int32_t bound, int32_t* columns, int32_t count) {
    int32_t kept = 0;
    for (int32_t k = 0; k < count; ++k) {
        const int32_t j = columns[k];
        columns[kept] = j;
        kept += row.sum(j) <= bound;
    }
    return kept;
}

// Lower the bound towards `near`, then towards the least, until no more than `room` columns are left; false when equal
// ones never are so few.
inline bool thin(const Row& row, int32_t near, int32_t& bound, int32_t* columns, int32_t& count, int32_t room) {
    while (count > room) {
        if (bound <= near) {
            const int32_t least = lowest_of(row);
            if (bound == least) return false;
            near = least;
        }
        bound = near + int32_t(int64_t(bound - near) * 3 / 4);
        count = collect_again(row, bound, columns, count);
    }
    return true;
}

// Listed columns and costs; unused places point past the columns, at PADDING.
inline void fill_list(CandidateList& list, const Row& row, const int32_t* columns, int32_t count, int32_t room) {
    for (int32_t k = 0; k < count; ++k) {
        list.column[k] = columns[k];
        list.cost[k] = row.steps[columns[k]];
    }
    for (int32_t k = count; k < room; ++k) list.column[k] = int32_t(row.width), list.cost[k] = 0;
    list.count = count;
    list.fetched = 0;
}

// Make a row's list at the present prices, in one pass where `spread`, of its bound above `near`, the cost of some column,
// gives about as many columns as wanted; it becomes what would have given that. False when equal columns overflow the
// list, so that no bound holds.
inline bool make_list(CandidateList& list, int32_t& bound, int32_t& spread, const Row& row, int32_t near, int32_t* columns,
                      int32_t room) {
    const int32_t usual = room * 3 / 4, wanted = row.width / 8 < usual ? int32_t(row.width / 8) : usual;
    spread = spread > 1 ? spread : 1;
    int32_t count = collect(row, near + spread, columns);
    while (2 * count < wanted && spread < HIGHEST_PRICE / 2) {
        spread *= 2;
        count = collect(row, near + spread, columns);
    }
    bound = near + spread;
    if (count > room && !thin(row, near, bound, columns, count, room)) return false;
    fill_list(list, row, columns, count, room);
    spread = bound - near;
    spread += int32_t(int64_t(spread) * (wanted - count) / (2 * wanted));
    return true;
}

// The columns of a list at or below a bound; how many.
inline int32_t collect(const CandidateList& list, const int32_t* price, int32_t bound, int32_t* columns, int32_t room) {
    int32_t count = 0;
    for (int32_t k = 0; k < room; k += INT_LANES)
        count += compress(columns + count, load(list.column + k), at_most_bits(listed_sums(list, price, k), all(bound)));
    return count;
}

// Smallest and second smallest, and where the smallest is, per lane.
struct LaneTwo {
    Ints first = all(INT32_MAX), second = all(INT32_MAX), where = {};

    BRENIER_INLINE void see(Ints value, Ints column) {
        second = lower(second, upper(first, value));
        where = value < first ? column : where;
        first = lower(first, value);
    }
    BRENIER_INLINE BidTwo fold() const {
        Ints best = first, runner_up = second;
        fold_two(best, runner_up);
        return {best[0], runner_up[0], where[__builtin_ctz(at_most_bits(first, best))]};
    }
};

// Smallest and second smallest over the list alone.
inline BidTwo best_two(const CandidateList& list, const int32_t* price, int32_t room) {
    LaneTwo two;
    for (int32_t k = 0; k < room; k += INT_LANES) two.see(listed_sums(list, price, k), load(list.column + k));
    return two.fold();
}

inline int32_t lowest_of(const CandidateList& list, const int32_t* price, int32_t room) {
    Ints least = all(INT32_MAX);
    for (int32_t k = 0; k < room; k += INT_LANES) least = lower(least, listed_sums(list, price, k));
    return lowest(least);
}

}  // namespace brenier::assignment::BRENIER_ISA
