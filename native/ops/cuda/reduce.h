// Sums and maxima over the lanes of a warp and the threads of a block, in the same order every time.
#pragma once
#include <cuda_runtime.h>

namespace ehrjepa::kernels {

struct Sum {
  template <typename T>
  __device__ static T of(T a, T b) {
    return a + b;
  }
};
struct Maximum {
  __device__ static float of(float a, float b) { return fmaxf(a, b); }
};

/// The same in every lane.
template <typename Operation, int lanes = 32>
__device__ float reduce_warp(float value) {
#pragma unroll
  for (int offset = lanes / 2; offset > 0; offset /= 2) {
    value = Operation::of(value, __shfl_xor_sync(0xffffffffu, value, offset));
  }
  return value;
}

/// The same in every thread. @param shared  a number for each warp; may be used again right after.
template <typename Operation, int warps>
__device__ float reduce_block(float value, float* shared) {
  value = reduce_warp<Operation>(value);
  if (threadIdx.x % 32 == 0) shared[threadIdx.x / 32] = value;
  __syncthreads();
  value = shared[0];
#pragma unroll
  for (int warp = 1; warp < warps; ++warp) value = Operation::of(value, shared[warp]);
  __syncthreads();  // before the next call writes `shared`
  return value;
}

}  // namespace ehrjepa::kernels
