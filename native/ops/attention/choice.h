#pragma once
#include <c10/core/ScalarType.h>

#include "ops/isa.h"

namespace ehrjepa::ops {

/// What computes attention on a CPU.
enum class AttentionChoice {
  kKernels,  ///< ours (cpu.cpp): everything is computed in float32, or float64
  kSdpa,     ///< libtorch's scaled_dot_product_attention (sdpa.cpp)
};

/// The faster of the two: ours where it was measured to be (docs/performance.md), else what was there before it.
///
/// @param isa                 the best that runs.
/// @param multiplies_bfloat16 the processor has products of bfloat16, which ours does not use.
AttentionChoice attention_choice(at::ScalarType dtype, Isa isa, bool multiplies_bfloat16);

}  // namespace ehrjepa::ops
