#pragma once
#include <ATen/core/Tensor.h>

#include <optional>

namespace ehrjepa::ops {

/// A linear map with a gradient: y = x W^T + b, summed in at least float32 and rounded once.
///
/// libtorch's products, but for bfloat16 on a processor without instructions for it, where those are several times
/// slower than in float32: there a few rows of W at a time are widened, multiplied in float32 and the result rounded,
/// which is exact up to the order of the sum, since a product of two bfloat16 fits a float32.
///
/// @param x_TI       (tokens, inputs); float32, bfloat16 or float64.
/// @param weight_OI  (outputs, inputs), the dtype and device of x.
/// @param bias_O     (outputs), the same; may be absent.
/// @return           (tokens, outputs), the dtype of x.
at::Tensor linear(const at::Tensor& x_TI, const at::Tensor& weight_OI, const std::optional<at::Tensor>& bias_O = {});

/// `at::linear`.
at::Tensor linear_reference(const at::Tensor& x_TI, const at::Tensor& weight_OI,
                            const std::optional<at::Tensor>& bias_O = {});

}  // namespace ehrjepa::ops
