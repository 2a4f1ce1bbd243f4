// The integer register tile: scores of V::rows x V::targets pairs, compared with one bar per row.
//
//     sums[r][i] = start[r][i] + sum over steps and 4 bytes of q[r] (p[i] + 128)        modulo 2^32     (int8)
//     sums[r][i] = start[r][i] + sum over steps and 2 words of q[r] p[i]                                (int16)
//
// `start` is one row of targets for all rows (start_step 0) or one for each (start_step V::targets). Returns whether
// any sum reaches its row's bar; only then are the sums stored. Nothing but a maximum and a compare follows the
// products. What is read next comes towards the second-level cache meanwhile, a little at every step: memory is too
// slow to wait for, and many requests at once would block the loads of this tile. Bytes per step: 4 (V::rows + V::targets), against 8 V::rows V::targets operations.
#pragma once

#include <cstdint>

#include "cpu/tile.hpp"

namespace brenier::cpu {
namespace {

template <int targets>
inline uint64_t reached_bits(const int32_t* sums, int32_t bar) {
    uint64_t bits = 0;
    for (int i = 0; i < targets; ++i) bits |= uint64_t(sums[i] >= bar) << i;
    return bits;
}

// Of `bytes` = 1 or 2 per value.
template <int value_bytes>
struct PortableTile {
    static constexpr int rows = 4, targets = 8, lanes = 4, bytes = value_bytes;

    static bool score(const int32_t* row_words, const uint8_t* panel, int64_t steps, const int32_t* start,
                      int64_t start_step, const int32_t* bars, int32_t* sums, Ahead) {
        uint32_t sum[rows][targets];
        for (int r = 0; r < rows; ++r)
            for (int i = 0; i < targets; ++i) sum[r][i] = uint32_t(start[r * start_step + i]);
        for (int64_t step = 0; step < steps; ++step, row_words += rows, panel += 4 * targets)
            for (int r = 0; r < rows; ++r)
                for (int i = 0; i < targets; ++i) sum[r][i] += dot(row_words + r, panel + 4 * i);
        bool reached = false;
        for (int r = 0; r < rows; ++r)
            for (int i = 0; i < targets; ++i) {
                sums[r * targets + i] = int32_t(sum[r][i]);
                reached |= sums[r * targets + i] >= bars[r];
            }
        return reached;
    }

    // The products of one word of each.
    static uint32_t dot(const int32_t* row_word, const uint8_t* target_word) {
        int32_t sum = 0;
        if constexpr (bytes == 1) {
            int8_t q[4];
            __builtin_memcpy(q, row_word, sizeof q);
            for (int b = 0; b < 4; ++b) sum += int32_t(q[b]) * target_word[b];
        } else {
            int16_t q[2], p[2];
            __builtin_memcpy(q, row_word, sizeof q), __builtin_memcpy(p, target_word, sizeof p);
            for (int b = 0; b < 2; ++b) sum += int32_t(q[b]) * p[b];
        }
        return uint32_t(sum);
    }

    // Which of the sums of one row reach its bar.
    static uint64_t reached(const int32_t* sums, int32_t bar) { return reached_bits<targets>(sums, bar); }
};

}  // namespace
}  // namespace brenier::cpu
