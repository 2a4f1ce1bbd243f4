// What packing writes for a row and how a winner is chosen, shared by the kernels and the host check.
#pragma once

#include "cuda/filter_rules.cuh"

namespace brenier::cuda {

// 2^exponent for exponents in [-126, 127].
BRENIER_BOTH float power_of_two(int exponent) { return same_bits<float>((exponent + 127) << 23); }

// The power of two that brings this magnitude into [2^7, 2^8), within [-126, 126]; 0 for zero.
BRENIER_BOTH int exponent_for(float largest) {
    if (largest == 0) return 0;
    const bool subnormal = largest < 1.17549435e-38f;
    const int biased = same_bits<std::int32_t>(subnormal ? largest * 16777216.0f : largest) >> 23;
    const int wanted = 8 - (biased - 126 - (subnormal ? 24 : 0));
    return wanted < -126 ? -126 : wanted > 126 ? 126 : wanted;
}

// slack = of_norm |2^a x| + of_rest |rest| + of_scale 2^a + least. Where it says nothing, and for rows of padding, the
// list is closed from the start.
BRENIER_BOTH void open_list(const Packing& p, std::int64_t row, float factor, float norm, float rest) {
    const float* w = p.weights;
    const float slack = w[0] * norm + w[1] * rest + w[2] * factor + w[3];
    const float lowest = -w[1] * (norm + rest);  // no row's best estimate is lower
    const float hopeless = factor * 0x1p118f;    // a quarter of -LOWEST_BIAS: who is held as that must be out of it
    const bool usable = row < p.rows && slack < 1e30f && slack - 2 * lowest < hopeless;  // false for NaN
    p.lists.scale[row] = factor;
    p.lists.slack[row] = usable ? slack : 0.0f;
    p.lists.best[row] = packed_best(usable ? lowest : 0.0f, 0xffffffffll);
    p.lists.count[row] = usable ? 0 : p.lists.room + 1;
}

// The winner over targets offered in any order: the lowest index of the largest score; -inf never wins.
struct Chosen {
    double score = kNever;
    std::int64_t winner = -1;

    BRENIER_BOTH void offer(double candidate, std::int64_t target) {
        if (candidate > score || (candidate == score && candidate > kNever && target < winner)) {
            score = candidate;
            winner = target;
        }
    }
};

}  // namespace brenier::cuda
