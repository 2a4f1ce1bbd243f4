// score[j, i] = <x_j, y_i> + h_i in float64, straight in the fixed order: no filter, no bound, one pass per verb.
//
// Tiles. A block of 8 warps owns 32 rows (4 per warp) and one part of the targets, walked left to right:
//
//                  8 targets                     one warp, one tile: 4 rows x 8 targets = 32 scores
//               +-----------+                    lane l holds, for each of them, the float64 sum of
//    64 depths  | shared y  | -> next 64 depths  depths l, l+32, l+64, ...: 32 accumulators, 64 registers
//               +-----------+
//
// Accumulation. One float64 multiply-add per lane, score and 32 depths; then the lanes are folded by shuffles
// (order.cuh), and h comes last. Ties: order.cuh, Leader.
//
// Bytes per tile and 64 depths: y 8 * 64 elements once per block (float64 in shared memory: one conversion for
// 32 rows), x 4 * 64 elements per warp from L1, for 2 * 4 * 8 * 64 operations a warp.
//
// The folding costs 320 shuffles per 32 scores, as much as about 300 depths: slow for small d. Where float64
// runs at 1/64 of float32 (consumer GPUs) the Triton filter is the better engine.
//
// Not run on hardware.
#include "cuda/launch.cuh"
#include "cuda/order.cuh"

namespace brenier::cuda {
namespace {

constexpr int kWarps = 8;
constexpr int kRows = 4;  // per warp
constexpr int kTargets = 8;
constexpr int kDepth = 64;
constexpr int kThreads = kWarps * kLanes;
constexpr int kBlockRows = kWarps * kRows;
constexpr int kMostSplits = 64;
constexpr std::int64_t kMostBlocks = 2147483647;

enum class Mode { kBest, kCount, kFill };

using Tile = double[kTargets][kDepth];
using Sums = double[kRows][kTargets];

struct Place {  // where this warp works
    int lane;
    std::int64_t row;  // its first row
    int split;
};

__device__ __forceinline__ Place place_of() {
    const int warp = threadIdx.x / kLanes;
    const std::int64_t block = blockIdx.x;
    return {static_cast<int>(threadIdx.x % kLanes), block * kBlockRows + warp * kRows,
            static_cast<int>(blockIdx.y)};
}

// load: 8 targets x 64 depths of y into shared memory as float64, zeros outside.
__device__ __forceinline__ void load(const Problem& p, Tile& tile, std::int64_t target, std::int64_t depth) {
    for (int k = threadIdx.x; k < kTargets * kDepth; k += kThreads) {
        const std::int64_t row = target + k / kDepth;
        const std::int64_t column = depth + k % kDepth;
        const bool inside = row < p.targets && column < p.depth;
        tile[k / kDepth][k % kDepth] = inside ? element(p.y, row, column) : 0.0;
    }
}

// score: this lane's depths of the tile, ascending, added to its sums.
__device__ __forceinline__ void accumulate(const Problem& p, const Tile& tile, const Place& place,
                                           std::int64_t depth, Sums& sums) {
#pragma unroll
    for (int step = 0; step < kDepth; step += kLanes) {
        const std::int64_t column = depth + step + place.lane;
        double x[kRows];
#pragma unroll
        for (int r = 0; r < kRows; ++r) {
            const bool inside = place.row + r < p.rows && column < p.depth;
            x[r] = inside ? element(p.x, place.row + r, column) : 0.0;
        }
#pragma unroll
        for (int t = 0; t < kTargets; ++t) {
            const double y = tile[t][step + place.lane];
#pragma unroll
            for (int r = 0; r < kRows; ++r) {
                sums[r][t] = add_product(sums[r][t], x[r], y);
            }
        }
    }
}

struct Shuffle {
    __device__ __forceinline__ double operator()(double value, int distance) const {
        return __shfl_xor_sync(0xffffffffu, value, distance);
    }
};

// What a row carries from target to target: its leader, or its list. Every lane holds the same.
template <Mode mode>
struct Row {
    Leader leader;
    double threshold;
    std::int64_t found;

    __device__ __forceinline__ void begin(const Lists& lists, std::int64_t row, std::int64_t part) {
        if (mode != Mode::kBest) threshold = lists.thresholds[row];
        found = mode == Mode::kFill ? lists.starts[part] : 0;
    }

    __device__ __forceinline__ void take(const Lists& lists, double score, std::int64_t target, int lane) {
        if (mode == Mode::kBest) {
            leader.offer(score, target);
        } else if (reaches(score, threshold)) {
            if (mode == Mode::kFill && lane == 0) {
                lists.indices[found] = target;
                lists.scores[found] = score;
            }
            ++found;
        }
    }

    __device__ __forceinline__ void store(const Best& best, const Lists& lists, std::int64_t part) const {
        if (mode == Mode::kBest) {
            best.scores[part] = leader.score;
            best.winners[part] = leader.winner;
        } else if (mode == Mode::kCount) {
            lists.counts[part] = found;
        }
    }
};

// fold: lanes to scores, h last, targets offered in ascending order.
template <Mode mode>
__device__ __forceinline__ void finish(const Problem& p, const Lists& lists, const Place& place,
                                       std::int64_t target, std::int64_t end, const Sums& sums,
                                       Row<mode> (&rows)[kRows]) {
#pragma unroll
    for (int t = 0; t < kTargets; ++t) {
        const bool inside = target + t < end;  // the same for the whole warp
        const double h = inside ? p.h[target + t] : 0.0;
#pragma unroll
        for (int r = 0; r < kRows; ++r) {
            const double score = fold(sums[r][t], Shuffle{}) + h;
            if (inside && place.row + r < p.rows) {
                rows[r].take(lists, score, target + t, place.lane);
            }
        }
    }
}

template <Mode mode>
__global__ void __launch_bounds__(kThreads, 1) scan(const Problem p, const Best best, const Lists lists) {
    __shared__ Tile tile;
    const Place place = place_of();
    const Range part = part_of(p.targets, p.splits, place.split, kTargets);

    Row<mode> rows[kRows];
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
        const std::int64_t row = place.row + r;
        if (row < p.rows) rows[r].begin(lists, row, row * p.splits + place.split);
    }

    for (std::int64_t target = part.first; target < part.end; target += kTargets) {
        Sums sums = {};
        for (std::int64_t depth = 0; depth < p.depth; depth += kDepth) {
            load(p, tile, target, depth);
            __syncthreads();
            accumulate(p, tile, place, depth, sums);
            __syncthreads();
        }
        finish<mode>(p, lists, place, target, part.end, sums, rows);
    }

#pragma unroll
    for (int r = 0; r < kRows; ++r) {
        const std::int64_t row = place.row + r;
        if (row < p.rows && place.lane == 0) rows[r].store(best, lists, row * p.splits + place.split);
    }
}

template <Mode mode>
Status run(const Problem& problem, const Best& best, const Lists& lists, const Launch& launch, const char* name) {
    const std::int64_t blocks = (problem.rows + kBlockRows - 1) / kBlockRows;
    if (blocks == 0 || problem.targets == 0) return kSuccess;
    if (blocks > kMostBlocks) return failed(cudaErrorInvalidConfiguration, name);
    if (const Status status = prepared(scan<mode>, launch, 0, name); status.code) return status;
    const dim3 grid(static_cast<unsigned>(blocks), static_cast<unsigned>(problem.splits));
    scan<mode><<<grid, kThreads, 0, stream_of(launch)>>>(problem, best, lists);
    return launched(name);
}

}  // namespace

int splits_for(std::int64_t rows, std::int64_t targets, int processors) {
    const std::int64_t blocks = rows > kBlockRows ? (rows + kBlockRows - 1) / kBlockRows : 1;
    const std::int64_t tiles = (targets + kTargets - 1) / kTargets;
    std::int64_t splits = (2 * static_cast<std::int64_t>(processors) + blocks - 1) / blocks;
    splits = splits < kMostSplits ? splits : kMostSplits;
    splits = splits < tiles ? splits : tiles;
    return splits > 1 ? static_cast<int>(splits) : 1;
}

Status device_count(int* count) {
    *count = 0;
    const cudaError_t error = cudaGetDeviceCount(count);
    if (error == cudaSuccess) return kSuccess;
    cudaGetLastError();  // forget it: asking is not a failure of the next call
    return failed(error, "cudaGetDeviceCount");
}

Status device_info(int index, Device* device) {
    cudaDeviceProp properties;
    const cudaError_t error = cudaGetDeviceProperties(&properties, index);
    if (error != cudaSuccess) {
        cudaGetLastError();
        return failed(error, "cudaGetDeviceProperties");
    }
    device->major = properties.major;
    device->minor = properties.minor;
    device->processors = properties.multiProcessorCount;
    device->bytes = static_cast<std::int64_t>(properties.totalGlobalMem);
    for (int k = 0; k < 256; ++k) device->name[k] = properties.name[k];
    return kSuccess;
}

Status assign(const Problem& problem, const Best& best, const Launch& launch) {
    return run<Mode::kBest>(problem, best, Lists{}, launch, "assign kernel");
}

Status count(const Problem& problem, const Lists& lists, const Launch& launch) {
    return run<Mode::kCount>(problem, Best{}, lists, launch, "count kernel");
}

Status fill(const Problem& problem, const Lists& lists, const Launch& launch) {
    return run<Mode::kFill>(problem, Best{}, lists, launch, "fill kernel");
}

int tile_width() { return kTargets; }

}  // namespace brenier::cuda
