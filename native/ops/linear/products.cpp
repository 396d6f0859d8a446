#include "ops/linear/products.h"

#include <ATen/ceil_div.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/mm.h>

#include <algorithm>
#include <bit>

#include "ops/isa.h"
#include "ops/linear/wide.h"

namespace ehrjepa::ops {
namespace {

/// The rows of `x`, then rows of zeros; `x` itself where none are wanted.
at::Tensor with_rows(const at::Tensor& x_TI, std::int64_t rows) {
  const std::int64_t own = x_TI.size(0);
  if (own == rows) return x_TI;
  const at::Tensor padded_RI = at::empty({rows, x_TI.size(1)}, x_TI.options());
  padded_RI.narrow(0, 0, own).copy_(x_TI);
  padded_RI.narrow(0, own, rows - own).zero_();
  return padded_RI;
}

/// Rows that a product is computed with; those of `x` where its products are not compiled for their shape.
std::int64_t rows_of(const at::Tensor& x_TI, std::int64_t outputs) {
  const bool compiled = x_TI.scalar_type() == at::kBFloat16 && x_TI.device().is_cpu() && x_TI.dim() == 2;
  return compiled ? product_rows(x_TI.size(0), x_TI.size(1), outputs) : x_TI.size(0);
}

}  // namespace

bool widens_products(const at::Tensor& x) {
  return x.scalar_type() == at::kBFloat16 && x.device().is_cpu() && !multiplies_bfloat16();
}

std::int64_t product_rows(std::int64_t rows, std::int64_t inputs, std::int64_t outputs) {
  constexpr double long_product = 2e10;  // operations: some 30 ms, of which a sixteenth is more than compiling takes
  if (rows < 32 || 2.0 * static_cast<double>(rows * inputs) * static_cast<double>(outputs) > long_product) return rows;
  const auto step = static_cast<std::int64_t>(std::bit_floor(static_cast<std::uint64_t>(rows)) / 16);
  return at::ceil_div(rows, step) * step;
}

at::Tensor linear_product(const at::Tensor& x_TI, const at::Tensor& weight_OI,
                          const std::optional<at::Tensor>& bias_O) {
  if (widens_products(x_TI)) return linear_wide::product(x_TI, weight_OI, bias_O);
  const std::int64_t rows = rows_of(x_TI, weight_OI.size(0));
  return at::linear(with_rows(x_TI, rows), weight_OI, bias_O).narrow(0, 0, x_TI.size(0));
}

at::Tensor linear_input_gradient(const at::Tensor& grad_TO, const at::Tensor& weight_OI) {
  if (widens_products(grad_TO)) return linear_wide::input_gradient(grad_TO, weight_OI);
  const std::int64_t rows = rows_of(grad_TO, weight_OI.size(1));
  return at::mm(with_rows(grad_TO, rows), weight_OI).narrow(0, 0, grad_TO.size(0));
}

at::Tensor linear_weight_gradient(const at::Tensor& grad_TO, const at::Tensor& x_TI, const at::Tensor& sum_OI) {
  if (widens_products(grad_TO)) return linear_wide::weight_gradient(grad_TO, x_TI, sum_OI);
  const std::int64_t rows = rows_of(x_TI, grad_TO.size(1));
  const at::Tensor grad_RO = with_rows(grad_TO, rows), x_RI = with_rows(x_TI, rows);
  if (sum_OI.defined()) return sum_OI.addmm_(grad_RO.t(), x_RI);
  return at::mm(grad_RO.t(), x_RI);
}

}  // namespace ehrjepa::ops
