#pragma once
#include <cstdint>

#include "ops/kernel_set.h"

// Heads of the CPU implementation, free of libtorch types: cpu_kernels.cpp is compiled for every instruction set.

namespace ehrjepa::ops::norm_rotary_cpu {

/// One head of one token, `size` elements, even.
template <typename T, typename E>
struct Kernels {
  /// @return rstd
  E (*forward)(const T* x, const T* weight, const T* cos, const T* sin, T* y, std::int64_t size, E eps);
  /// Writes grad_x and adds to grad_weight.
  void (*backward)(const T* grad_out, const T* x, const T* weight, const T* cos, const T* sin, E rstd, T* grad_x,
                   E* grad_weight, std::int64_t size);
};

extern const KernelSet<Kernels> plain_kernels, avx2_kernels, avx512_kernels;

}  // namespace ehrjepa::ops::norm_rotary_cpu
