#pragma once
#include <ATen/core/Tensor.h>

#include <tuple>

#include "ops/rotary/rotary.h"

namespace ehrjepa::ops {

/// RMSNorm of each head and rotary position embedding of the result in one pass, with gradients in x and weight:
///
///   n = rms_norm(x, weight, eps),   y = n * cos + rotate_half(n) * sin,   rotate_half([a | b]) = [-b | a]
///
/// Computed in at least float32 and rounded once.
///
/// @param x       (T, heads, H), float32, bfloat16 or float64; H even.
/// @param weight  (H), dtype and device of x.
/// @param tables  of the T positions, dtype and device of x.
/// @param eps     added to the mean square; not negative.
/// @return        (T, heads, H), contiguous.
/// @throws c10::ValueError  when shapes, dtypes or devices do not fit, or eps is negative.
/// Source: transformers modeling_qwen3.py Qwen3Attention (q_norm, k_norm, apply_rotary_pos_emb).
at::Tensor norm_rotary(const at::Tensor& x, const at::Tensor& weight, const RotaryTables& tables, double eps);

/// The same mathematics in plain ATen, differentiable by autograd: the oracle of every test.
at::Tensor norm_rotary_reference(const at::Tensor& x, const at::Tensor& weight, const RotaryTables& tables, double eps);

/// Dispatched by device; no gradient of its own. @param cos, sin (T, H); all are contiguous.
/// @return (y (T, heads, H), rstd (T, heads) in the accumulation dtype)
std::tuple<at::Tensor, at::Tensor> norm_rotary_forward(const at::Tensor& x, const at::Tensor& weight,
                                                       const at::Tensor& cos, const at::Tensor& sin, double eps);

/// With g = grad_out * cos - rotate_half(grad_out * sin), h = g * weight and n = x * rstd:
/// grad_x = rstd (h - n mean(h n)),  grad_weight = sum over tokens and heads of g * n.
std::tuple<at::Tensor, at::Tensor> norm_rotary_backward(const at::Tensor& grad_out, const at::Tensor& x,
                                                        const at::Tensor& weight, const at::Tensor& cos,
                                                        const at::Tensor& sin, const at::Tensor& rstd);

}  // namespace ehrjepa::ops
