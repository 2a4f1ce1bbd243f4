// The half-precision filter for every GPU from sm_80 on: asynchronous copies into shared memory, mma.m16n8k16.
//
//   f[j, i] = scale_j bias_i - bar_j + <x_j, y_i>
//
// Tiles. A block of 8 warps owns 128 rows x 128 targets; a warp owns 32 rows x 64 targets (two fragments of 16 rows):
//
//                 128 targets        stage: 64 depths of 128 rows of x and of 128 targets of y, 32 KB; three stages,
//                +-----+-----+              filled by cp.async while the one before is multiplied
//     32 rows    |  0  |  1  |       places of 16 bytes are exchanged by row (place ^ row % 8), so that ldmatrix
//     32 rows    |  2  |  3  |       meets every bank once
//                +-----+-----+
//
// Accumulation. fp32 in the tensor cores, from the bias less the bar; with sections, 512 depths apart. Ties and lists:
// collect.cuh. Bytes per tile: (128 + 128) d 2 from L2, for 2 * 128 * 128 * d operations.
//
// Not run on hardware.
#include <cuda_runtime.h>

#include "cuda/collect.cuh"
#include "cuda/launch.cuh"

namespace brenier::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kTile = 128;         // rows and targets of a block
constexpr int kWarpRows = 32;
constexpr int kWarpTargets = 64;
constexpr int kSums = kWarpTargets / 2;  // of one fragment of 16 rows, per lane
constexpr int kRowBytes = kDepthBlock * 2;
constexpr int kSideBytes = kTile * kRowBytes;
constexpr int kStageBytes = 2 * kSideBytes;
constexpr int kStages = 3;
constexpr int kBytes = kStages * kStageBytes;

__device__ __forceinline__ void copy_async(std::uint32_t to, const void* from) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(to), "l"(from) : "memory");
}

__device__ __forceinline__ void commit_copies() { asm volatile("cp.async.commit_group;" ::: "memory"); }

template <int pending>
__device__ __forceinline__ void wait_copies() {
    asm volatile("cp.async.wait_group %0;" ::"n"(pending) : "memory");
}

// Byte of a 16-byte place of a row in a side of a stage.
__device__ __forceinline__ int place_of(int row, int place) { return row * kRowBytes + (place ^ (row % 8)) * 16; }

__device__ __forceinline__ void load_matrices(std::uint32_t (&to)[4], std::uint32_t address) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                 : "r"(address)
                 : "memory");
}

// d (16 x 8) += a (16 x 16) b (8 x 16)^T
__device__ __forceinline__ void mma(float* d, const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1) {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
        "{%0, %1, %2, %3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

struct Sides {  // where this tile reads
    const char* x;
    const char* y;
    std::int64_t row_bytes;
    int blocks;  // of 64 depths
};

// load: one stage of x and y, 8 places of 16 bytes per thread. Nothing beyond the last block.
__device__ __forceinline__ void load(const Sides& from, std::uint32_t stages, int block) {
    if (block < from.blocks) {
        const std::uint32_t stage = stages + block % kStages * kStageBytes;
#pragma unroll
        for (int k = 0; k < kTile * 8 / kThreads; ++k) {
            const int row = (threadIdx.x + k * kThreads) / 8, place = threadIdx.x % 8;
            const std::int64_t byte = row * from.row_bytes + static_cast<std::int64_t>(block) * kRowBytes + place * 16;
            copy_async(stage + place_of(row, place), from.x + byte);
            copy_async(stage + kSideBytes + place_of(row, place), from.y + byte);
        }
    }
    commit_copies();
}

struct Warp {
    int lane;
    int row;     // first row of the warp in the tile
    int target;  // first target of the warp in the tile
};

// score: 64 depths of one stage into both fragments.
__device__ __forceinline__ void multiply(const Warp& me, std::uint32_t stage, float (&score)[2][kSums]) {
#pragma unroll
    for (int step = 0; step < kDepthBlock / 16; ++step) {
        std::uint32_t a[2][4];
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            load_matrices(a[half], stage + place_of(me.row + half * 16 + me.lane % 16, step * 2 + me.lane / 16));
        }
#pragma unroll
        for (int pair = 0; pair < kWarpTargets / 16; ++pair) {
            std::uint32_t b[4];  // two groups of 8 targets, two halves of 8 depths each
            const int target = me.target + pair * 16 + me.lane / 16 * 8 + me.lane % 8;
            load_matrices(b, stage + kSideBytes + place_of(target, step * 2 + me.lane / 8 % 2));
#pragma unroll
            for (int half = 0; half < 2; ++half) {
                mma(score[half] + pair * 8, a[half], b[0], b[1]);
                mma(score[half] + pair * 8 + 4, a[half], b[2], b[3]);
            }
        }
    }
}

// begin: sums start at the bias less the bar.
__device__ __forceinline__ void begin(const Warp& me, const float* bias, const RowBar (&rows)[2][2],
                                      float (&score)[2][kSums]) {
#pragma unroll
    for (int r = 0; r < kSums; ++r) {
        const float value = __ldg(bias + me.target + fragment_target(me.lane, r));
#pragma unroll
        for (int half = 0; half < 2; ++half) score[half][r] = rows[half][fragment_half(r)].start(value);
    }
}

// One chain of depths, blocks first to end of the tile; the caller has loaded the first stages.
__device__ __forceinline__ void score_chain(const Warp& me, const Sides& from, std::uint32_t stages, int first, int end,
                                            float (&score)[2][kSums]) {
    for (int block = first; block < end; ++block) {
        wait_copies<kStages - 2>();
        __syncthreads();
        load(from, stages, block + kStages - 1);
        multiply(me, stages + block % kStages * kStageBytes, score);
    }
}

template <bool sections>
__device__ __forceinline__ void score_tile(const Warp& me, const Sides& from, std::uint32_t stages,
                                           float (&score)[2][kSums]) {
    for (int stage = 0; stage < kStages - 1; ++stage) load(from, stages, stage);
    if (!sections) {
        score_chain(me, from, stages, 0, from.blocks, score);
    } else {
        constexpr int kBlocks = kSection / kDepthBlock;
        for (int first = 0; first < from.blocks; first += kBlocks) {
            float part[2][kSums] = {};
            score_chain(me, from, stages, first, min(first + kBlocks, from.blocks), part);
#pragma unroll
            for (int r = 0; r < 2 * kSums; ++r) score[r / kSums][r % kSums] += part[r / kSums][r % kSums];
        }
    }
    wait_copies<0>();
    __syncthreads();  // the next tile overwrites the stages
}

template <bool sections>
__global__ void __launch_bounds__(kThreads, 1) filter_kernel(const Filter f, const Units units) {
    extern __shared__ __align__(128) unsigned char raw[];
    const std::uint32_t stages = shared_address(raw);
    const int warp = threadIdx.x / 32;
    const Warp me = {static_cast<int>(threadIdx.x % 32), warp / 2 * kWarpRows, warp % 2 * kWarpTargets};
    const std::int64_t row_bytes = static_cast<std::int64_t>(f.width) * 2;

    for (std::int64_t u = blockIdx.x; u < units.count(); u += gridDim.x) {
        const Unit unit = units.at(u);
        RowBar rows[2][2];
#pragma unroll
        for (int k = 0; k < 4; ++k) {
            const int place = me.row + k / 2 * 16 + fragment_row(me.lane, k % 2);
            rows[k / 2][k % 2].open(f.lists, unit.block * kTile + place);
            agree(rows[k / 2][k % 2]);
        }
        const char* x = static_cast<const char*>(f.lists.packed) + unit.block * kTile * row_bytes;
        for (std::int64_t tile = unit.tiles.first; tile < unit.tiles.end; ++tile) {
            const std::int64_t target = tile * kTile;
            const Sides from = {x, static_cast<const char*>(f.y) + target * row_bytes, row_bytes, f.width / kDepthBlock};
            float score[2][kSums];
            begin(me, f.bias + target, rows, score);
            score_tile<sections>(me, from, stages, score);
#pragma unroll
            for (int half = 0; half < 2; ++half) {
                if (any_hit(score[half])) {
                    collect(score[half], static_cast<int>(target) + me.target, me.lane, f.lists, f.rho, rows[half]);
                }
            }
        }
    }
}

template <bool sections>
Status run(const Filter& f, const FilterConfig& c, const Launch& launch) {
    const char* name = "filter kernel (sm_80)";
    if (const Status status = prepared(filter_kernel<sections>, launch, kBytes, name); status.code) return status;
    filter_kernel<sections><<<c.programs, kThreads, kBytes, stream_of(launch)>>>(f, units_of(f, c));
    return launched(name);
}

}  // namespace

Status filter_sm80(const Filter& f, const FilterConfig& c, const Launch& launch) {
    return c.section > 0 ? run<true>(f, c, launch) : run<false>(f, c, launch);
}

}  // namespace brenier::cuda
