#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/linear.h>

#include "ops/linear_cross_entropy/linear_cross_entropy.h"

namespace ehrjepa::ops {

at::Tensor linear_cross_entropy_reference(const at::Tensor& hidden, const at::Tensor& weight,
                                          const at::Tensor& labels) {
  const at::Tensor logits_RV = at::linear(hidden, weight);
  return at::cross_entropy_loss(logits_RV.scalar_type() == at::kDouble ? logits_RV : logits_RV.to(at::kFloat), labels);
}

}  // namespace ehrjepa::ops
