#pragma once
#include <ATen/core/Tensor.h>

namespace ehrjepa::objective {

/// At least float32: what a sum over many rows needs. float64 stays, for gradient checks.
inline at::Tensor wide(const at::Tensor& x) { return x.scalar_type() == at::kDouble ? x : x.to(at::kFloat); }

}  // namespace ehrjepa::objective
