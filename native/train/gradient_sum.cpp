#include "train/gradient_sum.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/autograd.h>

#include "core/error.h"

namespace ehrjepa::train {

void require_trained(const at::Tensor& loss) {
  if (loss.requires_grad()) return;
  throw Error("[step] the loss must depend on a parameter that is trained but all that it depends on are frozen");
}

void GradientSum::add(const at::Tensor& loss, bool keep_graph) {
  require_trained(loss);
  merge(torch::autograd::grad({loss}, parameters_, {}, keep_graph, false, /*allow_unused=*/true));
}

at::Tensor GradientSum::cosine(const GradientSum& other, std::size_t count) const {
  const at::TensorOptions options = parameters_.front().options().dtype(at::kDouble);
  at::Tensor product = at::zeros({}, options), own = at::zeros({}, options), others = at::zeros({}, options);
  for (std::size_t i = 0; i < count; ++i) {
    if (values_[i].defined()) own += values_[i].square().sum();
    if (other.values_[i].defined()) others += other.values_[i].square().sum();
    if (values_[i].defined() && other.values_[i].defined()) product += (values_[i] * other.values_[i]).sum();
  }
  return at::where(own.gt(0).logical_and(others.gt(0)), product / (own * others).sqrt(), 0.0);
}

void GradientSum::merge(const std::vector<at::Tensor>& gradients) {
  const at::NoGradGuard no_grad;
  for (std::size_t i = 0; i < gradients.size(); ++i) {
    if (!gradients[i].defined()) continue;
    values_[i] = values_[i].defined() ? values_[i] + gradients[i] : gradients[i];
  }
}

}  // namespace ehrjepa::train
