// Three layouts, chosen by the size of a row; 256 threads a block in each:
//   a warp per row   size <= 512  (head sizes): 16 elements a lane stay in registers, sums by shuffles alone
//   a block per row  size <= 4096 (hidden sizes): the same with 256 lanes
//   streamed         any other size: a block per row, read twice, element by element in the backward pass
// The first two need a size that is a multiple of 16 bytes and use 16-byte loads and stores. They move the least there
// is to move: forward 2, backward 3 times rows * size elements. 3,300 rows of 2,048 bfloat16: 27 MB forward, 8 us at
// 3.35 TB/s (analytic, not measured).
#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include "ops/cuda/column_sums.h"
#include "ops/cuda/element.h"
#include "ops/cuda/launch.h"
#include "ops/cuda/reduce.h"
#include "ops/rms_norm/kernel.h"

namespace ehrjepa::kernels {
namespace {

constexpr int threads = 256;
constexpr int warps = threads / 32;
constexpr int elements_per_lane = 16;
static_assert(rms_norm_partials == partial_rows);

/// The elements of one row that one lane holds: vectors lane, lane + lanes, ...
template <typename T, int lanes>
struct RowPart {
  static constexpr int count = elements_per_lane / Wide<T>::size;
  Wide<T> vectors[count];

  /// visit(vector of the row, vector of this lane, index of its first element in this lane)
  template <typename Visit>
  static __device__ void for_each(std::int64_t size, const Visit& visit) {
    const int lane = static_cast<int>(threadIdx.x) % lanes;
    const int row_vectors = static_cast<int>(size) / Wide<T>::size;
#pragma unroll
    for (int k = 0; k < count; ++k) {
      if (lane + k * lanes < row_vectors) visit(lane + k * lanes, k, k * Wide<T>::size);
    }
  }
  __device__ void load(const T* row, std::int64_t size) {
    for_each(size, [&](int v, int k, int) { vectors[k] = reinterpret_cast<const Wide<T>*>(row)[v]; });
  }
  __device__ void store(T* row, std::int64_t size) const {
    for_each(size, [&](int v, int k, int) { reinterpret_cast<Wide<T>*>(row)[v] = vectors[k]; });
  }
  /// As bfloat16 sums are rounded before they are normed.
  __device__ void add(const RowPart& other) {
#pragma unroll
    for (int k = 0; k < count; ++k) {
#pragma unroll
      for (int i = 0; i < Wide<T>::size; ++i) {
        vectors[k].values[i] = narrow<T>(widen(vectors[k].values[i]) + widen(other.vectors[k].values[i]));
      }
    }
  }
};

/// Sum over the lanes of a row, the same in every lane and in the same order every time.
template <int lanes>
__device__ float row_sum(float value, float* shared) {
  if constexpr (lanes == threads) return reduce_block<Sum, warps>(value, shared);
  return reduce_warp<Sum>(value);
}

template <typename T, int lanes>
__global__ void __launch_bounds__(threads)
    rms_norm_forward_kernel(const T* __restrict__ x, const T* __restrict__ delta, const T* __restrict__ weight,
                            T* __restrict__ sum, T* __restrict__ y, float* __restrict__ rstd, std::int64_t rows,
                            std::int64_t size, float eps) {
  using Part = RowPart<T, lanes>;
  __shared__ float shared[warps];
  const std::int64_t row = static_cast<std::int64_t>(blockIdx.x) * (threads / lanes) + threadIdx.x / lanes;
  if (row >= rows) return;  // whole warps leave, and with a block per row none

  Part input = {};
  input.load(x + row * size, size);
  if (delta != nullptr) {
    Part other = {};
    other.load(delta + row * size, size);
    input.add(other);
    input.store(sum + row * size, size);
  }
  float squares = 0.0f;
#pragma unroll
  for (int k = 0; k < Part::count; ++k) {
#pragma unroll
    for (int i = 0; i < Wide<T>::size; ++i) {
      const float value = widen(input.vectors[k].values[i]);  // 0 beyond the end of the row
      squares += value * value;
    }
  }
  const float scale = rsqrtf(row_sum<lanes>(squares, shared) / static_cast<float>(size) + eps);
  if (threadIdx.x % lanes == 0) rstd[row] = scale;

  Part::for_each(size, [&](int v, int k, int) {
    const Wide<T> gain = reinterpret_cast<const Wide<T>*>(weight)[v];
    Wide<T> result;
#pragma unroll
    for (int i = 0; i < Wide<T>::size; ++i) {
      const T normalised = narrow<T>(widen(input.vectors[k].values[i]) * scale);
      result.values[i] = narrow<T>(widen(normalised) * widen(gain.values[i]));
    }
    reinterpret_cast<Wide<T>*>(y + row * size)[v] = result;
  });
}

template <typename T, int lanes>
__global__ void __launch_bounds__(threads)
    rms_norm_backward_kernel(const T* __restrict__ grad_out, const T* __restrict__ grad_sum, const T* __restrict__ x,
                             const T* __restrict__ weight, const float* __restrict__ rstd, T* __restrict__ grad_x,
                             float* __restrict__ partial, std::int64_t rows, std::int64_t size) {
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
      for (int i = 0; i < Wide<T>::size; ++i) {
        products += widen(upstream.vectors[k].values[i]) * widen(gain.vectors[k].values[i]) *
                    (widen(input.vectors[k].values[i]) * scale);
      }
    }
    const float projection = row_sum<lanes>(products, shared) / static_cast<float>(size);
    Part::for_each(size, [&](int v, int k, int first) {
      Wide<T> result, direct = {};
      if (grad_sum != nullptr) direct = reinterpret_cast<const Wide<T>*>(grad_sum + row * size)[v];
#pragma unroll
      for (int i = 0; i < Wide<T>::size; ++i) {
        const float normalised = widen(input.vectors[k].values[i]) * scale;
        const float gradient = widen(upstream.vectors[k].values[i]);
        sums[first + i] += gradient * widen(narrow<T>(normalised));
        const float own = scale * (gradient * widen(gain.vectors[k].values[i]) - normalised * projection);
        result.values[i] = narrow<T>(own + widen(direct.values[i]));
      }
      reinterpret_cast<Wide<T>*>(grad_x + row * size)[v] = result;
    });
  }

  float* const block_sums = partial + static_cast<std::int64_t>(blockIdx.x) * size;
  if constexpr (groups == 1) {
    Part::for_each(size, [&](int v, int, int first) {
#pragma unroll
      for (int i = 0; i < Wide<T>::size; ++i) block_sums[v * Wide<T>::size + i] = sums[first + i];
    });
  } else {
    // The warps add theirs one after the other: a fixed order.
    for (int turn = 0; turn < groups; ++turn) {
      if (group == turn) {
        Part::for_each(size, [&](int v, int, int first) {
#pragma unroll
          for (int i = 0; i < Wide<T>::size; ++i) {
            float* const sum = shared + v * Wide<T>::size + i;
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
    rms_norm_forward_streamed_kernel(const T* __restrict__ x, const T* __restrict__ delta, const T* __restrict__ weight,
                                     T* sum, T* __restrict__ y, float* __restrict__ rstd, std::int64_t size,
                                     float eps) {
  __shared__ float shared[warps];
  const std::int64_t start = static_cast<std::int64_t>(blockIdx.x) * size;
  float squares = 0.0f;
  for (std::int64_t i = threadIdx.x; i < size; i += threads) {
    T value = x[start + i];
    if (delta != nullptr) sum[start + i] = value = narrow<T>(widen(value) + widen(delta[start + i]));
    squares += widen(value) * widen(value);
  }
  const T* const rows = delta == nullptr ? x : sum;  // each thread reads back what it wrote
  const float scale = rsqrtf(row_sum<threads>(squares, shared) / static_cast<float>(size) + eps);
  if (threadIdx.x == 0) rstd[blockIdx.x] = scale;
  for (std::int64_t i = threadIdx.x; i < size; i += threads) {
    y[start + i] = narrow<T>(widen(narrow<T>(widen(rows[start + i]) * scale)) * widen(weight[i]));
  }
}

template <typename T>
__global__ void __launch_bounds__(threads)
    rms_norm_backward_streamed_kernel(const T* __restrict__ grad_out, const T* __restrict__ grad_sum,
                                      const T* __restrict__ x, const T* __restrict__ weight,
                                      const float* __restrict__ rstd, T* __restrict__ grad_x,
                                      float* __restrict__ partial, std::int64_t rows, std::int64_t size) {
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
      const float direct = grad_sum == nullptr ? 0.0f : widen(grad_sum[start + i]);
      grad_x[start + i] = narrow<T>(scale * (gradient * widen(weight[i]) - normalised * projection) + direct);
    }
  }
}

enum class Layout { kWarpPerRow, kBlockPerRow, kStreamed };

Layout layout_of(std::int64_t size, int vector_size) {
  if (size % vector_size != 0 || size > elements_per_lane * threads) return Layout::kStreamed;
  return size <= elements_per_lane * 32 ? Layout::kWarpPerRow : Layout::kBlockPerRow;
}

template <typename T>
int forward(const RmsNormForwardParams& p, cudaStream_t stream) {
  const auto* const x = static_cast<const T*>(p.x);
  const auto* const delta = static_cast<const T*>(p.delta);
  const auto* const weight = static_cast<const T*>(p.weight);
  auto *const sum = static_cast<T*>(p.sum), *const y = static_cast<T*>(p.y);
  switch (layout_of(p.size, Wide<T>::size)) {
    case Layout::kWarpPerRow:
      return launch(&rms_norm_forward_kernel<T, 32>, (p.rows + warps - 1) / warps, threads, 0, stream, x, delta, weight,
                    sum, y, p.rstd, p.rows, p.size, p.eps);
    case Layout::kBlockPerRow:
      return launch(&rms_norm_forward_kernel<T, threads>, p.rows, threads, 0, stream, x, delta, weight, sum, y, p.rstd,
                    p.rows, p.size, p.eps);
    default:
      return launch(&rms_norm_forward_streamed_kernel<T>, p.rows, threads, 0, stream, x, delta, weight, sum, y, p.rstd,
                    p.size, p.eps);
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
      launch(kernel_of(layout_of(p.size, Wide<T>::size)), rms_norm_partials, threads, 0, stream,
             static_cast<const T*>(p.grad_out), static_cast<const T*>(p.grad_sum), static_cast<const T*>(p.x),
             static_cast<const T*>(p.weight), p.rstd, static_cast<T*>(p.grad_x), p.partial, p.rows, p.size);
  return error != 0 ? error : launch_column_sums<T>(p.partial, p.grad_weight, p.size, stream);
}

}  // namespace

int launch_rms_norm_forward(const RmsNormForwardParams& params, CUstream_st* stream) {
  if (params.rows == 0) return 0;
  return params.dtype == Dtype::kFloat32 ? forward<float>(params, stream) : forward<__nv_bfloat16>(params, stream);
}

int launch_rms_norm_backward(const RmsNormBackwardParams& params, CUstream_st* stream) {
  return params.dtype == Dtype::kFloat32 ? backward<float>(params, stream) : backward<__nv_bfloat16>(params, stream);
}

}  // namespace ehrjepa::kernels
