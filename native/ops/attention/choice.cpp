#include "ops/attention/choice.h"

namespace ehrjepa::ops {

AttentionChoice attention_choice(at::ScalarType dtype, Isa isa, bool multiplies_bfloat16) {
  if (isa == Isa::kPlain) return AttentionChoice::kSdpa;
  if (dtype == at::kBFloat16 && multiplies_bfloat16) return AttentionChoice::kSdpa;
  return AttentionChoice::kKernels;
}

}  // namespace ehrjepa::ops
