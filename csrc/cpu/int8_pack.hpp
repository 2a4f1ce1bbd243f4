// Packing into int8 panels with the shared dither (core/int8_bound.hpp), all of it in integers after one float32
// product, so that the panels are the same on every instruction set:
//
//     fixed = int(65536 value / s)      q = (fixed + dither) >> 16      dither in [0, 65536),  u = (dither - 32767.5) / 65536
//
// fixed / 65536 lies within fixed_point_error of value / s; q - u - fixed / 65536 is (32767.5 - rest) / 65536 with
// rest = (fixed + dither) mod 65536: uniform and symmetric, whatever the value is.
#pragma once

#include "core/int8_bound.hpp"
#include "cpu/pack_body.hpp"

namespace brenier::cpu {
namespace {

constexpr int64_t strip8 = 64;  // of depth: 32-bit sums below cannot overflow within a strip

struct Quantized {
    int64_t total = 0;     // sum q
    int64_t cross = 0;     // sum q (2 other - 65535), for the other side's dither
    int64_t squares = 0;   // above sum (fixed / 2048)^2
    int64_t rests = 0;     // above sum (2^13 (q - u - fixed / 65536))^2

    double norm(int64_t depth) const { return bounded(squares, 0x1p-5, depth); }
    double residual(int64_t depth) const { return bounded(rests, 0x1p-13, depth); }
    double cross_sum() const { return double(cross) * 0x1p-17; }

  private:
    static double bounded(int64_t sum, double unit, int64_t depth) {
        return (__builtin_sqrt(double(sum)) * unit + double(fixed_point_error) * __builtin_sqrt(double(depth))) *
               (1 + 0x1p-40);
    }
};

template <class T>
inline float centred(const T* row, const float* centre, int64_t k) {
    return centre ? to_float(row[k]) - centre[k] : to_float(row[k]);
}

template <class T>
inline __attribute__((always_inline)) void quantize_strip(const T* row, const float* centre, const uint16_t* dither,
                                                          const uint16_t* other, int64_t count, float multiplier,
                                                          int8_t* out, Quantized& sums) {
    float values[strip8];
    if (centre)
        for (int64_t k = 0; k < count; ++k) values[k] = to_float(row[k]) - centre[k];
    else
        for (int64_t k = 0; k < count; ++k) values[k] = to_float(row[k]);
    int32_t total = 0, cross = 0, squares = 0, rests = 0;
    for (int64_t k = 0; k < count; ++k) {
        const int32_t fixed = int32_t(values[k] * multiplier), moved = fixed + int32_t(dither[k]);
        const int32_t q = moved >> 16, rest = 2 * (moved & 65535) - 65535;
        const int32_t size = (__builtin_abs(fixed) >> 11) + 1, error = (__builtin_abs(rest) >> 4) + 1;
        out[k] = int8_t(q);
        total += q;
        cross += q * (2 * int32_t(other[k]) - 65535);
        squares += size * size;
        rests += error * error;
    }
    sums.total += total, sums.cross += cross, sums.squares += squares, sums.rests += rests;
}

// Row `row` into its words of a panel of `width` rows; the last word is filled with zeros.
template <int width>
Quantized quantize_row(const Source8& source, int64_t row, float multiplier, uint32_t flip, uint32_t* words) {
    Quantized sums;
    with_row(source.matrix, row, [&](const auto* values) {
        for (int64_t k = 0; k < source.matrix.depth; k += strip8) {
            const int64_t count = smaller(strip8, source.matrix.depth - k);
            alignas(64) int8_t q[strip8] = {};
            const float* centre = source.centre ? source.centre + k : nullptr;
            const uint16_t *dither = source.dither + k, *other = source.other + k;
            if (count == strip8)  // known at compile time, hence vectorised
                quantize_strip(values + k, centre, dither, other, strip8, multiplier, q, sums);
            else
                quantize_strip(values + k, centre, dither, other, count, multiplier, q, sums);
            for (int64_t b = 0; b < count; b += 4) {
                uint32_t word;
                __builtin_memcpy(&word, q + b, sizeof word);
                words[(k + b) / 4 * width] = word ^ flip;
            }
        }
    });
    return sums;
}

inline float largest_centred(const Source8& source, int64_t row) {
    return with_row(source.matrix, row, [&](const auto* values) {
        uint32_t largest = 0;  // bits of magnitudes are ordered like them, and integers vectorise
        for (int64_t k = 0; k < source.matrix.depth; ++k) {
            const float value = centred(values, source.centre, k);
            uint32_t bits;
            __builtin_memcpy(&bits, &value, sizeof bits);
            bits &= 0x7fffffffu;
            largest = bits > largest ? bits : largest;
        }
        return from_bits(largest);
    });
}

// Takes `largest` just below 127 in fixed point, so that q stays within [-127, 127]; 0 for panels out of range.
inline float multiplier_for(float largest) {
    if (largest == 0) return 65536.0f;
    if (!(largest > 0x1p-60f && largest < 0x1p60f)) return 0;
    return float(65536.0 * 127.0 * (1 - 0x1p-20) / double(largest));
}

constexpr double longest = 32768;  // |q| up to this: sums fit 32 bits

// Panels [first, first + count) of targets; false where values are too large, too small or too many for int8.
template <class Tile>
bool pack_targets8(const Source8& source, int64_t count, double slack, const TargetPlaces8& out) {
    const int64_t depth = source.matrix.depth, steps = ceil_div(depth, 4);
    for (int64_t first = 0, panel = 0; first < count; first += Tile::targets, ++panel) {
        const int64_t here = smaller(Tile::targets, count - first);
        uint32_t* words = reinterpret_cast<uint32_t*>(out.panels) + panel * Tile::targets * steps;
        float largest = 0;
        for (int64_t r = 0; r < here; ++r) {
            const float most = largest_centred(source, first + r);
            largest = most > largest ? most : largest;
        }
        const float multiplier = multiplier_for(largest);
        if (multiplier == 0) return false;
        double norm = 0, residual = 0;
        for (int64_t r = 0; r < Tile::targets; ++r) {
            if (r >= here) {
                for (int64_t step = 0; step < steps; ++step) words[step * Tile::targets + r] = 0x80808080u;
                out.dither_sums[first + r] = 0;
                continue;
            }
            const Quantized sums = quantize_row<Tile::targets>(source, first + r, multiplier, 0x80808080u, words + r);
            const double own = sums.norm(depth) * (1 + slack), error = sums.residual(depth) + slack * own;
            norm = own > norm ? own : norm;
            residual = error > residual ? error : residual;
            out.dither_sums[first + r] = float(__builtin_floor(sums.cross_sum()));
        }
        if (norm > longest) return false;
        out.scales[panel] = float(65536.0 / double(multiplier));
        out.norms[panel] = rounded_up(norm), out.residuals[panel] = rounded_up(residual);
    }
    return true;
}

// Largest magnitudes of rows, for the order in which rows share panels.
template <class Tile>
void largest_rows8(const Matrix& matrix, int64_t rows, float* largest) {
    const Source8 source{matrix, nullptr, nullptr, nullptr};
    for (int64_t j = 0; j < rows; ++j) largest[j] = largest_centred(source, j);
}

// Row order[place] of the source goes to `place`; `dithers` is sum u v.
template <class Tile>
bool pack_noise8(const Source8& source, int64_t rows, const int64_t* order, const float* largest, double dithers,
                 double slack, const NoisePlaces8& out) {
    const int64_t depth = source.matrix.depth, steps = ceil_div(depth, 4);
    for (int64_t first = 0, panel = 0; first < rows; first += Tile::rows, ++panel) {
        const int64_t here = smaller(Tile::rows, rows - first);
        uint32_t* words = reinterpret_cast<uint32_t*>(out.panels) + panel * Tile::rows * steps;
        float most = 0;
        for (int64_t r = 0; r < here; ++r) most = largest[order[first + r]] > most ? largest[order[first + r]] : most;
        const float multiplier = multiplier_for(most);
        if (multiplier == 0) return false;
        out.scales[panel] = float(65536.0 / double(multiplier));
        for (int64_t r = 0; r < Tile::rows; ++r) {
            if (r >= here) {
                for (int64_t step = 0; step < steps; ++step) words[step * Tile::rows + r] = 0;
                continue;
            }
            const int64_t place = first + r;
            const Quantized sums = quantize_row<Tile::rows>(source, order[place], multiplier, 0, words + r);
            const double norm = sums.norm(depth) * (1 + slack);
            if (norm > longest) return false;
            out.norms[place] = rounded_up(norm);
            out.residuals[place] = rounded_up(sums.residual(depth) + slack * norm);
            out.offsets[place] = dithers - sums.cross_sum();
            out.totals[place] = int32_t(sums.total);
        }
    }
    return true;
}

}  // namespace
}  // namespace brenier::cpu
