#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>

#include "ops/norm_rotary/norm_rotary.h"
#include "ops/rms_norm/rms_norm.h"

namespace ehrjepa::ops {

at::Tensor norm_rotary_reference(const at::Tensor& x, const at::Tensor& weight, const RotaryTables& tables,
                                 double eps) {
  const at::Tensor normed = rms_norm_reference(x, weight, eps);
  const std::int64_t half = x.size(-1) / 2;
  const at::Tensor rotated = at::cat({-normed.narrow(-1, half, half), normed.narrow(-1, 0, half)}, -1);
  return normed * tables.cos + rotated * tables.sin;
}

}  // namespace ehrjepa::ops
