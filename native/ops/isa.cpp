#include "ops/isa.h"

namespace ehrjepa::ops {

bool runs(Isa isa) {
  if (isa == Isa::kPlain) return true;
#if defined(__x86_64__)
  static const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                             __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
  return avx512;
#else
  return false;
#endif
}

Isa best_isa() { return runs(Isa::kAvx512) ? Isa::kAvx512 : Isa::kPlain; }

}  // namespace ehrjepa::ops
