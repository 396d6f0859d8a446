#pragma once
#include <cstdint>

#include "ops/attention/work_list.h"

struct CUstream_st;  // cudaStream_t is CUstream_st*

namespace ehrjepa::kernels {

/// Attention of bfloat16 tensors with heads of 64 or 128; pointers are device memory at multiples of 16 bytes.
struct AttentionForwardParams {
  const void* q;                  ///< (queries, heads, head_dim)
  const void* k;                  ///< (keys, key_heads, head_dim)
  const void* v;                  ///< (keys, key_heads, head_dim)
  const std::int32_t* positions;  ///< (queries) place of each among the keys; null: 0, 1, ..
  const QueryTile* tiles;         ///< (tile_count)
  void* out;                      ///< (queries, heads, head_dim)
  float* log_sum;                 ///< (heads, queries)
  std::int64_t tile_count;
  std::int64_t queries;
  std::int64_t heads;
  std::int64_t key_heads;
  std::int64_t head_dim;
  float softmax_scale;
};

/// Of one call of the forward pass. Each block owns what it writes: no atomics, and the same bits every time.
struct AttentionBackwardParams {
  const void* grad_out;           ///< (queries, heads, head_dim)
  const void* q;                  ///< (queries, heads, head_dim)
  const void* k;                  ///< (keys, key_heads, head_dim)
  const void* v;                  ///< (keys, key_heads, head_dim)
  const void* out;                ///< (queries, heads, head_dim)
  const float* log_sum;           ///< (heads, queries)
  const std::int32_t* positions;  ///< (queries) or null
  const QueryTile* query_tiles;   ///< (query_tile_count)
  const KeyTile* key_tiles;       ///< (key_tile_count)
  const Visit* visits;
  float* delta;  ///< (heads, queries) work space: <out, grad_out>
  void* grad_q;  ///< (queries, heads, head_dim)
  void* grad_k;  ///< (keys, key_heads, head_dim)
  void* grad_v;  ///< (keys, key_heads, head_dim)
  std::int64_t query_tile_count;
  std::int64_t key_tile_count;
  std::int64_t queries;
  std::int64_t heads;
  std::int64_t key_heads;
  std::int64_t head_dim;
  float softmax_scale;
};

/// Head sizes that there are kernels for.
constexpr bool attention_has_head(std::int64_t head_dim) { return head_dim == 64 || head_dim == 128; }

/// Launch on `stream`; return the CUDA error code of the launch, 0 when it was accepted.
int launch_attention_forward(const AttentionForwardParams& params, CUstream_st* stream);
int launch_attention_delta(const AttentionBackwardParams& params, CUstream_st* stream);
int launch_attention_query_gradient(const AttentionBackwardParams& params, CUstream_st* stream);
int launch_attention_key_gradient(const AttentionBackwardParams& params, CUstream_st* stream);

}  // namespace ehrjepa::kernels
