#include <ATen/ops/empty.h>
#include <c10/cuda/CUDAGuard.h>
#include <torch/library.h>

#include "core/random.h"
#include "ops/adamw/adamw.h"
#include "ops/adamw/arguments.h"
#include "ops/adamw/factors.h"
#include "ops/adamw/kernel.h"
#include "ops/cuda/tensors.h"

namespace ehrjepa::ops {
namespace {

void update(const AdamWTensors& tensors, const AdamWUpdate& options) {
  const c10::cuda::CUDAGuard guard(tensors.parameter.device());
  const auto pointer = [](const at::Tensor& tensor) { return tensor.defined() ? tensor.data_ptr() : nullptr; };
  check_launch("adamw",
               kernels::launch_adamw(
                   {.parameter = tensors.parameter.data_ptr(),
                    .exp_avg = tensors.exp_avg.data_ptr(),
                    .exp_avg_sq = tensors.exp_avg_sq.data_ptr(),
                    .target = pointer(tensors.target),
                    .gradient = pointer(tensors.gradient),
                    .gradient_scale =
                        options.gradient_scale.defined() ? options.gradient_scale.const_data_ptr<double>() : nullptr,
                    .factors = factors_of(options),
                    .key = {static_cast<std::uint32_t>(options.seed), static_cast<std::uint32_t>(options.seed >> 32),
                            options.step, options.parameter, static_cast<std::uint32_t>(RandomPurpose::kRounding)},
                    .count = tensors.parameter.numel(),
                    .dtype = kernel_dtype("adamw", tensors.parameter)},
                   current_stream()));
}

at::Tensor squares(const at::Tensor& values) {
  const c10::cuda::CUDAGuard guard(values.device());
  const at::Tensor partial = at::empty({kernels::sum_of_squares_partials}, values.options().dtype(at::kDouble));
  const at::Tensor result = at::empty({}, values.options().dtype(at::kDouble));
  check_launch("sum_of_squares", kernels::launch_sum_of_squares({.values = values.const_data_ptr(),
                                                                 .partial = partial.data_ptr<double>(),
                                                                 .result = result.data_ptr<double>(),
                                                                 .count = values.numel(),
                                                                 .dtype = kernel_dtype("sum_of_squares", values)},
                                                                current_stream()));
  return result;
}

}  // namespace

TORCH_LIBRARY_IMPL(ehrjepa, CUDA, m) {
  if (!cuda_kernels_wanted()) return;
  m.impl("adamw_", &adamw_with_arguments<update>);
  m.impl("sum_of_squares", &squares);
}

}  // namespace ehrjepa::ops
