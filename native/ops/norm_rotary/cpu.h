#pragma once
#include <ATen/core/Tensor.h>

#include <tuple>

#include "ops/norm_rotary/cpu_kernels.h"

// What the dispatcher calls with the kernels of `best_isa()`; tests and benchmarks call it with those that they mean.
namespace ehrjepa::ops::norm_rotary_cpu {

/// `norm_rotary_forward`.
std::tuple<at::Tensor, at::Tensor> forward(const at::Tensor& x_TNH, const at::Tensor& weight_H,
                                           const at::Tensor& cos_TH, const at::Tensor& sin_TH, double eps,
                                           const KernelSet<Kernels>& set);

/// `norm_rotary_backward`.
std::tuple<at::Tensor, at::Tensor> backward(const at::Tensor& grad_out_TNH, const at::Tensor& x_TNH,
                                            const at::Tensor& weight_H, const at::Tensor& cos_TH,
                                            const at::Tensor& sin_TH, const at::Tensor& rstd_TN,
                                            const KernelSet<Kernels>& set);

}  // namespace ehrjepa::ops::norm_rotary_cpu
