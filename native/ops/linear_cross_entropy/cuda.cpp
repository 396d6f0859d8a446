#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <c10/cuda/CUDAGuard.h>
#include <torch/library.h>

#include <algorithm>
#include <tuple>

#include "ops/cuda/tensors.h"
#include "ops/linear/products.h"
#include "ops/linear_cross_entropy/kernel.h"
#include "ops/linear_cross_entropy/linear_cross_entropy.h"

namespace ehrjepa::ops {
namespace {

/// Products by libtorch (cuBLAS), some rows at a time, and between them one kernel that turns logits into gradients.
/// Labels are not checked: that would wait for the device, and the packed batch has been checked on the host.
std::tuple<at::Tensor, at::Tensor, at::Tensor> forward(const at::Tensor& hidden_RD, const at::Tensor& weight_VD,
                                                       const at::Tensor& labels_R, bool hidden_grad, bool weight_grad) {
  const c10::cuda::CUDAGuard guard(hidden_RD.device());
  const std::int64_t rows = hidden_RD.size(0), chunk = linear_cross_entropy_rows(rows, weight_VD.size(0));
  const at::Tensor log_probabilities_R = at::empty({rows}, hidden_RD.options().dtype(at::kFloat));
  at::Tensor grad_hidden_RD, grad_weight_VD;
  if (hidden_grad) grad_hidden_RD = at::empty_like(hidden_RD);
  for (std::int64_t begin = 0; begin < rows; begin += chunk) {
    const std::int64_t count = std::min(chunk, rows - begin);
    const at::Tensor hidden_CD = hidden_RD.narrow(0, begin, count);
    const at::Tensor values_CV = linear_product(hidden_CD, weight_VD).contiguous();
    const float share = hidden_grad || weight_grad ? 1.0f / static_cast<float>(rows) : 0.0f;
    check_launch("linear_cross_entropy",
                 kernels::launch_softmax_gradient({.logits = values_CV.data_ptr(),
                                                   .labels = labels_R.const_data_ptr<std::int64_t>() + begin,
                                                   .log_probabilities = log_probabilities_R.data_ptr<float>() + begin,
                                                   .rows = count,
                                                   .size = weight_VD.size(0),
                                                   .share = share,
                                                   .dtype = kernel_dtype("linear_cross_entropy", values_CV)},
                                                  current_stream()));
    if (hidden_grad) grad_hidden_RD.narrow(0, begin, count).copy_(linear_input_gradient(values_CV, weight_VD));
    if (weight_grad) grad_weight_VD = linear_weight_gradient(values_CV, hidden_CD, grad_weight_VD);
  }
  return {log_probabilities_R, grad_hidden_RD, grad_weight_VD};
}

}  // namespace

TORCH_LIBRARY_IMPL(ehrjepa, CUDA, m) {
  if (!cuda_kernels_wanted()) return;
  m.impl("linear_cross_entropy_forward", &forward);
}

}  // namespace ehrjepa::ops
