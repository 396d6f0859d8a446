#include "ops/isa.h"

namespace ehrjepa::ops {

#if defined(__x86_64__)
bool runs(Isa isa) {
  static const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  static const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                             __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
  return isa == Isa::kPlain || (isa == Isa::kAvx2 && avx2) || (isa == Isa::kAvx512 && avx512);
}

bool multiplies_bfloat16() {
  static const bool found = runs(Isa::kAvx512) && __builtin_cpu_supports("avx512bf16");
  return found;
}
#else
bool runs(Isa isa) { return isa == Isa::kPlain; }

bool multiplies_bfloat16() { return false; }
#endif

Isa best_isa() {
  if (runs(Isa::kAvx512)) return Isa::kAvx512;
  return runs(Isa::kAvx2) ? Isa::kAvx2 : Isa::kPlain;
}

}  // namespace ehrjepa::ops
