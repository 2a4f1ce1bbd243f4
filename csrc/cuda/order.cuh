// What decides the bits of an answer, shared by the kernels and the host check: which part owns which targets,
// which lane owns which depth, how lanes are folded, and who wins a tie.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cmath>
#include <cstdint>
#include <cstring>

#include "cuda/scan.hpp"

#define BRENIER_BOTH __host__ __device__ __forceinline__

namespace brenier::cuda {

constexpr int kLanes = 32;
constexpr double kNever = -INFINITY;  // the score of a target that cannot win

// The same bits read as another type of the same size.
template <class To, class From>
BRENIER_BOTH To same_bits(From value) {
    static_assert(sizeof(To) == sizeof(From), "as many bits");
    To result;
    std::memcpy(&result, &value, sizeof result);
    return result;
}

struct Range {
    std::int64_t first;
    std::int64_t end;
};

// Part `split` of `splits` equal parts, in whole tiles; the last parts may be empty.
BRENIER_BOTH Range part_of(std::int64_t targets, int splits, int split, int tile) {
    const std::int64_t tiles = (targets + tile - 1) / tile;
    const std::int64_t width = (tiles + splits - 1) / splits * tile;
    const std::int64_t first = split * width;
    const std::int64_t end = first + width;
    return {first < targets ? first : targets, end < targets ? end : targets};
}

// One element as float32: exact for all three types.
BRENIER_BOTH float element(const Matrix& matrix, std::int64_t row, std::int64_t column) {
    const std::int64_t place = row * matrix.row_stride + column * matrix.depth_stride;
    switch (matrix.element) {
        case Element::kFloat16:
            return __half2float(static_cast<const __half*>(matrix.data)[place]);
        case Element::kBfloat16:
            return __bfloat162float(static_cast<const __nv_bfloat16*>(matrix.data)[place]);
        default:
            return static_cast<const float*>(matrix.data)[place];
    }
}

// A lane's sum after one more depth. The product of two float32 is exact in float64 (24 + 24 bits of 53), so
// that a fused and an unfused addition give the same bits.
BRENIER_BOTH double add_product(double sum, double x, double y) { return sum + x * y; }

// Lanes i and i+16 are added, then i and i+8, down to i and i+1; lane 0 ends with the sum of all.
// exchange(value, distance) is the value of the lane whose number differs in that bit.
template <class Value, class Exchange>
BRENIER_BOTH Value fold(Value value, Exchange exchange) {
    for (int distance = kLanes / 2; distance > 0; distance /= 2) {
        value = value + exchange(value, distance);
    }
    return value;
}

// The running best of one row over targets offered in ascending order: a later target must be strictly larger,
// so that the lowest index wins a tie and -inf never wins.
struct Leader {
    double score = kNever;
    std::int64_t winner = -1;

    BRENIER_BOTH void offer(double candidate, std::int64_t target) {
        if (candidate > score) {
            score = candidate;
            winner = target;
        }
    }
};

// Whether a target belongs to the list of a row: a target at -inf never does.
BRENIER_BOTH bool reaches(double score, double threshold) {
    return score >= threshold && score > kNever;
}

}  // namespace brenier::cuda
