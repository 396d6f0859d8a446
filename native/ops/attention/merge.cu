// A warp for each head of each row. It reads two vectors of head_dim elements and writes one: 3 times
// rows * heads * head_dim elements, and nothing but the memory sets the time. Plain ATen, which widens both and
// multiplies and adds them one by one, moves nine times as much in bfloat16.
#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include "ops/attention/merge_kernel.h"
#include "ops/cuda/element.h"
#include "ops/cuda/launch.h"

namespace ehrjepa::kernels {
namespace {

constexpr int threads = 256;
constexpr int warps = threads / 32;

/// @tparam V  what a lane takes at a time: 16 bytes, or one element where rows are not at multiples of 16 bytes
template <typename V, typename T>
__global__ void __launch_bounds__(threads)
    attention_merge_kernel(T* __restrict__ out, float* __restrict__ log_sum, const std::int64_t* __restrict__ rows,
                           const T* __restrict__ other, const float* __restrict__ other_log_sum,
                           std::int64_t total_rows, std::int64_t rows_merged, std::int64_t heads,
                           std::int64_t head_dim) {
  const std::int64_t task = static_cast<std::int64_t>(blockIdx.x) * warps + threadIdx.x / 32;
  if (task >= rows_merged * heads) return;  // whole warps leave
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const std::int64_t from = task / heads, head = task % heads, to = rows[from];

  // The first lane alone reads and writes the log-sums, so that nobody reads one that was merged already.
  float weight = 0.0f, other_weight = 0.0f;
  if (lane == 0) {
    float& place = log_sum[head * total_rows + to];
    const float before = place, added = other_log_sum[head * rows_merged + from], larger = fmaxf(before, added);
    weight = expf(before - larger);
    other_weight = expf(added - larger);
    const float sum =
        weight + other_weight;  // 1 to 2; by exp(before - merged) weights would lose what large log-sums round
    place = larger + logf(sum);
    weight /= sum;
    other_weight /= sum;
  }
  weight = __shfl_sync(0xffffffffu, weight, 0);
  other_weight = __shfl_sync(0xffffffffu, other_weight, 0);

  T* const mine = out + (to * heads + head) * head_dim;
  const T* const theirs = other + task * head_dim;
  for (std::int64_t i = lane * V::size; i < head_dim; i += 32 * V::size) {
    V merged = load<V>(mine + i);
    const V added = load<V>(theirs + i);
#pragma unroll
    for (int j = 0; j < V::size; ++j) {
      merged.values[j] = narrow<T>(widen(merged.values[j]) * weight + widen(added.values[j]) * other_weight);
    }
    store(mine + i, merged);
  }
}

template <typename T>
int merge(const AttentionMergeParams& p, cudaStream_t stream) {
  const bool wide = is_wide(p.out) && is_wide(p.other) && p.head_dim % Wide<T>::size == 0;
  return launch(wide ? &attention_merge_kernel<Wide<T>, T> : &attention_merge_kernel<Vector<T, 1>, T>,
                (p.rows_merged * p.heads + warps - 1) / warps, threads, 0, stream, static_cast<T*>(p.out), p.log_sum,
                p.rows, static_cast<const T*>(p.other), p.other_log_sum, p.total_rows, p.rows_merged, p.heads,
                p.head_dim);
}

}  // namespace

int launch_attention_merge(const AttentionMergeParams& params, CUstream_st* stream) {
  if (params.rows_merged * params.heads == 0) return 0;
  return params.dtype == Dtype::kFloat32 ? merge<float>(params, stream) : merge<__nv_bfloat16>(params, stream);
}

}  // namespace ehrjepa::kernels
