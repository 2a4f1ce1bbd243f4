// The float64 score that defines the answer (python/brenier/engine/reference.py):
//
//     lane l of 32 sums depth l, l + 32, ... in ascending order; then lanes l and l + 16 are added, l and l + 8, ...;
//     the height comes last.
//
// A product of two float32 has 48 significant bits and is exact in float64, so fusing it with the addition rounds
// exactly as doing both in turn: bodies may use either.
#pragma once

#include <cstdint>

#include "cpu/element.hpp"

namespace brenier::cpu {
namespace {

constexpr int lanes = 32;

template <class V>
struct Lanes {
    static constexpr int vectors = lanes / V::double_lanes;
    typename V::Doubles sum[vectors];

    Lanes() {
#pragma GCC unroll 16
        for (int v = 0; v < vectors; ++v) sum[v] = V::zero();
    }

    template <class T>
    void add(const float* x, const T* y) {
#pragma GCC unroll 16
        for (int v = 0; v < vectors; ++v)
            sum[v] = V::madd(V::widen(x + v * V::double_lanes), V::widen(y + v * V::double_lanes), sum[v]);
    }

    double total() const {
        double part[lanes];
        for (int v = 0; v < vectors; ++v) V::store(part + v * V::double_lanes, sum[v]);
        for (int half = lanes / 2; half > 0; half /= 2)
            for (int l = 0; l < half; ++l) part[l] += part[l + half];
        return part[0];
    }
};

// <x, y> in the fixed order.
template <class V, class T>
double inner_product(const float* x, const T* y, int64_t depth) {
    Lanes<V> sums;
    int64_t k = 0;
    for (; k + lanes <= depth; k += lanes) sums.add(x + k, y + k);
    if (k < depth) {
        float x_tail[lanes] = {};
        T y_tail[lanes] = {};
        __builtin_memcpy(x_tail, x + k, size_t(depth - k) * sizeof(float));
        __builtin_memcpy(y_tail, y + k, size_t(depth - k) * sizeof(T));
        sums.add(x_tail, y_tail);
    }
    return sums.total();
}

template <class V>
double exact_product(const Noise& noise, int64_t row, const Targets& targets, int64_t target) {
    const int64_t depth = targets.exact.depth;
    const float* x = noise.exact + row * depth;
    return with_row(targets.exact, target, [&](const auto* y) { return inner_product<V>(x, y, depth); });
}

template <class V>
double exact_score(const Noise& noise, int64_t row, const Targets& targets, const Heights& heights, int64_t target) {
    return exact_product<V>(noise, row, targets, target) + heights.exact[target];
}

// A guess of the winner, `winner` with a score of -inf, becomes the best so far with its score, or -1 where it cannot
// win: scored like any other target, it only raises the first lower bound.
template <class V>
void take_guess(const Noise& noise, int64_t row, const Targets& targets, const Heights& heights, int64_t* winner,
                double* score) {
    if (*winner < 0 || *score > -__builtin_inf()) return;
    *score = exact_score<V>(noise, row, targets, heights, *winner);
    if (!(*score > -__builtin_inf())) *winner = -1;
}

}  // namespace
}  // namespace brenier::cpu
