#include <ATen/TensorOperators.h>
#include <ATen/ops/_scaled_dot_product_attention_math.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/eye.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/scaled_dot_product_attention.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <limits>
#include <optional>

#include "memory/transfer.h"
#include "ops/attention/attention.h"

namespace ehrjepa::ops {
namespace {

/// (1, heads, rows, H) tensors of one call.
struct Heads {
  at::Tensor q, k, v;
  double scale;
  /// libtorch's kernels for cards sum gradients in any order where there is a mask; its plain path does not, and holds
  /// all scores of a sequence instead. On the CPU there is no such difference.
  bool plain;

  /// Who sees whom as what is added to the scores, the only kind of mask that the plain path knows.
  static std::optional<at::Tensor> added(const std::optional<at::Tensor>& mask, const at::Tensor& queries) {
    if (!mask) return std::nullopt;
    return at::zeros(mask->sizes(), queries.options())
        .masked_fill(mask->logical_not(), -std::numeric_limits<double>::infinity());
  }

  at::Tensor attend(const at::Tensor& queries, const at::Tensor& keys, const at::Tensor& values,
                    const std::optional<at::Tensor>& mask, bool is_causal) const {
    const at::Tensor out = plain ? std::get<0>(at::_scaled_dot_product_attention_math(
                                       queries, keys, values, added(mask, queries), 0.0, is_causal, {}, scale))
                                 : at::scaled_dot_product_attention(queries, keys, values, mask, 0.0, is_causal, scale);
    return out.squeeze(0).transpose(0, 1);
  }
};

/// (m, c + m) who sees whom in a branch of m rows with c rows of context.
at::Tensor branch_mask(std::int64_t rows, std::int64_t context, bool isolated, at::Device device) {
  const auto options = at::TensorOptions(device).dtype(at::kBool);
  const at::Tensor own = isolated ? at::eye(rows, options) : at::ones({rows, rows}, options).tril();
  return at::cat({at::ones({rows, context}, options), own}, 1);
}

std::vector<at::Tensor> every_row(const Heads& heads, const AttentionLayout& layout) {
  std::vector<at::Tensor> outputs;
  const std::vector<std::int64_t>& cu_seqlens = layout.cu_seqlens;
  for (std::size_t s = 0; s + 1 < cu_seqlens.size(); ++s) {
    const std::int64_t begin = cu_seqlens[s];
    const std::int64_t length = cu_seqlens[s + 1] - begin;
    outputs.push_back(heads.attend(heads.q.narrow(2, begin, length), heads.k.narrow(2, begin, length),
                                   heads.v.narrow(2, begin, length), std::nullopt, /*is_causal=*/true));
  }
  for (const Branch& branch : layout.branches) {
    const std::int64_t length = branch.end - branch.begin;
    const std::int64_t context = branch.context_end - branch.context_begin;
    const auto seen = [&](const at::Tensor& x) {
      return at::cat({x.narrow(2, branch.context_begin, context), x.narrow(2, branch.begin, length)}, 2);
    };
    outputs.push_back(heads.attend(heads.q.narrow(2, branch.begin, length), seen(heads.k), seen(heads.v),
                                   branch_mask(length, context, layout.isolated, heads.q.device()),
                                   /*is_causal=*/false));
  }
  return outputs;
}

std::vector<at::Tensor> chosen_rows(const Heads& heads, const AttentionLayout& layout,
                                    const std::vector<std::int64_t>& rows) {
  std::vector<at::Tensor> outputs;
  auto next = rows.begin();
  for (std::size_t s = 0; s + 1 < layout.cu_seqlens.size(); ++s) {
    const std::int64_t begin = layout.cu_seqlens[s];
    const auto last = std::lower_bound(next, rows.end(), layout.cu_seqlens[s + 1]);
    if (next == last) continue;
    const std::int64_t length = *(last - 1) + 1 - begin;  // nothing behind the last wanted row is seen
    const at::Tensor positions = memory::upload(std::vector<std::int64_t>(next, last), heads.q.device()) - begin;
    const at::Tensor mask = at::arange(length, positions.options()).unsqueeze(0).le(positions.unsqueeze(1));
    outputs.push_back(heads.attend(heads.q.narrow(2, next - rows.begin(), last - next),
                                   heads.k.narrow(2, begin, length), heads.v.narrow(2, begin, length), mask,
                                   /*is_causal=*/false));
    next = last;
  }
  return outputs;
}

}  // namespace

at::Tensor attention_sdpa(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const AttentionLayout& layout,
                          double softmax_scale, const std::optional<std::vector<std::int64_t>>& rows) {
  const std::int64_t groups = q.size(1) / k.size(1);
  // (T, heads, H) -> (1, heads, T, H), one key/value head per query head
  const Heads heads{q.transpose(0, 1).unsqueeze(0), k.repeat_interleave(groups, 1).transpose(0, 1).unsqueeze(0),
                    v.repeat_interleave(groups, 1).transpose(0, 1).unsqueeze(0), softmax_scale,
                    layout.deterministic && !q.is_cpu()};
  return at::cat(rows ? chosen_rows(heads, layout, *rows) : every_row(heads, layout));
}

}  // namespace ehrjepa::ops
