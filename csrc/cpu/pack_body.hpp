// Packing: rows of a matrix into panels [panel][depth][row of the panel], scaled by exact powers of two to at most 1
// in magnitude. The scaling is done in float64 and rounded once; bound.hpp counts what underflows.
#pragma once

#include "cpu/element.hpp"
#include "cpu/filter.hpp"

namespace brenier::cpu {
namespace {

// The bits of magnitudes are ordered as these are; a maximum of integers runs in vectors.
template <class T>
float largest_of(const T* row, int64_t depth) {
    int32_t largest = 0;
    for (int64_t k = 0; k < depth; ++k) {
        const int32_t magnitude = int32_t(to_bits(to_float(row[k])) & 0x7fffffff);
        largest = magnitude > largest ? magnitude : largest;
    }
    return from_bits(uint32_t(largest));
}

// e such that |value| 2^e lies in [0.5, 1); 0 for 0.
inline int32_t exponent_to_one(double value) {
    int exponent = 0;
    if (value != 0) __builtin_frexp(value, &exponent);
    return -exponent;
}

constexpr int64_t packed_at_once = 64;  // of depth: keeps a panel's lines in L1 while its columns are written

// Scales up to packed_at_once elements of one row into its column of a panel; returns the sum of squares of what was
// stored. In three loops, for only the last, whose stores are far apart, cannot run in vectors.
template <class T>
double pack_elements(const T* row, int64_t count, double scale, int64_t panel_width, float* column) {
    float packed[packed_at_once];
    double squares[4] = {};
    for (int64_t k = 0; k < count; ++k) packed[k] = float(double(to_float(row[k])) * scale);
    int64_t k = 0;
    for (; k + 4 <= count; k += 4)
        for (int i = 0; i < 4; ++i) squares[i] += double(packed[k + i]) * packed[k + i];
    for (; k < count; ++k) squares[0] += double(packed[k]) * packed[k];
    for (k = 0; k < count; ++k) column[k * panel_width] = packed[k];
    return (squares[0] + squares[1]) + (squares[2] + squares[3]);
}

// Packs rows [first, first + count) into one panel; squares[r] is the sum of squares of row r, scales[r] its power of
// two.
template <int panel_width>
void pack_panel(const Matrix& matrix, int64_t first, int64_t count, const double* scales, float* panel,
                double* squares) {
    for (int r = 0; r < panel_width; ++r) squares[r] = 0;
    for (int64_t k = 0; k < matrix.depth; k += packed_at_once) {
        const int64_t size = smaller(packed_at_once, matrix.depth - k);
        for (int r = 0; r < panel_width; ++r) {
            float* column = panel + k * panel_width + r;
            if (r < count)
                squares[r] += with_row(matrix, first + r, [&](const auto* row) {
                    return pack_elements(row + k, size, scales[r], panel_width, column);
                });
            else
                for (int64_t i = 0; i < size; ++i) column[i * panel_width] = 0;
        }
    }
}

// An upper bound of the norm from a sum of depth squares that was rounded in any order.
inline double norm_above(double squares, int64_t depth) {
    return __builtin_sqrt(squares) * (1 + double(depth + 16) * 0x1p-52);
}

template <class V>
double largest(const Matrix& matrix, int64_t rows) {
    float most = 0;
    for (int64_t j = 0; j < rows; ++j) {
        const float here = with_row(matrix, j, [&](const auto* row) { return largest_of(row, matrix.depth); });
        most = here > most ? here : most;
    }
    return double(most);
}

template <class V>
double pack_targets(const Matrix& matrix, int64_t rows, int32_t exponent, float* panels) {
    double scales[width<V>], squares[width<V>], most = 0;
    for (double& scale : scales) scale = __builtin_ldexp(1.0, exponent);
    for (int64_t i = 0; i < rows; i += width<V>) {
        pack_panel<width<V>>(matrix, i, smaller(width<V>, rows - i), scales, panels + i * matrix.depth, squares);
        for (double square : squares) most = square > most ? square : most;
    }
    return norm_above(most, matrix.depth);
}

// Row j is scaled by 2^exponents[j], the power that takes it to [0.5, 1), but at most 2^largest_exponent, which
// keeps the heights at most 1 in magnitude too.
template <class V>
void pack_noise(const Matrix& matrix, int64_t rows, int32_t largest_exponent, float* panels, int32_t* exponents,
                double* norms) {
    double scales[V::rows], squares[V::rows];
    for (int64_t j = 0; j < rows; j += V::rows) {
        const int64_t count = smaller(V::rows, rows - j);
        for (int64_t r = 0; r < count; ++r) {
            const float most = with_row(matrix, j + r, [&](const auto* row) { return largest_of(row, matrix.depth); });
            const int32_t own = exponent_to_one(double(most));
            exponents[j + r] = own < largest_exponent ? own : largest_exponent;
            scales[r] = __builtin_ldexp(1.0, exponents[j + r]);
        }
        pack_panel<V::rows>(matrix, j, count, scales, panels + j * matrix.depth, squares);
        for (int64_t r = 0; r < count; ++r) norms[j + r] = norm_above(squares[r], matrix.depth);
    }
}

}  // namespace
}  // namespace brenier::cpu
