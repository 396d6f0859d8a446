#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <c10/cuda/CUDAGuard.h>
#include <torch/library.h>

#include <tuple>

#include "ops/cuda/tensors.h"
#include "ops/rms_norm/kernel.h"

namespace ehrjepa::ops {
namespace {

/// @param delta  undefined: no sum is made. @return sum (undefined without delta), y, rstd
std::tuple<at::Tensor, at::Tensor, at::Tensor> norm(const at::Tensor& given_x, const at::Tensor& given_delta,
                                                    const at::Tensor& given_weight, double eps) {
  const c10::cuda::CUDAGuard guard(given_x.device());
  check_rows("rms_norm", given_x.size(0));
  const bool with_sum = given_delta.defined();
  const at::Tensor x_TD = at_16_bytes(given_x), weight = at_16_bytes(given_weight);
  const at::Tensor delta_TD = with_sum ? at_16_bytes(given_delta) : given_delta;
  const at::Tensor y_TD = at::empty_like(x_TD), sum_TD = with_sum ? at::empty_like(x_TD) : at::Tensor();
  const at::Tensor rstd_T = at::empty({x_TD.size(0)}, x_TD.options().dtype(at::kFloat));
  check_launch("rms_norm", kernels::launch_rms_norm_forward({.x = x_TD.const_data_ptr(),
                                                             .delta = with_sum ? delta_TD.const_data_ptr() : nullptr,
                                                             .weight = weight.const_data_ptr(),
                                                             .sum = with_sum ? sum_TD.data_ptr() : nullptr,
                                                             .y = y_TD.data_ptr(),
                                                             .rstd = rstd_T.data_ptr<float>(),
                                                             .rows = x_TD.size(0),
                                                             .size = x_TD.size(1),
                                                             .eps = static_cast<float>(eps),
                                                             .dtype = kernel_dtype("rms_norm", x_TD)},
                                                            current_stream()));
  return {sum_TD, y_TD, rstd_T};
}

/// @param grad_sum  undefined: 0. @return grad_x, grad_weight
std::tuple<at::Tensor, at::Tensor> norm_backward(const at::Tensor& given_grad_out, const at::Tensor& given_grad_sum,
                                                 const at::Tensor& given_x, const at::Tensor& given_weight,
                                                 const at::Tensor& rstd_T) {
  const c10::cuda::CUDAGuard guard(given_x.device());
  const bool with_sum = given_grad_sum.defined();
  const at::Tensor x_TD = at_16_bytes(given_x), weight = at_16_bytes(given_weight);
  const at::Tensor grad_out_TD = at_16_bytes(given_grad_out);
  const at::Tensor grad_sum_TD = with_sum ? at_16_bytes(given_grad_sum) : given_grad_sum;
  const at::Tensor grad_x_TD = at::empty_like(x_TD), grad_weight = at::empty_like(weight);
  const at::Tensor partial = at::empty({kernels::rms_norm_partials, x_TD.size(1)}, rstd_T.options());
  check_launch("rms_norm",
               kernels::launch_rms_norm_backward({.grad_out = grad_out_TD.const_data_ptr(),
                                                  .grad_sum = with_sum ? grad_sum_TD.const_data_ptr() : nullptr,
                                                  .x = x_TD.const_data_ptr(),
                                                  .weight = weight.const_data_ptr(),
                                                  .rstd = rstd_T.const_data_ptr<float>(),
                                                  .grad_x = grad_x_TD.data_ptr(),
                                                  .partial = partial.data_ptr<float>(),
                                                  .grad_weight = grad_weight.data_ptr(),
                                                  .rows = x_TD.size(0),
                                                  .size = x_TD.size(1),
                                                  .dtype = kernel_dtype("rms_norm", x_TD)},
                                                 current_stream()));
  return {grad_x_TD, grad_weight};
}

}  // namespace

TORCH_LIBRARY_IMPL(ehrjepa, CUDA, m) {
  if (!cuda_kernels_wanted()) return;
  m.impl("rms_norm_forward", [](const at::Tensor& x, const at::Tensor& weight, double eps) {
    auto [sum, y, rstd] = norm(x, {}, weight, eps);
    return std::tuple(std::move(y), std::move(rstd));
  });
  m.impl("rms_norm_backward", [](const at::Tensor& grad_out, const at::Tensor& x, const at::Tensor& weight,
                                 const at::Tensor& rstd) { return norm_backward(grad_out, {}, x, weight, rstd); });
  m.impl("add_rms_norm_forward", &norm);
  m.impl("add_rms_norm_backward", &norm_backward);
}

}  // namespace ehrjepa::ops
