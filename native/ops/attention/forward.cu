// One block for 64 query rows of a head, 16 for each of its 4 warps; it goes over the keys of the context and over its
// own in tiles of 64, in one online softmax (Dao 2023, FlashAttention-2). While scores are made the values are on their
// way, and while they are summed the next keys: shared memory holds one tile each of queries, keys and values, 48 KB
// for heads of 128, so that two blocks share a multiprocessor of 99 KB. A row's scores are spread over 4 lanes.
#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include "ops/attention/kernel.h"
#include "ops/attention/query_walk.h"
#include "ops/attention/tile.h"
#include "ops/cuda/launch.h"
#include "ops/cuda/reduce.h"
#include "ops/cuda/shared.h"

namespace ehrjepa::kernels {
namespace {

/// Over the 4 lanes of a row.
template <typename Operation>
__device__ float reduce_row(float value) {
  return reduce_warp<Operation, 4>(value);
}

template <int size>
__global__ void __launch_bounds__(attention_threads, 2) attention_forward_kernel(AttentionForwardParams p) {
  constexpr int scores_n = key_tile_rows / 8;
  const int heads = static_cast<int>(p.heads), head = static_cast<int>(blockIdx.x) % heads;
  // The last tiles see most: they come first, so that none is left alone at the end.
  const QueryWalk walk(p.tiles[p.tile_count - 1 - static_cast<int>(blockIdx.x) / heads]);
  auto* const memory = reinterpret_cast<__nv_bfloat16*>(dynamic_shared());
  const Tile<size> queries{memory}, keys{memory + query_tile_rows * size},
      values{memory + (query_tile_rows + key_tile_rows) * size};
  const std::int64_t query_stride = p.heads * size;
  const KeyRows<size> of_keys(p.k, p.heads, p.key_heads, head), of_values(p.v, p.heads, p.key_heads, head);
  const int lane = static_cast<int>(threadIdx.x) % 32, row = static_cast<int>(threadIdx.x) / 32 * 16;
  const int positions[2] = {walk.position(p.positions, row + lane / 4), walk.position(p.positions, row + lane / 4 + 8)};
  const float scale = p.softmax_scale * log2_e;

  queries.template bring<query_tile_rows>(
      static_cast<const __nv_bfloat16*>(p.q) + walk.of.begin * query_stride + head * size, query_stride, walk.of.count);
  of_keys.bring(keys, walk, 0);
  float sums[size / 8][4] = {}, largest[2] = {-INFINITY, -INFINITY}, total[2] = {};
  for (int i = 0; i < walk.tiles; ++i) {
    wait_for_copies<0>();
    __syncthreads();  // keys are there, and nobody reads the last values any more
    of_values.bring(values, walk, i);
    float scores[scores_n][4] = {};
    rows_by_rows<size / 16>(scores, queries, row, keys);
    wait_for_copies<0>();
    __syncthreads();  // values are there, and nobody reads the keys any more
    if (i + 1 < walk.tiles) of_keys.bring(keys, walk, i + 1);

#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const Seen seen = walk.seen(i, positions[half]);
      const int first = walk.first_key(i) + lane % 4 * 2;
      float most = largest[half];
#pragma unroll
      for (int j = 0; j < scores_n; ++j) {
#pragma unroll
        for (int k = 0; k < 2; ++k) {
          float& score = scores[j][half * 2 + k];
          score = seen(first + j * 8 + k) ? score * scale : -INFINITY;
          most = fmaxf(most, score);
        }
      }
      most = reduce_row<Maximum>(most);
      const float shift = most == -INFINITY ? 0.0f : most;  // a row that has seen no key yet
      const float shrink = exp2f(largest[half] - shift);
      largest[half] = most;
      float part = 0.0f;
#pragma unroll
      for (int j = 0; j < scores_n; ++j) {
#pragma unroll
        for (int k = 0; k < 2; ++k) {
          float& score = scores[j][half * 2 + k];
          score = exp2f(score - shift);
          part += score;
        }
      }
      total[half] = total[half] * shrink + part;
#pragma unroll
      for (int j = 0; j < size / 8; ++j) {
        sums[j][half * 2] *= shrink;
        sums[j][half * 2 + 1] *= shrink;
      }
    }
    weights_by_rows(sums, scores, values);
  }

  float inverse[2];
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const float whole = reduce_row<Sum>(total[half]);
    inverse[half] = 1.0f / whole;
    const int r = row + lane / 4 + half * 8;
    if (lane % 4 == 0 && r < walk.of.count) {
      p.log_sum[head * p.queries + walk.of.begin + r] = largest[half] + log2f(whole);
    }
  }
  store_rows<size>(static_cast<__nv_bfloat16*>(p.out) + walk.of.begin * query_stride + head * size, query_stride, sums,
                   row, walk.of.count, inverse[0], inverse[1]);
}

}  // namespace

int launch_attention_forward(const AttentionForwardParams& params, CUstream_st* stream) {
  if (params.tile_count == 0) return 0;
  const auto bytes = static_cast<std::size_t>((query_tile_rows + 2 * key_tile_rows) * params.head_dim * 2);
  const auto kernel = params.head_dim == 64 ? &attention_forward_kernel<64> : &attention_forward_kernel<128>;
  return launch(kernel, params.tile_count * params.heads, attention_threads, bytes, stream, params);
}

}  // namespace ehrjepa::kernels
