// Walsh-Hadamard transforms: sums and differences in a fixed tree, so that bits are the same on every instruction set.
#pragma once

#include <cstdint>

namespace brenier::cpu {
namespace {  // see body.hpp

// One pass of a transform of 2 half values: neighbours' sums, then their differences. As many passes as there are
// bits are the whole transform, its rows in an order that is not the textbook's.
inline void add_neighbours(const float* __restrict__ in, float* __restrict__ out, int64_t half) {
    for (int64_t i = 0; i < half; ++i) {
        out[i] = in[2 * i] + in[2 * i + 1];
        out[half + i] = in[2 * i] - in[2 * i + 1];
    }
}

constexpr int64_t leaf = 256;  // values that stay in the L1 cache for their eight passes

inline void transform_leaf(float* values) {
    alignas(64) float other[leaf];
    for (int64_t pass = 0; pass < 8; pass += 2) {
        add_neighbours(values, other, leaf / 2);
        add_neighbours(other, values, leaf / 2);
    }
}

// Sums and differences of the values `stride`, 2 stride, ... radix / 2 stride apart, in registers.
template <class V, int radix>
void combine(float* values, int64_t size, int64_t stride) {
    for (int64_t first = 0; first < size; first += radix * stride)
        for (int64_t k = first; k < first + stride; k += V::lanes) {
            typename V::Floats v[radix];
#pragma GCC unroll 16
            for (int r = 0; r < radix; ++r) v[r] = V::load(values + k + r * stride);
#pragma GCC unroll 4
            for (int half = 1; half < radix; half *= 2)
#pragma GCC unroll 16
                for (int r = 0; r < radix; ++r)
                    if (!(r & half)) {
                        const auto sum = v[r] + v[r + half], difference = v[r] - v[r + half];
                        v[r] = sum, v[r + half] = difference;
                    }
#pragma GCC unroll 16
            for (int r = 0; r < radix; ++r) V::store(values + k + r * stride, v[r]);
        }
}

// The transform in place; size is a power of two, at least `leaf`.
template <class V>
void hadamard(float* values, int64_t size) {
    constexpr int most = V::lanes >= 16 ? 16 : 4;  // what the registers hold; it changes no bit
    for (int64_t first = 0; first < size; first += leaf) transform_leaf(values + first);
    int64_t stride = leaf;
    for (; stride * most <= size; stride *= most) combine<V, most>(values, size, stride);
    for (; stride * 4 <= size; stride *= 4) combine<V, 4>(values, size, stride);
    if (stride < size) combine<V, 2>(values, size, stride);
}

}  // namespace
}  // namespace brenier::cpu
