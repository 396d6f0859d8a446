#pragma once
#include <cstdint>

#include "ops/kernel_set.h"

// Rows of the CPU implementation, free of libtorch types: cpu_kernels.cpp is compiled for every instruction set.

namespace ehrjepa::ops::linear_cross_entropy_cpu {

/// One row of logits. @return log softmax(logits)_label. With `share` not 0 the logits become the gradient of
/// -share log softmax(logits)_label with respect to themselves: share (softmax - onehot).
template <typename T, typename E>
using Row = E (*)(T* logits, std::int64_t size, std::int64_t label, E share);

extern const KernelSet<Row> plain_kernels, avx2_kernels, avx512_kernels, avx512_bf16_kernels;

}  // namespace ehrjepa::ops::linear_cross_entropy_cpu
