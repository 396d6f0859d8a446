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
/// @throws c10::ValueError  when head_dim is odd.
/// Source: transformers modeling_qwen3.py Qwen3RotaryEmbedding; Su et al. 2021.
RotaryTables rotary_tables(const at::Tensor& position_ids, std::int64_t head_dim, double theta, at::ScalarType dtype);

}  // namespace ehrjepa::ops
