#pragma once
#include <ATen/core/Tensor.h>

#include <tuple>

#include "ops/isa.h"

// What the dispatcher calls with `best_isa()`; tests and benchmarks call it with the instruction set that they mean.
namespace ehrjepa::ops::rms_norm_cpu {

/// `rms_norm_forward`. @param isa  one that runs here.
std::tuple<at::Tensor, at::Tensor> forward(const at::Tensor& x_TD, const at::Tensor& weight, double eps, Isa isa);

/// `rms_norm_backward`. @param isa  one that runs here.
std::tuple<at::Tensor, at::Tensor> backward(const at::Tensor& grad_out_TD, const at::Tensor& x_TD,
                                            const at::Tensor& weight, const at::Tensor& rstd_T, Isa isa);

}  // namespace ehrjepa::ops::rms_norm_cpu
