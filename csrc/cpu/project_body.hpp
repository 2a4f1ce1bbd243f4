// project:  out[i, c] = <y_i, z_c>  in float32, one chain of fused multiply-adds over ascending depth from 0, so that
// the bits depend on nothing but the two rows.
//
//     `rows_per_strip` rows of y, in groups of V::rows  x  every packed panel of z, `strip` of depth at a time
//
// A strip of the rows is copied to where its rows do not fall on the same sets of the L1 cache; a strip of a panel of
// z stays in L1 while it meets every group. The unfinished chains wait between strips as float32, which is what a
// register holds. Bytes per tile and strip: 4 strip (V::rows + width).
#pragma once

#include <cstdint>

#include "cpu/element.hpp"
#include "cpu/filter.hpp"

namespace brenier::cpu {
namespace {

constexpr int64_t strip = 256;
constexpr int64_t rows_per_strip = 96;  // in whole groups
constexpr int64_t strip_stride = strip + 16;  // one cache line more than a power of two

// Copies the sums of a group of rows, tile by tile, into rows of the output.
template <class V>
void store_sums(const float* sums, int64_t rows, int64_t directions, float* out) {
    for (int64_t c = 0; c < directions; c += width<V>)
        for (int64_t r = 0; r < rows; ++r)
            __builtin_memcpy(out + r * directions + c, sums + c / width<V> * tile_size<V> + r * width<V>,
                             size_t(smaller(width<V>, directions - c)) * sizeof(float));
}

// Elements [k, k + size) of `count` rows as float32; the rest of the tile's rows are zero.
template <class V>
void load_strip(const Matrix& y, int64_t first, int64_t count, int64_t k, int64_t size, float* to) {
    for (int64_t r = 0; r < V::rows; ++r, to += strip_stride) {
        if (r < count)
            with_row(y, first + r, [&](const auto* row) {
                for (int64_t i = 0; i < size; ++i) to[i] = to_float(row[k + i]);
            });
        else
            __builtin_memset(to, 0, size_t(size) * sizeof(float));
    }
}

// One strip of a tile, in as few vectors as hold `directions`: few of them do not fill a panel.
template <class V, int vectors>
void project_tile(int64_t directions, const float* rows, const float* panel, int64_t size, float* sums, bool resume) {
    if constexpr (vectors > 1)
        if (directions <= (vectors - 1) * V::lanes)
            return project_tile<V, vectors - 1>(directions, rows, panel, size, sums, resume);
    multiply_tile<V, Fused<V>, vectors>(rows, strip_stride, 1, panel, size, sums, resume, Ahead{panel, 0});
}

// Up to `rows_per_strip` rows from `first`; sums holds their tiles, panel by panel.
template <class V>
void project_groups(const Matrix& y, int64_t first, int64_t rows, const float* panels, int64_t directions,
                    float* strips, float* sums) {
    const int64_t count = ceil_div(directions, width<V>);
    int64_t k = 0;
    do {
        const int64_t size = smaller(strip, y.depth - k);
        for (int64_t i = 0; i < rows; i += V::rows)
            load_strip<V>(y, first + i, smaller(V::rows, rows - i), k, size, strips + i * strip_stride);
        for (int64_t t = 0; t < count; ++t)
            for (int64_t i = 0; i < rows; i += V::rows)
                project_tile<V, V::vectors>(directions - t * width<V>, strips + i * strip_stride,
                                            panels + (t * y.depth + k) * width<V>, size,
                                            sums + (i / V::rows * count + t) * tile_size<V>, k > 0);
        k += size;
    } while (k < y.depth);
}

// y (rows, depth); panels: z packed by pack_targets with exponent 0; out (rows, directions).
template <class V>
void project(const Matrix& y, int64_t rows, const float* panels, int64_t directions, float* out) {
    const int64_t count = ceil_div(directions, width<V>);
    const int64_t block = block_height(rows, rows_per_strip / V::rows * V::rows, V::rows);
    Scratch<float> sums(block * count * width<V>), strips(block * strip_stride);
    for (int64_t first = 0; first < rows; first += block) {
        const int64_t here = smaller(block, rows - first);
        project_groups<V>(y, first, here, panels, directions, strips.get(), sums.get());
        for (int64_t i = 0; i < here; i += V::rows)
            store_sums<V>(sums.get() + i / V::rows * count * tile_size<V>, smaller(V::rows, here - i), directions,
                          out + (first + i) * directions);
    }
}

}  // namespace
}  // namespace brenier::cpu
