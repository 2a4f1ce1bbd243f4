// Status of CUDA calls, and how every kernel here is launched.
#pragma once

#include <cuda_runtime.h>

#include "cuda/scan.hpp"

namespace brenier::cuda {

constexpr Status kSuccess = {0, "", ""};

inline Status failed(cudaError_t error, const char* call) { return {error, call, cudaGetErrorString(error)}; }

inline Status launched(const char* name) {
    const cudaError_t error = cudaGetLastError();
    return error == cudaSuccess ? kSuccess : failed(error, name);
}

inline cudaStream_t stream_of(const Launch& launch) { return static_cast<cudaStream_t>(launch.stream); }

// Shared memory beyond 48 KB is granted only to kernels that ask for it.
template <class Kernel>
Status prepared(Kernel kernel, const Launch& launch, int shared_bytes, const char* name) {
    if (const cudaError_t error = cudaSetDevice(launch.device)) return failed(error, "cudaSetDevice");
    if (shared_bytes == 0) return kSuccess;
    const cudaError_t error = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, shared_bytes);
    return error == cudaSuccess ? kSuccess : failed(error, name);
}

}  // namespace brenier::cuda
