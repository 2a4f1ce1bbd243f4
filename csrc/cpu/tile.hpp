// The register tile under assign, candidates and project.
//
//              targets (width = V::lanes * V::vectors), one packed panel: [depth][width]
//            +------------------+
//     rows   |  sums stay in    |   per step of depth: V::vectors loads, V::rows broadcasts,
//   V::rows  |  registers       |   V::rows * V::vectors multiply-adds
//            +------------------+
//
// Each sum is one chain over ascending depth, started from `sums` or from zero: the order never depends on how
// the work is cut. Bytes per step: 4 (V::rows + width), against 2 V::rows width operations.
#pragma once

#include <cstdint>

namespace brenier::cpu {
namespace {  // see body.hpp

template <class V>
constexpr int width = V::lanes * V::vectors;

template <class V>
constexpr int tile_size = V::rows * width<V>;

// Filter: the body's fastest multiply-add (bound.hpp allows either rounding).
template <class V>
struct Fast {
    static typename V::Floats madd(typename V::Floats a, typename V::Floats b, typename V::Floats c) {
        return V::madd(a, b, c);
    }
};

// Where bits are promised: fused on every body.
template <class V>
struct Fused {
    static typename V::Floats madd(typename V::Floats a, typename V::Floats b, typename V::Floats c) {
        return V::fused(a, b, c);
    }
};

// Memory to fetch ahead of its use, `step` bytes onwards at every step of depth, towards the second-level cache: memory
// is too slow to wait for, and many requests at once would block the loads of this tile. Need not be there.
struct Ahead {
    const void* next;
    int64_t step;
};

// The memory that tiles on several panels of rows fetch in turn, each an equal part of `steps` of its steps.
struct FetchAhead {
    const char* next;
    int64_t share, steps;

    FetchAhead(const void* from, int64_t bytes_per_step, int64_t steps_of_tile, int64_t parts)
        : next(static_cast<const char*>(from)), share((bytes_per_step + parts - 1) / parts), steps(steps_of_tile) {}
    Ahead part(int64_t p) const { return {next + p * steps * share, share}; }
};

// What this tile reads of the packed rows comes to the first-level cache that many steps before its use: the hardware's
// own guess is late where panels are taken chunk by chunk. Of the targets, which every panel of rows reads again, it is
// not, and fetching would take the loads' own ports.
constexpr int64_t row_steps_ahead = 32;

// One step of depth: `vectors` loads, V::rows broadcasts.
template <class V, class Arithmetic, int vectors>
inline __attribute__((always_inline)) void multiply_step(const float* rows, int64_t row_stride, const float* panel,
                                                         typename V::Floats (&sum)[V::rows][vectors]) {
    typename V::Floats target[vectors];
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v) target[v] = V::load(panel + v * V::lanes);
#pragma GCC unroll 16
    for (int r = 0; r < V::rows; ++r) {
        const typename V::Floats noise = V::broadcast(rows[r * row_stride]);
#pragma GCC unroll 4
        for (int v = 0; v < vectors; ++v) sum[r][v] = Arithmetic::madd(noise, target[v], sum[r][v]);
    }
}

// Element (r, k) of the rows is rows[r * row_stride + k * step]. Of each row's sums only the first `vectors` vectors
// are made. Steps go in pairs: one fetch of each kind is enough for two.
template <class V, class Arithmetic, int vectors = V::vectors>
inline __attribute__((always_inline)) void multiply_tile(const float* rows, int64_t row_stride, int64_t step,
                                                         const float* panel, int64_t depth, float* sums, bool resume,
                                                         Ahead ahead) {
    typename V::Floats sum[V::rows][vectors];
#pragma GCC unroll 16
    for (int r = 0; r < V::rows; ++r)
#pragma GCC unroll 4
        for (int v = 0; v < vectors; ++v)
            sum[r][v] = resume ? V::load(sums + r * width<V> + v * V::lanes) : V::broadcast(0.0f);
    const char* next = static_cast<const char*>(ahead.next);
    for (int64_t k = 1; k < depth; k += 2, panel += 2 * width<V>, rows += 2 * step, next += 2 * ahead.step) {
        __builtin_prefetch(next, 0, 2);
        __builtin_prefetch(rows + row_steps_ahead * step, 0, 3);
        multiply_step<V, Arithmetic>(rows, row_stride, panel, sum);
        multiply_step<V, Arithmetic>(rows + step, row_stride, panel + width<V>, sum);
    }
    if (depth % 2) multiply_step<V, Arithmetic>(rows, row_stride, panel, sum);
#pragma GCC unroll 16
    for (int r = 0; r < V::rows; ++r)
#pragma GCC unroll 4
        for (int v = 0; v < vectors; ++v) V::store(sums + r * width<V> + v * V::lanes, sum[r][v]);
}

}  // namespace
}  // namespace brenier::cpu
