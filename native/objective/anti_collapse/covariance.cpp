#include <ATen/TensorOperators.h>
#include <ATen/ops/mm.h>

#include "objective/anti_collapse/terms.h"
#include "objective/wide.h"

namespace ehrjepa::objective {

at::Tensor covariance_penalty(const at::Tensor& latents_MD) {
  const at::Tensor x = wide(latents_MD);
  if (x.size(0) < 2) return x.sum() * 0.0;
  const at::Tensor centred = x - x.mean(0, true);
  const at::Tensor covariance = centred.t().mm(centred) / static_cast<double>(x.size(0) - 1);
  return (covariance.square().sum() - covariance.diagonal().square().sum()) / static_cast<double>(x.size(1));
}

}  // namespace ehrjepa::objective
