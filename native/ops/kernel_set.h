#pragma once
#include "ops/bf16.h"
#include "ops/isa.h"

namespace ehrjepa::ops {

/// One instruction set's kernels of an op, for each type T of the tensors; E is the type that is computed with.
template <template <typename T, typename E> typename Kernels>
struct KernelSet {
  Kernels<float, float> float32;
  Kernels<Bf16, float> bfloat16;
  Kernels<double, double> float64;
};

inline const auto& kernels_of(float, const auto& set) { return set.float32; }
inline const auto& kernels_of(Bf16, const auto& set) { return set.bfloat16; }
inline const auto& kernels_of(double, const auto& set) { return set.float64; }

/// The fastest set that runs on this processor. Where it is no x86-64 all are the same code, and `best_isa` is kPlain.
template <typename Set>
const Set& best_of(const Set& plain, const Set& avx2, const Set& avx512, const Set& avx512_bf16) {
  switch (best_isa()) {
    case Isa::kAvx512Bf16:
      return avx512_bf16;
    case Isa::kAvx512:
      return avx512;
    case Isa::kAvx2:
      return avx2;
    case Isa::kPlain:
      break;
  }
  return plain;
}

/// The same for an op that gains nothing from instructions for bfloat16.
template <typename Set>
const Set& best_of(const Set& plain, const Set& avx2, const Set& avx512) {
  return best_of(plain, avx2, avx512, avx512);
}

}  // namespace ehrjepa::ops
