#include "ops/rotary/rotary.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/outer.h>
#include <ATen/ops/pow.h>

namespace ehrjepa::ops {

RotaryTables rotary_tables(const at::Tensor& position_ids, std::int64_t head_dim, double theta, at::ScalarType dtype) {
  TORCH_CHECK_VALUE(head_dim % 2 == 0, "[rotary] head_dim must be even but is ", head_dim);
  const at::ScalarType angle_dtype = dtype == at::kDouble ? at::kDouble : at::kFloat;
  const at::TensorOptions options = position_ids.options().dtype(angle_dtype);
  const at::Tensor exponents = at::arange(0, head_dim, 2, options) / static_cast<double>(head_dim);
  const at::Tensor inverse_frequencies = at::pow(theta, exponents).reciprocal();
  const at::Tensor angles_half = at::outer(position_ids.to(angle_dtype), inverse_frequencies);  // (T, H / 2)
  const at::Tensor angles = at::cat({angles_half, angles_half}, 1).unsqueeze(1);                // (T, 1, H)
  return {angles.cos().to(dtype), angles.sin().to(dtype)};
}

}  // namespace ehrjepa::ops
