// A block per row of logits. The maximum and the sum of exponentials are found in one pass, each thread rescaling its
// sum when it meets a larger number; the second pass writes the gradient where the logits were. So 3 times rows * size
// elements are moved, and the second reading of a row (300 KB for 151,936 bfloat16) finds it in the second-level cache.
#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include "ops/cuda/element.h"
#include "ops/cuda/launch.h"
#include "ops/cuda/reduce.h"
#include "ops/linear_cross_entropy/kernel.h"

namespace ehrjepa::kernels {
namespace {

constexpr int threads = 512;
constexpr int warps = threads / 32;
constexpr float log2_e = 1.4426950408889634f;

/// `V` is one element where rows do not start at multiples of 16 bytes.
template <typename T, typename V>
__global__ void __launch_bounds__(threads)
    softmax_gradient_kernel(T* __restrict__ logits, const std::int64_t* __restrict__ labels,
                            float* __restrict__ log_probabilities, std::int64_t size, float share) {
  __shared__ float shared[warps];
  T* const row = logits + static_cast<std::int64_t>(blockIdx.x) * size;
  const std::int64_t label = labels[blockIdx.x];
  const float of_label = widen(row[label]);
  float largest = -INFINITY, sum = 0.0f;
  for (std::int64_t at = static_cast<std::int64_t>(threadIdx.x) * V::size; at < size; at += threads * V::size) {
    const V values = load<V>(row + at);
    float most = largest;
#pragma unroll
    for (int i = 0; i < V::size; ++i) most = fmaxf(most, widen(values.values[i]));
    if (most == -INFINITY) continue;  // -inf - -inf is no number
    float part = 0.0f;
#pragma unroll
    for (int i = 0; i < V::size; ++i) part += exp2f((widen(values.values[i]) - most) * log2_e);
    sum = sum * exp2f((largest - most) * log2_e) + part;
    largest = most;
  }
  const float maximum = reduce_block<Maximum, warps>(largest, shared);
  // A thread without an element has a sum of 0.
  const float total = reduce_block<Sum, warps>(sum == 0.0f ? 0.0f : sum * exp2f((largest - maximum) * log2_e), shared);
  if (threadIdx.x == 0) log_probabilities[blockIdx.x] = of_label - maximum - logf(total);
  if (share == 0.0f) return;
  const float factor = share / total;
  for (std::int64_t at = static_cast<std::int64_t>(threadIdx.x) * V::size; at < size; at += threads * V::size) {
    V values = load<V>(row + at);
#pragma unroll
    for (int i = 0; i < V::size; ++i) {
      const float probability = exp2f((widen(values.values[i]) - maximum) * log2_e) * factor;
      values.values[i] = narrow<T>(at + i == label ? probability - share : probability);
    }
    store(row + at, values);
  }
}

template <typename T>
int softmax_gradient(const SoftmaxGradientParams& p, cudaStream_t stream) {
  const bool wide = is_wide(p.logits) && p.size % Wide<T>::size == 0;
  const auto kernel = wide ? &softmax_gradient_kernel<T, Wide<T>> : &softmax_gradient_kernel<T, Vector<T, 1>>;
  return launch(kernel, p.rows, threads, 0, stream, static_cast<T*>(p.logits), p.labels, p.log_probabilities, p.size,
                p.share);
}

}  // namespace

int launch_softmax_gradient(const SoftmaxGradientParams& params, CUstream_st* stream) {
  if (params.rows == 0) return 0;
  return params.dtype == Dtype::kFloat32 ? softmax_gradient<float>(params, stream)
                                         : softmax_gradient<__nv_bfloat16>(params, stream);
}

}  // namespace ehrjepa::kernels
