#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <c10/cuda/CUDAGuard.h>
#include <torch/library.h>

#include <tuple>

#include "ops/cuda/tensors.h"
#include "ops/norm_rotary/kernel.h"

namespace ehrjepa::ops {
namespace {

constexpr const char* name = "norm_rotary";

std::tuple<at::Tensor, at::Tensor> forward(const at::Tensor& given_x, const at::Tensor& given_weight,
                                           const at::Tensor& given_cos, const at::Tensor& given_sin, double eps) {
  const c10::cuda::CUDAGuard guard(given_x.device());
  const at::Tensor x_TNH = at_16_bytes(given_x), weight_H = at_16_bytes(given_weight);
  const at::Tensor cos_TH = at_16_bytes(given_cos), sin_TH = at_16_bytes(given_sin);
  check_rows(name, x_TNH.size(0) * x_TNH.size(1));
  const at::Tensor y_TNH = at::empty_like(x_TNH);
  const at::Tensor rstd_TN = at::empty({x_TNH.size(0), x_TNH.size(1)}, x_TNH.options().dtype(at::kFloat));
  check_launch(name, kernels::launch_norm_rotary_forward({.x = x_TNH.const_data_ptr(),
                                                          .weight = weight_H.const_data_ptr(),
                                                          .cos = cos_TH.const_data_ptr(),
                                                          .sin = sin_TH.const_data_ptr(),
                                                          .y = y_TNH.data_ptr(),
                                                          .rstd = rstd_TN.data_ptr<float>(),
                                                          .tokens = x_TNH.size(0),
                                                          .heads = x_TNH.size(1),
                                                          .size = x_TNH.size(2),
                                                          .eps = static_cast<float>(eps),
                                                          .dtype = kernel_dtype(name, x_TNH)},
                                                         current_stream()));
  return {y_TNH, rstd_TN};
}

std::tuple<at::Tensor, at::Tensor> backward(const at::Tensor& given_grad_out, const at::Tensor& given_x,
                                            const at::Tensor& given_weight, const at::Tensor& given_cos,
                                            const at::Tensor& given_sin, const at::Tensor& rstd_TN) {
  const c10::cuda::CUDAGuard guard(given_x.device());
  const at::Tensor x_TNH = at_16_bytes(given_x), weight_H = at_16_bytes(given_weight);
  const at::Tensor cos_TH = at_16_bytes(given_cos), sin_TH = at_16_bytes(given_sin);
  const at::Tensor grad_out_TNH = at_16_bytes(given_grad_out);
  const at::Tensor grad_x_TNH = at::empty_like(x_TNH), grad_weight_H = at::empty_like(weight_H);
  const at::Tensor partial = at::empty({kernels::norm_rotary_partials, x_TNH.size(2)}, rstd_TN.options());
  check_launch(name, kernels::launch_norm_rotary_backward({.grad_out = grad_out_TNH.const_data_ptr(),
                                                           .x = x_TNH.const_data_ptr(),
                                                           .weight = weight_H.const_data_ptr(),
                                                           .cos = cos_TH.const_data_ptr(),
                                                           .sin = sin_TH.const_data_ptr(),
                                                           .rstd = rstd_TN.const_data_ptr<float>(),
                                                           .grad_x = grad_x_TNH.data_ptr(),
                                                           .partial = partial.data_ptr<float>(),
                                                           .grad_weight = grad_weight_H.data_ptr(),
                                                           .tokens = x_TNH.size(0),
                                                           .heads = x_TNH.size(1),
                                                           .size = x_TNH.size(2),
                                                           .dtype = kernel_dtype(name, x_TNH)},
                                                          current_stream()));
  return {grad_x_TNH, grad_weight_H};
}

}  // namespace

TORCH_LIBRARY_IMPL(ehrjepa, CUDA, m) {
  if (!cuda_kernels_wanted()) return;
  m.impl("norm_rotary_forward", &forward);
  m.impl("norm_rotary_backward", &backward);
}

}  // namespace ehrjepa::ops
