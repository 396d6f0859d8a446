#pragma once
#include <ATen/core/Tensor.h>

namespace ehrjepa::objective {

/// Next-token loss, the paper's SFT: mean over rows of -log softmax(W h)_label, natural logarithm.
///
/// @param hidden_RD  (R, D) hidden states of the rows that carry loss, after the final norm.
/// @param lm_head    (V, D), same dtype.
/// @param labels_R   (R), int64 in [0, V): the token that follows each row.
/// @return scalar, float32 (float64 for float64 input). R = 0 is the caller's mistake and throws.
at::Tensor next_token_loss(const at::Tensor& hidden_RD, const at::Tensor& lm_head, const at::Tensor& labels_R);

}  // namespace ehrjepa::objective
