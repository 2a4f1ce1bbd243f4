// The epilogue of a warp's 16 x 8k fragment of sums: one bitwise AND per score finds out whether anything may win;
// only then are indices looked at, bars raised and lists written.
#pragma once

#include "cuda/filter_rules.cuh"

namespace brenier::cuda {

constexpr unsigned kWarp = 0xffffffffu;

__device__ __forceinline__ std::uint32_t shared_address(const void* pointer) {
    return static_cast<std::uint32_t>(__cvta_generic_to_shared(pointer));
}

// Whether a sum is not negative: the sign survives an AND only if every sum has it (three sums per LOP3).
template <int kCount>
__device__ __forceinline__ bool any_hit(const float (&score)[kCount]) {
    int signs = -1;
#pragma unroll
    for (int r = 0; r < kCount; ++r) signs &= __float_as_int(score[r]);
    return __any_sync(kWarp, signs >= 0);
}

__device__ __forceinline__ float quad_max(float value) {  // over the four lanes that share rows
    value = fmaxf(value, __shfl_xor_sync(kWarp, value, 1));
    return fmaxf(value, __shfl_xor_sync(kWarp, value, 2));
}

__device__ __forceinline__ int quad_min(int value) {
    value = min(value, __shfl_xor_sync(kWarp, value, 1));
    return min(value, __shfl_xor_sync(kWarp, value, 2));
}

// One bar for the four lanes that share a row: they need not read a best that others raise at the same time.
__device__ __forceinline__ void agree(RowBar& row) { row.bar = __shfl_sync(kWarp, row.bar, 0, 4); }

// One place of the row's list; false where there is none left.
__device__ __forceinline__ bool append(const Lists16& lists, const RowBar& row, int target, float score, float rho) {
    const int place = atomicAdd(lists.count + row.row, 1);
    if (place >= lists.room) return false;
    const std::int64_t slot = row.row * lists.room + place;
    lists.index[slot] = target;
    lists.estimate[slot] = upper_estimate(score, rho, row.bar);
    return true;
}

// best: the largest estimate of the tile and its lowest target, for all parts of the row to see.
__device__ __forceinline__ void announce(const Lists16& lists, const RowBar& row, float top, int target, float rho) {
    const std::int64_t packed = packed_best(top * (1 - rho) + row.bar, target);
    atomicMax(reinterpret_cast<long long*>(lists.best + row.row), static_cast<long long>(packed));
}

template <int kCount>
__device__ __forceinline__ void tops(const float (&score)[kCount], int first_target, int lane, float (&top)[2],
                                     int (&where)[2]) {
    top[0] = top[1] = -INFINITY;
#pragma unroll
    for (int r = 0; r < kCount; ++r) top[fragment_half(r)] = fmaxf(top[fragment_half(r)], score[r]);
    top[0] = quad_max(top[0]), top[1] = quad_max(top[1]);
    where[0] = where[1] = 0x7fffffff;
#pragma unroll
    for (int r = kCount - 1; r >= 0; --r) {
        const int half = fragment_half(r);
        if (score[r] == top[half]) where[half] = first_target + fragment_target(lane, r);
    }
    where[0] = quad_min(where[0]), where[1] = quad_min(where[1]);
}

// Called by whole warps that have a hit.
template <int kCount>
__device__ __forceinline__ void collect(const float (&score)[kCount], int first_target, int lane,
                                        const Lists16& lists, float rho, RowBar* rows) {
    float top[2];
    int where[2];
    tops(score, first_target, lane, top, where);
    const float raised[2] = {raised_by(top[0], rho, rows[0].slack), raised_by(top[1], rho, rows[1].slack)};
    bool full[2] = {false, false};
#pragma unroll
    for (int r = 0; r < kCount; ++r) {
        const int half = fragment_half(r);
        if (score[r] >= raised[half]) {
            full[half] |= !append(lists, rows[half], first_target + fragment_target(lane, r), score[r], rho);
        }
    }
#pragma unroll
    for (int half = 0; half < 2; ++half) {
        const unsigned quad = 0xfu << (lane / 4 * 4);
        const bool closed = (__ballot_sync(kWarp, full[half]) & quad) != 0;
        if (top[half] >= 0) {
            if (lane % 4 == 0) announce(lists, rows[half], top[half], where[half], rho);
            rows[half].bar = closed ? kClosed : rows[half].bar + raised[half];
        }
    }
}

}  // namespace brenier::cuda
