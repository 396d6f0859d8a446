#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>

// The products of a linear map and of its gradient, without a gradient of their own: what ops call below autograd.
namespace ehrjepa::ops {

/// True when tensors of `x` are multiplied in float32 because this processor does not multiply their dtype.
bool widens_products(const at::Tensor& x);

/// Rows that a product of bfloat16 on the CPU is computed with, those beyond `rows` being 0. oneDNN compiles a product
/// for each shape, which takes 1.3 ms and half a megabyte, and each step packs another number of tokens: so there are
/// sixteen numbers of rows to a power of two. A product that takes much longer than to be compiled has its own.
std::int64_t product_rows(std::int64_t rows, std::int64_t inputs, std::int64_t outputs);

/// x W^T + b. @param x_TI (T, I) @param weight_OI (O, I) @param bias_O (O), may be absent. @return (T, O)
at::Tensor linear_product(const at::Tensor& x_TI, const at::Tensor& weight_OI,
                          const std::optional<at::Tensor>& bias_O = {});

/// The gradient of x: g W. @param grad_TO (T, O) @param weight_OI (O, I) @return (T, I)
at::Tensor linear_input_gradient(const at::Tensor& grad_TO, const at::Tensor& weight_OI);

/// The gradient of W: g^T x. @param grad_TO (T, O) @param x_TI (T, I)
/// @param sum_OI  where given, the gradient is added to it and it is returned. @return (O, I)
at::Tensor linear_weight_gradient(const at::Tensor& grad_TO, const at::Tensor& x_TI, const at::Tensor& sum_OI = {});

}  // namespace ehrjepa::ops
