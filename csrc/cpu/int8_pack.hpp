// Packing into int8 panels with the shared dither (core/int8_bound.hpp), all of it in integers after one float32
// product, so that the panels are the same on every instruction set:
//
//     fixed = int(F value / s)      q = floor((fixed + dither) / F)      dither in [0, F),  u = (dither - (F - 1)/2) / F
//
// with F = 2^16 for int8, 2^12 for int16. fixed / F lies within fixed_point_error of value / s; q - u - fixed / F is
// ((F - 1)/2 - rest) / F with rest = (fixed + dither) mod F: uniform and symmetric, whatever the value is.
#pragma once

#include "core/int8_bound.hpp"
#include "cpu/pack_body.hpp"

namespace brenier::cpu {
namespace {

constexpr int64_t strip8 = 64;  // of depth: 32-bit sums below cannot overflow within a strip

// How the two widths differ. int16 has 4 bits more and 4 bits less of dither, so all sums keep their sizes.
template <int bytes>
struct Width;
template <>
struct Width<1> {
    using Integer = int8_t;
    static constexpr int fraction = 16, rest_shift = 4;
    static constexpr uint32_t flip = 0x80808080u;  // vpdpbusd takes one side as q + 128
    static constexpr int32_t offset = 128;
};
template <>
struct Width<2> {
    using Integer = int16_t;
    static constexpr int fraction = 12, rest_shift = 0;
    static constexpr uint32_t flip = 0;
    static constexpr int32_t offset = 0;
};

template <int bytes>
struct Quantized {
    static constexpr int fraction = Width<bytes>::fraction;
    int64_t total = 0;     // sum q
    int64_t cross = 0;     // sum q (2 other + 1 - 2^fraction), for the other side's dither
    int64_t squares = 0;   // above sum (fixed / 2048)^2
    int64_t rests = 0;     // above sum (2^13 (q - u - fixed / 2^fraction))^2

    double norm(int64_t depth) const { return bounded(squares, fraction == 16 ? 0x1p-5 : 0x1p-1, depth); }
    double residual(int64_t depth) const { return bounded(rests, 0x1p-13, depth); }
    double cross_sum() const { return double(cross) / double(2 << fraction); }

  private:
    static double bounded(int64_t sum, double unit, int64_t depth) {
        const double arithmetic = double(fixed_point_error(fraction)) * __builtin_sqrt(double(depth));
        return (__builtin_sqrt(double(sum)) * unit + arithmetic) * (1 + 0x1p-40);
    }
};

template <class T>
inline float centred(const T* row, const float* centre, int64_t k) {
    return centre ? to_float(row[k]) - centre[k] : to_float(row[k]);
}

template <int bytes, class T>
inline __attribute__((always_inline)) void quantize_strip(const T* row, const float* centre, const uint16_t* dither,
                                                          const uint16_t* other, int64_t count, float multiplier,
                                                          typename Width<bytes>::Integer* out,
                                                          Quantized<bytes>& sums) {
    constexpr int fraction = Width<bytes>::fraction, spare = 16 - fraction;
    constexpr int32_t mask = (1 << fraction) - 1;
    float values[strip8];
    if (centre)
        for (int64_t k = 0; k < count; ++k) values[k] = to_float(row[k]) - centre[k];
    else
        for (int64_t k = 0; k < count; ++k) values[k] = to_float(row[k]);
    int32_t total = 0, cross = 0, squares = 0, rests = 0;
    for (int64_t k = 0; k < count; ++k) {
        const int32_t fixed = int32_t(values[k] * multiplier), moved = fixed + int32_t(dither[k] >> spare);
        const int32_t q = moved >> fraction, rest = 2 * (moved & mask) - mask;
        const int32_t size = (__builtin_abs(fixed) >> 11) + 1;
        const int32_t error = (__builtin_abs(rest) >> Width<bytes>::rest_shift) + 1;
        out[k] = typename Width<bytes>::Integer(q);
        total += q;
        cross += q * (2 * int32_t(other[k] >> spare) - mask);
        squares += size * size;
        rests += error * error;
    }
    sums.total += total, sums.cross += cross, sums.squares += squares, sums.rests += rests;
}

// Row `row` into its words of a panel; the last word is filled with zeros.
template <class Tile>
Quantized<Tile::bytes> quantize_row(const Source8& source, int64_t row, float multiplier, int width, uint32_t flip,
                                    uint32_t* words) {
    constexpr int bytes = Tile::bytes, per_word = 4 / bytes;
    Quantized<bytes> sums;
    with_row(source.matrix, row, [&](const auto* values) {
        for (int64_t k = 0; k < source.matrix.depth; k += strip8) {
            const int64_t count = smaller(strip8, source.matrix.depth - k);
            alignas(64) typename Width<bytes>::Integer q[strip8] = {};
            const float* centre = source.centre ? source.centre + k : nullptr;
            const uint16_t *dither = source.dither + k, *other = source.other + k;
            if (count == strip8)  // known at compile time, hence vectorised
                quantize_strip<bytes>(values + k, centre, dither, other, strip8, multiplier, q, sums);
            else
                quantize_strip<bytes>(values + k, centre, dither, other, count, multiplier, q, sums);
            for (int64_t i = 0; i < count; i += per_word) {
                uint32_t word;
                __builtin_memcpy(&word, q + i, sizeof word);
                words[(k + i) / per_word * width] = word ^ flip;
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

// Takes `largest` just below `top` in fixed point, so that q stays within [-top, top]; 0 for panels out of range.
inline float multiplier_for(float largest, int fraction, int32_t top) {
    const double one = double(1 << fraction);
    if (largest == 0) return float(one);
    if (!(largest > 0x1p-60f && largest < 0x1p60f)) return 0;
    return float(one * top * (1 - 0x1p-20) / double(largest));
}

template <class Tile>
inline int64_t steps_of(int64_t depth) {
    return ceil_div(depth * Tile::bytes, 4);
}

constexpr double longest = 32768;  // |q| up to this: sums fit 32 bits

// Panels [first, first + count) of targets; false where values are too large, too small or too many for int8.
template <class Tile>
bool pack_targets8(const Source8& source, int64_t count, int32_t top, double slack, const TargetPlaces8& out) {
    constexpr int fraction = Width<Tile::bytes>::fraction;
    constexpr uint32_t flip = Width<Tile::bytes>::flip;
    const int64_t depth = source.matrix.depth, steps = steps_of<Tile>(depth);
    for (int64_t first = 0, panel = 0; first < count; first += Tile::targets, ++panel) {
        const int64_t here = smaller(Tile::targets, count - first);
        uint32_t* words = reinterpret_cast<uint32_t*>(out.panels) + panel * Tile::targets * steps;
        float largest = 0;
        for (int64_t r = 0; r < here; ++r) {
            const float most = largest_centred(source, first + r);
            largest = most > largest ? most : largest;
        }
        const float multiplier = multiplier_for(largest, fraction, top);
        if (multiplier == 0) return false;
        double norm = 0, residual = 0;
        for (int64_t r = 0; r < Tile::targets; ++r) {
            if (r >= here) {
                for (int64_t step = 0; step < steps; ++step) words[step * Tile::targets + r] = flip;
                out.dither_sums[first + r] = 0;
                continue;
            }
            const auto sums = quantize_row<Tile>(source, first + r, multiplier, Tile::targets, flip, words + r);
            const double own = sums.norm(depth) * (1 + slack), error = sums.residual(depth) + slack * own;
            norm = own > norm ? own : norm;
            residual = error > residual ? error : residual;
            out.dither_sums[first + r] = float(__builtin_floor(sums.cross_sum()));
        }
        if (norm > longest) return false;
        out.scales[panel] = float(double(1 << fraction) / double(multiplier));
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

// <x, centre> in float64; exact_error allows for any order.
inline double shift_of(const Matrix& given, const float* centre, int64_t row) {
    return with_row(given, row, [&](const auto* values) {
        double lane[8] = {};
        int64_t k = 0;
        for (; k + 8 <= given.depth; k += 8)
            for (int l = 0; l < 8; ++l) lane[l] += double(to_float(values[k + l])) * double(centre[k + l]);
        for (; k < given.depth; ++k) lane[0] += double(to_float(values[k])) * double(centre[k]);
        return ((lane[0] + lane[4]) + (lane[1] + lane[5])) + ((lane[2] + lane[6]) + (lane[3] + lane[7]));
    });
}

// Rows are not centred themselves; `given` are the same rows before any rotation. Row order[place] of the source goes to
// `place`; `dithers` is sum u v.
template <class Tile>
bool pack_noise8(const Source8& source, const Matrix& given, int64_t rows, const int64_t* order, const float* largest, double dithers,
                 int32_t top, double slack, const NoisePlaces8& out) {
    const Source8 plain{source.matrix, nullptr, source.dither, source.other};
    constexpr int fraction = Width<Tile::bytes>::fraction;
    const int64_t depth = source.matrix.depth, steps = steps_of<Tile>(depth);
    for (int64_t first = 0, panel = 0; first < rows; first += Tile::rows, ++panel) {
        const int64_t here = smaller(Tile::rows, rows - first);
        uint32_t* words = reinterpret_cast<uint32_t*>(out.panels) + panel * Tile::rows * steps;
        float most = 0;
        for (int64_t r = 0; r < here; ++r) most = largest[order[first + r]] > most ? largest[order[first + r]] : most;
        const float multiplier = multiplier_for(most, fraction, top);
        if (multiplier == 0) return false;
        out.scales[panel] = float(double(1 << fraction) / double(multiplier));
        for (int64_t r = 0; r < Tile::rows; ++r) {
            if (r >= here) {
                for (int64_t step = 0; step < steps; ++step) words[step * Tile::rows + r] = 0;
                continue;
            }
            const int64_t place = first + r;
            const auto sums = quantize_row<Tile>(plain, order[place], multiplier, Tile::rows, 0, words + r);
            const double norm = sums.norm(depth) * (1 + slack);
            if (norm > longest) return false;
            out.norms[place] = rounded_up(norm);
            out.residuals[place] = rounded_up(sums.residual(depth) + slack * norm);
            out.offsets[place] = dithers - sums.cross_sum();
            out.totals[place] = int32_t(sums.total);
            out.shifts[place] = shift_of(given, source.centre, order[place]);
        }
    }
    return true;
}

}  // namespace
}  // namespace brenier::cpu
