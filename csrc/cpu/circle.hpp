// The points of a great circle: noise rows a = x[2c] and b = x[2c + 1] are independent normals, and so is
//
//     x_k = a cos(2 pi k / 16) + b sin(2 pi k / 16),   k = 0 .. 15,
//
// at every k. With the products A = <a, y> and B = <b, y> the score at point k is (A cos + B sin) + h, in this order;
// point k + 8 is the opposite of point k. Half a circle is one vector of eight, in the compiler's own extension,
// which each instruction set cuts to its width: elementwise operations round alike on all. Aligned like its elements,
// because lists of them come from realloc; a reference to one would lose that, so they are passed by value or in
// their struct.
#pragma once

#include <cstdint>

namespace brenier::cpu {
namespace {

constexpr int circle_points = 16, half_circle = circle_points / 2;

typedef float HalfFloats __attribute__((vector_size(half_circle * sizeof(float)), aligned(sizeof(float))));
typedef double HalfDoubles __attribute__((vector_size(half_circle * sizeof(double)), aligned(sizeof(double))));
typedef int32_t HalfInts __attribute__((vector_size(half_circle * sizeof(int32_t)), aligned(sizeof(int32_t))));
typedef int64_t HalfLongs __attribute__((vector_size(half_circle * sizeof(int64_t)), aligned(sizeof(int64_t))));

constexpr double cos_1 = 0.92387953251128674, cos_2 = 0.70710678118654752, cos_3 = 0.38268343236508977;

// A circle: half 0 holds points 0..7, half 1 points 8..15. No template over the vector: its alignment would be lost.
struct Floats16 {
    HalfFloats half[2];
};
struct Doubles16 {
    HalfDoubles half[2];
};
struct Longs16 {
    HalfLongs half[2];
};

// Cosines and sines of points 0..7.
constexpr Floats16 float_points = {{{1, float(cos_1), float(cos_2), float(cos_3), 0, -float(cos_3), -float(cos_2), -float(cos_1)},
                                    {0, float(cos_3), float(cos_2), float(cos_1), 1, float(cos_1), float(cos_2), float(cos_3)}}};
constexpr Doubles16 double_points = {{{1, cos_1, cos_2, cos_3, 0, -cos_3, -cos_2, -cos_1},
                                      {0, cos_3, cos_2, cos_1, 1, cos_1, cos_2, cos_3}}};

inline const Floats16& points_of(float) { return float_points; }
inline const Doubles16& points_of(double) { return double_points; }

// Scores of one target at all points.
template <class Scores, class T>
inline __attribute__((always_inline)) void score_circle(T a, T b, T height, Scores& scores) {
    const Scores& table = points_of(a);
    const auto along = a * table.half[0] + b * table.half[1];
    scores.half[0] = along + height;
    scores.half[1] = height - along;
}

// Whether any lane of a comparison holds.
inline __attribute__((always_inline)) bool any(HalfInts mask) {
    int64_t words[4];
    __builtin_memcpy(words, &mask, sizeof words);
    return (words[0] | words[1]) | (words[2] | words[3]);
}

inline __attribute__((always_inline)) bool any(HalfLongs mask) {
    int64_t words[half_circle];
    __builtin_memcpy(words, &mask, sizeof words);
    return ((words[0] | words[1]) | (words[2] | words[3])) | ((words[4] | words[5]) | (words[6] | words[7]));
}

}  // namespace
}  // namespace brenier::cpu
