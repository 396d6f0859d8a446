#pragma once
#include <cstdint>

#include "ops/kernel_set.h"

// Rows of the CPU implementation, free of libtorch types: cpu_kernels.cpp is compiled for every instruction set.

namespace ehrjepa::ops::rms_norm_cpu {

/// Rows lie one behind another. Forward, the statistic of a row is taken while the row before it is written: a row that
/// comes from memory is else first waited for and then computed with.
template <typename T, typename E>
struct Kernels {
  /// y = cast(x rstd) weight, and rstd of each row.
  void (*forward)(const T* x, const T* weight, T* y, E* rstd, std::int64_t rows, std::int64_t size, E eps);
  /// sum = x + delta, then the same of the rounded sum.
  void (*add_forward)(const T* x, const T* delta, const T* weight, T* sum, T* y, E* rstd, std::int64_t rows,
                      std::int64_t size, E eps);
  /// Writes grad_x, with `grad_sum` added where it is not null, and adds grad_out cast(x rstd) of each row to
  /// grad_weight.
  void (*backward)(const T* grad_out, const T* grad_sum, const T* x, const T* weight, const E* rstd, T* grad_x,
                   E* grad_weight, std::int64_t rows, std::int64_t size);
};

extern const KernelSet<Kernels> plain_kernels, avx2_kernels, avx512_kernels, avx512_bf16_kernels;

}  // namespace ehrjepa::ops::rms_norm_cpu
