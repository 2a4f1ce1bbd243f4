// Packing: rows of a matrix into panels [panel][depth][row of the panel], scaled by exact powers of two to at most 1
// in magnitude. The scaling is done in float64 and rounded once; bound.hpp counts what underflows.
#pragma once

#include "cpu/element.hpp"
#include "cpu/filter.hpp"

namespace brenier::cpu {
namespace {

template <class T>
float largest_of(const T* row, int64_t depth) {
    float largest = 0;
    for (int64_t k = 0; k < depth; ++k) {
        const float magnitude = __builtin_fabsf(to_float(row[k]));
        largest = magnitude > largest ? magnitude : largest;
    }
    return largest;
}

// e such that |value| 2^e lies in [0.5, 1); 0 for 0.
inline int32_t exponent_to_one(double value) {
    int exponent = 0;
    if (value != 0) __builtin_frexp(value, &exponent);
    return -exponent;
}

// Scales elements of one row into its column of a panel; returns the sum of squares of what was stored.
template <class T>
double pack_elements(const T* row, int64_t count, double scale, int64_t panel_width, float* column) {
    double squares[4] = {};
    int64_t k = 0;
    for (; k + 4 <= count; k += 4)
        for (int i = 0; i < 4; ++i) {
            const float packed = float(double(to_float(row[k + i])) * scale);
            column[(k + i) * panel_width] = packed;
            squares[i] += double(packed) * packed;
        }
    for (; k < count; ++k) {
        const float packed = float(double(to_float(row[k])) * scale);
        column[k * panel_width] = packed;
        squares[0] += double(packed) * packed;
    }
    return (squares[0] + squares[1]) + (squares[2] + squares[3]);
}

// Packs rows [first, first + count) into one panel, `strip` of depth at a time, which keeps the panel's lines in
// L1 while its columns are written; squares[r] is the sum of squares of row r, scales[r] its power of two.
template <int panel_width>
void pack_panel(const Matrix& matrix, int64_t first, int64_t count, const double* scales, float* panel,
                double* squares) {
    constexpr int64_t strip = 64;
    for (int r = 0; r < panel_width; ++r) squares[r] = 0;
    for (int64_t k = 0; k < matrix.depth; k += strip) {
        const int64_t size = smaller(strip, matrix.depth - k);
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
