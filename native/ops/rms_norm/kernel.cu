// Three layouts, chosen by the size of a row; 256 threads a block in each:
//   a warp per row   size <= 512  (head sizes): 16 elements a lane stay in registers, sums by shuffles alone
//   a block per row  size <= 4096 (hidden sizes): the same with 256 lanes
//   streamed         any other size: a block per row, read twice, element by element in the backward pass
// The first two need a size that is a multiple of 16 bytes and use 16-byte loads and stores. They move the least there
// is to move: forward 2, backward 3 times rows * size elements. 3,300 rows of 2,048 bfloat16: 27 MB forward, 8 us at
// 3.35 TB/s (analytic, not measured).
#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include "ops/rms_norm/kernel.h"

namespace ehrjepa::kernels {
namespace {

constexpr int threads = 256;
constexpr int warps = threads / 32;
constexpr int elements_per_lane = 16;

__device__ float widen(float value) { return value; }
__device__ float widen(__nv_bfloat16 value) { return __bfloat162float(value); }
template <typename T>
__device__ T narrow(float value);
template <>
__device__ float narrow<float>(float value) {
  return value;
}
template <>
__device__ __nv_bfloat16 narrow<__nv_bfloat16>(float value) {
  return __float2bfloat16_rn(value);
}

/// 16 bytes of a row.
template <typename T>
struct alignas(16) Vector {
  static constexpr int size = 16 / sizeof(T);
  T values[size];
};

/// The elements of one row that one lane holds: vectors lane, lane + lanes, ...
template <typename T, int lanes>
struct RowPart {
  static constexpr int count = elements_per_lane / Vector<T>::size;
  Vector<T> vectors[count];

  /// visit(vector of the row, vector of this lane, index of its first element in this lane)
  template <typename Visit>
  static __device__ void for_each(std::int64_t size, const Visit& visit) {
    const int lane = static_cast<int>(threadIdx.x) % lanes;
    const int row_vectors = static_cast<int>(size) / Vector<T>::size;
#pragma unroll
    for (int k = 0; k < count; ++k) {
      if (lane + k * lanes < row_vectors) visit(lane + k * lanes, k, k * Vector<T>::size);
    }
  }
  __device__ void load(const T* row, std::int64_t size) {
    for_each(size, [&](int v, int k, int) { vectors[k] = reinterpret_cast<const Vector<T>*>(row)[v]; });
  }
};

__device__ float warp_sum(float value) {
#pragma unroll
  for (int offset = 16; offset > 0; offset /= 2) value += __shfl_xor_sync(0xffffffffu, value, offset);
  return value;
}

/// Sum over the lanes of a row, the same in every lane and in the same order every time.
template <int lanes>
__device__ float row_sum(float value, float* shared) {
  value = warp_sum(value);
  if constexpr (lanes == threads) {
    if (threadIdx.x % 32 == 0) shared[threadIdx.x / 32] = value;
    __syncthreads();
    value = 0.0f;
#pragma unroll
    for (int warp = 0; warp < warps; ++warp) value += shared[warp];
    __syncthreads();  // before the next call writes `shared`
  }
  return value;
}

template <typename T, int lanes>
__global__ void __launch_bounds__(threads)
    rms_norm_forward_kernel(const T* __restrict__ x, const T* __restrict__ weight, T* __restrict__ y,
                            float* __restrict__ rstd, std::int64_t rows, std::int64_t size, float eps) {
  using Part = RowPart<T, lanes>;
  __shared__ float shared[warps];
  const std::int64_t row = static_cast<std::int64_t>(blockIdx.x) * (threads / lanes) + threadIdx.x / lanes;
  if (row >= rows) return;  // whole warps leave, and with a block per row none

  Part input = {};
  input.load(x + row * size, size);
  float squares = 0.0f;
#pragma unroll
  for (int k = 0; k < Part::count; ++k) {
#pragma unroll
    for (int i = 0; i < Vector<T>::size; ++i) {
      const float value = widen(input.vectors[k].values[i]);  // 0 beyond the end of the row
      squares += value * value;
    }
  }
  const float scale = rsqrtf(row_sum<lanes>(squares, shared) / static_cast<float>(size) + eps);
  if (threadIdx.x % lanes == 0) rstd[row] = scale;

  Part::for_each(size, [&](int v, int k, int) {
    const Vector<T> gain = reinterpret_cast<const Vector<T>*>(weight)[v];
    Vector<T> result;
#pragma unroll
    for (int i = 0; i < Vector<T>::size; ++i) {
      const T normalised = narrow<T>(widen(input.vectors[k].values[i]) * scale);
      result.values[i] = narrow<T>(widen(normalised) * widen(gain.values[i]));
    }
    reinterpret_cast<Vector<T>*>(y + row * size)[v] = result;
  });
}

template <typename T, int lanes>
__global__ void __launch_bounds__(threads)
    rms_norm_backward_kernel(const T* __restrict__ grad_out, const T* __restrict__ x, const T* __restrict__ weight,
                             const float* __restrict__ rstd, T* __restrict__ grad_x, float* __restrict__ partial,
                             std::int64_t rows, std::int64_t size) {
  using Part = RowPart<T, lanes>;
  constexpr int groups = threads / lanes;
  __shared__ float shared[groups == 1 ? warps : elements_per_lane * lanes];
  const int group = static_cast<int>(threadIdx.x) / lanes;
  Part gain = {};
  gain.load(weight, size);
  float sums[elements_per_lane] = {};

  // With a block per row every thread makes the same number of rounds, so that the barriers of row_sum match.
  for (std::int64_t row = static_cast<std::int64_t>(blockIdx.x) * groups + group; row < rows;
       row += static_cast<std::int64_t>(gridDim.x) * groups) {
    Part input = {};
    Part upstream = {};
    input.load(x + row * size, size);
    upstream.load(grad_out + row * size, size);
    const float scale = rstd[row];
    float products = 0.0f;
#pragma unroll
    for (int k = 0; k < Part::count; ++k) {
#pragma unroll
      for (int i = 0; i < Vector<T>::size; ++i) {
        products += widen(upstream.vectors[k].values[i]) * widen(gain.vectors[k].values[i]) *
                    (widen(input.vectors[k].values[i]) * scale);
      }
    }
    const float projection = row_sum<lanes>(products, shared) / static_cast<float>(size);
    Part::for_each(size, [&](int v, int k, int first) {
      Vector<T> result;
#pragma unroll
      for (int i = 0; i < Vector<T>::size; ++i) {
        const float normalised = widen(input.vectors[k].values[i]) * scale;
        const float gradient = widen(upstream.vectors[k].values[i]);
        sums[first + i] += gradient * widen(narrow<T>(normalised));
        result.values[i] = narrow<T>(scale * (gradient * widen(gain.vectors[k].values[i]) - normalised * projection));
      }
      reinterpret_cast<Vector<T>*>(grad_x + row * size)[v] = result;
    });
  }

  float* const block_sums = partial + static_cast<std::int64_t>(blockIdx.x) * size;
  if constexpr (groups == 1) {
    Part::for_each(size, [&](int v, int, int first) {
#pragma unroll
      for (int i = 0; i < Vector<T>::size; ++i) block_sums[v * Vector<T>::size + i] = sums[first + i];
    });
  } else {
    // The warps add theirs one after the other: a fixed order.
    for (int turn = 0; turn < groups; ++turn) {
      if (group == turn) {
        Part::for_each(size, [&](int v, int, int first) {
#pragma unroll
          for (int i = 0; i < Vector<T>::size; ++i) {
            float* const sum = shared + v * Vector<T>::size + i;
            *sum = (turn == 0 ? 0.0f : *sum) + sums[first + i];
          }
        });
      }
      __syncthreads();
    }
    for (int i = static_cast<int>(threadIdx.x); i < static_cast<int>(size); i += threads) block_sums[i] = shared[i];
  }
}

template <typename T>
__global__ void __launch_bounds__(threads)
    rms_norm_forward_streamed_kernel(const T* __restrict__ x, const T* __restrict__ weight, T* __restrict__ y,
                                     float* __restrict__ rstd, std::int64_t size, float eps) {
  __shared__ float shared[warps];
  const std::int64_t start = static_cast<std::int64_t>(blockIdx.x) * size;
  float squares = 0.0f;
  for (std::int64_t i = threadIdx.x; i < size; i += threads) squares += widen(x[start + i]) * widen(x[start + i]);
  const float scale = rsqrtf(row_sum<threads>(squares, shared) / static_cast<float>(size) + eps);
  if (threadIdx.x == 0) rstd[blockIdx.x] = scale;
  for (std::int64_t i = threadIdx.x; i < size; i += threads) {
    y[start + i] = narrow<T>(widen(narrow<T>(widen(x[start + i]) * scale)) * widen(weight[i]));
  }
}

template <typename T>
__global__ void __launch_bounds__(threads)
    rms_norm_backward_streamed_kernel(const T* __restrict__ grad_out, const T* __restrict__ x,
                                      const T* __restrict__ weight, const float* __restrict__ rstd,
                                      T* __restrict__ grad_x, float* __restrict__ partial, std::int64_t rows,
                                      std::int64_t size) {
  __shared__ float shared[warps];
  float* const sums = partial + static_cast<std::int64_t>(blockIdx.x) * size;
  for (std::int64_t i = threadIdx.x; i < size; i += threads) sums[i] = 0.0f;

  // Each thread owns the same columns in every row of its block, so `sums` needs no atomics.
  for (std::int64_t row = blockIdx.x; row < rows; row += gridDim.x) {
    const std::int64_t start = row * size;
    const float scale = rstd[row];
    float products = 0.0f;
    for (std::int64_t i = threadIdx.x; i < size; i += threads) {
      products += widen(grad_out[start + i]) * widen(weight[i]) * (widen(x[start + i]) * scale);
    }
    const float projection = row_sum<threads>(products, shared) / static_cast<float>(size);
    for (std::int64_t i = threadIdx.x; i < size; i += threads) {
      const float normalised = widen(x[start + i]) * scale;
      const float gradient = widen(grad_out[start + i]);
      sums[i] += gradient * widen(narrow<T>(normalised));
      grad_x[start + i] = narrow<T>(scale * (gradient * widen(weight[i]) - normalised * projection));
    }
  }
}

/// Second stage: adds the partial sums of each column in a fixed order. A lane per column; the warps of a block share
/// the partial sums of its 32 columns.
template <typename T>
__global__ void __launch_bounds__(threads)
    rms_norm_grad_weight_kernel(const float* __restrict__ partial, T* __restrict__ grad_weight, std::int64_t size) {
  __shared__ float shared[warps][32];
  const int warp = static_cast<int>(threadIdx.x) / 32;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const std::int64_t column = static_cast<std::int64_t>(blockIdx.x) * 32 + lane;
  float sum = 0.0f;
  if (column < size) {
#pragma unroll 8
    for (int part = warp; part < rms_norm_partials; part += warps) sum += partial[part * size + column];
  }
  shared[warp][lane] = sum;
  __syncthreads();
  if (warp != 0 || column >= size) return;
  sum = 0.0f;
#pragma unroll
  for (int w = 0; w < warps; ++w) sum += shared[w][lane];
  grad_weight[column] = narrow<T>(sum);
}

template <typename... Parameters, typename... Arguments>
int launch(void (*kernel)(Parameters...), std::int64_t blocks, cudaStream_t stream, Arguments... arguments) {
  cudaLaunchConfig_t config = {};
  config.gridDim = dim3(static_cast<unsigned>(blocks));
  config.blockDim = dim3(threads);
  config.stream = stream;
  return static_cast<int>(cudaLaunchKernelEx(&config, kernel, arguments...));
}

enum class Layout { kWarpPerRow, kBlockPerRow, kStreamed };

Layout layout_of(std::int64_t size, int vector_size) {
  if (size % vector_size != 0 || size > elements_per_lane * threads) return Layout::kStreamed;
  return size <= elements_per_lane * 32 ? Layout::kWarpPerRow : Layout::kBlockPerRow;
}

template <typename T>
int forward(const RmsNormForwardParams& p, cudaStream_t stream) {
  const auto* const x = static_cast<const T*>(p.x);
  const auto* const weight = static_cast<const T*>(p.weight);
  auto* const y = static_cast<T*>(p.y);
  switch (layout_of(p.size, Vector<T>::size)) {
    case Layout::kWarpPerRow:
      return launch(rms_norm_forward_kernel<T, 32>, (p.rows + warps - 1) / warps, stream, x, weight, y, p.rstd, p.rows,
                    p.size, p.eps);
    case Layout::kBlockPerRow:
      return launch(rms_norm_forward_kernel<T, threads>, p.rows, stream, x, weight, y, p.rstd, p.rows, p.size, p.eps);
    default:
      return launch(rms_norm_forward_streamed_kernel<T>, p.rows, stream, x, weight, y, p.rstd, p.size, p.eps);
  }
}

template <typename T>
int backward(const RmsNormBackwardParams& p, cudaStream_t stream) {
  const auto kernel_of = [](Layout layout) {
    switch (layout) {
      case Layout::kWarpPerRow:
        return &rms_norm_backward_kernel<T, 32>;
      case Layout::kBlockPerRow:
        return &rms_norm_backward_kernel<T, threads>;
      default:
        return &rms_norm_backward_streamed_kernel<T>;
    }
  };
  const int error =
      launch(kernel_of(layout_of(p.size, Vector<T>::size)), rms_norm_partials, stream,
             static_cast<const T*>(p.grad_out), static_cast<const T*>(p.x), static_cast<const T*>(p.weight), p.rstd,
             static_cast<T*>(p.grad_x), p.partial, p.rows, p.size);
  if (error != 0) return error;
  const float* const partial = p.partial;
  return launch(rms_norm_grad_weight_kernel<T>, (p.size + 31) / 32, stream, partial, static_cast<T*>(p.grad_weight),
                p.size);
}

}  // namespace

int launch_rms_norm_forward(const RmsNormForwardParams& params, CUstream_st* stream) {
  if (params.rows == 0) return 0;
  return params.dtype == RmsNormDtype::kFloat32 ? forward<float>(params, stream)
                                                : forward<__nv_bfloat16>(params, stream);
}

int launch_rms_norm_backward(const RmsNormBackwardParams& params, CUstream_st* stream) {
  return params.dtype == RmsNormDtype::kFloat32 ? backward<float>(params, stream)
                                                : backward<__nv_bfloat16>(params, stream);
}

}  // namespace ehrjepa::kernels
