// One block of 256 threads per row (forward), one block per partial sum and its share of the rows (backward). Rows are
// read with 16-byte loads where size allows: 4 float32 or 8 bfloat16 a thread; the rest of a row one by one.
// Bytes per row, bfloat16: forward 2 * size * (2 reads + 1 write), the second read from L1; backward 2 * size * (4 +
// 1). Bound by memory: 3,300 rows of 2,048 bfloat16 move 27 MB forward, 8 us at 3.35 TB/s (analytic, not measured).
#include <cuda_bf16.h>

#include "ops/rms_norm/kernel.h"

namespace ehrjepa::kernels {
namespace {

constexpr int threads = 256;
constexpr int warps = threads / 32;

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

/// Sum over the block, the same in every thread and in the same order every time.
__device__ float block_sum(float value, float* shared) {
  for (int offset = 16; offset > 0; offset /= 2) value += __shfl_xor_sync(0xffffffffu, value, offset);
  if (threadIdx.x % 32 == 0) shared[threadIdx.x / 32] = value;
  __syncthreads();
  float total = 0.0f;
  for (int warp = 0; warp < warps; ++warp) total += shared[warp];
  __syncthreads();  // before the next call writes `shared`
  return total;
}

/// Calls visit(index) for every element of a row that belongs to this thread; `vectors` 16-byte groups come first.
template <typename T, typename VisitVector, typename VisitOne>
__device__ void for_row(std::int64_t size, bool aligned, const VisitVector& visit_vector, const VisitOne& visit_one) {
  const std::int64_t vectors = aligned ? size / Vector<T>::size : 0;
  for (std::int64_t v = threadIdx.x; v < vectors; v += threads) visit_vector(v);
  for (std::int64_t i = vectors * Vector<T>::size + threadIdx.x; i < size; i += threads) visit_one(i);
}

template <typename T>
__global__ void __launch_bounds__(threads)
    rms_norm_forward_kernel(const T* __restrict__ x, const T* __restrict__ weight, T* __restrict__ y,
                            float* __restrict__ rstd, std::int64_t size, float eps) {
  __shared__ float shared[warps];
  const std::int64_t row = blockIdx.x;
  const T* const x_row = x + row * size;
  T* const y_row = y + row * size;
  const bool aligned = size % Vector<T>::size == 0;

  float squares = 0.0f;
  for_row<T>(
      size, aligned,
      [&](std::int64_t v) {
        const Vector<T> values = reinterpret_cast<const Vector<T>*>(x_row)[v];
#pragma unroll
        for (int i = 0; i < Vector<T>::size; ++i) squares += widen(values.values[i]) * widen(values.values[i]);
      },
      [&](std::int64_t i) { squares += widen(x_row[i]) * widen(x_row[i]); });
  const float scale = rsqrtf(block_sum(squares, shared) / static_cast<float>(size) + eps);
  if (threadIdx.x == 0) rstd[row] = scale;

  const auto normalised = [scale](T value, T gain) {
    return narrow<T>(widen(narrow<T>(widen(value) * scale)) * widen(gain));
  };
  for_row<T>(
      size, aligned,
      [&](std::int64_t v) {
        const Vector<T> values = reinterpret_cast<const Vector<T>*>(x_row)[v];
        const Vector<T> gains = reinterpret_cast<const Vector<T>*>(weight)[v];
        Vector<T> result;
#pragma unroll
        for (int i = 0; i < Vector<T>::size; ++i) result.values[i] = normalised(values.values[i], gains.values[i]);
        reinterpret_cast<Vector<T>*>(y_row)[v] = result;
      },
      [&](std::int64_t i) { y_row[i] = normalised(x_row[i], weight[i]); });
}

template <typename T>
__global__ void __launch_bounds__(threads)
    rms_norm_backward_kernel(const T* __restrict__ grad_out, const T* __restrict__ x, const T* __restrict__ weight,
                             const float* __restrict__ rstd, T* __restrict__ grad_x, float* __restrict__ partial,
                             std::int64_t rows, std::int64_t size) {
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
    const float projection = block_sum(products, shared) / static_cast<float>(size);
    for (std::int64_t i = threadIdx.x; i < size; i += threads) {
      const float normalised = widen(x[start + i]) * scale;
      const float gradient = widen(grad_out[start + i]);
      sums[i] += gradient * widen(narrow<T>(normalised));
      grad_x[start + i] = narrow<T>(scale * (gradient * widen(weight[i]) - normalised * projection));
    }
  }
}

/// Second stage: adds the partial sums of each column in a fixed order.
template <typename T>
__global__ void __launch_bounds__(threads)
    rms_norm_grad_weight_kernel(const float* __restrict__ partial, T* __restrict__ grad_weight, int parts,
                                std::int64_t size) {
  const std::int64_t column = static_cast<std::int64_t>(blockIdx.x) * threads + threadIdx.x;
  if (column >= size) return;
  float sum = 0.0f;
  for (int part = 0; part < parts; ++part) sum += partial[part * size + column];
  grad_weight[column] = narrow<T>(sum);
}

template <typename T>
int forward(const RmsNormForwardParams& p, cudaStream_t stream) {
  rms_norm_forward_kernel<T><<<static_cast<unsigned>(p.rows), threads, 0, stream>>>(
      static_cast<const T*>(p.x), static_cast<const T*>(p.weight), static_cast<T*>(p.y), p.rstd, p.size, p.eps);
  return static_cast<int>(cudaGetLastError());
}

template <typename T>
int backward(const RmsNormBackwardParams& p, cudaStream_t stream) {
  rms_norm_backward_kernel<T><<<rms_norm_partials, threads, 0, stream>>>(
      static_cast<const T*>(p.grad_out), static_cast<const T*>(p.x), static_cast<const T*>(p.weight), p.rstd,
      static_cast<T*>(p.grad_x), p.partial, p.rows, p.size);
  const int error = static_cast<int>(cudaGetLastError());
  if (error != 0) return error;
  rms_norm_grad_weight_kernel<T><<<static_cast<unsigned>((p.size + threads - 1) / threads), threads, 0, stream>>>(
      p.partial, static_cast<T*>(p.grad_weight), rms_norm_partials, p.size);
  return static_cast<int>(cudaGetLastError());
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
