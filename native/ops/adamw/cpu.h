#pragma once
#include <ATen/core/Tensor.h>

#include "ops/adamw/adamw.h"
#include "ops/adamw/cpu_kernels.h"

// What the dispatcher calls with the kernels of `best_isa()`; tests and benchmarks call it with those that they mean.
namespace ehrjepa::ops::adamw_cpu {

/// `adamw_`.
void update(const AdamWTensors& tensors, const AdamWUpdate& options, const Kernels& set);

/// `sum_of_squares`.
at::Tensor sum_of_squares(const at::Tensor& values, const Kernels& set);

}  // namespace ehrjepa::ops::adamw_cpu
