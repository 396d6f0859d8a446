#pragma once
#include <ATen/core/Tensor.h>

#include "ops/adamw/adamw.h"
#include "ops/isa.h"

// What the dispatcher calls with `best_isa()`; tests and benchmarks call it with the instruction set that they mean.
namespace ehrjepa::ops::adamw_cpu {

/// `adamw_`. @param isa  one that runs here.
void update(const AdamWTensors& tensors, const AdamWUpdate& options, Isa isa);

/// `sum_of_squares`. @param isa  one that runs here.
at::Tensor sum_of_squares(const at::Tensor& values, Isa isa);

}  // namespace ehrjepa::ops::adamw_cpu
