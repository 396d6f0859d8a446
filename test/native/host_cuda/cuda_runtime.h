// The part of CUDA that our kernels use, for the host: the same .cu source compiled as C++, one fibre per CUDA thread.
// emulator.h says what is watched while it runs. It shows nothing about registers, memory ordering between blocks, or
// time.
#pragma once
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <source_location>

#define __global__
#define __device__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __shared__ static  // blocks run one after the other

struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};

/// What the running fibre sees.
extern dim3 threadIdx, blockIdx, blockDim, gridDim;

using cudaError_t = int;
struct CUstream_st;
using cudaStream_t = CUstream_st*;

namespace host_cuda {

using Where = std::source_location;

/// Shared memory whose size the launch gives.
char* dynamic_shared();

void synchronize_block(Where where);
void synchronize_warp(unsigned mask, Where where);
/// Every lane of the warp gives `bits` and gets those of lane `source`.
std::uint32_t exchange(unsigned mask, std::uint32_t bits, unsigned source, Where where);
/// @return one bit for each lane: whether its predicate holds.
std::uint32_t vote(unsigned mask, bool predicate, Where where);

/// Runs every thread of every block. @return 0, or 1 (cudaErrorInvalidValue) for a size that CUDA refuses.
int run_grid(dim3 grid, dim3 block, std::size_t dynamic_bytes, const void* kernel, void (*thread)(void*),
             void* context);
/// What a kernel may ask for beyond 48 KiB.
int allow_dynamic_shared(const void* kernel, int bytes);

}  // namespace host_cuda

inline void __syncthreads(host_cuda::Where where = host_cuda::Where::current()) { host_cuda::synchronize_block(where); }
inline void __syncwarp(unsigned mask = 0xffffffffu, host_cuda::Where where = host_cuda::Where::current()) {
  host_cuda::synchronize_warp(mask, where);
}

template <typename T>
T __shfl_sync(unsigned mask, T value, int source, host_cuda::Where where = host_cuda::Where::current()) {
  static_assert(sizeof(T) == 4);
  return __builtin_bit_cast(T, host_cuda::exchange(mask, __builtin_bit_cast(std::uint32_t, value),
                                                   static_cast<unsigned>(source) % 32, where));
}
template <typename T>
T __shfl_xor_sync(unsigned mask, T value, int offset, host_cuda::Where where = host_cuda::Where::current()) {
  return __shfl_sync(mask, value, static_cast<int>(threadIdx.x % 32) ^ offset, where);
}
inline unsigned __ballot_sync(unsigned mask, int predicate, host_cuda::Where where = host_cuda::Where::current()) {
  return host_cuda::vote(mask, predicate != 0, where);
}
inline int __any_sync(unsigned mask, int predicate, host_cuda::Where where = host_cuda::Where::current()) {
  return host_cuda::vote(mask, predicate != 0, where) != 0;
}
inline int __all_sync(unsigned mask, int predicate, host_cuda::Where where = host_cuda::Where::current()) {
  return host_cuda::vote(mask, predicate != 0, where) == 0xffffffffu;
}

inline int min(int a, int b) { return a < b ? a : b; }
inline float rsqrtf(float value) { return 1.0f / std::sqrt(value); }
// Products and sums that no compiler contracts; the kernels are compiled for the host without contraction.
inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fsub_rn(float a, float b) { return a - b; }
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fdiv_rn(float a, float b) { return a / b; }
inline float __fsqrt_rn(float value) { return std::sqrt(value); }
inline unsigned __umulhi(unsigned a, unsigned b) { return static_cast<unsigned>((std::uint64_t{a} * b) >> 32); }
inline unsigned __float_as_uint(float value) { return __builtin_bit_cast(unsigned, value); }
inline float __uint_as_float(unsigned bits) { return __builtin_bit_cast(float, bits); }

struct cudaLaunchConfig_t {
  dim3 gridDim, blockDim;
  std::size_t dynamicSmemBytes;
  cudaStream_t stream;
};

enum cudaFuncAttribute { cudaFuncAttributeMaxDynamicSharedMemorySize };

template <typename... Parameters>
cudaError_t cudaFuncSetAttribute(void (*kernel)(Parameters...), cudaFuncAttribute, int value) {
  return host_cuda::allow_dynamic_shared(reinterpret_cast<const void*>(kernel), value);
}

template <typename... Parameters, typename... Arguments>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(Parameters...),
                               Arguments&&... arguments) {
  auto call = [&] { kernel(arguments...); };
  return host_cuda::run_grid(
      config->gridDim, config->blockDim, config->dynamicSmemBytes, reinterpret_cast<const void*>(kernel),
      [](void* context) { (*static_cast<decltype(call)*>(context))(); }, &call);
}
