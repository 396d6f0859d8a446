// The part of CUDA that our kernels use, for the host: the same .cu source compiled as C++, one fibre per CUDA thread.
// It shows wrong indices, missing or divergent barriers and, over several schedules, races within a block. It shows
// nothing about registers, bank conflicts, memory ordering between blocks, or time.
#pragma once
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>

#define __global__
#define __device__
#define __launch_bounds__(threads)
#define __shared__ static  // blocks run one after the other

struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};

/// What the running fibre sees.
extern dim3 threadIdx, blockIdx, blockDim, gridDim;

namespace host_cuda {

void synchronize_block();
/// Every lane of the warp gives `bits` and gets those of lane `source`.
std::uint32_t exchange(unsigned mask, std::uint32_t bits, unsigned source);
/// Runs every thread of every block. @return 0, or 1 (cudaErrorInvalidValue) for a size that CUDA refuses.
/// @throws std::runtime_error when threads wait for each other in vain.
int run_grid(dim3 grid, dim3 block, const std::function<void()>& thread);
/// Order in which warps run and blocks come; another seed is another schedule. With an odd seed each warp runs as far
/// ahead of the others as it can, with an even one they go side by side.
void set_schedule(std::uint64_t seed);

}  // namespace host_cuda

inline void __syncthreads() { host_cuda::synchronize_block(); }

inline float __shfl_xor_sync(unsigned mask, float value, int offset) {
  std::uint32_t bits;
  std::memcpy(&bits, &value, sizeof(bits));
  bits = host_cuda::exchange(mask, bits, (threadIdx.x % 32) ^ static_cast<unsigned>(offset));
  std::memcpy(&value, &bits, sizeof(value));
  return value;
}

inline float rsqrtf(float value) { return 1.0f / std::sqrt(value); }

struct CUstream_st;
using cudaStream_t = CUstream_st*;
using cudaError_t = int;

struct cudaLaunchConfig_t {
  dim3 gridDim, blockDim;
  std::size_t dynamicSmemBytes;
  cudaStream_t stream;
};

template <typename... Parameters, typename... Arguments>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(Parameters...),
                               Arguments&&... arguments) {
  return host_cuda::run_grid(config->gridDim, config->blockDim, [&] { kernel(arguments...); });
}
