// Latents made from what is stored, in one walk through memory:
//
//     out = (a y + sigma eps) - centre       eps: noise number first + r of a stream in row r (noise_body.hpp)
//
// y: bytes, with a y from a table of 256, or float32. Every product, sum and difference is rounded by itself. No sigma
// or no centre: that term is left out. A few rows at a time, so that their noise is still in cache when it is used.
#pragma once

#include "cpu/noise_body.hpp"

namespace brenier::cpu {
namespace {

constexpr int64_t mixed_at_once = 16384;

template <class Value>
void mix_rows(Value clean, int64_t rows, int64_t depth, float sigma, const float* centre, float* out) {
    for (int64_t j = 0; j < rows; ++j, out += depth) {
        const int64_t at = j * depth;
        if (sigma == 0)
            for (int64_t k = 0; k < depth; ++k) out[k] = clean(at + k);
        else
            for (int64_t k = 0; k < depth; ++k) out[k] = clean(at + k) + out[k] * sigma;
        if (centre)
            for (int64_t k = 0; k < depth; ++k) out[k] -= centre[k];
    }
}

template <class V>
void mix(const Clean& clean, const RowNoise& noise, int64_t rows, int64_t depth, const float* centre, float* out) {
    const int64_t step = depth < mixed_at_once ? mixed_at_once / depth : 1;
    for (int64_t lo = 0; lo < rows; lo += step) {
        const int64_t here = smaller(step, rows - lo), at = lo * depth;
        if (noise.sigma != 0)
            normal<V>(noise.seed, noise.first + uint64_t(lo), here, depth, noise.stream, out + at);
        if (clean.bytes)
            mix_rows([&](int64_t k) { return clean.table[clean.bytes[at + k]]; }, here, depth, noise.sigma, centre,
                     out + at);
        else
            mix_rows([&](int64_t k) { return clean.values[at + k] * clean.scale; }, here, depth, noise.sigma, centre,
                     out + at);
    }
}

}  // namespace
}  // namespace brenier::cpu
