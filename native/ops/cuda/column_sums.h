// Second stage of a gradient that is a sum over rows: the first leaves partial sums, this one adds them in a fixed
// order.
#pragma once
#include <cuda_runtime.h>

#include "ops/cuda/element.h"
#include "ops/cuda/launch.h"

namespace ehrjepa::kernels {

/// Rows of partial sums: fixed, so that the result does not depend on the device.
constexpr int partial_rows = 256;

/// A lane per column; the warps of a block share the partial sums of its 32 columns.
template <typename T>
__global__ void __launch_bounds__(256)
    column_sums_kernel(const float* __restrict__ partial, T* __restrict__ sums, std::int64_t size) {
  constexpr int warps = 8;
  __shared__ float shared[warps][32];
  const int warp = static_cast<int>(threadIdx.x) / 32;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const std::int64_t column = static_cast<std::int64_t>(blockIdx.x) * 32 + lane;
  float sum = 0.0f;
  if (column < size) {
#pragma unroll 8
    for (int part = warp; part < partial_rows; part += warps) sum += partial[part * size + column];
  }
  shared[warp][lane] = sum;
  __syncthreads();
  if (warp != 0 || column >= size) return;
  sum = 0.0f;
#pragma unroll
  for (int w = 0; w < warps; ++w) sum += shared[w][lane];
  sums[column] = narrow<T>(sum);
}

/// partial (partial_rows, size) -> sums (size)
template <typename T>
int launch_column_sums(const float* partial, void* sums, std::int64_t size, cudaStream_t stream) {
  return launch(&column_sums_kernel<T>, (size + 31) / 32, 256, 0, stream, partial, static_cast<T*>(sums), size);
}

}  // namespace ehrjepa::kernels
