// The gradients of 64 keys and values of a head. The block goes over all queries that see any of them, head after head
// of the group and 32 rows at a time, always in the same order, and keeps both sums in registers: no atomics, no
// partial sums in memory. Everything is transposed, so that the weights that leave a product are what the next one
// takes: s^T = K Q^T, dV += p^T grad_out, dp^T = V grad_out^T, dK += ds^T Q. The next rows are on their way meanwhile.
#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include "ops/attention/kernel.h"
#include "ops/attention/tile.h"
#include "ops/cuda/launch.h"
#include "ops/cuda/shared.h"

namespace ehrjepa::kernels {
namespace {

constexpr int rows_at_a_time = 32;
/// Of the steps of a product. Both sums of 64 keys with heads of 128 take 128 registers of a thread: with all steps at
/// once their addresses would spill.
constexpr int steps_at_once = 2;

/// Where the block is among the queries that see its keys.
struct Place {
  int visit, head, row;
};

template <int size>
__global__ void __launch_bounds__(attention_threads) attention_key_gradient_kernel(AttentionBackwardParams p) {
  constexpr int scores_n = rows_at_a_time / 8;
  const int key_heads = static_cast<int>(p.key_heads), key_head = static_cast<int>(blockIdx.x) % key_heads;
  const int group = static_cast<int>(p.heads) / key_heads;
  const KeyTile tile = p.key_tiles[static_cast<int>(blockIdx.x) / key_heads];
  auto* const memory = reinterpret_cast<__nv_bfloat16*>(dynamic_shared());
  const Tile<size> keys{memory}, values{memory + key_tile_rows * size};
  const auto stage = [&](int number, int which) {  // which: 0 queries, 1 upstream
    return Tile<size>{memory + 2 * key_tile_rows * size + (number % 2 * 2 + which) * rows_at_a_time * size};
  };
  const std::int64_t query_stride = p.heads * size, key_stride = p.key_heads * size;
  const std::int64_t key_offset = tile.begin * key_stride + key_head * size;

  const auto there = [&](const Place& place) { return place.visit < tile.last_visit; };
  const auto behind = [&](Place place) {
    place.row += rows_at_a_time;
    if (place.row < p.visits[place.visit].end) return place;
    if (++place.head == group) {
      place.head = 0;
      ++place.visit;
    }
    if (there(place)) place.row = p.visits[place.visit].begin;
    return place;
  };
  const auto bring = [&](const Place& place, int number) {
    const int count = min(rows_at_a_time, p.visits[place.visit].end - place.row);
    const std::int64_t offset = place.row * query_stride + (key_head * group + place.head) * size;
    stage(number, 0).template bring<rows_at_a_time>(static_cast<const __nv_bfloat16*>(p.q) + offset, query_stride,
                                                    count);
    stage(number, 1).template bring<rows_at_a_time>(static_cast<const __nv_bfloat16*>(p.grad_out) + offset,
                                                    query_stride, count);
  };
  keys.template bring<key_tile_rows>(static_cast<const __nv_bfloat16*>(p.k) + key_offset, key_stride, tile.count);
  values.template bring<key_tile_rows>(static_cast<const __nv_bfloat16*>(p.v) + key_offset, key_stride, tile.count);
  Place next{tile.first_visit, 0, tile.first_visit < tile.last_visit ? p.visits[tile.first_visit].begin : 0};
  if (there(next)) bring(next, 0);
  commit_copies();

  const int lane = static_cast<int>(threadIdx.x) % 32, row = static_cast<int>(threadIdx.x) / 32 * 16;
  const float scale = p.softmax_scale * log2_e;
  float grad_keys[size / 8][4] = {}, grad_values[size / 8][4] = {};
  for (int number = 0; there(next); ++number) {
    const Place now = next;
    next = behind(now);
    if (there(next)) bring(next, number + 1);
    commit_copies();
    wait_for_copies<1>();
    __syncthreads();
    const Tile<size> queries = stage(number, 0), upstream = stage(number, 1);
    const Visit visit = p.visits[now.visit];
    const std::int64_t of_head = (key_head * group + now.head) * p.queries;

    float weights[scores_n][4] = {}, products[scores_n][4] = {};
    rows_by_rows<steps_at_once>(weights, keys, row, queries);
    rows_by_rows<steps_at_once>(products, values, row, upstream);
#pragma unroll
    for (int j = 0; j < scores_n; ++j) {
#pragma unroll
      for (int k = 0; k < 2; ++k) {
        const int query = now.row + j * 8 + lane % 4 * 2 + k;
        const bool is_row = query < visit.end;
        const int position = !is_row ? 0 : p.positions == nullptr ? query : p.positions[query];
        const Seen seen{visit.sight == Sight::kContext    ? visit.context_begin
                        : visit.sight == Sight::kIsolated ? position
                                                          : 0,
                        !is_row                          ? 0
                        : visit.sight == Sight::kContext ? visit.context_end
                                                         : position + 1};
        const float log_sum = is_row ? p.log_sum[of_head + query] : 0.0f;
        const float delta = is_row ? p.delta[of_head + query] : 0.0f;
#pragma unroll
        for (int half = 0; half < 2; ++half) {
          const int key = tile.begin + row + lane / 4 + half * 8;
          float &weight = weights[j][half * 2 + k], &product = products[j][half * 2 + k];
          weight = seen(key) ? exp2f(weight * scale - log_sum) : 0.0f;
          product = weight * (product - delta);
        }
      }
    }
    weights_by_rows(grad_values, weights, upstream);
    weights_by_rows(grad_keys, products, queries);
    __syncthreads();  // before the stage is filled again
  }
  wait_for_copies<0>();
  store_rows<size>(static_cast<__nv_bfloat16*>(p.grad_k) + key_offset, key_stride, grad_keys, row, tile.count,
                   p.softmax_scale, p.softmax_scale);
  store_rows<size>(static_cast<__nv_bfloat16*>(p.grad_v) + key_offset, key_stride, grad_values, row, tile.count, 1.0f,
                   1.0f);
}

}  // namespace

int launch_attention_key_gradient(const AttentionBackwardParams& params, CUstream_st* stream) {
  if (params.key_tile_count == 0) return 0;
  const auto bytes = static_cast<std::size_t>((2 * key_tile_rows + 4 * rows_at_a_time) * params.head_dim * 2);
  const auto kernel = params.head_dim == 64 ? &attention_key_gradient_kernel<64> : &attention_key_gradient_kernel<128>;
  return launch_large(kernel, params.key_tile_count * params.key_heads, attention_threads, bytes, stream, params);
}

}  // namespace ehrjepa::kernels
