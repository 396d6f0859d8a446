#include "objective/latent.h"

#include <ATen/ops/layer_norm.h>
#include <ATen/ops/mse_loss.h>

#include "core/error.h"

namespace ehrjepa::objective {

at::Tensor normalise_target(const at::Tensor& hidden_MD) {
  const at::Tensor wide = hidden_MD.scalar_type() == at::kDouble ? hidden_MD : hidden_MD.to(at::kFloat);
  return at::layer_norm(wide, {wide.size(-1)}, {}, {}, 1e-5).detach();
}

at::Tensor latent_loss(const at::Tensor& predicted_MD, const at::Tensor& target_MD) {
  if (predicted_MD.size(0) == 0) throw Error("[latent] the batch must hold at least one masked position but holds 0");
  return at::mse_loss(predicted_MD.to(target_MD.scalar_type()), target_MD);
}

}  // namespace ehrjepa::objective
