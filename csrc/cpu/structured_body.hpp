// Targets onto structured random directions, all of them at the price of a few:
//
//     out[i, c] = (H sum_b D2_b H D1_b y_ib / sqrt(block))[chosen_c],    y_i = (y_i1, y_i2, ...) in blocks of 2^t
//
// H: the Walsh-Hadamard matrix, D: random signs (Ailon and Chazelle 2006, Le, Sarlos and Smola 2013). The last block is
// padded with zeros. Every value is a fixed tree of sums, so the bits depend on the row and the signs alone. Per row:
// depth (t + 2) operations, 8 block bytes of scratch in L2, 2 bytes of signs and 4 of the row read per value.
#pragma once

#include "cpu/filter.hpp"
#include "cpu/hadamard.hpp"
#include "cpu/noise_body.hpp"
#include "cpu/scratch.hpp"

namespace brenier::cpu {
namespace {

inline float with_sign(float value, uint8_t minus) { return from_bits(uint32_t(bits_of(value)) ^ uint32_t(minus) << 31); }

inline void load_signed(const float* __restrict__ row, int64_t size, const uint8_t* __restrict__ signs, float scale,
                        int64_t block, float* __restrict__ to) {
    for (int64_t k = 0; k < size; ++k) to[k] = with_sign(row[k] * scale, signs[k]);
    for (int64_t k = size; k < block; ++k) to[k] = 0;
}

inline void add_signed(const float* __restrict__ part, const uint8_t* __restrict__ signs, int64_t block,
                       float* __restrict__ sum) {
    for (int64_t k = 0; k < block; ++k) sum[k] += with_sign(part[k], signs[k]);
}

// y (rows, depth) contiguous; out (rows, directions).
template <class V>
void structured(const float* y, int64_t rows, int64_t depth, const Frame& frame, float* out) {
    const int64_t block = frame.block, padded = ceil_div(depth, block) * block;
    const float scale = 1 / __builtin_sqrtf(float(block));
    Scratch<float> part(block), sum(block);
    for (int64_t j = 0; j < rows; ++j, y += depth, out += frame.directions) {
        __builtin_memset(sum.get(), 0, size_t(block) * sizeof(float));
        for (int64_t k = 0; k < depth; k += block) {
            load_signed(y + k, smaller(block, depth - k), frame.signs + k, scale, block, part.get());
            hadamard<V>(part.get(), block);
            add_signed(part.get(), frame.signs + padded + k, block, sum.get());
        }
        hadamard<V>(sum.get(), block);
        for (int64_t c = 0; c < frame.directions; ++c) out[c] = sum[frame.chosen[c]];
    }
}

}  // namespace
}  // namespace brenier::cpu
