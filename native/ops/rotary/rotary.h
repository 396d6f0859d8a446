#pragma once
#include <ATen/core/Tensor.h>

namespace ehrjepa::ops {

/// Cosine and sine tables of rotary position embedding for explicit positions, in the rotate-half layout.
struct RotaryTables {
  at::Tensor cos;  ///< (T, 1, H)
  at::Tensor sin;  ///< (T, 1, H)
};

/// @param position_ids  (T), int64.
/// @param head_dim      H, even.
/// @param theta         base of the geometric frequencies.
/// @param dtype         dtype of the tables; the angles are computed in float32, as transformers does (float64 stays).
/// Source: transformers modeling_qwen3.py Qwen3RotaryEmbedding; Su et al. 2021.
RotaryTables rotary_tables(const at::Tensor& position_ids, std::int64_t head_dim, double theta, at::ScalarType dtype);

/// Rotary position embedding, with a gradient in x:
///
///   y = x * cos + rotate_half(x) * sin,   rotate_half([a | b]) = [-b | a]
///
/// Both products and their sum are rounded to the dtype of x, as transformers does.
///
/// @param x       (T, heads, H), float32, bfloat16 or float64.
/// @param tables  of the T positions, dtype and device of x.
/// @return        (T, heads, H), contiguous.
/// @throws c10::ValueError  when shapes, dtypes or devices do not fit.
at::Tensor apply_rotary(const at::Tensor& x, const RotaryTables& tables);

/// The same mathematics in plain ATen, differentiable by autograd: the oracle of every test.
at::Tensor apply_rotary_reference(const at::Tensor& x, const RotaryTables& tables);

/// Dispatched by device; no gradient of its own. @param cos, sin (T, H), contiguous as x is.
/// @param backward  x is the gradient of y, and the result that of x: grad * cos - rotate_half(grad * sin).
at::Tensor rotary(const at::Tensor& x, const at::Tensor& cos, const at::Tensor& sin, bool backward);

}  // namespace ehrjepa::ops
