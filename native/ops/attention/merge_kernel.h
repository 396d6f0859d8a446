#pragma once
#include <cstdint>

#include "ops/cuda/dtype.h"

struct CUstream_st;  // cudaStream_t is CUstream_st*

namespace ehrjepa::kernels {

/// out = out exp(log_sum - l) + other exp(other_log_sum - l), log_sum = l = log(exp(log_sum) + exp(other_log_sum)).
/// Pointers are device memory.
struct AttentionMergeParams {
  void* out;                   ///< (total_rows, heads, head_dim) of `dtype`
  float* log_sum;              ///< (heads, total_rows)
  const std::int64_t* rows;    ///< (rows_merged) each once
  const void* other;           ///< (rows_merged, heads, head_dim) of `dtype`
  const float* other_log_sum;  ///< (heads, rows_merged)
  std::int64_t total_rows;
  std::int64_t rows_merged;
  std::int64_t heads;
  std::int64_t head_dim;
  Dtype dtype;
};

/// Launches on `stream`; returns the CUDA error code of the launch, 0 when it was accepted.
int launch_attention_merge(const AttentionMergeParams& params, CUstream_st* stream);

}  // namespace ehrjepa::kernels
