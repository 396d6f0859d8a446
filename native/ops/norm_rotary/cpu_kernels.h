#pragma once
#include <cstdint>

#include "ops/kernel_set.h"

// Heads of the CPU implementation, free of libtorch types: cpu_kernels.cpp is compiled for every instruction set.

namespace ehrjepa::ops::norm_rotary_cpu {

/// All heads of one token: `heads` rows of `size` elements, an even number, which share a row of cosines and sines.
template <typename T, typename E>
struct Kernels {
  /// Writes y and an rstd a head.
  /// @param scratch  2 * size elements
  void (*forward)(const T* x, const T* weight, const T* cos, const T* sin, T* y, E* rstd, E* scratch,
                  std::int64_t heads, std::int64_t size, E eps);
  /// Writes grad_x and adds to grad_weight.
  /// @param scratch  4 * size elements
  void (*backward)(const T* grad_out, const T* x, const T* weight, const T* cos, const T* sin, const E* rstd, T* grad_x,
                   E* grad_weight, E* scratch, std::int64_t heads, std::int64_t size);
};

extern const KernelSet<Kernels> plain_kernels, avx2_kernels, avx512_kernels, avx512_bf16_kernels;

}  // namespace ehrjepa::ops::norm_rotary_cpu
