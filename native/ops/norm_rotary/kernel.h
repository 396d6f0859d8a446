#pragma once
#include <cstdint>

#include "ops/cuda/dtype.h"

struct CUstream_st;  // cudaStream_t is CUstream_st*

namespace ehrjepa::kernels {

/// Largest head that the kernels keep in registers.
constexpr std::int64_t norm_rotary_largest_head = 256;

/// y = n cos + rotate_half(n) sin, n = x rstd weight, rstd = (mean(x^2) + eps)^-1/2, over heads of `size` elements:
/// even, at most `norm_rotary_largest_head`. Pointers are device memory of `dtype`, at multiples of 4 bytes.
struct NormRotaryForwardParams {
  const void* x;       ///< (tokens, heads, size)
  const void* weight;  ///< (size)
  const void* cos;     ///< (tokens, size)
  const void* sin;     ///< (tokens, size)
  void* y;             ///< (tokens, heads, size)
  float* rstd;         ///< (tokens, heads)
  std::int64_t tokens;
  std::int64_t heads;
  std::int64_t size;
  float eps;
  Dtype dtype;
};

/// With g = grad_out cos - rotate_half(grad_out sin), h = g weight and n = x rstd: grad_x = rstd (h - n mean(h n)),
/// grad_weight = sum over tokens and heads of g n.
struct NormRotaryBackwardParams {
  const void* grad_out;  ///< (tokens, heads, size)
  const void* x;         ///< (tokens, heads, size)
  const void* weight;    ///< (size)
  const void* cos;       ///< (tokens, size)
  const void* sin;       ///< (tokens, size)
  const float* rstd;     ///< (tokens, heads)
  void* grad_x;          ///< (tokens, heads, size)
  float* partial;        ///< (norm_rotary_partials, size) work space
  void* grad_weight;     ///< (size)
  std::int64_t tokens;
  std::int64_t heads;
  std::int64_t size;
  Dtype dtype;
};

/// Partial sums of grad_weight.
constexpr int norm_rotary_partials = 256;

/// Launch on `stream`; return the CUDA error code of the launch, 0 when it was accepted.
int launch_norm_rotary_forward(const NormRotaryForwardParams& params, CUstream_st* stream);
int launch_norm_rotary_backward(const NormRotaryBackwardParams& params, CUstream_st* stream);

}  // namespace ehrjepa::kernels
