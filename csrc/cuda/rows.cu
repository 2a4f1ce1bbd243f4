// Around the filter: rows packed as fp16 with their bounds, and the float64 decision among the listed.
//
//   pack     x^_j = fp16(2^a_j x_j), 2^a_j, slack_j, the starting best       (brenier/engine/halves.py)
//   decide   winner_j = the lowest listed i with the largest float64 <x_j, y_i> + h_i
//
// One warp owns one row (pack, decide) or one pair (pair_scores): 32 lanes are the 32 lanes of the fixed order, folded
// by shuffles (order.cuh). pack reads a row twice, the second time from a cache; decide reads x and y once for every
// target of the list that the final bar leaves, about one per row.
//
// Not run on hardware.
#include <cuda_runtime.h>

#include "cuda/launch.cuh"
#include "cuda/row_rules.cuh"

namespace brenier::cuda {
namespace {

constexpr unsigned kWarp = 0xffffffffu;
constexpr int kWarps = 8;
constexpr int kThreads = kWarps * kLanes;
constexpr std::int64_t kMostBlocks = 2147483647;

struct Shuffle {
    template <class Value>
    __device__ __forceinline__ Value operator()(Value value, int distance) const {
        return __shfl_xor_sync(kWarp, value, distance);
    }
};

__device__ __forceinline__ std::int64_t warp_of_grid() {
    return static_cast<std::int64_t>(blockIdx.x) * kWarps + threadIdx.x / kLanes;
}

__device__ __forceinline__ float largest_of(const Packing& p, std::int64_t row, int lane) {
    float largest = 0;
    if (row < p.rows) {
        for (std::int64_t k = lane; k < p.depth; k += kLanes) largest = fmaxf(largest, fabsf(element(p.x, row, k)));
    }
    for (int distance = kLanes / 2; distance > 0; distance /= 2) {
        largest = fmaxf(largest, __shfl_xor_sync(kWarp, largest, distance));
    }
    return largest;
}

__global__ void __launch_bounds__(kThreads) pack_kernel(const Packing p, std::int64_t padded) {
    const int lane = threadIdx.x % kLanes;
    const std::int64_t row = warp_of_grid();
    if (row >= padded) return;
    const float factor = power_of_two(exponent_for(largest_of(p, row, lane)));
    __half* out = static_cast<__half*>(p.lists.packed) + row * p.width;
    float squares = 0, residuals = 0;
#pragma unroll 4
    for (int k = lane; k < p.width; k += kLanes) {
        const float value = row < p.rows && k < p.depth ? element(p.x, row, k) * factor : 0.0f;
        const __half half = __float2half_rn(value);
        const float rest = __half2float(half) - value;
        out[k] = half;
        squares += value * value;
        residuals += rest * rest;
    }
    squares = fold(squares, Shuffle{}), residuals = fold(residuals, Shuffle{});
    if (lane == 0) open_list(p, row, factor, sqrtf(squares), sqrtf(residuals));
}

// The float64 score of one pair by a whole warp, the same in every lane.
__device__ __forceinline__ double exact_score(const Matrix& x, const Matrix& y, const double* h, std::int64_t depth,
                                              std::int64_t row, std::int64_t target, int lane) {
    double sum = 0;
#pragma unroll 4
    for (std::int64_t k = lane; k < depth; k += kLanes) {
        sum = add_product(sum, element(x, row, k), element(y, target, k));
    }
    return fold(sum, Shuffle{}) + h[target];
}

// Every listed target that the final bar leaves, 32 places of the list at a time.
__device__ __forceinline__ void score_list(const Decision& d, std::int64_t row, int found, int lane, Chosen& chosen) {
    const float bar = estimate_of(d.lists.best[row]) - d.lists.slack[row];
    const std::int64_t slot = row * d.lists.room;
    for (int first = 0; first < found; first += kLanes) {
        const int place = first + lane;
        const bool live = place < found && d.lists.estimate[slot + place] >= bar;
        const int target = live ? d.lists.index[slot + place] : 0;
        for (unsigned left = __ballot_sync(kWarp, live); left != 0; left &= left - 1) {
            const std::int64_t next = __shfl_sync(kWarp, target, __ffs(static_cast<int>(left)) - 1);
            chosen.offer(exact_score(d.x, d.y, d.h, d.depth, row, next, lane), next);
        }
    }
}

__global__ void __launch_bounds__(kThreads, 2) decide_kernel(const Decision d) {
    const int lane = threadIdx.x % kLanes;
    const std::int64_t row = warp_of_grid();
    if (row >= d.rows) return;
    const int found = d.lists.count[row];
    Chosen chosen;
    if (found <= d.lists.room) {
        score_list(d, row, found, lane, chosen);
    } else if (d.walk) {
        for (std::int64_t t = 0; t < d.targets; ++t) {
            chosen.offer(exact_score(d.x, d.y, d.h, d.depth, row, t, lane), t);
        }
    }
    if (lane == 0) d.winners[row] = chosen.winner, d.scores[row] = chosen.score;
}

__global__ void __launch_bounds__(kThreads) pair_kernel(const Pairs p) {
    const int lane = threadIdx.x % kLanes;
    const std::int64_t pair = warp_of_grid();
    if (pair >= p.count) return;
    const double score = exact_score(p.x, p.y, p.h, p.depth, p.rows[pair], p.targets[pair], lane);
    if (lane == 0) p.scores[pair] = score;
}

template <class Kernel, class... Arguments>
Status run(const char* name, Kernel kernel, std::int64_t warps, const Launch& launch, const Arguments&... arguments) {
    const std::int64_t blocks = (warps + kWarps - 1) / kWarps;
    if (blocks == 0) return kSuccess;
    if (blocks > kMostBlocks) return failed(cudaErrorInvalidConfiguration, name);
    if (const Status status = prepared(kernel, launch, 0, name); status.code) return status;
    kernel<<<static_cast<unsigned>(blocks), kThreads, 0, stream_of(launch)>>>(arguments...);
    return launched(name);
}

}  // namespace

Status pack(const Packing& p, const Launch& launch) {
    const std::int64_t padded = (p.rows + 255) / 256 * 256;
    return run("pack kernel", pack_kernel, padded, launch, p, padded);
}

Status decide(const Decision& d, const Launch& launch) { return run("decide kernel", decide_kernel, d.rows, launch, d); }

Status pair_scores(const Pairs& p, const Launch& launch) {
    return run("pair score kernel", pair_kernel, p.count, launch, p);
}

}  // namespace brenier::cuda
