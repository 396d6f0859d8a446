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
  std::vector<at::Tensor> found =
      torch::autograd::grad({loss}, leaves_.tensors, {}, keep_graph, false, /*allow_unused=*/true);
  for (std::size_t i = 0; i < found.size(); ++i) {
    if (found[i].defined()) found[i] = found[i].to(leaves_.dtypes[i]);
  }
  merge(found);
}

at::Tensor GradientSum::products(const GradientSum& other, std::size_t count) const {
  const at::Tensor result = at::zeros({3, static_cast<std::int64_t>(count)},
                                      leaves_.tensors.front().options().dtype(at::kDouble).requires_grad(false));
  const auto is_here = [](const at::Tensor& values) { return values.defined() && !values.is_meta(); };
  for (std::size_t i = 0; i < count; ++i) {
    const at::Tensor column = result.select(1, static_cast<std::int64_t>(i));
    if (is_here(values_[i])) column[0].copy_(values_[i].square().sum());
    if (is_here(other.values_[i])) column[1].copy_(other.values_[i].square().sum());
    if (is_here(values_[i]) && is_here(other.values_[i])) column[2].copy_((values_[i] * other.values_[i]).sum());
  }
  return result;
}

at::Tensor cosine(const at::Tensor& products) {
  std::vector<at::Tensor> sums;
  for (const at::Tensor& row : products.unbind()) {
    at::Tensor sum = at::zeros({}, row.options());
    for (const at::Tensor& one : row.unbind()) sum += one;
    sums.push_back(sum);
  }
  return at::where(sums[0].gt(0).logical_and(sums[1].gt(0)), sums[2] / (sums[0] * sums[1]).sqrt(), 0.0);
}

void GradientSum::merge(const std::vector<at::Tensor>& gradients) {
  const at::NoGradGuard no_grad;
  for (std::size_t i = 0; i < gradients.size(); ++i) {
    if (!gradients[i].defined()) continue;
    values_[i] = values_[i].defined() ? values_[i] + gradients[i] : gradients[i];
  }
}

}  // namespace ehrjepa::train
