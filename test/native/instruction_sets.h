#pragma once
#include <string>
#include <utility>
#include <vector>

#include "ops/isa.h"

/// The kernels of one op that run on this processor, by name. `wide` has vectors of 64 bytes in AVX2 instructions: a
/// test compiles it, so that the logic of wide vectors is tested where there is no AVX-512. `avx512_bf16` is null for
/// an op that has no kernels of its own for it.
template <typename Set>
std::vector<std::pair<std::string, const Set*>> sets_that_run(const Set& plain, const Set& avx2, const Set& avx512,
                                                              const Set& wide, const Set* avx512_bf16 = nullptr) {
  using ehrjepa::ops::Isa;
  std::vector<std::pair<std::string, const Set*>> sets = {{"plain", &plain}};
#if defined(__x86_64__)
  if (!ehrjepa::ops::runs(Isa::kAvx2)) return sets;
#endif
  sets.push_back({"64 bytes", &wide});
  if (ehrjepa::ops::runs(Isa::kAvx2)) sets.push_back({"avx2", &avx2});
  if (ehrjepa::ops::runs(Isa::kAvx512)) sets.push_back({"avx512", &avx512});
  if (avx512_bf16 != nullptr && ehrjepa::ops::runs(Isa::kAvx512Bf16)) sets.push_back({"avx512 bf16", avx512_bf16});
  return sets;
}
