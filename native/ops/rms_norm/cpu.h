#pragma once
#include <ATen/core/Tensor.h>

#include <tuple>

#include "ops/rms_norm/cpu_kernels.h"

// What the dispatcher calls with the kernels of `best_isa()`; tests and benchmarks call it with those that they mean.
namespace ehrjepa::ops::rms_norm_cpu {

/// `rms_norm_forward`.
std::tuple<at::Tensor, at::Tensor> forward(const at::Tensor& x_TD, const at::Tensor& weight, double eps,
                                           const KernelSet<Kernels>& set);

/// `add_rms_norm_forward`.
std::tuple<at::Tensor, at::Tensor, at::Tensor> add_forward(const at::Tensor& x_TD, const at::Tensor& delta_TD,
                                                           const at::Tensor& weight, double eps,
                                                           const KernelSet<Kernels>& set);

/// `add_rms_norm_backward`, and `rms_norm_backward` where `grad_sum` is undefined.
std::tuple<at::Tensor, at::Tensor> backward(const at::Tensor& grad_out_TD, const at::Tensor& grad_sum_TD,
                                            const at::Tensor& x_TD, const at::Tensor& weight, const at::Tensor& rstd_T,
                                            const KernelSet<Kernels>& set);

}  // namespace ehrjepa::ops::rms_norm_cpu
