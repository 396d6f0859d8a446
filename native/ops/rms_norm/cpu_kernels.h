#pragma once
#include <cstdint>

#include "ops/kernel_set.h"

// Rows of the CPU implementation, free of libtorch types: cpu_kernels.cpp is compiled for every instruction set.

namespace ehrjepa::ops::rms_norm_cpu {

template <typename T, typename E>
struct Kernels {
  /// y = cast(x rstd) weight. @return rstd
  E (*forward)(const T* x, const T* weight, T* y, std::int64_t size, E eps);
  /// sum = x + delta, then the same of the rounded sum.
  E (*add_forward)(const T* x, const T* delta, const T* weight, T* sum, T* y, std::int64_t size, E eps);
  /// Writes grad_x, with `grad_sum` added where it is not null, and adds grad_out cast(x rstd) to grad_weight.
  void (*backward)(const T* grad_out, const T* grad_sum, const T* x, const T* weight, E rstd, T* grad_x, E* grad_weight,
                   std::int64_t size);
};

extern const KernelSet<Kernels> plain_kernels, avx2_kernels, avx512_kernels, avx512_bf16_kernels;

}  // namespace ehrjepa::ops::rms_norm_cpu
