#pragma once
#include <ATen/core/Tensor.h>

#include <optional>

// Products of bfloat16 tensors in float32. `products.h` decides where they serve; tests and benchmarks call them.
namespace ehrjepa::ops::linear_wide {

/// `linear_product`.
at::Tensor product(const at::Tensor& x_TI, const at::Tensor& weight_OI, const std::optional<at::Tensor>& bias_O);

/// `linear_input_gradient`.
at::Tensor input_gradient(const at::Tensor& grad_TO, const at::Tensor& weight_OI);

/// `linear_weight_gradient`.
at::Tensor weight_gradient(const at::Tensor& grad_TO, const at::Tensor& x_TI, const at::Tensor& sum_OI);

}  // namespace ehrjepa::ops::linear_wide
