// Noise by (seed, index) on the device: the integers are those of csrc/core/philox.hpp, bit for bit, and the normals
// those of csrc/cpu/noise_body.hpp: the same polynomials, every multiplication and addition rounded apart.
//
//   words (a, b) -> (r cos t, r sin t),  r = sqrt(-2 ln u),  u = (floor(a / 2) + 1/2) 2^-31,  t = 2 pi b 2^-32
//
// (Box and Muller 1958; Salmon et al. 2011.) One thread makes the four normals of one counter: 16 bytes written.
//
// Not run on hardware.
#include <cuda_runtime.h>

#include "cuda/launch.cuh"
#include "cuda/noise_rules.cuh"

namespace brenier::cuda {
namespace {

constexpr int kThreads = 256;
constexpr std::int64_t kMostBlocks = 1 << 20;

__global__ void __launch_bounds__(kThreads) normal_kernel(const Normals n, std::int64_t counters) {
    const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * kThreads;
    for (std::int64_t c = static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x; c < counters; c += step) {
        write_normals(n, c);
    }
}

}  // namespace

Status normals(const Normals& n, const Launch& launch) {
    const std::int64_t counters = n.rows * ((n.depth + 3) / 4);
    if (counters == 0) return kSuccess;
    if (const Status status = prepared(normal_kernel, launch, 0, "noise kernel"); status.code) return status;
    const std::int64_t blocks = (counters + kThreads - 1) / kThreads;
    normal_kernel<<<static_cast<unsigned>(blocks < kMostBlocks ? blocks : kMostBlocks), kThreads, 0, stream_of(launch)>>>(
        n, counters);
    return launched("noise kernel");
}

}  // namespace brenier::cuda
