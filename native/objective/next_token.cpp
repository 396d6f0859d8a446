#include "objective/next_token.h"

#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/linear.h>

#include "core/error.h"

namespace ehrjepa::objective {

at::Tensor next_token_loss(const at::Tensor& hidden_RD, const at::Tensor& lm_head, const at::Tensor& labels_R) {
  if (labels_R.numel() == 0) throw Error("[next_token] the batch must hold at least one scored token but holds 0");
  at::Tensor logits_RV = at::linear(hidden_RD, lm_head);
  if (logits_RV.scalar_type() != at::kDouble) logits_RV = logits_RV.to(at::kFloat);
  return at::cross_entropy_loss(logits_RV, labels_R);
}

}  // namespace ehrjepa::objective
