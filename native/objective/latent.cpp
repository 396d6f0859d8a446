#include "objective/latent.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cosine_similarity.h>
#include <ATen/ops/l1_loss.h>
#include <ATen/ops/layer_norm.h>
#include <ATen/ops/mse_loss.h>
#include <ATen/ops/smooth_l1_loss.h>

#include "core/error.h"
#include "objective/wide.h"

namespace ehrjepa::objective {
at::Tensor normalise_target(const at::Tensor& hidden_MD) {
  return at::layer_norm(wide(hidden_MD), {hidden_MD.size(-1)}, {}, {}, 1e-5).detach();
}

at::Tensor latent_loss(const at::Tensor& predicted_MD, const at::Tensor& target_MD, LatentLossKind kind, double beta) {
  if (predicted_MD.size(0) == 0) throw Error("[latent] the batch must hold at least one masked position but holds 0");
  const at::Tensor predicted = predicted_MD.to(target_MD.scalar_type());
  switch (kind) {
    case LatentLossKind::kMse:
      return at::mse_loss(predicted, target_MD);
    case LatentLossKind::kSmoothL1:
      return at::smooth_l1_loss(predicted, target_MD, at::Reduction::Mean, beta);
    case LatentLossKind::kL1:
      return at::l1_loss(predicted, target_MD);
    case LatentLossKind::kCosine:
      return 1.0 - at::cosine_similarity(predicted, target_MD, 1).mean();
  }
  throw Error("[latent] unknown kind of loss");
}

}  // namespace ehrjepa::objective
