#pragma once

namespace ehrjepa::ops {

/// Instruction sets that the CPU kernels are compiled for. Chosen when an op is called; tests and benchmarks name one.
enum class Isa {
  kPlain,   ///< what the compiler targets: every processor
  kAvx512,  ///< F, BW, VL and DQ
};

/// True when this processor and its operating system run kernels of `isa`.
bool runs(Isa isa);

/// The fastest that runs here.
Isa best_isa();

}  // namespace ehrjepa::ops
