#pragma once
#include <ATen/core/Tensor.h>

#include <tuple>

#include "ops/swiglu/cpu_kernels.h"

// What the dispatcher calls with the kernels of `best_isa()`; tests and benchmarks call it with those that they mean.
namespace ehrjepa::ops::swiglu_cpu {

/// `swiglu_forward`.
at::Tensor forward(const at::Tensor& gate, const at::Tensor& up, const KernelSet<Kernels>& set);

/// `swiglu_backward`.
std::tuple<at::Tensor, at::Tensor> backward(const at::Tensor& grad_out, const at::Tensor& gate, const at::Tensor& up,
                                            const KernelSet<Kernels>& set);

}  // namespace ehrjepa::ops::swiglu_cpu
