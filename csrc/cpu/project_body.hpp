// project:  out[i, c] = <y_i, z_c>  in float32, one chain of fused multiply-adds over ascending depth from 0, so that
// the bits depend on nothing but the two rows.
//
//     V::rows rows of y, read where they lie  x  every packed panel of z, `strip` of depth at a time
//
// The unfinished chains of a group of rows wait in L1 between strips: as float32, which is what a register holds.
// Bytes per tile and strip: 4 strip (V::rows + width); the rows come from memory once, z from L2.
#pragma once

#include <cstdint>

#include "cpu/filter.hpp"

namespace brenier::cpu {
namespace {

constexpr int64_t strip = 512;

// Copies the sums of a group of rows, tile by tile, into rows of the output.
template <class V>
void store_sums(const float* sums, int64_t rows, int64_t directions, float* out) {
    for (int64_t c = 0; c < directions; c += width<V>)
        for (int64_t r = 0; r < rows; ++r)
            __builtin_memcpy(out + r * directions + c, sums + c / width<V> * tile_size<V> + r * width<V>,
                             size_t(smaller(width<V>, directions - c)) * sizeof(float));
}

// V::rows rows, `stride` apart, against every panel.
template <class V>
void project_rows(const float* rows, int64_t stride, int64_t depth, const float* panels, int64_t count, float* sums) {
    int64_t k = 0;
    do {
        const int64_t size = smaller(strip, depth - k);
        for (int64_t t = 0; t < count; ++t)
            multiply_tile<V, Fused<V>>(rows + k, stride, 1, panels + (t * depth + k) * width<V>, size,
                                       sums + t * tile_size<V>, k > 0);
        k += size;
    } while (k < depth);
}

// The last rows, fewer than a tile has, followed by zeros.
template <class V>
void pad_rows(const float* rows, int64_t stride, int64_t count, int64_t depth, float* padded) {
    for (int64_t r = 0; r < V::rows; ++r)
        for (int64_t k = 0; k < depth; ++k) padded[r * depth + k] = r < count ? rows[r * stride + k] : 0.0f;
}

// y: float32 (rows, depth); panels: z packed by pack_targets with exponent 0; out (rows, directions).
template <class V>
void project(const Matrix& y, int64_t rows, const float* panels, int64_t directions, float* out) {
    const float* data = static_cast<const float*>(y.data);
    const int64_t count = ceil_div(directions, width<V>), left = rows % V::rows;
    Scratch<float> sums(count * tile_size<V>), padded(left ? V::rows * y.depth : 0);
    for (int64_t i = 0; i < rows; i += V::rows) {
        const bool whole = i + V::rows <= rows;
        if (!whole) pad_rows<V>(data + i * y.stride, y.stride, left, y.depth, padded.get());
        project_rows<V>(whole ? data + i * y.stride : padded.get(), whole ? y.stride : y.depth, y.depth, panels, count,
                        sums.get());
        store_sums<V>(sums.get(), smaller(V::rows, rows - i), directions, out + i * directions);
    }
}

}  // namespace
}  // namespace brenier::cpu
