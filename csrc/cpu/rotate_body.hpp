// A rotation that spreads spiky rows over their coordinates before they are quantised, the same for noise and targets:
//
//     x <- H D x  on the first `block` coordinates, then on the last `block`       block = 2^t, d/2 < block <= d
//
// D: random signs times a power of two, H: the Hadamard matrix, in t passes of sums and differences of neighbours. The
// order in which its rows come out is not the textbook's, which no product notices. Where block = d once is enough.
// Every value meets at most t roundings per time: relative to the norm, the error is below 2 (t + 1) 2^-24.
#pragma once

#include "cpu/hadamard.hpp"
#include "cpu/int8_pack.hpp"

namespace brenier::cpu {
namespace {

inline void rotate_block(float* values, const float* signs, int64_t block, float* one, float* other) {
    for (int64_t k = 0; k < block; ++k) one[k] = values[k] * signs[k];
    for (int64_t done = 1; done < block; done *= 2) {
        add_neighbours(one, other, block / 2);
        float* const swapped = one;
        one = other, other = swapped;
    }
    __builtin_memcpy(values, one, size_t(block) * sizeof(float));
}

// Rows minus the centre (if any), rotated, as float32; signs is (2, block).
template <class Tile>
void rotate8(const Matrix& matrix, int64_t rows, const float* centre, const float* signs, int64_t block, float* out) {
    Scratch<float> one(block), other(block);
    for (int64_t j = 0; j < rows; ++j, out += matrix.depth) {
        with_row(matrix, j, [&](const auto* values) {
            for (int64_t k = 0; k < matrix.depth; ++k) out[k] = centred(values, centre, k);
        });
        rotate_block(out, signs, block, one.get(), other.get());
        if (block < matrix.depth)
            rotate_block(out + matrix.depth - block, signs + block, block, one.get(), other.get());
    }
}

}  // namespace
}  // namespace brenier::cpu
