#pragma once
#include <cstdint>

#include "ops/bf16.h"

// Row kernels of the CPU implementation, free of libtorch types so that the AVX-512 file needs no ATen header.
// `bfloat16` values are passed as their 16 bits.

namespace ehrjepa::ops::rms_norm_cpu {

/// One row: y = cast(x rstd) weight; returns rstd.
template <typename T, typename Sum>
using ForwardRow = Sum (*)(const T* x, const T* weight, T* y, std::int64_t size, Sum eps);

/// One row: writes grad_x and adds grad_out cast(x rstd) to grad_weight.
template <typename T, typename Sum>
using BackwardRow = void (*)(const T* grad_out, const T* x, const T* weight, Sum rstd, T* grad_x, Sum* grad_weight,
                             std::int64_t size);

// AVX-512; defined only where the compiler targets x86-64.
float forward_row_avx512(const float* x, const float* weight, float* y, std::int64_t size, float eps);
float forward_row_avx512(const Bf16* x, const Bf16* weight, Bf16* y, std::int64_t size, float eps);
void backward_row_avx512(const float* grad_out, const float* x, const float* weight, float rstd, float* grad_x,
                         float* grad_weight, std::int64_t size);
void backward_row_avx512(const Bf16* grad_out, const Bf16* x, const Bf16* weight, float rstd, Bf16* grad_x,
                         float* grad_weight, std::int64_t size);

}  // namespace ehrjepa::ops::rms_norm_cpu
