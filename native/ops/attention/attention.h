#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <tuple>
#include <vector>

namespace ehrjepa::ops {

/// A latent branch: rows that see the beginning of one trunk sequence and their own branch, never the clean rest.
struct Branch {
  std::int64_t context_begin = 0;  ///< trunk rows [context_begin, context_end): the context
  std::int64_t context_end = 0;
  std::int64_t begin = 0;  ///< own rows [begin, end) of the packed axis, behind the trunk
  std::int64_t end = 0;
};

/// Who sees whom on the packed axis: T trunk rows in sequences, then R branch rows.
struct AttentionLayout {
  std::vector<std::int64_t> cu_seqlens;  ///< (B + 1) of the trunk; starts with 0, ends with T
  std::vector<Branch> branches;          ///< back to back behind the trunk; may be empty
  bool isolated = false;                 ///< a branch row sees of its branch itself alone, not the rows before it
  /// The same bits every time; else also ways whose sums come in any order. Here, not in the thread: a block that is
  /// computed again in the backward pass must be computed in the same way.
  bool deterministic = true;

  std::int64_t trunk_rows() const { return cu_seqlens.back(); }
  std::int64_t rows() const { return branches.empty() ? trunk_rows() : branches.back().end; }
};

/// Attention over a trunk of packed sequences (varlen) and its latent branches, with grouped-query heads and a
/// gradient:
///
///   out_t = sum_{s in K(t)} softmax_s(softmax_scale * <q_t, k_s>) v_s
///   K(t)  = {s <= t of the same sequence}                           for a trunk row
///         = context of the branch + {s <= t of the same branch}     for a branch row; isolated: + {t}
///
/// Query head n reads key/value head n / (N / K).
///
/// @param q       (Q, N, H), float32, float64 or bfloat16; Q is all rows, or the rows that `rows` names.
/// @param k, v    (T + R, K, H), same dtype and device; K divides N.
/// @param layout  cu_seqlens ascend; a branch's context lies within one trunk sequence.
/// @param rows    (Q) ascending trunk rows whose output is wanted; absent: every row.
/// @return        (Q, N, H). Softmax and sums in at least float32.
/// @throws c10::ValueError  when shapes, dtypes, devices, layout or rows do not fit.
/// Source: transformers modeling_qwen3.py; GQA: Ainslie et al. 2023; layout: design decision 3.
at::Tensor attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const AttentionLayout& layout,
                     double softmax_scale, const std::optional<std::vector<std::int64_t>>& rows = std::nullopt);

/// The same mathematics by the definition, with a score and a mask entry for every pair of rows, differentiable by
/// autograd: the oracle of every test.
at::Tensor attention_reference(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                               const AttentionLayout& layout, double softmax_scale,
                               const std::optional<std::vector<std::int64_t>>& rows = std::nullopt);

/// The same by libtorch's scaled_dot_product_attention, sequence by sequence and with a mask for each branch;
/// differentiable by autograd.
at::Tensor attention_sdpa(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const AttentionLayout& layout,
                          double softmax_scale, const std::optional<std::vector<std::int64_t>>& rows = std::nullopt);

/// The same by our own kernels, where there are some for the device.
at::Tensor attention_kernels(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                             const AttentionLayout& layout, double softmax_scale,
                             const std::optional<std::vector<std::int64_t>>& rows = std::nullopt);

/// Dispatched by device; no gradient of its own. Tensors are contiguous; `branches` holds context_begin, context_end,
/// begin and end of each branch.
/// @return out (Q, N, H), and the base-2 logarithm of each row's sum of 2^(score softmax_scale log2 e), (N, Q) in the
/// accumulation dtype.
std::tuple<at::Tensor, at::Tensor> attention_forward(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                                     at::IntArrayRef cu_seqlens, at::IntArrayRef branches,
                                                     bool isolated, double softmax_scale, at::OptionalIntArrayRef rows);

/// With p the softmax weights, D = <out, grad_out> of each row and dp = grad_out V^T:
/// dV = p^T grad_out, ds = softmax_scale p (dp - D), dQ = ds K, dK = ds^T Q.
std::tuple<at::Tensor, at::Tensor, at::Tensor> attention_backward(const at::Tensor& grad_out, const at::Tensor& q,
                                                                  const at::Tensor& k, const at::Tensor& v,
                                                                  const at::Tensor& out, const at::Tensor& log_sum,
                                                                  at::IntArrayRef cu_seqlens, at::IntArrayRef branches,
                                                                  bool isolated, double softmax_scale,
                                                                  at::OptionalIntArrayRef rows);

/// context_begin, context_end, begin and end of each branch.
std::vector<std::int64_t> integers_of(const std::vector<Branch>& branches);

/// The layout that the integers of the dispatched functions stand for.
AttentionLayout attention_layout(at::IntArrayRef cu_seqlens, at::IntArrayRef branches, bool isolated);

}  // namespace ehrjepa::ops
