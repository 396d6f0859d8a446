#pragma once
#include <c10/core/ScalarType.h>

#include <cstdint>

#include "ops/isa.h"

namespace ehrjepa::ops {

/// What computes attention.
enum class AttentionChoice {
  kKernels,  ///< ours (cpu.cpp, where everything is computed in float32 or float64; cuda.cpp)
  kSdpa,     ///< libtorch's scaled_dot_product_attention (sdpa.cpp)
};

/// On a CPU, the faster of the two: ours where it was measured to be (docs/performance.md), else what was there before
/// it.
///
/// @param isa                 the best that runs.
/// @param multiplies_bfloat16 the processor has products of bfloat16, which ours does not use.
AttentionChoice attention_choice(at::ScalarType dtype, Isa isa, bool multiplies_bfloat16);

/// Ours where it has kernels: bfloat16, heads of 64 and 128. It has not been measured on any card.
AttentionChoice attention_choice_on_cuda(at::ScalarType dtype, std::int64_t head_dim);

}  // namespace ehrjepa::ops
