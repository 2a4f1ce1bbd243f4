// How far a float32 score of the filter can lie from the float64 score that defines the answer.
//
// The filter scores packed values, |x'| <= 1 and |y'| <= 1 by exact powers of two, in "filter units":
// one unit of the true score is `scale` = 2^(a + b) filter units, for exponents a of the row and b of the targets.
//
//     s'_i = fl32( sum_k x'_k y'_ik ) + c bias_i,      c = 2^(a + b - g),   c <= 1 by the choice of a
//
// With u = 2^-24, K = depth_chunk and S = sum_k |x'_k y'_ik| <= |x'| |y'| (Cauchy-Schwarz):
//  1. A chunk is one chain of at most K multiply-adds (one more rounding per product where they are not fused);
//     the ceil(d/K) chunk sums are added in one chain; the bias is one more. So the sum is wrong by at most
//     gamma_m S with m = min(d, K) + ceil(d/K) + 3 and gamma_m = m u / (1 - m u)  (Higham 2002, section 3.1).
//  2. bias: rounding to float32 (2^-25), the difference h - pivot in float64, and its share of the last
//     rounding (2^-24), each times c: below 2^-22 c. Where a + b - g < -100, c = 2^-100 is used: below 2^-98.
//  3. Underflow, gradual or abrupt: scaling, product and sum lose at most 2^-126 each: below d 2^-124.
//  4. The float64 score itself: its sum is wrong by at most (d + 64) 2^-53 S, adding h and subtracting the
//     pivot or the margin from a score round by at most 2^-51 (max |h| + margin) scale more.
// Nothing overflows: |sum| <= d and |c bias| <= 1. Where the bound itself is infinite everything is kept, and
// scored in float64. Every bound is taken for the largest target norm.
#pragma once

#include <cfloat>
#include <cstdint>

#include "core/views.hpp"

namespace brenier {
namespace {  // compiled once per instruction set: never shared by the linker

constexpr int64_t depth_chunk = 256;
constexpr int32_t smallest_bias_exponent = -100;

struct RowBound {
    double scale;      // filter units per unit of score
    double error;      // in filter units
    double margin;     // in filter units
    double pivot;      // in units of score
    float bias_scale;  // c

    // Scores of the filter below this cannot belong to a target within the margin of the row's best, given
    // the filter's best score so far and the float64 best so far (-inf where there is none).
    float threshold(float filter_best, double exact_best) const {
        const double from_filter = double(filter_best) - error;
        const double from_exact = (exact_best - pivot) * scale;
        const double best = from_filter > from_exact ? from_filter : from_exact;
        const double bound = best - margin - error;
        const double rounded_down = bound - __builtin_fabs(bound) * 0x1p-22 - 0x1p-140;
        return rounded_down > -double(FLT_MAX) ? float(rounded_down) : -FLT_MAX;  // also for NaN
    }
};

inline double rounding_bound(int64_t depth) {
    const int64_t chain = depth < depth_chunk ? depth : depth_chunk;
    const double m = double(chain + (depth + depth_chunk - 1) / depth_chunk + 3);
    const double float32_sum = m * 0x1p-24 / (1 - m * 0x1p-24);
    return float32_sum + double(depth + 64) * 0x1p-53;
}

inline RowBound row_bound(const Noise& noise, int64_t row, const Targets& targets, const Heights& heights,
                                 double margin) {
    const int64_t depth = targets.exact.depth;
    const int32_t exponent = noise.exponents[row] + targets.exponent;
    const int32_t bias_exponent = exponent - heights.exponent;
    RowBound bound;
    bound.scale = __builtin_ldexp(1.0, exponent);
    bound.bias_scale = __builtin_ldexpf(1.0f, bias_exponent < smallest_bias_exponent ? smallest_bias_exponent : bias_exponent);
    bound.margin = margin * bound.scale;
    bound.pivot = heights.pivot;
    bound.error = noise.norms[row] * targets.largest_norm * rounding_bound(depth) + 0x1p-22 * double(bound.bias_scale) +
                  0x1p-51 * (heights.largest * bound.scale + bound.margin) + double(depth) * 0x1p-124 + 0x1p-98;
    return bound;
}

}  // namespace
}  // namespace brenier
