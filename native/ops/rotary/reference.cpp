#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>

#include "ops/rotary/rotary.h"

namespace ehrjepa::ops {

at::Tensor apply_rotary_reference(const at::Tensor& x, const RotaryTables& tables) {
  const std::int64_t half = x.size(-1) / 2;
  const at::Tensor rotated = at::cat({-x.narrow(-1, half, half), x.narrow(-1, 0, half)}, -1);
  return x * tables.cos + rotated * tables.sin;
}

}  // namespace ehrjepa::ops
