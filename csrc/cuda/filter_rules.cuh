// What decides which targets a row lists, shared by the kernels and the host check: units, fragments, bars, bests.
#pragma once

#include <cuda_fp16.h>

#include <cmath>
#include <cstdint>

#include "cuda/filter.hpp"
#include "cuda/order.cuh"

namespace brenier::cuda {

constexpr int kDepthBlock = 64;   // depths of one stage: 128 bytes, the width of the swizzle
constexpr int kOneChain = 4096;   // up to this depth sums need no sections
constexpr int kSection = 512;
constexpr float kClosed = INFINITY;  // the bar of a row that lists nothing more

// Integers in the order of the floats; its own inverse.
BRENIER_BOTH std::int32_t ordered(std::int32_t bits) { return bits ^ ((bits >> 31) & 0x7fffffff); }

// Larger for a larger estimate, then for a lower index.
BRENIER_BOTH std::int64_t packed_best(float estimate, std::int64_t target) {
    const auto high = static_cast<std::uint64_t>(static_cast<std::uint32_t>(ordered(same_bits<std::int32_t>(estimate))));
    return static_cast<std::int64_t>(high << 32 | (0xffffffffull - static_cast<std::uint64_t>(target)));
}

BRENIER_BOTH float estimate_of(std::int64_t packed) {
    return same_bits<float>(ordered(static_cast<std::int32_t>(packed >> 32)));
}

// Units: group by group of row blocks, in each group part by part, so that what runs together shares tiles.
struct Unit {
    std::int64_t block;
    Range tiles;  // of the targets
};

struct Units {
    std::int64_t blocks;
    std::int64_t tiles;
    int splits;
    int group;

    BRENIER_BOTH std::int64_t count() const { return blocks * splits; }

    BRENIER_BOTH Unit at(std::int64_t unit) const {
        const std::int64_t first = unit / (static_cast<std::int64_t>(group) * splits) * group;
        const std::int64_t height = blocks - first < group ? blocks - first : group;
        const std::int64_t within = unit - first * splits;
        return {first + within % height, part_of(tiles, splits, static_cast<int>(within / height), 1)};
    }
};

inline Units units_of(const Filter& f, const FilterConfig& c) {
    return {(f.rows + c.block_rows - 1) / c.block_rows, (f.targets + c.block_targets - 1) / c.block_targets,
            c.splits, c.group};
}

// Where register r of a lane lies in a 16 x 8k fragment of sums: mma.m16n8k16 and wgmma have the same layout.
BRENIER_BOTH int fragment_half(int r) { return r % 4 / 2; }  // rows 0..7 or 8..15
BRENIER_BOTH int fragment_row(int lane, int half) { return lane / 4 + 8 * half; }
BRENIER_BOTH int fragment_target(int lane, int r) { return r / 4 * 8 + lane % 4 * 2 + r % 2; }

// A row as the lanes that own a part of it see it.
struct RowBar {
    std::int64_t row;
    float scale;
    float slack;
    float bar;

    BRENIER_BOTH void open(const Lists16& lists, std::int64_t which) {
        row = which;
        scale = lists.scale[row];
        slack = lists.slack[row];
        bar = lists.count[row] > lists.room ? kClosed : estimate_of(lists.best[row]) - slack;
    }

    // The start of a sum: its sign says at the end whether the target may win.
    BRENIER_BOTH float start(float bias) const {
#ifdef __CUDA_ARCH__
        return __fmaf_rn(bias, scale, -bar);
#else
        return std::fma(bias, scale, -bar);
#endif
    }
};

// What a hit of `top` makes of a bar: targets below `raised` (relative to the old bar) cannot win.
BRENIER_BOTH float raised_by(float top, float rho, float slack) {
    const float raised = top * (1 - rho) - slack;
    return raised > 0 ? raised : 0;
}

BRENIER_BOTH float upper_estimate(float score, float rho, float bar) { return score * (1 + rho) + bar; }

}  // namespace brenier::cuda
