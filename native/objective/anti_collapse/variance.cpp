#include <ATen/TensorOperators.h>
#include <ATen/ops/relu.h>

#include "objective/anti_collapse/terms.h"
#include "objective/wide.h"

namespace ehrjepa::objective {

at::Tensor variance_hinge(const at::Tensor& latents_MD) {
  const at::Tensor x = wide(latents_MD);
  if (x.size(0) < 2) return x.sum() * 0.0;
  return at::relu(1.0 - (x.var(0) + 1e-4).sqrt()).mean();
}

}  // namespace ehrjepa::objective
