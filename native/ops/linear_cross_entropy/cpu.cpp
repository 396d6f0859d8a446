#include "ops/linear_cross_entropy/cpu.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/_log_softmax.h>
#include <ATen/ops/_log_softmax_backward_data.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/zeros_like.h>
#include <torch/library.h>

#include <algorithm>

#include "ops/linear_cross_entropy/linear_cross_entropy.h"

namespace ehrjepa::ops {
namespace linear_cross_entropy_cpu {

std::tuple<at::Tensor, at::Tensor, at::Tensor> forward(const at::Tensor& hidden_RD, const at::Tensor& weight_VD,
                                                       const at::Tensor& labels_R, bool hidden_grad, bool weight_grad,
                                                       std::int64_t chunk) {
  const std::int64_t rows = hidden_RD.size(0);
  const at::ScalarType dtype = hidden_RD.scalar_type();
  const at::ScalarType wide = dtype == at::kDouble ? at::kDouble : at::kFloat;
  if (rows > 0) {
    const auto lowest = labels_R.min().item<std::int64_t>(), highest = labels_R.max().item<std::int64_t>();
    TORCH_CHECK_VALUE(lowest >= 0 && highest < weight_VD.size(0), "[linear_cross_entropy] labels must lie in [0, ",
                      weight_VD.size(0), ") but one is ", lowest < 0 ? lowest : highest);
  }
  const at::Tensor log_probabilities_R = at::empty({rows}, hidden_RD.options().dtype(wide));
  at::Tensor grad_hidden_RD, grad_weight_VD;
  if (hidden_grad) grad_hidden_RD = at::empty_like(hidden_RD);
  for (std::int64_t begin = 0; begin < rows; begin += chunk) {
    const std::int64_t count = std::min(chunk, rows - begin);
    const at::Tensor hidden_CD = hidden_RD.narrow(0, begin, count);
    const at::Tensor labels_C1 = labels_R.narrow(0, begin, count).unsqueeze(1);
    at::Tensor values_CV = at::_log_softmax(at::linear(hidden_CD, weight_VD).to(wide), 1, /*half_to_float=*/false);
    log_probabilities_R.narrow(0, begin, count).copy_(values_CV.gather(1, labels_C1).squeeze(1));
    if (!hidden_grad && !weight_grad) continue;
    const at::Tensor of_label_CV = at::zeros_like(values_CV).scatter_(1, labels_C1, -1.0 / static_cast<double>(rows));
    values_CV = at::_log_softmax_backward_data(of_label_CV, values_CV, 1, wide).to(dtype);
    if (hidden_grad) {
      at::Tensor grad_hidden_CD = grad_hidden_RD.narrow(0, begin, count);
      at::mm_out(grad_hidden_CD, values_CV, weight_VD);
    }
    if (!weight_grad) continue;
    if (grad_weight_VD.defined()) {
      grad_weight_VD.addmm_(values_CV.t(), hidden_CD);
    } else {
      grad_weight_VD = at::mm(values_CV.t(), hidden_CD);
    }
  }
  return {log_probabilities_R, grad_hidden_RD, grad_weight_VD};
}

}  // namespace linear_cross_entropy_cpu

TORCH_LIBRARY_IMPL(ehrjepa, CPU, m) {
  m.impl("linear_cross_entropy_forward", [](const at::Tensor& hidden, const at::Tensor& weight,
                                            const at::Tensor& labels, bool hidden_grad, bool weight_grad) {
    return linear_cross_entropy_cpu::forward(hidden, weight, labels, hidden_grad, weight_grad,
                                             linear_cross_entropy_rows(weight.size(0)));
  });
}

}  // namespace ehrjepa::ops
