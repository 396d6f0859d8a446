#pragma once
#include <cstdint>

#include "ops/cuda/dtype.h"

struct CUstream_st;  // cudaStream_t is CUstream_st*

namespace ehrjepa::kernels {

/// out = silu(gate) up. Pointers are device memory of `dtype`, `count` elements each.
struct SwigluForwardParams {
  const void* gate;
  const void* up;
  void* out;
  std::int64_t count;
  Dtype dtype;
};

/// With s = 1 / (1 + exp(-gate)): grad_gate = grad_out up s (1 + gate (1 - s)), grad_up = grad_out gate s.
struct SwigluBackwardParams {
  const void* grad_out;
  const void* gate;
  const void* up;
  void* grad_gate;
  void* grad_up;
  std::int64_t count;
  Dtype dtype;
};

/// Launch on `stream`; return the CUDA error code of the launch, 0 when it was accepted.
int launch_swiglu_forward(const SwigluForwardParams& params, CUstream_st* stream);
int launch_swiglu_backward(const SwigluBackwardParams& params, CUstream_st* stream);

}  // namespace ehrjepa::kernels
