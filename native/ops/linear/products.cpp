#include "ops/linear/products.h"

#include <ATen/ops/linear.h>
#include <ATen/ops/mm.h>

#include "ops/isa.h"
#include "ops/linear/wide.h"

namespace ehrjepa::ops {

bool widens_products(const at::Tensor& x) {
  return x.scalar_type() == at::kBFloat16 && x.device().is_cpu() && !multiplies_bfloat16();
}

at::Tensor linear_product(const at::Tensor& x_TI, const at::Tensor& weight_OI,
                          const std::optional<at::Tensor>& bias_O) {
  if (widens_products(x_TI)) return linear_wide::product(x_TI, weight_OI, bias_O);
  return at::linear(x_TI, weight_OI, bias_O);
}

at::Tensor linear_input_gradient(const at::Tensor& grad_TO, const at::Tensor& weight_OI) {
  if (widens_products(grad_TO)) return linear_wide::input_gradient(grad_TO, weight_OI);
  return at::mm(grad_TO, weight_OI);
}

at::Tensor linear_weight_gradient(const at::Tensor& grad_TO, const at::Tensor& x_TI, const at::Tensor& sum_OI) {
  if (widens_products(grad_TO)) return linear_wide::weight_gradient(grad_TO, x_TI, sum_OI);
  if (sum_OI.defined()) return sum_OI.addmm_(grad_TO.t(), x_TI);
  return at::mm(grad_TO.t(), x_TI);
}

}  // namespace ehrjepa::ops
