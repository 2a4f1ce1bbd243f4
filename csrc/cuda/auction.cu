// Assignment on the device: the rounds of auction_rounds.cuh by a block, a cluster of blocks, or the whole grid.
//
//   team     rows            rounds wait at          prices, bids, queues
//   block    up to 1,536     __syncthreads           shared memory (44 bytes a row)
//   cluster  up to 8,192     barrier.cluster         device memory
//   grid     beyond          grid barrier            device memory; problems in turn; insertions by the first block
//
// A warp looks at one bidder: 128 entries of its list (1 KB), a price for each. Scores are read twice (range, costs),
// costs are written once and read once for each list made. No host in between: every launch can be captured.
//
// Not run on hardware: the rules are checked by the host (auction_host.cu), the rest is compiled only.
#include <cooperative_groups.h>

#include "cuda/auction_memory.cuh"
#include "cuda/launch.cuh"

namespace brenier::cuda {
namespace {

namespace cg = cooperative_groups;

constexpr unsigned kEveryLane = 0xffffffffu;
constexpr int kMostThreads = 896;  // 72 registers each; with 1,024, sm_80 and sm_100 would spill two

struct DeviceWarp {
    template <class Value>
    struct Of {
        Value mine;
        __device__ __forceinline__ Value& operator[](int) { return mine; }
    };
    template <class Visit>
    __device__ __forceinline__ void each(Visit visit) const {
        visit(lane());
    }
    template <class Value>
    __device__ __forceinline__ std::int32_t least(Value value) const {
        return __reduce_min_sync(kEveryLane, value(lane()));
    }
    template <class Value>
    __device__ __forceinline__ std::int64_t total(Value value) const {
        long long sum = value(lane());
        for (int distance = 16; distance > 0; distance /= 2) sum += __shfl_xor_sync(kEveryLane, sum, distance);
        return sum;
    }
    __device__ __forceinline__ bool leads() const { return lane() == 0; }
    __device__ __forceinline__ void meet() const { __syncwarp(); }
    __device__ __forceinline__ static int lane() { return threadIdx.x % 32; }
};

struct BlockBarrier {
    __device__ __forceinline__ static void wait() { __syncthreads(); }
};

struct ClusterBarrier {
    __device__ __forceinline__ static void wait() {
#if __CUDA_ARCH__ >= 900
        __threadfence();
        cg::this_cluster().sync();
#endif
    }
};

struct GridBarrier {
    __device__ __forceinline__ static void wait() { cg::this_grid().sync(); }
};

// Some blocks of equal size. Consecutive rows go to different blocks: the last few bidders share no processor.
template <class Barrier>
struct DeviceTeam {
    int rank, blocks;  // this block among them

    template <class Visit>
    __device__ __forceinline__ void each(int count, Visit visit) const {
        for (int k = rank * blockDim.x + threadIdx.x; k < count; k += blocks * blockDim.x) visit(k);
    }
    template <class Visit>
    __device__ __forceinline__ void rows(int count, Visit visit) const {
        const int warps = blockDim.x / 32;
        for (int k = threadIdx.x / 32 * blocks + rank; k < count; k += warps * blocks) visit(DeviceWarp(), k);
    }
    // One atomic a warp.
    template <class Value>
    __device__ __forceinline__ void least(int count, unsigned long long* into, Value value) const {
        unsigned long long found = ~0ull;
        each(count, [&](int k) {
            const unsigned long long its = value(k);
            found = its < found ? its : found;
        });
        for (int distance = 16; distance > 0; distance /= 2) {
            const unsigned long long other = __shfl_xor_sync(kEveryLane, found, distance);
            found = other < found ? other : found;
        }
        if (DeviceWarp::lane() == 0) lower_to(into, found);
    }
    __device__ __forceinline__ void sync() const { Barrier::wait(); }
    __device__ __forceinline__ bool leads() const { return rank == 0 && threadIdx.x == 0; }
    __device__ __forceinline__ bool has_first_block() const { return rank == 0; }
    __device__ __forceinline__ DeviceTeam<BlockBarrier> block() const { return {0, 1}; }
};

__global__ void __launch_bounds__(kMostThreads, 1) block_auction(const AuctionProblem p, const AuctionMemory m) {
    extern __shared__ __align__(16) std::int32_t words[];
    __shared__ Control control;
    __shared__ State state;  // one for the block, indexed by turns: as a local it would take every register
    const int problem = blockIdx.x;
    if (threadIdx.x == 0) {
        state = state_of(p, m, problem);
        lay_out(state, words, state.n, 0);
        state.price = words + 9 * state.n;
        state.control = &control;
    }
    __syncthreads();
    DeviceTeam<BlockBarrier> team = {0, 1};
    run_auction(team, p, m, problem, state);
}

__global__ void __launch_bounds__(kMostThreads, 1) cluster_auction(const AuctionProblem p, const AuctionMemory m, int blocks) {
    __shared__ State state;
    const int problem = blockIdx.x / blocks;
    if (threadIdx.x == 0) state = state_of(p, m, problem);
    __syncthreads();
    DeviceTeam<ClusterBarrier> team = {static_cast<int>(blockIdx.x) % blocks, blocks};
    run_auction(team, p, m, problem, state);
}

__global__ void __launch_bounds__(kMostThreads, 1) grid_auction(const AuctionProblem p, const AuctionMemory m) {
    __shared__ State state;
    DeviceTeam<GridBarrier> team = {static_cast<int>(blockIdx.x), static_cast<int>(gridDim.x)};
    for (int problem = 0; problem < p.problems; ++problem) {
        if (threadIdx.x == 0) state = state_of(p, m, problem);
        __syncthreads();
        run_auction(team, p, m, problem, state);
        team.sync();
    }
}

// ---- scores to costs

constexpr int kColumns = 256, kRowsOfTile = 32;

__device__ RowRange warp_range(RowRange range, bool maximize) {
    for (int distance = 16; distance > 0; distance /= 2) {
        const double best = __shfl_xor_sync(kEveryLane, range.best, distance);
        const double worst = __shfl_xor_sync(kEveryLane, range.worst, distance);
        range.finite &= static_cast<bool>(__shfl_xor_sync(kEveryLane, static_cast<int>(range.finite), distance));
        range.offer(best, maximize);
        range.offer(worst, maximize);
    }
    return range;
}

template <class Score>
__global__ void __launch_bounds__(kColumns) range_kernel(const AuctionProblem p, const AuctionMemory m) {
    const int problem = blockIdx.y;
    const Place place = place_of(p, problem);
    const int warps = kColumns / 32;
    for (int i = blockIdx.x * warps + threadIdx.x / 32; i < place.size; i += gridDim.x * warps) {
        const Score* row = scores_of<Score>(p, place, i);
        RowRange range = {row[0], row[0]};
        for (int j = DeviceWarp::lane(); j < place.size; j += 32) range.offer(row[j], p.maximize);
        range = warp_range(range, p.maximize);
        if (DeviceWarp::lane() == 0) note_range(m.facts + problem * kFacts, m.top + place.row + i, range);
    }
}

template <class Score>
__global__ void __launch_bounds__(kColumns) cost_kernel(const AuctionProblem p, const AuctionMemory m) {
    const int problem = blockIdx.z;
    const Place place = place_of(p, problem);
    std::int64_t* facts = m.facts + problem * kFacts;
    const int j = blockIdx.x * kColumns + threadIdx.x, first = blockIdx.y * kRowsOfTile;
    const int last = first + kRowsOfTile < place.size ? first + kRowsOfTile : place.size;
    if (first >= place.size || facts[kFlags] != 0) return;
    std::int64_t sum = 0;
    if (j < place.size) {
        const double units = units_in_one(facts[kRange]);
        const std::int64_t stride = padded_columns(place.size);
        for (int i = first; i < last; ++i) {
            const std::int32_t cost = quantised(m.top[place.row + i], scores_of<Score>(p, place, i)[j], units);
            m.cost[place.cost + i * stride + j] = cost;
            sum += cost;
        }
        add_to(m.column_sum + place.row + j, sum);
    }
    sum = DeviceWarp().total([&](int) { return sum; });
    if (DeviceWarp::lane() == 0) add_to(facts + kCostSum, sum);
}

template <class Score>
Status quantise_as(const AuctionProblem& p, const AuctionMemory& m, const Launch& launch) {
    const unsigned tiles = (p.largest + kColumns - 1) / kColumns, rows = (p.largest + kRowsOfTile - 1) / kRowsOfTile;
    const unsigned problems = p.problems, warps = kColumns / 32;
    range_kernel<Score><<<dim3((p.largest + warps - 1) / warps, problems), kColumns, 0, stream_of(launch)>>>(p, m);
    if (const Status status = launched("range kernel"); status.code) return status;
    cost_kernel<Score><<<dim3(tiles, rows, problems), kColumns, 0, stream_of(launch)>>>(p, m);
    return launched("cost kernel");
}

// ---- launches

Status launch_blocks(const AuctionProblem& p, const AuctionMemory& m, const AuctionConfig& c, const Launch& launch) {
    const int shared = 44 * p.largest + 16;
    if (const Status status = prepared(block_auction, launch, shared, "block auction"); status.code) return status;
    block_auction<<<p.problems, c.threads, shared, stream_of(launch)>>>(p, m);
    return launched("block auction");
}

Status launch_grid(const AuctionProblem& p, const AuctionMemory& m, const AuctionConfig& c, const Launch& launch) {
    if (const Status status = prepared(grid_auction, launch, 0, "grid auction"); status.code) return status;
    int device = launch.device, processors = 0;
    if (const cudaError_t error = cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, device)) {
        return failed(error, "cudaDeviceGetAttribute");
    }
    void* arguments[] = {const_cast<AuctionProblem*>(&p), const_cast<AuctionMemory*>(&m)};
    const int blocks = c.team == Team::kGrid && c.blocks < processors ? c.blocks : processors;
    const cudaError_t error = cudaLaunchCooperativeKernel(reinterpret_cast<void*>(grid_auction), blocks, c.threads,
                                                          arguments, 0, stream_of(launch));
    return error == cudaSuccess ? kSuccess : failed(error, "cudaLaunchCooperativeKernel");
}

Status launch_clusters(const AuctionProblem& p, const AuctionMemory& m, const AuctionConfig& c, const Launch& launch) {
    if (const Status status = prepared(cluster_auction, launch, 0, "cluster auction"); status.code) return status;
    cudaFuncSetAttribute(cluster_auction, cudaFuncAttributeNonPortableClusterSizeAllowed, 1);
    cudaLaunchAttribute attribute = {};
    attribute.id = cudaLaunchAttributeClusterDimension;
    attribute.val.clusterDim = {static_cast<unsigned>(c.blocks), 1, 1};
    cudaLaunchConfig_t config = {};
    config.gridDim = dim3(static_cast<unsigned>(p.problems * c.blocks));
    config.blockDim = dim3(static_cast<unsigned>(c.threads));
    config.stream = stream_of(launch);
    config.attrs = &attribute;
    config.numAttrs = 1;
    int clusters = 0;
    if (cudaOccupancyMaxActiveClusters(&clusters, cluster_auction, &config) != cudaSuccess || clusters == 0) {
        cudaGetLastError();  // this device, or this part of one, holds no such cluster
        return launch_grid(p, m, c, launch);
    }
    const cudaError_t error = cudaLaunchKernelEx(&config, cluster_auction, p, m, c.blocks);
    return error == cudaSuccess ? kSuccess : failed(error, "cluster auction");
}

}  // namespace

AuctionConfig auction_configuration(int largest, int problems, int major, int processors) {
    if (largest <= 1536) return {Team::kBlock, 1, largest <= 128 ? 256 : largest <= 512 ? 512 : kMostThreads};
    const int blocks = largest <= 4096 ? 8 : 16;
    if (major >= 9 && largest <= 8192 && problems * blocks <= 2 * processors) return {Team::kCluster, blocks, kMostThreads};
    return {Team::kGrid, processors, kMostThreads};
}

Status quantise(const AuctionProblem& p, const AuctionMemory& m, const Launch& launch) {
    if (p.rows == 0) return kSuccess;
    if (const cudaError_t error = cudaSetDevice(launch.device)) return failed(error, "cudaSetDevice");
    return p.is_float64 ? quantise_as<double>(p, m, launch) : quantise_as<float>(p, m, launch);
}

Status auction(const AuctionProblem& p, const AuctionMemory& m, const AuctionConfig& c, const Launch& launch) {
    if (p.rows == 0) return kSuccess;
    switch (c.team) {
        case Team::kBlock: return launch_blocks(p, m, c, launch);
        case Team::kCluster: return launch_clusters(p, m, c, launch);
        default: return launch_grid(p, m, c, launch);
    }
}

}  // namespace brenier::cuda
