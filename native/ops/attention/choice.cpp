#include "ops/attention/choice.h"

#include "ops/attention/kernel.h"

namespace ehrjepa::ops {

AttentionChoice attention_choice(at::ScalarType dtype, Isa isa, bool multiplies_bfloat16) {
  if (isa == Isa::kPlain) return AttentionChoice::kSdpa;
  if (dtype == at::kBFloat16 && multiplies_bfloat16) return AttentionChoice::kSdpa;
  return AttentionChoice::kKernels;
}

AttentionChoice attention_choice_on_cuda(at::ScalarType dtype, std::int64_t head_dim) {
  return dtype == at::kBFloat16 && kernels::attention_has_head(head_dim) ? AttentionChoice::kKernels
                                                                         : AttentionChoice::kSdpa;
}

}  // namespace ehrjepa::ops
