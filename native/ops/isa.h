#pragma once

namespace ehrjepa::ops {

/// Instruction sets that the CPU kernels are compiled for. Chosen when an op is called; tests and benchmarks name one.
enum class Isa {
  kPlain,       ///< what the compiler targets: every processor
  kAvx2,        ///< with FMA
  kAvx512,      ///< F, BW, VL and DQ
  kAvx512Bf16,  ///< the same with BF16: conversions to bfloat16 and products of it
};

/// True when this processor and its operating system run kernels of `isa`.
bool runs(Isa isa);

/// The fastest that runs here.
Isa best_isa();

/// True when this processor has instructions for products of bfloat16 (AVX512-BF16; every processor with AMX has them):
/// libtorch's products are then several times as fast as in float32.
bool multiplies_bfloat16();

}  // namespace ehrjepa::ops
