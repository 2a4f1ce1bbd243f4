// One pass over one row of costs: the inner loops of the solver. Rows are padded to LANES with +inf.
#pragma once
#include "cpu/assignment/lanes.hpp"

namespace brenier::assignment::BRENIER_ISA {

struct BestTwo {
    double best, second;
    int64_t column;
};

// Fold the lanes: the best, where it is, and the best of everything else.
BRENIER_INLINE BestTwo fold(const LaneBest& first, Doubles second) {
    BestTwo found;
    found.best = lowest(first.value);
    int lane = first.lane(found.best);
    lane = lane < LANES ? lane : 0;
    found.column = first.position[lane];
    const Doubles rest = lane_numbers() == all(int64_t(lane)) ? second : lower(first.value, second);
    found.second = lowest(rest);
    return found;
}

// Smallest and second smallest of cost + price over a row.
inline BestTwo best_two(const double* cost, const double* price, int64_t width) {
    LaneBest even, odd;
    Doubles even_second = all(INFINITE), odd_second = all(INFINITE);
    odd.here += LANES;
    odd.position += LANES;
    int64_t j = 0;
    for (; j + 2 * LANES <= width; j += 2 * LANES) {
        Doubles a = load(cost + j) + load(price + j), b = load(cost + j + LANES) + load(price + j + LANES);
        even_second = lower(even_second, upper(even.value, a));
        odd_second = lower(odd_second, upper(odd.value, b));
        even.see(a);
        odd.see(b);
        even.here += LANES;
        odd.here += LANES;
    }
    if (j < width) {
        Doubles a = load(cost + j) + load(price + j);
        even_second = lower(even_second, upper(even.value, a));
        even.see(a);
    }
    Longs better = odd.value < even.value;
    Doubles second = lower(lower(even_second, odd_second), upper(even.value, odd.value));
    even.value = better ? odd.value : even.value;
    even.position = better ? odd.position : even.position;
    return fold(even, second);
}

BRENIER_INLINE Doubles gather(const double* from, const int32_t* at) {
    return Doubles{from[at[0]], from[at[1]], from[at[2]], from[at[3]], from[at[4]], from[at[5]], from[at[6]], from[at[7]]};
}

// The same over a list of columns; the list is padded to whole vectors with costs of +inf.
inline BestTwo best_two(const double* cost, const int32_t* column, int32_t count, const double* price) {
    LaneBest first;
    Doubles second = all(INFINITE);
    for (int32_t k = 0; k < count; k += LANES) {
        const Doubles sum = load(cost + k) + gather(price, column + k);
        second = lower(second, upper(first.value, sum));
        first.see(sum);
    }
    BestTwo found = fold(first, second);
    found.column = column[found.column];
    return found;
}

inline double lowest_sum(const double* cost, const double* price, int64_t width) {
    Doubles best = all(INFINITE);
    for (int64_t j = 0; j < width; j += LANES) best = lower(best, load(cost + j) + load(price + j));
    return lowest(best);
}

// Column minima so far, and the row that has each: column_best = min(column_best, cost).
inline void lower_columns(const double* cost, int64_t row, double* column_best, int64_t* best_row, int64_t width) {
    for (int64_t j = 0; j < width; j += LANES) {
        Doubles value = load(cost + j), old = load(column_best + j);
        Longs better = value < old;
        store(column_best + j, better ? value : old);
        store(best_row + j, better ? all(row) : load(best_row + j));
    }
}

// The nearest unscanned column of a shortest-path tree, and the distance of the nearest unmatched one.
struct Nearest {
    double distance, unmatched;
    int64_t column;
};

BRENIER_INLINE Nearest fold_nearest(const LaneBest& near, Doubles unmatched) {
    double distance = lowest(near.value);
    int lane = near.lane(distance);
    return {distance, lowest(unmatched), near.position[lane < LANES ? lane : 0]};
}

// Dijkstra's step over a whole row: distance = min(distance, base + cost + price), with the nearest column.
// `open` is the price, +inf for scanned columns; `matched` is 0 for unmatched columns, else +inf.
inline Nearest relax_row(const double* cost, const double* open, double base, int64_t row, double* distance,
                         int64_t* via, const double* matched, int64_t width) {
    LaneBest near;
    Doubles unmatched = all(INFINITE);
    for (int64_t j = 0; j < width; j += LANES) {
        Doubles offer = (load(cost + j) + load(open + j)) + base, old = load(distance + j);
        Longs better = offer < old;
        Doubles now = better ? offer : old;
        store(distance + j, now);
        store(via + j, better ? all(row) : load(via + j));
        unmatched = lower(unmatched, now + load(matched + j));
        near.see(now);
    }
    return fold_nearest(near, unmatched);
}

// The first unmatched column at that distance; it exists when Nearest::unmatched says so.
inline int64_t unmatched_at(const double* distance, const double* matched, double target) {
    for (int64_t j = 0;; j += LANES) {
        unsigned hits = below_bits(load(distance + j) + load(matched + j), all(target));
        if (hits) return j + __builtin_ctz(hits);
    }
}

}  // namespace brenier::assignment::BRENIER_ISA
