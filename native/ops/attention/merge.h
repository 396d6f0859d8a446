#pragma once
#include <ATen/core/Tensor.h>

namespace ehrjepa::ops {

/// Merges attention over two sets of keys by their log-sums, in place:
///
///   l = log(exp(log_sum) + exp(other_log_sum)),
///   out = out exp(log_sum - l) + other exp(other_log_sum - l),   log_sum = l.
///
/// Computed in at least float32. No gradient of its own: the gradient of merged attention is the sum of both calls'
/// gradients, each given the merged results (`merged.h`).
///
/// @param out            (T, N, H) float32, bfloat16 or float64; contiguous; rows that `rows` lacks stay.
/// @param log_sum        (N, T) float32, float64 where `out` is; contiguous.
/// @param rows           (C) int64, each row once.
/// @param other          (C, N, H) of the dtype of `out`.
/// @param other_log_sum  (N, C) of the dtype of `log_sum`.
/// @throws c10::ValueError  for shapes or dtypes that do not fit one another.
/// Source: Dao 2023 (FlashAttention-2), 2.3.1.
void attention_merge_(const at::Tensor& out, const at::Tensor& log_sum, const at::Tensor& rows, const at::Tensor& other,
                      const at::Tensor& other_log_sum);

/// The same in plain ATen.
void attention_merge_reference_(const at::Tensor& out, const at::Tensor& log_sum, const at::Tensor& rows,
                                const at::Tensor& other, const at::Tensor& other_log_sum);

}  // namespace ehrjepa::ops
