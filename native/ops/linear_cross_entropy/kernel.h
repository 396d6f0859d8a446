#pragma once
#include <cstdint>

#include "ops/cuda/dtype.h"

struct CUstream_st;  // cudaStream_t is CUstream_st*

namespace ehrjepa::kernels {

/// log_probabilities = log softmax(logits)_label of each row. With `share` not 0 the logits become the gradient of
/// -share log softmax(logits)_label with respect to themselves: share (softmax - onehot). Pointers are device memory.
struct SoftmaxGradientParams {
  void* logits;                ///< (rows, size) of `dtype`
  const std::int64_t* labels;  ///< (rows), each in [0, size)
  float* log_probabilities;    ///< (rows)
  std::int64_t rows;           ///< at most 2^31 - 1
  std::int64_t size;           ///< at least 1
  float share;
  Dtype dtype;
};

/// Launches on `stream`. @return the CUDA error code of the launch, 0 when it was accepted.
int launch_softmax_gradient(const SoftmaxGradientParams& params, CUstream_st* stream);

}  // namespace ehrjepa::kernels
