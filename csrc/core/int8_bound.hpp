// How far a score of the int8 filter can lie below the float64 score that defines the answer, and the bar that
// follows. Proofs: docs/numerics.md, "The int8 filter".
//
// Both sides are rounded after a shared dither is added, one value per coordinate, and give it back:
//
//     x_q = s_x (q - u),   q = floor(x / s_x + u + 1/2),   u uniform on (-1/2, 1/2) by 16 random bits
//     y_q = s_y (p - v)    likewise for y - centre, with another dither v
//     <x_q, y_q> / (s_x s_y) = sum q p  -  sum p u  -  sum q v  +  sum u v
//
// The first sum is the kernel's, exact in integers; the second is one number per target, the others one per row.
// In units of s_x s_y, with A = |x| / s_x, D = |x_q - x| / s_x (residual), b = |y| / s_y, a = |y_q - y| / s_y:
//
//     deterministic  A a + D (b + a)                                            (Cauchy-Schwarz; always valid)
//     dithered       kappa sqrt(A^2 + (b + sqrt(d)/2)^2) + fixed point          kappa = sqrt(2 ln(2 N n / delta) / 12)
//
// The same panels serve both; the smaller bound is used, `exact="strict"` sets kappa to infinity.
#pragma once

#include <cstdint>

#include "core/views.hpp"

namespace brenier {
namespace {  // compiled once per instruction set: never shared by the linker

constexpr float lowest_bias = -0x1p30f;   // heights far below all others; every such sum still fits 32 bits
// The target with the largest height scores at least -2^30, less the error: what is below is no winner.
constexpr float lowest_bar = -0x1.fp30f, highest_bar = 0x1.fffffcp30f;

// Of one coordinate, in its scale: two units of the last of `fraction` bits, for truncation and float32 arithmetic.
constexpr float fixed_point_error(int fraction) { return 2.0f / float(1 << fraction); }

inline float rounded_up(double value) { return float(value + __builtin_fabs(value) * 0x1p-21); }

// -inf and NaN stay below everything.
inline float rounded_down(double value) {
    const double lower = value - __builtin_fabs(value) * 0x1p-20;
    return lower > -0x1p126 ? float(lower < 0x1p126 ? lower : 0x1p126) : -__builtin_inff();
}

// What some panels of targets contribute to the error, the largest of each, in units of score.
struct GroupError {
    float scale = 0, norm = 0, residual = 0;  // s_y, s_y b, s_y a
    float kappa, root, fixed_point, slack;

    GroupError(const Targets8& targets, int64_t first, int64_t end, float kappa_, int fraction)
        : kappa(kappa_), root(__builtin_sqrtf(float(targets.exact.depth)) * 1.000001f),
          fixed_point(fixed_point_error(fraction) * root), slack(targets.slack) {
        for (int64_t panel = first; panel < end; ++panel) {
            const float own = targets.scales[panel];
            scale = own > scale ? own : scale;
            norm = own * targets.norms[panel] > norm ? own * targets.norms[panel] : norm;
            residual = own * targets.residuals[panel] > residual ? own * targets.residuals[panel] : residual;
        }
    }
    // Of a row with norm A and residual D, in units of s_x; the factor covers this function's own rounding.
    float of(float row_norm, float row_residual) const {
        const float certain = row_norm * residual + row_residual * (norm + residual);
        const float spread = scale * row_norm, norm_above = norm + 0.5f * root * scale;
        const float likely = kappa * __builtin_sqrtf(spread * spread + norm_above * norm_above) +
                             fixed_point * (spread + norm_above) + slack * row_norm * norm;
        return (certain < likely ? certain : likely) * 1.00001f;
    }
};

// The float64 score itself, and the shift by <x, centre> and the pivot: all that can be wrong with a lower bound.
inline double exact_error(double row_norm, const Targets8& targets, const Heights8& heights) {
    return 0x1p-50 * (double(targets.exact.depth + 64) * row_norm * targets.reach + heights.largest);
}

}  // namespace
}  // namespace brenier
