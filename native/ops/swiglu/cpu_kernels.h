#pragma once
#include <cstdint>

#include "ops/kernel_set.h"

// Runs of elements of the CPU implementation, free of libtorch types: cpu_kernels.cpp is compiled for every instruction
// set.

namespace ehrjepa::ops::swiglu_cpu {

template <typename T, typename E>
struct Kernels {
  void (*forward)(const T* gate, const T* up, T* out, std::int64_t count);
  void (*backward)(const T* grad_out, const T* gate, const T* up, T* grad_gate, T* grad_up, std::int64_t count);
};

extern const KernelSet<Kernels> plain_kernels, avx2_kernels, avx512_kernels, avx512_bf16_kernels;

}  // namespace ehrjepa::ops::swiglu_cpu
