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

// Scales one row into its column of a panel; returns the sum of squares of what was stored.
template <class T>
double pack_row(const T* row, int64_t depth, double scale, int64_t panel_width, float* column) {
    double squares[8] = {};
    int64_t k = 0;
    for (; k + 8 <= depth; k += 8)
        for (int i = 0; i < 8; ++i) {
            const float packed = float(double(to_float(row[k + i])) * scale);
            column[(k + i) * panel_width] = packed;
            squares[i] += double(packed) * packed;
        }
    for (; k < depth; ++k) {
        const float packed = float(double(to_float(row[k])) * scale);
        column[k * panel_width] = packed;
        squares[0] += double(packed) * packed;
    }
    return ((squares[0] + squares[1]) + (squares[2] + squares[3])) + ((squares[4] + squares[5]) + (squares[6] + squares[7]));
}

inline void clear_column(int64_t depth, int64_t panel_width, float* column) {
    for (int64_t k = 0; k < depth; ++k) column[k * panel_width] = 0;
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
    const double scale = __builtin_ldexp(1.0, exponent);
    double most = 0;
    for (int64_t i = 0; i < ceil_div(rows, width<V>) * width<V>; ++i) {
        float* column = panels + i / width<V> * width<V> * matrix.depth + i % width<V>;
        if (i >= rows) {
            clear_column(matrix.depth, width<V>, column);
            continue;
        }
        const double squares = with_row(
            matrix, i, [&](const auto* row) { return pack_row(row, matrix.depth, scale, width<V>, column); });
        most = squares > most ? squares : most;
    }
    return norm_above(most, matrix.depth);
}

// Row j is scaled by 2^exponents[j], the power that takes it to [0.5, 1), but at most 2^largest_exponent, which
// keeps the heights at most 1 in magnitude too.
template <class V>
void pack_noise(const Matrix& matrix, int64_t rows, int32_t largest_exponent, float* panels, int32_t* exponents,
                double* norms) {
    for (int64_t j = 0; j < ceil_div(rows, V::rows) * V::rows; ++j) {
        float* column = panels + j / V::rows * V::rows * matrix.depth + j % V::rows;
        if (j >= rows) {
            clear_column(matrix.depth, V::rows, column);
            continue;
        }
        with_row(matrix, j, [&](const auto* row) {
            const int32_t own = exponent_to_one(double(largest_of(row, matrix.depth)));
            exponents[j] = own < largest_exponent ? own : largest_exponent;
            const double scale = __builtin_ldexp(1.0, exponents[j]);
            norms[j] = norm_above(pack_row(row, matrix.depth, scale, V::rows, column), matrix.depth);
        });
    }
}

}  // namespace
}  // namespace brenier::cpu
