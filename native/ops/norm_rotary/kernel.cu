// A warp per head: the sum of squares needs no barrier, and the two halves of a head that the rotation mixes lie in the
// same lane. A lane holds pairs of neighbours of the first half and those of the second, at a fixed distance: for heads
// of 128 bfloat16 one load of 4 bytes of each, and a warp's load is one line of 128 bytes.
#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include <type_traits>

#include "ops/cuda/column_sums.h"
#include "ops/cuda/element.h"
#include "ops/cuda/launch.h"
#include "ops/cuda/reduce.h"
#include "ops/norm_rotary/kernel.h"

namespace ehrjepa::kernels {
namespace {

static_assert(norm_rotary_partials == partial_rows);
constexpr int threads = 256;
constexpr int warps = threads / 32;

/// Both halves of what one lane holds of a head, in float32.
template <int width, int rounds>
struct Halves {
  float first[rounds * width], second[rounds * width];

  /// visit(index of an element in this lane, its place in the half)
  template <typename Visit>
  static __device__ void for_each(int half, const Visit& visit) {
    const int lane = static_cast<int>(threadIdx.x) % 32;
#pragma unroll
    for (int round = 0; round < rounds; ++round) {
      const int at = (round * 32 + lane) * width;
      if (at < half) visit(round * width, at);
    }
  }
  template <typename T>
  __device__ void load_from(const T* head, int half) {
    for_each(half, [&](int i, int at) {
      const auto a = load<Vector<T, width>>(head + at), b = load<Vector<T, width>>(head + half + at);
#pragma unroll
      for (int k = 0; k < width; ++k) {
        first[i + k] = widen(a.values[k]);
        second[i + k] = widen(b.values[k]);
      }
    });
  }
  template <typename T>
  __device__ void store_to(T* head, int half) const {
    for_each(half, [&](int i, int at) {
      Vector<T, width> a, b;
#pragma unroll
      for (int k = 0; k < width; ++k) {
        a.values[k] = narrow<T>(first[i + k]);
        b.values[k] = narrow<T>(second[i + k]);
      }
      store(head + at, a);
      store(head + half + at, b);
    });
  }
};

template <typename T, int width, int rounds>
__global__ void __launch_bounds__(threads)
    norm_rotary_forward_kernel(const T* __restrict__ x, const T* __restrict__ weight, const T* __restrict__ cos,
                               const T* __restrict__ sin, T* __restrict__ y, float* __restrict__ rstd,
                               std::int64_t rows, int heads, int size, float eps) {
  using Part = Halves<width, rounds>;
  constexpr int elements = rounds * width;
  const int half = size / 2;
  const std::int64_t row = static_cast<std::int64_t>(blockIdx.x) * warps + threadIdx.x / 32;
  if (row >= rows) return;  // whole warps
  Part input = {}, gain = {}, cosine = {}, sine = {};
  input.load_from(x + row * size, half);
  gain.load_from(weight, half);
  cosine.load_from(cos + row / heads * size, half);
  sine.load_from(sin + row / heads * size, half);
  float squares = 0.0f;
#pragma unroll
  for (int i = 0; i < elements; ++i) squares += input.first[i] * input.first[i] + input.second[i] * input.second[i];
  const float scale = rsqrtf(reduce_warp<Sum>(squares) / static_cast<float>(size) + eps);
  if (threadIdx.x % 32 == 0) rstd[row] = scale;
#pragma unroll
  for (int i = 0; i < elements; ++i) {
    const float a = input.first[i] * scale * gain.first[i], b = input.second[i] * scale * gain.second[i];
    input.first[i] = a * cosine.first[i] - b * sine.first[i];
    input.second[i] = b * cosine.second[i] + a * sine.second[i];
  }
  input.store_to(y + row * size, half);
}

template <typename T, int width, int rounds>
__global__ void __launch_bounds__(threads, 2)
    norm_rotary_backward_kernel(const T* __restrict__ grad_out, const T* __restrict__ x, const T* __restrict__ weight,
                                const T* __restrict__ cos, const T* __restrict__ sin, const float* __restrict__ rstd,
                                T* __restrict__ grad_x, float* __restrict__ partial, std::int64_t rows, int heads,
                                int size) {
  using Part = Halves<width, rounds>;
  constexpr int elements = rounds * width;
  __shared__ float shared[2 * rounds * width * 32];
  const int half = size / 2;
  const int warp = static_cast<int>(threadIdx.x) / 32;
  Part gain = {}, sums = {};
  gain.load_from(weight, half);
  for (std::int64_t row = static_cast<std::int64_t>(blockIdx.x) * warps + warp; row < rows;
       row += static_cast<std::int64_t>(gridDim.x) * warps) {
    Part input = {}, upstream = {}, cosine = {}, sine = {};
    input.load_from(x + row * size, half);
    upstream.load_from(grad_out + row * size, half);
    cosine.load_from(cos + row / heads * size, half);
    sine.load_from(sin + row / heads * size, half);
    const float scale = rstd[row];
    float products = 0.0f;
#pragma unroll
    for (int i = 0; i < elements; ++i) {
      // Rotated back: gradients of the normed head.
      const float a = upstream.first[i] * cosine.first[i] + upstream.second[i] * sine.second[i];
      const float b = upstream.second[i] * cosine.second[i] - upstream.first[i] * sine.first[i];
      input.first[i] *= scale;
      input.second[i] *= scale;
      sums.first[i] += a * input.first[i];
      sums.second[i] += b * input.second[i];
      upstream.first[i] = a * gain.first[i];
      upstream.second[i] = b * gain.second[i];
      products += upstream.first[i] * input.first[i] + upstream.second[i] * input.second[i];
    }
    const float projection = reduce_warp<Sum>(products) / static_cast<float>(size);
#pragma unroll
    for (int i = 0; i < elements; ++i) {
      upstream.first[i] = scale * (upstream.first[i] - input.first[i] * projection);
      upstream.second[i] = scale * (upstream.second[i] - input.second[i] * projection);
    }
    upstream.store_to(grad_x + row * size, half);
  }
  // The warps add theirs one after the other: a fixed order.
  for (int turn = 0; turn < warps; ++turn) {
    if (warp == turn) {
      Part::for_each(half, [&](int i, int at) {
#pragma unroll
        for (int k = 0; k < width; ++k) {
          float *const a = shared + at + k, *const b = shared + half + at + k;
          *a = (turn == 0 ? 0.0f : *a) + sums.first[i + k];
          *b = (turn == 0 ? 0.0f : *b) + sums.second[i + k];
        }
      });
    }
    __syncthreads();
  }
  float* const block_sums = partial + static_cast<std::int64_t>(blockIdx.x) * size;
  for (int i = static_cast<int>(threadIdx.x); i < size; i += threads) block_sums[i] = shared[i];
}

/// Calls `run` with the width of a load and the rounds of a warp over half a head.
template <typename Run>
int with_shape(std::int64_t size, const Run& run) {
  const std::int64_t half = size / 2;
  if (half % 2 != 0) return run(std::integral_constant<int, 1>(), std::integral_constant<int, 4>());
  if (half <= 64) return run(std::integral_constant<int, 2>(), std::integral_constant<int, 1>());
  return run(std::integral_constant<int, 2>(), std::integral_constant<int, 2>());
}

template <typename T>
int forward(const NormRotaryForwardParams& p, cudaStream_t stream) {
  const std::int64_t rows = p.tokens * p.heads;
  return with_shape(p.size, [&](auto width, auto rounds) {
    return launch(&norm_rotary_forward_kernel<T, width.value, rounds.value>, (rows + warps - 1) / warps, threads, 0,
                  stream, static_cast<const T*>(p.x), static_cast<const T*>(p.weight), static_cast<const T*>(p.cos),
                  static_cast<const T*>(p.sin), static_cast<T*>(p.y), p.rstd, rows, static_cast<int>(p.heads),
                  static_cast<int>(p.size), p.eps);
  });
}

template <typename T>
int backward(const NormRotaryBackwardParams& p, cudaStream_t stream) {
  const int error = with_shape(p.size, [&](auto width, auto rounds) {
    return launch(&norm_rotary_backward_kernel<T, width.value, rounds.value>, norm_rotary_partials, threads, 0, stream,
                  static_cast<const T*>(p.grad_out), static_cast<const T*>(p.x), static_cast<const T*>(p.weight),
                  static_cast<const T*>(p.cos), static_cast<const T*>(p.sin), p.rstd, static_cast<T*>(p.grad_x),
                  p.partial, p.tokens * p.heads, static_cast<int>(p.heads), static_cast<int>(p.size));
  });
  return error != 0 ? error : launch_column_sums<T>(p.partial, p.grad_weight, p.size, stream);
}

}  // namespace

int launch_norm_rotary_forward(const NormRotaryForwardParams& params, CUstream_st* stream) {
  if (params.tokens * params.heads == 0) return 0;
  return params.dtype == Dtype::kFloat32 ? forward<float>(params, stream) : forward<__nv_bfloat16>(params, stream);
}

int launch_norm_rotary_backward(const NormRotaryBackwardParams& params, CUstream_st* stream) {
  return params.dtype == Dtype::kFloat32 ? backward<float>(params, stream) : backward<__nv_bfloat16>(params, stream);
}

}  // namespace ehrjepa::kernels
