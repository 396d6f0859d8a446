#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/full_like.h>
#include <ATen/ops/log_softmax.h>
#include <torch/library.h>

#include <algorithm>
#include <tuple>

#include "ops/linear/products.h"
#include "ops/linear_cross_entropy/linear_cross_entropy.h"

namespace ehrjepa::ops {
namespace {

/// In plain ATen, for devices without kernels of their own, some rows at a time as everywhere. Labels are not checked:
/// that would wait for the device, and the packed batch has been checked on the host.
std::tuple<at::Tensor, at::Tensor, at::Tensor> forward(const at::Tensor& hidden_RD, const at::Tensor& weight_VD,
                                                       const at::Tensor& labels_R, bool hidden_grad, bool weight_grad) {
  const std::int64_t rows = hidden_RD.size(0), chunk = linear_cross_entropy_rows(rows, weight_VD.size(0));
  const at::ScalarType wide = hidden_RD.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  const at::Tensor log_probabilities_R = at::empty({rows}, hidden_RD.options().dtype(wide));
  at::Tensor grad_hidden_RD, grad_weight_VD;
  if (hidden_grad) grad_hidden_RD = at::empty_like(hidden_RD);
  for (std::int64_t begin = 0; begin < rows; begin += chunk) {
    const std::int64_t count = std::min(chunk, rows - begin);
    const at::Tensor hidden_CD = hidden_RD.narrow(0, begin, count);
    const at::Tensor labels_C1 = labels_R.narrow(0, begin, count).unsqueeze(1);
    const at::Tensor log_softmax_CV = at::log_softmax(linear_product(hidden_CD, weight_VD).to(wide), -1);
    log_probabilities_R.narrow(0, begin, count).copy_(log_softmax_CV.gather(1, labels_C1).squeeze(1));
    if (!hidden_grad && !weight_grad) continue;
    // softmax - 1 where the label is, of a mean over all rows
    at::Tensor grad_CV = log_softmax_CV.exp_();
    grad_CV.scatter_add_(1, labels_C1, at::full_like(labels_C1, -1, grad_CV.options()));
    grad_CV = grad_CV.div_(static_cast<double>(rows)).to(hidden_RD.scalar_type());
    if (hidden_grad) grad_hidden_RD.narrow(0, begin, count).copy_(linear_input_gradient(grad_CV, weight_VD));
    if (weight_grad) grad_weight_VD = linear_weight_gradient(grad_CV, hidden_CD, grad_weight_VD);
  }
  return {log_probabilities_R, grad_hidden_RD, grad_weight_VD};
}

}  // namespace

TORCH_LIBRARY_IMPL(ehrjepa, CompositeExplicitAutograd, m) { m.impl("linear_cross_entropy_forward", &forward); }

}  // namespace ehrjepa::ops
