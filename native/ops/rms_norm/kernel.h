#pragma once
#include <cstdint>

#include "ops/cuda/dtype.h"

struct CUstream_st;  // cudaStream_t is CUstream_st*

namespace ehrjepa::kernels {

/// y = cast(x rstd) weight, rstd = (mean(x^2) + eps)^-1/2, over rows of `size` elements. Pointers are device memory of
/// `dtype`, 16-byte aligned; rows are contiguous, of at least one element, and at most 2^31 - 1. With `delta` the rows
/// are x + delta, rounded, which become `sum`.
struct RmsNormForwardParams {
  const void* x;       ///< (rows, size)
  const void* delta;   ///< (rows, size) or null
  const void* weight;  ///< (size)
  void* sum;           ///< (rows, size), null without delta
  void* y;             ///< (rows, size)
  float* rstd;         ///< (rows)
  std::int64_t rows;
  std::int64_t size;
  float eps;
  Dtype dtype;
};

/// grad_x = grad_sum + rstd (g - n mean(g n)), g = grad_out weight, n = x rstd; grad_weight = sum over rows of
/// grad_out cast(n).
struct RmsNormBackwardParams {
  const void* grad_out;  ///< (rows, size)
  const void* grad_sum;  ///< (rows, size) or null: 0
  const void* x;         ///< (rows, size)
  const void* weight;    ///< (size)
  const float* rstd;     ///< (rows)
  void* grad_x;          ///< (rows, size)
  float* partial;        ///< (rms_norm_partials, size) work space
  void* grad_weight;     ///< (size)
  std::int64_t rows;
  std::int64_t size;
  Dtype dtype;
};

/// Partial sums of grad_weight.
constexpr int rms_norm_partials = 256;

/// Launch on `stream`; return the CUDA error code of the launch, 0 when it was accepted.
int launch_rms_norm_forward(const RmsNormForwardParams& params, CUstream_st* stream);
int launch_rms_norm_backward(const RmsNormBackwardParams& params, CUstream_st* stream);

}  // namespace ehrjepa::kernels
