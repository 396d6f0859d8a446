#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#include <cuda_runtime_api.h>
#include <torch/library.h>

#include <cstdint>
#include <limits>
#include <tuple>

#include "ops/rms_norm/kernel.h"

namespace ehrjepa::ops {
namespace {

kernels::RmsNormDtype kernel_dtype(const at::Tensor& x) {
  TORCH_CHECK_VALUE(x.scalar_type() == at::kFloat || x.scalar_type() == at::kBFloat16,
                    "[rms_norm] x must be float32 or bfloat16 on CUDA but is ", x.scalar_type());
  // A block or a part of one per row.
  TORCH_CHECK_VALUE(x.size(0) <= std::numeric_limits<std::int32_t>::max(),
                    "[rms_norm] x must have at most 2^31 - 1 rows on CUDA but has ", x.size(0));
  return x.scalar_type() == at::kFloat ? kernels::RmsNormDtype::kFloat32 : kernels::RmsNormDtype::kBfloat16;
}

void check_launch(int error) {
  TORCH_CHECK(error == 0,
              "[rms_norm] the kernel could not be launched: ", cudaGetErrorString(static_cast<cudaError_t>(error)));
}

std::tuple<at::Tensor, at::Tensor> forward(const at::Tensor& x_TD, const at::Tensor& weight, double eps) {
  const c10::cuda::CUDAGuard guard(x_TD.device());
  const at::Tensor y_TD = at::empty_like(x_TD);
  const at::Tensor rstd_T = at::empty({x_TD.size(0)}, x_TD.options().dtype(at::kFloat));
  check_launch(kernels::launch_rms_norm_forward(
      {x_TD.const_data_ptr(), weight.const_data_ptr(), y_TD.data_ptr(), rstd_T.data_ptr<float>(), x_TD.size(0),
       x_TD.size(1), static_cast<float>(eps), kernel_dtype(x_TD)},
      c10::cuda::getCurrentCUDAStream()));
  return {y_TD, rstd_T};
}

std::tuple<at::Tensor, at::Tensor> backward(const at::Tensor& grad_out_TD, const at::Tensor& x_TD,
                                            const at::Tensor& weight, const at::Tensor& rstd_T) {
  const c10::cuda::CUDAGuard guard(x_TD.device());
  const at::Tensor grad_x_TD = at::empty_like(x_TD);
  const at::Tensor grad_weight = at::empty_like(weight);
  const at::Tensor partial = at::empty({kernels::rms_norm_partials, x_TD.size(1)}, rstd_T.options());
  check_launch(kernels::launch_rms_norm_backward(
      {grad_out_TD.const_data_ptr(), x_TD.const_data_ptr(), weight.const_data_ptr(), rstd_T.const_data_ptr<float>(),
       grad_x_TD.data_ptr(), partial.data_ptr<float>(), grad_weight.data_ptr(), x_TD.size(0), x_TD.size(1),
       kernel_dtype(x_TD)},
      c10::cuda::getCurrentCUDAStream()));
  return {grad_x_TD, grad_weight};
}

}  // namespace

TORCH_LIBRARY_IMPL(ehrjepa, CUDA, m) {
  m.impl("rms_norm_forward", &forward);
  m.impl("rms_norm_backward", &backward);
}

}  // namespace ehrjepa::ops
