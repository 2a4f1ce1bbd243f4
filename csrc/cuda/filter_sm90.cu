// The half-precision filter on Hopper (sm_90a): the copy engine feeds warpgroup matrix products, lists hide behind them.
//
//   f[j, i] = scale_j bias_i - bar_j + <x_j, y_i>
//
// Tiles. A block of 3 warpgroups owns 128 rows: warpgroup 0 is the producer (one lane of one warp issues copies),
// warpgroups 1 and 2 hold 64 rows each and read the same targets:
//
//                 256 (128) targets       stage: 64 depths, 128-byte swizzle; `full` when its bytes are there,
//                +-----------------+              `empty` when both warpgroups are through with it
//     64 rows    |   warpgroup 1   |      resident: x stays in shared memory for a whole part of the targets (d <= 256),
//     64 rows    |   warpgroup 2   |                a stage is y alone; the warpgroups take turns (ping-pong), so that
//                +-----------------+                one's epilogue runs behind the other's products
//                                         streamed: a stage is x and y; both warpgroups work on it together
//
// Accumulation. fp32 in the tensor cores, which start from the bias less the bar; with sections, 512 depths apart.
// Ties and lists: collect.cuh, filter_rules.cuh. The epilogue costs one fused multiply-add, a third to a half of a
// bitwise AND and a quarter of a shared load per score; resident d = 64 has 32 cycles of products per 32 x 32 scores.
//
// Bytes per tile: resident 256 d 2, streamed (128 + 256) d 2, from L2 where blocks of one group run together.
//
// Not run on hardware.
#include <cuda.h>
#include <cuda_runtime.h>

#include "cuda/collect.cuh"
#include "cuda/launch.cuh"
#include "cuda/sm90.cuh"

namespace brenier::cuda {
namespace {

constexpr int kThreads = 384;
constexpr int kRows = 128;      // of a block; 64 of a warpgroup
constexpr int kHalf = 2;        // bytes
constexpr int kBiasSlots = 2;
constexpr int kSharedBytes = 227 * 1024;
constexpr int kConsumerWarps = 8;

template <int targets, int blocks, bool sections = false>
struct Shape {
    static constexpr int kTargets = targets;
    static constexpr int kDepthBlocks = blocks;  // of the resident x; 0 where x streams
    static constexpr bool kResident = blocks > 0;
    static constexpr bool kSections = sections;
    static constexpr int kSums = targets / 2;  // per thread
    static constexpr int kXBytes = kRows * kDepthBlock * kHalf;
    static constexpr int kYBytes = targets * kDepthBlock * kHalf;
    static constexpr int kStageBytes = kYBytes + (kResident ? 0 : kXBytes);
    static constexpr int kResidentBytes = blocks * kXBytes;
    static constexpr int kOverhead = 1024 /* alignment */ + kBiasSlots * targets * 4 + 512 /* barriers */;
    static constexpr int kFitting = (kSharedBytes - kOverhead - kResidentBytes) / kStageBytes;
    static constexpr int kStages = kFitting < 8 ? kFitting : 8;
    static constexpr int kBytes = kOverhead + kResidentBytes + kStages * kStageBytes;
    static_assert(!kResident || kStages > blocks, "a warpgroup must be able to run ahead of the other");
    static_assert(!(kResident && kSections), "a resident depth is one chain");
};

template <class S>
struct Shared {
    unsigned char* x;       // resident: blocks of 128 rows x 64 depths
    unsigned char* stages;
    float* bias;            // kBiasSlots lines of kTargets
    Barrier *full, *empty;  // per stage
    Barrier *bias_full, *bias_empty;
    Barrier *x_full, *x_empty;
    Barrier* turn;          // per consumer warpgroup

    __device__ __forceinline__ explicit Shared(unsigned char* raw) {
        x = raw + (0u - shared_address(raw)) % 1024;  // an offset, so that it stays known as shared memory
        stages = x + S::kResidentBytes;
        bias = reinterpret_cast<float*>(stages + S::kStages * S::kStageBytes);
        full = reinterpret_cast<Barrier*>(bias + kBiasSlots * S::kTargets);
        empty = full + S::kStages;
        bias_full = empty + S::kStages, bias_empty = bias_full + kBiasSlots;
        x_full = bias_empty + kBiasSlots, x_empty = x_full + 1, turn = x_empty + 1;
    }

    __device__ __forceinline__ unsigned char* y_of(int stage) const { return stages + stage * S::kStageBytes; }
    __device__ __forceinline__ unsigned char* x_of(int stage) const { return y_of(stage) + S::kYBytes; }

    __device__ __forceinline__ void prepare() const {
        for (int s = 0; s < S::kStages; ++s) init(full + s, 1), init(empty + s, kConsumerWarps);
        for (int s = 0; s < kBiasSlots; ++s) init(bias_full + s, 1), init(bias_empty + s, kConsumerWarps);
        init(x_full, 1), init(x_empty, kConsumerWarps);
        init(turn, kConsumerWarps / 2), init(turn + 1, kConsumerWarps / 2);
        publish_barriers();
    }
};

// A place in a ring of `size`, and the parity of its current round.
struct Ring {
    int place = 0;
    std::uint32_t parity = 0;

    __device__ __forceinline__ void next(int size) {
        if (++place == size) place = 0, parity ^= 1;
    }
};

// load: everything a block reads, in the order in which it is consumed. One thread.
template <class S>
__device__ __forceinline__ void produce(const Shared<S>& shared, const CUtensorMap* x_map, const CUtensorMap* y_map,
                                        const Filter& f, const Units& units) {
    Ring stage, bias;
    std::uint32_t x_parity = 0;
    const int blocks = f.width / kDepthBlock;
    for (std::int64_t u = blockIdx.x; u < units.count(); u += gridDim.x) {
        const Unit unit = units.at(u);
        const int row = static_cast<int>(unit.block) * kRows;
        if (S::kResident) {
            wait(shared.x_empty, x_parity ^ 1);
            expect(shared.x_full, S::kResidentBytes);
            for (int k = 0; k < S::kDepthBlocks; ++k) {
                copy_box(shared.x + k * S::kXBytes, x_map, k * kDepthBlock, row, shared.x_full);
            }
            x_parity ^= 1;
        }
        for (std::int64_t tile = unit.tiles.first; tile < unit.tiles.end; ++tile) {
            const int target = static_cast<int>(tile) * S::kTargets;
            wait(shared.bias_empty + bias.place, bias.parity ^ 1);
            expect(shared.bias_full + bias.place, S::kTargets * 4);
            copy_line(shared.bias + bias.place * S::kTargets, f.bias + target, S::kTargets * 4,
                      shared.bias_full + bias.place);
            bias.next(kBiasSlots);
            for (int k = 0; k < blocks; ++k) {
                wait(shared.empty + stage.place, stage.parity ^ 1);
                Barrier* full = shared.full + stage.place;
                expect(full, S::kStageBytes);
                copy_box(shared.y_of(stage.place), y_map, k * kDepthBlock, target, full);
                if (!S::kResident) copy_box(shared.x_of(stage.place), x_map, k * kDepthBlock, row, full);
                stage.next(S::kStages);
            }
        }
    }
}

// What a warp of a consumer warpgroup knows of its place.
struct Consumer {
    int group;  // 0 or 1
    int lane;
    Ring stage, bias;
    std::uint32_t x_parity = 0, tiles = 0;

    __device__ __forceinline__ void leave(Barrier* barrier) const {
        if (lane == 0) arrive(barrier);
    }
};

// begin: sums start at the bias less the bar.
template <class S>
__device__ __forceinline__ void begin(const Shared<S>& shared, Consumer& me, const RowBar* rows,
                                      float (&score)[S::kSums]) {
    wait(shared.bias_full + me.bias.place, me.bias.parity);
    const float* line = shared.bias + me.bias.place * S::kTargets + me.lane % 4 * 2;
#pragma unroll
    for (int r = 0; r < S::kSums; r += 4) {
        const float2 bias = *reinterpret_cast<const float2*>(line + r / 4 * 8);
        score[r] = rows[0].start(bias.x), score[r + 1] = rows[0].start(bias.y);
        score[r + 2] = rows[1].start(bias.x), score[r + 3] = rows[1].start(bias.y);
    }
    __syncwarp();
    me.leave(shared.bias_empty + me.bias.place);
    me.bias.next(kBiasSlots);
}

// score: 64 depths of one stage, issued and not waited for.
template <class S>
__device__ __forceinline__ void multiply(const Shared<S>& shared, const Consumer& me, int k, float (&score)[S::kSums]) {
    wait(shared.full + me.stage.place, me.stage.parity);
    const unsigned char* x = S::kResident ? shared.x + k * S::kXBytes : shared.x_of(me.stage.place);
    const std::uint64_t a = tile_descriptor(x + me.group * (S::kXBytes / 2));
    const std::uint64_t b = tile_descriptor(shared.y_of(me.stage.place));
    hold(score);
    wgmma_begin();
#pragma unroll
    for (int step = 0; step < kDepthBlock / 16; ++step) wgmma(score, a + step * kStepOf16, b + step * kStepOf16);
    wgmma_commit();
}

// A whole tile whose x is resident: issue all, give the turn to the other warpgroup, then wait.
template <class S>
__device__ __forceinline__ void score_resident(const Shared<S>& shared, Consumer& me, float (&score)[S::kSums]) {
    const Ring first = me.stage;
    wait(shared.turn + me.group, (me.tiles & 1) ^ (me.group == 0));
#pragma unroll
    for (int k = 0; k < S::kDepthBlocks; ++k) {
        multiply(shared, me, k, score);
        me.stage.next(S::kStages);
    }
    me.leave(shared.turn + (1 - me.group));
    wgmma_wait<0>();
    hold(score);
    Ring done = first;
#pragma unroll
    for (int k = 0; k < S::kDepthBlocks; ++k, done.next(S::kStages)) me.leave(shared.empty + done.place);
    ++me.tiles;
}

// `blocks` stages of x and y into one chain of sums; a stage is left once the products of the next are issued.
template <class S>
__device__ __forceinline__ void score_streamed(const Shared<S>& shared, Consumer& me, int blocks,
                                               float (&score)[S::kSums]) {
    int before = -1;
    for (int k = 0; k < blocks; ++k) {
        multiply(shared, me, k, score);
        if (before >= 0) {
            wgmma_wait<1>();
            me.leave(shared.empty + before);
        }
        before = me.stage.place;
        me.stage.next(S::kStages);
    }
    wgmma_wait<0>();
    hold(score);
    if (before >= 0) me.leave(shared.empty + before);
}

// The same in sections of 512 depths, each summed apart from zero and added.
template <class S>
__device__ __forceinline__ void score_sections(const Shared<S>& shared, Consumer& me, int blocks,
                                               float (&score)[S::kSums]) {
    for (int k = 0; k < blocks; k += kSection / kDepthBlock) {
        float part[S::kSums];
#pragma unroll
        for (int r = 0; r < S::kSums; ++r) part[r] = 0;
        const int left = blocks - k;
        score_streamed(shared, me, left < kSection / kDepthBlock ? left : kSection / kDepthBlock, part);
#pragma unroll
        for (int r = 0; r < S::kSums; ++r) score[r] += part[r];
    }
}

template <class S>
__device__ __forceinline__ void score_all(const Shared<S>& shared, Consumer& me, int blocks, float (&score)[S::kSums]) {
    if constexpr (S::kSections) {
        score_sections(shared, me, blocks, score);
    } else {
        score_streamed(shared, me, blocks, score);
    }
}

template <class S>
__device__ __forceinline__ void consume(const Shared<S>& shared, int group, const Filter& f, const Units& units) {
    Consumer me = {group, static_cast<int>(threadIdx.x % 32)};
    const int warp = threadIdx.x / 32 % 4;
    float score[S::kSums];
    for (std::int64_t u = blockIdx.x; u < units.count(); u += gridDim.x) {
        const Unit unit = units.at(u);
        const std::int64_t row = unit.block * kRows + group * 64 + warp * 16;
        RowBar rows[2];
        rows[0].open(f.lists, row + fragment_row(me.lane, 0));
        rows[1].open(f.lists, row + fragment_row(me.lane, 1));
        agree(rows[0]), agree(rows[1]);
        if (S::kResident) wait(shared.x_full, me.x_parity);
        for (std::int64_t tile = unit.tiles.first; tile < unit.tiles.end; ++tile) {
            begin(shared, me, rows, score);
            if constexpr (S::kResident) {
                score_resident(shared, me, score);
            } else {
                score_all<S>(shared, me, f.width / kDepthBlock, score);
            }
            if (any_hit(score)) {
                collect(score, static_cast<int>(tile) * S::kTargets, me.lane, f.lists, f.rho, rows);
            }
        }
        if (S::kResident) me.leave(shared.x_empty), me.x_parity ^= 1;
    }
}

template <class S>
__global__ void __launch_bounds__(kThreads, 1)
filter_kernel(const __grid_constant__ CUtensorMap x_map, const __grid_constant__ CUtensorMap y_map, const Filter f,
              const Units units) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
    extern __shared__ unsigned char raw[];
    const Shared<S> shared(raw);
    if (threadIdx.x == 0) shared.prepare();
    __syncthreads();
    if (threadIdx.x < 128) {
        give_registers<40>();
        if (threadIdx.x == 0) produce<S>(shared, &x_map, &y_map, f, units);
    } else {
        take_registers<232>();
        consume<S>(shared, static_cast<int>(threadIdx.x / 128) - 1, f, units);
    }
#else
    __trap();  // filter_configuration sends no other device here
#endif
}

using Encode = CUresult (*)(CUtensorMap*, CUtensorMapDataType, cuuint32_t, void*, const cuuint64_t*, const cuuint64_t*,
                            const cuuint32_t*, const cuuint32_t*, CUtensorMapInterleave, CUtensorMapSwizzle,
                            CUtensorMapL2promotion, CUtensorMapFloatOOBfill);

// The driver's encoder, asked of the runtime: nothing links the driver.
Status find_encoder(Encode* encode) {
    void* found = nullptr;
    cudaDriverEntryPointQueryResult answer = cudaDriverEntryPointSymbolNotFound;
#if CUDART_VERSION >= 12050
    const cudaError_t error =
        cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &found, 12000, cudaEnableDefault, &answer);
#else
    const cudaError_t error = cudaGetDriverEntryPoint("cuTensorMapEncodeTiled", &found, cudaEnableDefault, &answer);
#endif
    if (error != cudaSuccess) return failed(error, "cudaGetDriverEntryPoint(cuTensorMapEncodeTiled)");
    if (answer != cudaDriverEntryPointSuccess || found == nullptr) {
        return failed(cudaErrorSymbolNotFound, "cudaGetDriverEntryPoint(cuTensorMapEncodeTiled)");
    }
    *encode = reinterpret_cast<Encode>(found);
    return kSuccess;
}

// fp16 (rows, width) in boxes of box_rows x 64 depths.
Status encode_map(Encode encode, CUtensorMap* map, const void* data, std::int64_t rows, int width, int box_rows) {
    const cuuint64_t sizes[2] = {static_cast<cuuint64_t>(width), static_cast<cuuint64_t>(rows)};
    const cuuint64_t strides[1] = {static_cast<cuuint64_t>(width) * kHalf};
    const cuuint32_t box[2] = {kDepthBlock, static_cast<cuuint32_t>(box_rows)}, steps[2] = {1, 1};
    const CUresult result =
        encode(map, CU_TENSOR_MAP_DATA_TYPE_FLOAT16, 2, const_cast<void*>(data), sizes, strides, box, steps,
               CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B, CU_TENSOR_MAP_L2_PROMOTION_L2_256B,
               CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
    if (result == CUDA_SUCCESS) return kSuccess;
    return {static_cast<int>(result), "cuTensorMapEncodeTiled", "the driver refused the tensor map"};
}

template <class S>
Status run(const Filter& f, const FilterConfig& c, const Launch& launch) {
    if (const Status status = prepared(filter_kernel<S>, launch, S::kBytes, "filter kernel (sm_90a)"); status.code) {
        return status;
    }
    Encode encode = nullptr;
    if (const Status status = find_encoder(&encode); status.code) return status;
    CUtensorMap x_map, y_map;
    const std::int64_t rows = (f.rows + 255) / 256 * 256, targets = (f.targets + 255) / 256 * 256;
    if (const Status s = encode_map(encode, &x_map, f.lists.packed, rows, f.width, kRows); s.code) return s;
    if (const Status s = encode_map(encode, &y_map, f.y, targets, f.width, S::kTargets); s.code) return s;
    filter_kernel<S><<<c.programs, kThreads, S::kBytes, stream_of(launch)>>>(x_map, y_map, f, units_of(f, c));
    return launched("filter kernel (sm_90a)");
}

}  // namespace

Status filter_sm90(const Filter& f, const FilterConfig& c, const Launch& launch) {
    if (c.kernel == Kernel::kSm90Resident) {
        if (f.width == 64) return run<Shape<256, 1>>(f, c, launch);
        if (f.width == 128) return run<Shape<256, 2>>(f, c, launch);
        return run<Shape<128, 4>>(f, c, launch);
    }
    if (c.section > 0) return run<Shape<128, 0, true>>(f, c, launch);
    return run<Shape<256, 0>>(f, c, launch);
}

}  // namespace brenier::cuda
