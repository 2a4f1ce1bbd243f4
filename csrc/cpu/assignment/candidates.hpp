// Short lists of the columns that a row may want, so that most looks at a row read 32 entries instead of n.
//
// A list holds every column whose cost + price was at most a bound when the list was made. Prices only rise, so
// every column that is not on the list stays at or above the bound: a look is exact while its answer is at or
// below the bound, and the list is made anew when it is not.
#pragma once
#include "cpu/assignment/rows.hpp"

namespace brenier::assignment::BRENIER_ISA {

constexpr int64_t WANTED = 32, CAPACITY = 80;
constexpr int GROUPS = 16;  // vectors of running minima, by whose rank the bound is chosen

struct CandidateList {
    double bound;   // everything not listed is at or above it
    double spread;  // bound − minimum at the last making: the first guess for the next
    int64_t count;  // 0: not made yet
    alignas(64) double cost[CAPACITY];
    int32_t column[CAPACITY];
};

inline int64_t count_below(const Doubles* minima, double bound) {
    Longs below = {};
    for (int g = 0; g < GROUPS; ++g) below -= (minima[g] <= all(bound));
    int64_t total = 0;
    for (int lane = 0; lane < LANES; ++lane) total += below[lane];
    return total;
}

// cost + price into `values`, and the minima of GROUPS × LANES interleaved groups of columns.
inline double group_minima(const double* cost, const double* price, double* values, Doubles* minima, int64_t width) {
    for (int g = 0; g < GROUPS; ++g) minima[g] = all(INFINITE);
    int64_t j = 0;
    for (; j + GROUPS * LANES <= width; j += GROUPS * LANES)
        for (int g = 0; g < GROUPS; ++g) {
            Doubles sum = load(cost + j + g * LANES) + load(price + j + g * LANES);
            store(values + j + g * LANES, sum);
            minima[g] = lower(minima[g], sum);
        }
    for (int g = 0; j < width; j += LANES, ++g) {
        Doubles sum = load(cost + j) + load(price + j);
        store(values + j, sum);
        minima[g] = lower(minima[g], sum);
    }
    Doubles least = minima[0];
    for (int g = 1; g < GROUPS; ++g) least = lower(least, minima[g]);
    return lowest(least);
}

// A spread that lists about `wanted` groups, by bisection from the last one.
inline double choose_spread(const Doubles* minima, double least, double guess, int64_t wanted) {
    double low = 0, high = guess;
    int64_t count = count_below(minima, least + high);
    for (int i = 0; i < 60 && count < wanted; ++i) {
        low = high;
        high *= 2;
        count = count_below(minima, least + high);
    }
    for (int i = 0; i < 12 && count > wanted + wanted / 4; ++i) {
        double middle = 0.5 * (low + high);
        int64_t inside = count_below(minima, least + middle);
        (inside >= wanted ? high : low) = middle;
        count = inside >= wanted ? inside : count;
    }
    return high;
}

// List every value at or below the bound; false when there are too many.
inline bool fill_list(CandidateList& list, const double* cost, const double* values, double bound, int64_t width) {
    int64_t count = 0;
    for (int64_t j = 0; j < width; j += LANES) {
        unsigned hits = below_bits(load(values + j), all(bound));
        if (!hits) continue;
        if (count > CAPACITY - 2 * LANES) return false;
        for (; hits; hits &= hits - 1) {
            int64_t column = j + __builtin_ctz(hits);
            list.column[count] = int32_t(column);
            list.cost[count++] = cost[column];
        }
    }
    list.count = count;
    return true;
}

// Unused places up to a whole vector cost +inf and point at the first column.
inline void pad_list(CandidateList& list) {
    for (int64_t k = list.count; k % LANES; ++k) {
        list.column[k] = 0;
        list.cost[k] = INFINITE;
    }
}

// Make the list of a row at the present prices; false when exact ties at the minimum overflow it, in which
// case it holds the minimum alone and its bound is the minimum.
inline bool make_list(CandidateList& list, const double* cost, const double* price, double* values, int64_t width,
                      int64_t wanted) {
    Doubles minima[GROUPS];
    double least = group_minima(cost, price, values, minima, width);
    list.spread = choose_spread(minima, least, list.spread, wanted);
    for (int i = 0; i < 12; ++i) {
        if (fill_list(list, cost, values, least + list.spread, width)) {
            list.bound = least + list.spread;
            pad_list(list);
            return true;
        }
        list.spread *= 0.5;
    }
    int64_t column = 0;
    while (values[column] > least) ++column;
    list.column[0] = int32_t(column);
    list.cost[0] = cost[column];
    list.count = 1;
    list.bound = least;
    pad_list(list);
    return false;
}

BRENIER_INLINE Doubles gather(const double* from, const int32_t* at) {
    return Doubles{from[at[0]], from[at[1]], from[at[2]], from[at[3]], from[at[4]], from[at[5]], from[at[6]], from[at[7]]};
}

// Smallest and second smallest over the list alone.
inline BestTwo best_two(const CandidateList& list, const double* price) {
    LaneBest first;
    Doubles second = all(INFINITE);
    for (int64_t k = 0; k < list.count; k += LANES) {
        Doubles sum = load(list.cost + k) + gather(price, list.column + k);
        second = lower(second, upper(first.value, sum));
        first.see(sum);
    }
    BestTwo found = fold(first, second);
    found.column = list.column[found.column];
    return found;
}

}  // namespace brenier::assignment::BRENIER_ISA
