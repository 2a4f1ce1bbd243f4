// Short lists of the columns that a row may want, so that most looks at a row read 32 entries instead of n.
//
// A list holds every column whose cost + price was at most a bound when the list was made. Prices only rise, so every
// column that is not on the list stays above the bound: a look is exact while its answer is at or below the bound,
// and the list is made anew when it is not. Costs are whole steps, rounded down; prices count in 64ths of a step.
#pragma once
#include "cpu/assignment/lanes.hpp"

namespace brenier::assignment::BRENIER_ISA {

constexpr int64_t CAPACITY = 80;
constexpr int GROUPS = 8;         // vectors of running minima, by whose rank the bound is chosen
constexpr int STEP_BITS = 6;
constexpr int32_t STEP = 1 << STEP_BITS, LARGEST_COST = 65535 << STEP_BITS;
constexpr int32_t HIGHEST_PRICE = 1 << 28, PADDING = 1 << 30;  // no bound reaches PADDING − 2^23, no sum 2^31

struct CandidateList {
    int32_t bound;   // every column not listed costs at least this, price included
    int32_t spread;  // bound − minimum at the last making: the first guess for the next
    int32_t count;   // 0: not made yet
    alignas(64) int32_t cost[CAPACITY];
    int32_t column[CAPACITY];

    int32_t padded() const { return (count + int32_t(INT_LANES) - 1) / int32_t(INT_LANES) * int32_t(INT_LANES); }
};

struct BidTwo {
    int32_t best, second, column;
};

inline int64_t count_at_most(const Ints* minima, int32_t bound) {
    int64_t total = 0;
    for (int g = 0; g < GROUPS; ++g) total += __builtin_popcount(at_most_bits(minima[g], all(bound)));
    return total;
}

// Cost + price into `values`, and the minima of GROUPS × INT_LANES interleaved groups of columns.
inline int32_t group_minima(const uint16_t* steps, const int32_t* price, int32_t* values, Ints* minima, int64_t width) {
    for (int g = 0; g < GROUPS; ++g) minima[g] = all(PADDING);
    int64_t j = 0;
    for (; j + GROUPS * INT_LANES <= width; j += GROUPS * INT_LANES)
        for (int g = 0; g < GROUPS; ++g) {
            const int64_t k = j + g * INT_LANES;
            const Ints sum = (widen(steps + k) << STEP_BITS) + load(price + k);
            store(values + k, sum);
            minima[g] = lower(minima[g], sum);
        }
    for (int g = 0; j < width; j += INT_LANES, ++g) {
        const Ints sum = (widen(steps + j) << STEP_BITS) + load(price + j);
        store(values + j, sum);
        minima[g] = lower(minima[g], sum);
    }
    Ints least = minima[0];
    for (int g = 1; g < GROUPS; ++g) least = lower(least, minima[g]);
    return lowest(least);
}

// A spread that lists about `wanted` groups, by bisection from the last one.
inline int32_t choose_spread(const Ints* minima, int32_t least, int32_t guess, int64_t wanted) {
    int32_t low = 1, high = guess > 1 ? guess : 1;
    int64_t count = count_at_most(minima, least + high);
    while (count < wanted && high < HIGHEST_PRICE / 2) {
        low = high;
        high *= 2;
        count = count_at_most(minima, least + high);
    }
    for (int i = 0; i < 12 && count > wanted + wanted / 4 && high - low > 1; ++i) {
        const int32_t middle = low + (high - low) / 2;
        const int64_t inside = count_at_most(minima, least + middle);
        (inside >= wanted ? high : low) = middle;
        count = inside >= wanted ? inside : count;
    }
    return high;
}

// Positions of every value at or below the bound; false when there are too many.
inline bool fill_list(CandidateList& list, const int32_t* values, int32_t bound, int64_t width) {
    int32_t count = 0;
    const Ints highest = all(bound);
    Ints here = int_lanes();
    for (int64_t j = 0; j < width; j += INT_LANES, here += int32_t(INT_LANES)) {
        if (count > CAPACITY - INT_LANES) return false;
        count += compress(list.column + count, here, at_most_bits(load(values + j), highest));
    }
    list.count = count;
    list.bound = bound;
    return true;
}

// Costs of the listed columns; unused places up to a whole vector cost more than any and point at the first column.
inline void fill_costs(CandidateList& list, const uint16_t* steps) {
    for (int32_t k = 0; k < list.count; ++k) list.cost[k] = int32_t(steps[list.column[k]]) << STEP_BITS;
    for (int32_t k = list.count; k < list.padded(); ++k) list.column[k] = 0, list.cost[k] = PADDING;
}

// Make a row's list at the present prices; false when equal columns overflow it, so that no bound holds.
inline bool make_list(CandidateList& list, const uint16_t* steps, const int32_t* price, int32_t* values, int64_t width,
                      int64_t wanted) {
    Ints minima[GROUPS];
    const int32_t least = group_minima(steps, price, values, minima, width);
    list.spread = choose_spread(minima, least, list.spread, wanted);
    for (;;) {
        if (fill_list(list, values, least + list.spread, width)) break;
        if (list.spread == 0) return false;
        list.spread /= 2;
    }
    fill_costs(list, steps);
    return true;
}

inline void shift_row(const uint16_t* steps, int32_t* cost, int64_t width) {
    for (int64_t j = 0; j < width; j += INT_LANES) store(cost + j, widen(steps + j) << STEP_BITS);
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
inline BidTwo best_two(const CandidateList& list, const int32_t* price) {
    LaneTwo two;
    for (int32_t k = 0; k < list.count; k += INT_LANES) {
        const Ints columns = load(list.column + k);
        two.see(load(list.cost + k) + gather(price, columns), columns);
    }
    return two.fold();
}

// The same over a whole row, for as many columns as are read faster than a list is made.
inline BidTwo best_two(const int32_t* cost, const int32_t* price, int64_t width) {
    LaneTwo two;
    Ints here = int_lanes();
    for (int64_t j = 0; j < width; j += INT_LANES, here += int32_t(INT_LANES))
        two.see(load(cost + j) + load(price + j), here);
    return two.fold();
}

inline int32_t lowest_of(const CandidateList& list, const int32_t* price) {
    Ints least = all(INT32_MAX);
    for (int32_t k = 0; k < list.count; k += INT_LANES)
        least = lower(least, load(list.cost + k) + gather(price, load(list.column + k)));
    return lowest(least);
}

inline int32_t lowest_of(const int32_t* cost, const int32_t* price, int64_t width) {
    Ints least = all(INT32_MAX);
    for (int64_t j = 0; j < width; j += INT_LANES)
        least = lower(least, load(cost + j) + load(price + j));
    return lowest(least);
}

}  // namespace brenier::assignment::BRENIER_ISA
