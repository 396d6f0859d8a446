// The gradient of 64 query rows of a head, in the shape of the forward pass: scores once more, the weights by the sums
// that it left, dp = grad_out V^T, ds = softmax_scale p (dp - delta), and dQ = ds K. Nothing is shared with other
// blocks.
#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include "ops/attention/kernel.h"
#include "ops/attention/query_walk.h"
#include "ops/attention/tile.h"
#include "ops/cuda/element.h"
#include "ops/cuda/launch.h"
#include "ops/cuda/reduce.h"
#include "ops/cuda/shared.h"

namespace ehrjepa::kernels {
namespace {

/// delta = <out, grad_out> of each row and head; a warp each.
template <int size>
__global__ void __launch_bounds__(attention_threads) attention_delta_kernel(AttentionBackwardParams p) {
  constexpr int each = size / 32;
  using V = Vector<__nv_bfloat16, each>;
  const std::int64_t of = static_cast<std::int64_t>(blockIdx.x) * (attention_threads / 32) + threadIdx.x / 32;
  if (of >= p.queries * p.heads) return;  // whole warps
  const std::int64_t at = of * size + threadIdx.x % 32 * each;
  const V out = load<V>(static_cast<const __nv_bfloat16*>(p.out) + at);
  const V grad = load<V>(static_cast<const __nv_bfloat16*>(p.grad_out) + at);
  float sum = 0.0f;
#pragma unroll
  for (int i = 0; i < each; ++i) sum += widen(out.values[i]) * widen(grad.values[i]);
  sum = reduce_warp<Sum>(sum);
  if (threadIdx.x % 32 == 0) p.delta[of % p.heads * p.queries + of / p.heads] = sum;
}

template <int size>
__global__ void __launch_bounds__(attention_threads, 2) attention_query_gradient_kernel(AttentionBackwardParams p) {
  constexpr int scores_n = key_tile_rows / 8;
  const int heads = static_cast<int>(p.heads), head = static_cast<int>(blockIdx.x) % heads;
  const QueryWalk walk(p.query_tiles[p.query_tile_count - 1 - static_cast<int>(blockIdx.x) / heads]);
  auto* const memory = reinterpret_cast<__nv_bfloat16*>(dynamic_shared());
  const Tile<size> queries{memory}, upstream{memory + query_tile_rows * size},
      keys{memory + 2 * query_tile_rows * size}, values{memory + (2 * query_tile_rows + key_tile_rows) * size};
  const std::int64_t query_stride = p.heads * size;
  const std::int64_t query_offset = walk.of.begin * query_stride + head * size;
  const KeyRows<size> of_keys(p.k, p.heads, p.key_heads, head), of_values(p.v, p.heads, p.key_heads, head);
  const int lane = static_cast<int>(threadIdx.x) % 32, row = static_cast<int>(threadIdx.x) / 32 * 16;
  int positions[2];
  float log_sum[2] = {}, delta[2] = {};
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int r = row + lane / 4 + half * 8;
    positions[half] = walk.position(p.positions, r);
    if (r >= walk.of.count) continue;
    log_sum[half] = p.log_sum[head * p.queries + walk.of.begin + r];
    delta[half] = p.delta[head * p.queries + walk.of.begin + r];
  }
  const float scale = p.softmax_scale * log2_e;

  queries.template bring<query_tile_rows>(static_cast<const __nv_bfloat16*>(p.q) + query_offset, query_stride,
                                          walk.of.count);
  upstream.template bring<query_tile_rows>(static_cast<const __nv_bfloat16*>(p.grad_out) + query_offset, query_stride,
                                           walk.of.count);
  of_values.bring(values, walk, 0);
  of_keys.bring(keys, walk, 0);
  float sums[size / 8][4] = {};
  for (int i = 0; i < walk.tiles; ++i) {
    wait_for_copies<0>();
    __syncthreads();
    float scores[scores_n][4] = {}, products[scores_n][4] = {};
    rows_by_rows<size / 16>(scores, queries, row, keys);
    rows_by_rows<size / 16>(products, upstream, row, values);
    __syncthreads();  // nobody reads the values any more
    if (i + 1 < walk.tiles) of_values.bring(values, walk, i + 1);
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const Seen seen = walk.seen(i, positions[half]);
      const int first = walk.first_key(i) + lane % 4 * 2;
#pragma unroll
      for (int j = 0; j < scores_n; ++j) {
#pragma unroll
        for (int k = 0; k < 2; ++k) {
          float& score = scores[j][half * 2 + k];
          const float weight = seen(first + j * 8 + k) ? exp2f(score * scale - log_sum[half]) : 0.0f;
          score = weight * (products[j][half * 2 + k] - delta[half]);
        }
      }
    }
    weights_by_rows(sums, scores, keys);
    __syncthreads();  // nobody reads the keys any more
    if (i + 1 < walk.tiles) of_keys.bring(keys, walk, i + 1);
  }
  store_rows<size>(static_cast<__nv_bfloat16*>(p.grad_q) + query_offset, query_stride, sums, row, walk.of.count,
                   p.softmax_scale, p.softmax_scale);
}

}  // namespace

int launch_attention_delta(const AttentionBackwardParams& params, CUstream_st* stream) {
  constexpr int warps = attention_threads / 32;
  const std::int64_t blocks = (params.queries * params.heads + warps - 1) / warps;
  if (blocks == 0) return 0;
  const auto kernel = params.head_dim == 64 ? &attention_delta_kernel<64> : &attention_delta_kernel<128>;
  return launch(kernel, blocks, attention_threads, 0, stream, params);
}

int launch_attention_query_gradient(const AttentionBackwardParams& params, CUstream_st* stream) {
  if (params.query_tile_count == 0) return 0;
  const auto bytes = static_cast<std::size_t>(2 * (query_tile_rows + key_tile_rows) * params.head_dim * 2);
  const auto kernel =
      params.head_dim == 64 ? &attention_query_gradient_kernel<64> : &attention_query_gradient_kernel<128>;
  return launch_large(kernel, params.query_tile_count * params.heads, attention_threads, bytes, stream, params);
}

}  // namespace ehrjepa::kernels
