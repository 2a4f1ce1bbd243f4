// soft_counts: per row of candidates, p_i = exp((s_i - max s) / eps) / sum, with s_i = score_i + change_i.
//
// Added over rows, per target, as integers of 2^-40: p at eps, p at eps / sqrt 2, p^2 at eps, and wins (the lowest
// index with the largest s). Integer sums do not depend on the order of the rows; within a row everything is summed
// in ascending order, and the exponential is our own polynomial without contraction: the bits are the same on every
// instruction set, however rows are cut and shared.
#pragma once

#include <cstdint>

#include "cpu/body.hpp"
#include "cpu/filter.hpp"

namespace brenier::cpu {
namespace {

constexpr double root_two = 1.4142135623730951;
constexpr int64_t batch_entries = 2048;  // the arrays of a batch stay in L1 and L2

// exp(t) for -60 <= t <= 0, relative error below 2^-50; Real is double or a vector of them, Bits its integers.
template <class Bits, class Real>
inline __attribute__((always_inline)) Real exponential(Real t) {
    constexpr double magic = 0x1.8p52;  // adding it rounds to the nearest integer
    const Real shifted = t * 1.4426950408889634 + magic, k = shifted - magic;
    const Real r = (t - k * 0x1.62e42fefa38p-1) - k * 0x1.ef35793c7673p-45;
    Real p = r * (1.0 / 6227020800) + 1.0 / 479001600;  // Taylor, |r| <= ln 2 / 2: the next term is below 2^-57
    p = p * r + 1.0 / 39916800;
    p = p * r + 1.0 / 3628800;
    p = p * r + 1.0 / 362880;
    p = p * r + 1.0 / 40320;
    p = p * r + 1.0 / 5040;
    p = p * r + 1.0 / 720;
    p = p * r + 1.0 / 120;
    p = p * r + 1.0 / 24;
    p = p * r + 1.0 / 6;
    p = p * r + 0.5;
    p = p * r + 1.0;
    p = p * r + 1.0;
    Bits power, bits;
    __builtin_memcpy(&power, &shifted, sizeof power);
    __builtin_memcpy(&bits, &p, sizeof bits);
    bits += power << 52;  // the low bits of `shifted` hold k
    __builtin_memcpy(&p, &bits, sizeof p);
    return p;
}

// exp(t) for t <= 0; 0 below -60, which is under half of 2^-40 by far.
inline double exponential_or_zero(double t) {
    const double result = exponential<uint64_t>(t > -60 ? t : -60);
    return t > -60 ? result : 0.0;
}

// The nearest integer to value 2^40, for value in [0, 1].
inline int64_t fixed_point(double value) {
    constexpr double magic = 0x1.8p52;
    const double shifted = value * 0x1p40 + magic, zero = magic;
    int64_t bits, zero_bits;
    __builtin_memcpy(&bits, &shifted, sizeof bits);
    __builtin_memcpy(&zero_bits, &zero, sizeof zero_bits);
    return bits - zero_bits;
}

// Consecutive rows with their candidates side by side; grows for a row longer than a batch.
struct SoftBatch {
    struct Row {
        int64_t start, count;    // in this batch
        const int64_t* indices;  // its targets
    };
    List<Row> rows;
    List<double> below, weight, sharp;  // s - max s, then exp of it over eps and over eps / sqrt 2

    void clear() { rows.truncate(0), below.truncate(0); }
};

// Largest s of the row and who has it; false for a NaN, +inf or an index out of bounds.
inline bool append_scores(const SoftRows& in, int64_t lo, int64_t hi, SoftBatch& batch, double& most, int64_t& winner) {
    most = -__builtin_inf(), winner = -1;
    for (int64_t i = lo; i < hi; ++i) {
        const int64_t target = in.indices[i];
        if (uint64_t(target) >= uint64_t(in.targets)) return false;
        const double score = in.scores[i] + (in.change ? in.change[target] : 0.0);
        if (!(score < __builtin_inf())) return false;
        if (score > most) most = score, winner = target;
        batch.below.push(score);
    }
    return true;
}

// Appends one row; a row without a finite score adds nothing. False as above.
inline bool append_row(const SoftRows& in, int64_t lo, int64_t hi, SoftBatch& batch, SoftSums* sums) {
    const int64_t start = batch.below.size();
    double most;
    int64_t winner;
    if (!append_scores(in, lo, hi, batch, most, winner)) return false;
    if (winner < 0) {
        batch.below.truncate(start);
        return true;
    }
    for (int64_t i = start; i < batch.below.size(); ++i) batch.below[i] -= most;
    batch.rows.push({start, hi - lo, in.indices + lo});
    ++sums[winner].wins;
    return true;
}

inline void exponentiate(SoftBatch& batch, double epsilon) {
    const int64_t count = batch.below.size();
    batch.weight.resize(count), batch.sharp.resize(count);
    const double* __restrict below = batch.below.data();
    double* __restrict weight = batch.weight.data();
    double* __restrict sharp = batch.sharp.data();
    for (int64_t i = 0; i < count; ++i) {
        const double t = below[i] / epsilon;
        weight[i] = exponential_or_zero(t);
        sharp[i] = exponential_or_zero(t * root_two);
    }
}

inline double sum_of(const double* values, int64_t count) {
    double sum = 0;
    for (int64_t i = 0; i < count; ++i) sum += values[i];
    return sum;
}

// Normalises one row and adds it to the sums of its targets.
inline void scatter_row(const SoftBatch::Row& row, const double* weight, const double* sharp, SoftSums* sums) {
    const double per_weight = 1 / sum_of(weight, row.count), per_sharp = 1 / sum_of(sharp, row.count);
    for (int64_t i = 0; i < row.count; ++i) {
        const double p = weight[i] * per_weight;
        SoftSums& sum = sums[row.indices[i]];
        sum.weight += fixed_point(p);
        sum.sharp += fixed_point(sharp[i] * per_sharp);
        sum.square += fixed_point(p * p);
    }
}

inline void flush(SoftBatch& batch, double epsilon, SoftSums* sums) {
    exponentiate(batch, epsilon);
    for (int64_t r = 0; r < batch.rows.size(); ++r) {
        const SoftBatch::Row& row = batch.rows[r];
        scatter_row(row, batch.weight.data() + row.start, batch.sharp.data() + row.start, sums);
    }
    batch.clear();
}

// Rows [lo, hi) added to sums (targets,). Returns -1, or the first row with a NaN, a +inf or an index out of bounds.
template <class V>
int64_t soft_counts(const SoftRows& in, int64_t lo, int64_t hi, double epsilon, SoftSums* sums) {
    SoftBatch batch;
    for (int64_t row = lo; row < hi; ++row) {
        if (!append_row(in, in.offsets[row], in.offsets[row + 1], batch, sums)) return row;
        if (batch.below.size() >= batch_entries) flush(batch, epsilon, sums);
    }
    flush(batch, epsilon, sums);
    return -1;
}

}  // namespace
}  // namespace brenier::cpu
