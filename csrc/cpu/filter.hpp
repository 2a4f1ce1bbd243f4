// The float32 pass of assign and candidates: scores every target of a range for a block of rows, in registers and
// cache, and offers a sink those that reach the row's threshold (bound.hpp).
//
//     block of rows (~200, packed, in L2)  x  block of targets (one panel, or ~256 where d > depth_chunk)
//       for each chunk of depth, each panel of targets (in L1), each panel of rows: one register tile
//       then fold: bias, compare with the threshold, offer
//
// Accumulation: chains of at most depth_chunk multiply-adds, chunk sums added in ascending order. Ties are left to
// the sink, which scores in float64. Per tile and chunk: 4 depth_chunk (rows + width) bytes read.
#pragma once

#include <cstdint>

#include "core/bound.hpp"
#include "cpu/scratch.hpp"
#include "cpu/tile.hpp"

namespace brenier::cpu {
namespace {

inline int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

constexpr int64_t rows_per_block = 192;
constexpr int64_t targets_per_block = 256;  // in whole panels
constexpr float never = __builtin_inff();  // a threshold that no score reaches

// Rows per block: whole panels, at most `tallest`, all blocks of about one height.
inline int64_t block_height(int64_t rows, int64_t tallest, int64_t panel) {
    const int64_t blocks = rows > tallest ? ceil_div(rows, tallest) : 1;
    return ceil_div(ceil_div(rows, blocks), panel) * panel;
}

// Rows [first, first + count) of the noise and what the fold reads for each; rows beyond count pad the last panel.
template <class V>
struct RowBlock {
    const Noise& noise;
    int64_t first, count, panels;
    Scratch<float> threshold, bias_scale;

    RowBlock(const Noise& all, int64_t first_row, int64_t rows)
        : noise(all), first(first_row), count(rows), panels(ceil_div(rows, V::rows)),
          threshold(panels * V::rows), bias_scale(panels * V::rows) {
        for (int64_t j = count; j < panels * V::rows; ++j) threshold[j] = never, bias_scale[j] = 1;
    }
    const float* panel(int64_t p, int64_t depth) const {
        return noise.panels + (first / V::rows + p) * V::rows * depth;
    }
};

// Scores of one tile against the thresholds of its rows.
template <class V, class Sink>
inline void fold_tile(const float* sums, const float* bias, RowBlock<V>& rows, int64_t row, int64_t target, Sink& sink) {
    typename V::Floats height[V::vectors];
    for (int v = 0; v < V::vectors; ++v) height[v] = V::load(bias + v * V::lanes);
    for (int r = 0; r < V::rows; ++r) {
        typename V::Floats score[V::vectors];
        const auto scale = V::broadcast(rows.bias_scale[row + r]), bar = V::broadcast(rows.threshold[row + r]);
        uint64_t reached = 0;
        for (int v = 0; v < V::vectors; ++v) {
            score[v] = V::madd(height[v], scale, V::load(sums + r * width<V> + v * V::lanes));
            reached |= uint64_t(V::at_least(score[v], bar)) << (v * V::lanes);
        }
        if (__builtin_expect(reached != 0, 0)) {
            alignas(64) float scores[width<V>];
            for (int v = 0; v < V::vectors; ++v) V::store(scores + v * V::lanes, score[v]);
            sink.offer(row + r, target, scores, reached);
        }
    }
}

// Panel t of `panels`, at depth [k, k + chunk).
struct Place {
    int64_t t, panels, k, chunk;
};

// What a block of panels reads after this chunk: the next panel's, the next chunk of the first, or the next block.
template <class T>
const T* after_chunk(const T* panel, int64_t depth, int64_t panel_width, Place at) {
    if (at.t + 1 < at.panels) return panel + ((at.t + 1) * depth + at.k) * panel_width;
    const int64_t k = at.k + at.chunk;
    return panel + (k < depth ? k : at.panels * depth) * panel_width;
}

// One block of targets [lo, hi) against the rows, over chunks of depth; sums holds every tile of the block.
template <class V, class Sink>
void filter_block(RowBlock<V>& rows, const Targets& targets, const Heights& heights, Range block, float* sums,
                  Sink& sink) {
    const int64_t depth = targets.exact.depth, panels = ceil_div(block.hi - block.lo, width<V>);
    const float* panel = targets.panels + block.lo * depth;
    int64_t k = 0;
    do {
        const int64_t chunk = smaller(depth - k, depth_chunk);
        for (int64_t t = 0; t < panels; ++t) {
            const FetchAhead ahead(after_chunk(panel, depth, width<V>, Place{t, panels, k, chunk}), 4 * width<V>, chunk,
                                   rows.panels);
            for (int64_t p = 0; p < rows.panels; ++p) {
                float* tile = sums + (depth > depth_chunk ? (t * rows.panels + p) * tile_size<V> : 0);
                multiply_tile<V, Fast<V>>(rows.panel(p, depth) + k * V::rows, 1, V::rows,
                                          panel + (t * depth + k) * width<V>, chunk, tile, k > 0, ahead.part(p));
                if (k + chunk == depth)
                    sink.fold(tile, heights.bias + block.lo + t * width<V>, p * V::rows, block.lo + t * width<V>);
            }
        }
        k += chunk;
    } while (k < depth);
}

// The whole range; stops early when the sink has no room left.
template <class V, class Sink>
void filter_range(RowBlock<V>& rows, const Targets& targets, const Heights& heights, Range range, Sink& sink) {
    const bool chunked = targets.exact.depth > depth_chunk;
    const int64_t step = chunked ? targets_per_block / width<V> * width<V> : width<V>;
    Scratch<float> sums(chunked ? rows.panels * (step / width<V>)*tile_size<V> : tile_size<V>);
    for (int64_t lo = range.lo; lo < range.hi && !sink.out_of_room(); lo += step)
        filter_block<V>(rows, targets, heights, Range{lo, smaller(lo + step, range.hi)}, sums.get(), sink);
}

// Row thresholds at the start of a range, from the float64 best of earlier ranges (-inf where there is none).
template <class V>
void start_rows(RowBlock<V>& rows, RowBound* bounds, const Targets& targets, const Heights& heights, double margin,
                const double* best) {
    for (int64_t j = 0; j < rows.count; ++j) {
        bounds[j] = row_bound(rows.noise, rows.first + j, targets, heights, margin);
        rows.bias_scale[j] = bounds[j].bias_scale;
        rows.threshold[j] = bounds[j].threshold(-__builtin_inff(), best[j]);
    }
}

// Index of the lowest bit set, which is cleared.
template <class Bits>
inline int take_lowest(Bits& bits) {
    const int lowest = __builtin_ctzll(bits);
    bits &= bits - 1;
    return lowest;
}

}  // namespace
}  // namespace brenier::cpu
