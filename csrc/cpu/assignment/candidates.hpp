// Short lists of the columns that a row may want, so that most looks at a row read 32 entries instead of n.
//
// A list holds every column whose coarse cost + price was at most a bound when the list was made. Prices only rise,
// and a coarse cost is at most the fine one, so every column that is not on the list stays above the bound: a look is
// exact while its answer is at or below the bound, and the list is made anew when it is not.
#pragma once
#include "cpu/assignment/lanes.hpp"

namespace brenier::assignment::BRENIER_ISA {

constexpr int64_t WANTED = 32, CAPACITY = 80;
constexpr int GROUPS = 8;         // vectors of running minima, by whose rank the bound is chosen
constexpr int FINE_BITS = 6;      // a coarse step is 2^6 fine ones
constexpr int32_t COARSE_STEP = 1 << FINE_BITS, LARGEST_FINE = 65535 << FINE_BITS;
constexpr int32_t HIGHEST_PRICE = 1 << 28, PADDING = 1 << 30;  // no bound reaches PADDING − 2^23, no sum 2^31

struct CandidateList {
    int32_t bound;   // every column not listed costs at least this, price included
    int32_t spread;  // bound − minimum at the last making: the first guess for the next
    int32_t count;   // 0: not made yet
    alignas(64) int32_t cost[CAPACITY];  // fine
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

// Coarse cost + price into `values`, and the minima of GROUPS × INT_LANES interleaved groups of columns.
inline int32_t group_minima(const uint16_t* coarse, const int32_t* price, int32_t* values, Ints* minima, int64_t width) {
    for (int g = 0; g < GROUPS; ++g) minima[g] = all(PADDING);
    int64_t j = 0;
    for (; j + GROUPS * INT_LANES <= width; j += GROUPS * INT_LANES)
        for (int g = 0; g < GROUPS; ++g) {
            const int64_t k = j + g * INT_LANES;
            const Ints sum = (widen(coarse + k) << FINE_BITS) + load(price + k);
            store(values + k, sum);
            minima[g] = lower(minima[g], sum);
        }
    for (int g = 0; j < width; j += INT_LANES, ++g) {
        const Ints sum = (widen(coarse + j) << FINE_BITS) + load(price + j);
        store(values + j, sum);
        minima[g] = lower(minima[g], sum);
    }
    Ints least = minima[0];
    for (int g = 1; g < GROUPS; ++g) least = lower(least, minima[g]);
    return lowest(least);
}

// A spread that lists about `wanted` groups, by bisection from the last one. Never under one coarse step, so that
// the fine minimum is within the bound.
inline int32_t choose_spread(const Ints* minima, int32_t least, int32_t guess, int64_t wanted) {
    int32_t low = COARSE_STEP, high = guess > COARSE_STEP ? guess : COARSE_STEP;
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
    Ints here = int_lanes();
    for (int64_t j = 0; j < width; j += INT_LANES, here += int32_t(INT_LANES)) {
        unsigned hits = at_most_bits(load(values + j), all(bound));
        if (!hits) continue;
        if (count > CAPACITY - INT_LANES) return false;
#if defined(__AVX512F__)
        _mm512_storeu_si512(list.column + count, _mm512_maskz_compress_epi32(__mmask16(hits), (__m512i)here));
        count += __builtin_popcount(hits);
#else
        for (; hits; hits &= hits - 1) list.column[count++] = int32_t(j) + __builtin_ctz(hits);
#endif
    }
    list.count = count;
    list.bound = bound;
    return true;
}

// Unused places up to a whole vector cost more than any column and point at the first one.
inline void pad_list(CandidateList& list) {
    for (int32_t k = list.count; k < list.padded(); ++k) list.column[k] = 0, list.cost[k] = PADDING;
}

// Choose the columns of a row's list at the present prices; false when near-equal ones overflow it, so that no
// bound holds. The caller fills in the fine costs.
inline bool choose_columns(CandidateList& list, const uint16_t* coarse, const int32_t* price, int32_t* values,
                           int64_t width, int64_t wanted) {
    Ints minima[GROUPS];
    const int32_t least = group_minima(coarse, price, values, minima, width);
    list.spread = choose_spread(minima, least, list.spread, wanted);
    for (;;) {
        if (fill_list(list, values, least + list.spread, width)) return true;
        if (list.spread == COARSE_STEP) return false;
        list.spread = list.spread / 2 > COARSE_STEP ? list.spread / 2 : COARSE_STEP;
    }
}

// Smallest and second smallest over the list alone.
inline BidTwo best_two(const CandidateList& list, const int32_t* price) {
    Ints first = all(INT32_MAX), second = first, where = {};
    for (int32_t k = 0; k < list.count; k += INT_LANES) {
        const Ints columns = load(list.column + k), sum = load(list.cost + k) + gather(price, columns);
        second = lower(second, upper(first, sum));
        where = sum < first ? columns : where;
        first = lower(first, sum);
    }
    const int32_t best = lowest(first);
    const int lane = __builtin_ctz(at_most_bits(first, all(best)));
    const Ints rest = int_lanes() == all(int32_t(lane)) ? second : first;
    return {best, lowest(rest), where[lane]};
}

inline int32_t lowest_of(const CandidateList& list, const int32_t* price) {
    Ints least = all(INT32_MAX);
    for (int32_t k = 0; k < list.count; k += INT_LANES)
        least = lower(least, load(list.cost + k) + gather(price, load(list.column + k)));
    return lowest(least);
}

}  // namespace brenier::assignment::BRENIER_ISA
