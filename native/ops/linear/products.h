#pragma once
#include <ATen/core/Tensor.h>

#include <optional>

// The products of a linear map and of its gradient, without a gradient of their own: what ops call below autograd.
namespace ehrjepa::ops {

/// True when tensors of `x` are multiplied in float32 because this processor does not multiply their dtype.
bool widens_products(const at::Tensor& x);

/// x W^T + b. @param x_TI (T, I) @param weight_OI (O, I) @param bias_O (O), may be absent. @return (T, O)
at::Tensor linear_product(const at::Tensor& x_TI, const at::Tensor& weight_OI,
                          const std::optional<at::Tensor>& bias_O = {});

/// The gradient of x: g W. @param grad_TO (T, O) @param weight_OI (O, I) @return (T, I)
at::Tensor linear_input_gradient(const at::Tensor& grad_TO, const at::Tensor& weight_OI);

/// The gradient of W: g^T x. @param grad_TO (T, O) @param x_TI (T, I)
/// @param sum_OI  where given, the gradient is added to it and it is returned. @return (O, I)
at::Tensor linear_weight_gradient(const at::Tensor& grad_TO, const at::Tensor& x_TI, const at::Tensor& sum_OI = {});

}  // namespace ehrjepa::ops
