// One row of scores to 16-bit costs above the row's minimum: enough to bid by.
//
//   steps = min(⌊(cost − least) / step⌋, 65535),  coarse = min(⌊steps / 2^COARSE_BITS⌋, 255):  never more than the cost
#pragma once
#include "cpu/assignment/bytes.hpp"
#include "cpu/assignment/source.hpp"

namespace brenier::assignment::BRENIER_ISA {

template <class Score>
struct Wide;  // 64 bytes of scores
template <>
struct Wide<float> {
    typedef float Unaligned __attribute__((vector_size(64), aligned(4)));
    typedef Floats Type;
};
template <>
struct Wide<double> {
    typedef double Unaligned __attribute__((vector_size(64), aligned(8)));
    typedef Doubles Type;
};

BRENIER_INLINE Ints numbers_like(Floats) { return int_lanes(); }
BRENIER_INLINE Longs numbers_like(Doubles) { return lane_numbers(); }

struct RowFacts {
    double least, greatest, mean;  // the mean with the padding
    bool finite;
};

// The row as costs in `staged`, padded with its first cost to a whole number of vectors.
template <class Score>
inline RowFacts stage_row(const Problem& problem, int64_t i, Score* staged, int64_t width) {
    typedef typename Wide<Score>::Type Vector;
    constexpr int64_t STEP = 64 / sizeof(Score);
    const Score* from = score_row<Score>(problem, i);
    const Score sign = Score(sign_of(problem)), start = sign * from[0];
    const int64_t whole = problem.column_stride == 1 ? problem.size / STEP * STEP : 0;
    for (int64_t j = whole; j < problem.size; ++j) staged[j] = sign * from[j * problem.column_stride];
    for (int64_t j = problem.size; j < width; ++j) staged[j] = start;
    Vector least = Vector{} + start, greatest = least, above = {};
    for (int64_t j = 0; j < width; j += STEP) {
        Vector* const place = reinterpret_cast<Vector*>(staged + j);
        const Vector cost =
            j < whole ? sign * Vector(*reinterpret_cast<const typename Wide<Score>::Unaligned*>(from + j)) : *place;
        *place = cost;
        __builtin_prefetch(from + problem.row_stride + j);  // the next row: hardware stops at every page
        least = cost < least ? cost : least;
        greatest = cost > greatest ? cost : greatest;
        above += cost - start;  // NaN for NaN, infinite or NaN for the infinite
    }
    for (int half = STEP / 2; half; half /= 2) {
        const auto across = numbers_like(least) ^ half;
        const Vector low = __builtin_shuffle(least, across), high = __builtin_shuffle(greatest, across);
        least = low < least ? low : least;
        greatest = high > greatest ? high : greatest;
        above += __builtin_shuffle(above, across);
    }
    const double mean = double(start) + double(above[0]) / double(width);
    return {double(least[0]), double(greatest[0]), mean, above[0] - above[0] == 0};
}

BRENIER_INLINE Floats above(const float* staged, double least) {
    return *reinterpret_cast<const Floats*>(staged) - float(least);
}
BRENIER_INLINE Floats above(const double* staged, double least) {
    typedef float Half __attribute__((vector_size(32)));
    union {
        Half halves[2];
        Floats whole;
    } joined;
    joined.halves[0] = __builtin_convertvector(load(staged) - least, Half);
    joined.halves[1] = __builtin_convertvector(load(staged + LANES) - least, Half);
    return joined.whole;
}

// Whole steps of a staged row, and coarse ones where there is room for them; exact ones are added to the column sums.
template <class Score>
inline void quantise_row(const Score* staged, double least, float scale, uint16_t* steps, uint8_t* coarse, float* sums,
                         int64_t width) {
    const Floats top = Floats{} + 65535.0f;
    for (int64_t j = 0; j < width; j += INT_LANES) {
        Floats exact = above(staged + j, least) * scale;
        exact = exact < top ? exact : top;
        Floats* const sum = reinterpret_cast<Floats*>(sums + j);
        *sum += exact;
        const Ints whole = __builtin_convertvector(exact, Ints);
        store(steps + j, whole);
        if (coarse) store_coarse(coarse + j, whole);
    }
}

// Some costs of a staged row above its least, evenly spread; whether the least is there twice.
template <class Score>
inline bool sample_of(const Score* staged, double least, int64_t size, double* sample, int64_t samples) {
    int64_t minima = 0;
    for (int64_t k = 0; k < samples; ++k) sample[k] = double(staged[k * size / samples]) - least;
    for (int64_t j = 0; j < size; ++j) minima += staged[j] == Score(least);
    return minima > 1;
}

// The middle one of the values, which it re-orders (Hoare's selection).
inline double median(double* values, int64_t count) {
    for (int64_t low = 0, high = count - 1; low < high;) {
        const double pivot = values[low + (high - low) / 2];
        int64_t i = low, j = high;
        while (i <= j) {
            while (values[i] < pivot) ++i;
            while (values[j] > pivot) --j;
            if (i > j) break;
            const double kept = values[i];
            values[i++] = values[j];
            values[j--] = kept;
        }
        if (count / 2 <= j) {
            high = j;
        } else if (count / 2 >= i) {
            low = i;
        } else {
            break;
        }
    }
    return values[count / 2];
}

}  // namespace brenier::assignment::BRENIER_ISA
