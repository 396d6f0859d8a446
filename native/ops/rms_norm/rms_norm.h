#pragma once
#include <ATen/core/Tensor.h>

#include <tuple>

namespace ehrjepa::ops {

/// Root-mean-square norm over the last dimension, with a gradient:
///
///   y = cast(x * rstd) * weight,   rstd = (mean(x^2) + eps)^-1/2
///
/// Sums and the normalised value are in float32 (float64 for float64 input); the product with the weight is in the
/// dtype of x, as transformers does.
///
/// @param x       (..., D), float32, bfloat16 or float64. D is the hidden size or the head size; any size, any strides.
/// @param weight  (D), same dtype and device as x.
/// @param eps     added to the mean square; not negative.
/// @return        (..., D), dtype of x, contiguous.
/// @throws c10::ValueError  on a weight of another size, dtype, device or rank, an x without features, or a negative
/// eps. Source: Zhang & Sennrich 2019; transformers modeling_qwen3.py Qwen3RMSNorm.
at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, double eps);

/// The same mathematics in plain ATen, differentiable by autograd: the oracle of every test.
at::Tensor rms_norm_reference(const at::Tensor& x, const at::Tensor& weight, double eps);

/// A residual stream and the norm of it that the next block reads, in one pass, with gradients:
///
///   sum = cast(x + delta),   y = rms_norm(sum, weight, eps)
///
/// @param x, delta  (..., D), one shape, dtype and device.
/// @return          (sum, y), each of the shape of x, contiguous.
/// @throws c10::ValueError  as `rms_norm`, and when x and delta differ in shape, dtype or device.
std::tuple<at::Tensor, at::Tensor> add_rms_norm(const at::Tensor& x, const at::Tensor& delta, const at::Tensor& weight,
                                                double eps);

/// The same in plain ATen.
std::tuple<at::Tensor, at::Tensor> add_rms_norm_reference(const at::Tensor& x, const at::Tensor& delta,
                                                          const at::Tensor& weight, double eps);

/// Rows (T, D) -> (y (T, D), rstd (T) in the accumulation dtype). Dispatched by device; no gradient of its own.
std::tuple<at::Tensor, at::Tensor> rms_norm_forward(const at::Tensor& x, const at::Tensor& weight, double eps);

/// Rows (T, D) -> (grad_x (T, D), grad_weight (D)), both in the dtype of x.
/// With g = grad_out * weight and n = x * rstd:  grad_x = rstd (g - n mean(g n)),  grad_weight = sum_T grad_out *
/// cast(n).
std::tuple<at::Tensor, at::Tensor> rms_norm_backward(const at::Tensor& grad_out, const at::Tensor& x,
                                                     const at::Tensor& weight, const at::Tensor& rstd);

/// Rows (T, D), twice -> (sum (T, D), y (T, D), rstd (T)).
std::tuple<at::Tensor, at::Tensor, at::Tensor> add_rms_norm_forward(const at::Tensor& x, const at::Tensor& delta,
                                                                    const at::Tensor& weight, double eps);

/// Rows (T, D) -> (grad_x (T, D), which is the gradient of delta too, grad_weight (D)): `rms_norm_backward` at the sum,
/// and the sum's own gradient added before the result is rounded.
std::tuple<at::Tensor, at::Tensor> add_rms_norm_backward(const at::Tensor& grad_out, const at::Tensor& grad_sum,
                                                         const at::Tensor& sum, const at::Tensor& weight,
                                                         const at::Tensor& rstd);

}  // namespace ehrjepa::ops
