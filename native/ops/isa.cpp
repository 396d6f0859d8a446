#include "ops/isa.h"

namespace ehrjepa::ops {

#if defined(__x86_64__)
bool runs(Isa isa) {
  static const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  static const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                             __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
  static const bool avx512_bf16 = avx512 && __builtin_cpu_supports("avx512bf16");
  switch (isa) {
    case Isa::kPlain:
      return true;
    case Isa::kAvx2:
      return avx2;
    case Isa::kAvx512:
      return avx512;
    case Isa::kAvx512Bf16:
      return avx512_bf16;
  }
  return false;
}
#else
bool runs(Isa isa) { return isa == Isa::kPlain; }
#endif

bool multiplies_bfloat16() { return runs(Isa::kAvx512Bf16); }

Isa best_isa() {
  if (runs(Isa::kAvx512Bf16)) return Isa::kAvx512Bf16;
  if (runs(Isa::kAvx512)) return Isa::kAvx512;
  return runs(Isa::kAvx2) ? Isa::kAvx2 : Isa::kPlain;
}

}  // namespace ehrjepa::ops
