#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

namespace ehrjepa::ops {

/// Causal self-attention of packed sequences (varlen) with grouped-query heads:
///
///   out_t = sum_{s <= t, same sequence} softmax_s(softmax_scale * <q_t, k_s>) v_s
///
/// Query head n reads key/value head n / (N / K).
///
/// @param q           (T, N, H), float32, float64 or bfloat16.
/// @param k, v        (T, K, H), same dtype; K divides N.
/// @param cu_seqlens  (B + 1), starts with 0, ends with T; checked by the batch that carries it.
/// @return            (T, N, H). Softmax and sums in at least float32.
/// Source: transformers modeling_qwen3.py; GQA: Ainslie et al. 2023.
at::Tensor attention_varlen(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                            const std::vector<std::int64_t>& cu_seqlens, double softmax_scale);

}  // namespace ehrjepa::ops
