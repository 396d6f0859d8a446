#include "objective/next_token.h"

#include "core/error.h"
#include "ops/linear_cross_entropy/linear_cross_entropy.h"

namespace ehrjepa::objective {

at::Tensor next_token_loss(const at::Tensor& hidden_RD, const at::Tensor& lm_head, const at::Tensor& labels_R) {
  if (labels_R.numel() == 0) throw Error("[next_token] the batch must hold at least one scored token but holds 0");
  return ops::linear_cross_entropy(hidden_RD, lm_head, labels_R);
}

}  // namespace ehrjepa::objective
