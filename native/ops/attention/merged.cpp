#include "ops/attention/merged.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/exp.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/custom_function.h>

#include "memory/transfer.h"
#include "ops/attention/merge.h"

namespace ehrjepa::ops {
namespace {

struct Piece {
  std::int64_t begin, count;
};

/// Rows of a tensor that are taken out, a view where they lie back to back, and whose gradients are put back.
struct Pieces {
  std::vector<Piece> list;

  bool empty() const { return list.empty(); }
  at::Tensor of(const at::Tensor& x) const {
    bool together = true;
    for (std::size_t i = 1; i < list.size(); ++i) together &= list[i].begin == list[i - 1].begin + list[i - 1].count;
    if (together) return x.narrow(0, list.front().begin, list.back().begin + list.back().count - list.front().begin);
    std::vector<at::Tensor> parts;
    for (const Piece& piece : list) parts.push_back(x.narrow(0, piece.begin, piece.count));
    return at::cat(parts);
  }
  /// Piece after piece, so that rows that several of them hold are summed in the same order every time.
  void add_to(const at::Tensor& x, const at::Tensor& values) const {
    std::int64_t next = 0;
    for (const Piece& piece : list) {
      x.narrow(0, piece.begin, piece.count).add_(values.narrow(0, next, piece.count));
      next += piece.count;
    }
  }
  std::vector<std::int64_t> numbers() const {
    std::vector<std::int64_t> result;
    for (const Piece& piece : list) {
      for (std::int64_t row = piece.begin; row < piece.begin + piece.count; ++row) result.push_back(row);
    }
    return result;
  }
};

/// A layout as calls of a library.
struct Calls {
  Ranges own{.causal = true};  ///< of the first `own_rows` rows
  std::int64_t own_rows = 0;
  Ranges context;
  Pieces queries, keys;  ///< of the context call
};

Calls calls_of(const AttentionLayout& layout) {
  Calls calls;
  calls.own.deterministic = calls.context.deterministic = layout.deterministic;
  for (std::size_t s = 0; s + 1 < layout.cu_seqlens.size(); ++s) {
    const std::int64_t rows = layout.cu_seqlens[s + 1] - layout.cu_seqlens[s];
    if (rows > 0) calls.own.add(rows, rows);
  }
  calls.own_rows = layout.isolated ? layout.trunk_rows() : layout.rows();
  for (const Branch& branch : layout.branches) {
    const std::int64_t rows = branch.end - branch.begin, context = branch.context_end - branch.context_begin;
    if (rows == 0) continue;
    if (!layout.isolated) calls.own.add(rows, rows);
    if (context == 0) continue;
    calls.context.add(rows, context);
    calls.queries.list.push_back({branch.begin, rows});
    calls.keys.list.push_back({branch.context_begin, context});
  }
  return calls;
}

at::ScalarType accumulation(const at::Tensor& x) { return x.scalar_type() == at::kDouble ? at::kDouble : at::kFloat; }
at::Tensor wide(const at::Tensor& x) { return x.to(accumulation(x)); }

/// (rows, M, N / M, H): query heads beside the key/value head of their group.
at::Tensor grouped(const at::Tensor& x, std::int64_t key_heads) {
  return x.view({x.size(0), key_heads, x.size(1) / key_heads, x.size(2)});
}

/// Rows that see one key of their own: its score is their log-sum. (R, M, N / M)
at::Tensor own_scores(const at::Tensor& q, const at::Tensor& k, double softmax_scale) {
  return (grouped(wide(q), k.size(1)) * wide(k).unsqueeze(2)).sum(-1) * softmax_scale;
}

std::tuple<at::Tensor, at::Tensor> forward_of(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                              const AttentionLayout& layout, double softmax_scale,
                                              const RangeAttention& ranges) {
  const Calls calls = calls_of(layout);
  const auto own = [&](const at::Tensor& x) { return x.narrow(0, 0, calls.own_rows); };
  const at::Tensor out = at::empty_like(q);
  const at::Tensor log_sum = at::zeros({q.size(1), q.size(0)}, q.options().dtype(accumulation(q)));
  if (!calls.own.empty()) {
    const auto [own_out, own_log_sum] = ranges.forward(own(q), own(k), own(v), calls.own, softmax_scale);
    own(out).copy_(own_out);
    log_sum.narrow(1, 0, calls.own_rows).copy_(own_log_sum);
  }
  if (const std::int64_t rest = q.size(0) - calls.own_rows; rest > 0) {
    const auto behind = [&](const at::Tensor& x) { return x.narrow(0, calls.own_rows, rest); };
    grouped(behind(out), k.size(1)).copy_(behind(v).unsqueeze(2));
    log_sum.narrow(1, calls.own_rows, rest)
        .copy_(own_scores(behind(q), behind(k), softmax_scale).reshape({rest, q.size(1)}).t());
  }
  if (calls.context.empty()) return {out, log_sum};
  const auto [context_out, context_log_sum] =
      ranges.forward(calls.queries.of(q), calls.keys.of(k), calls.keys.of(v), calls.context, softmax_scale);
  attention_merge_(out, log_sum, memory::upload(calls.queries.numbers(), q.device()), context_out.to(q.scalar_type()),
                   context_log_sum.to(log_sum.scalar_type()));
  return {out, log_sum};
}

std::tuple<at::Tensor, at::Tensor, at::Tensor> backward_of(const at::Tensor& grad_out, const at::Tensor& q,
                                                           const at::Tensor& k, const at::Tensor& v,
                                                           const at::Tensor& out, const at::Tensor& log_sum,
                                                           const AttentionLayout& layout, double softmax_scale,
                                                           const RangeAttention& ranges) {
  const Calls calls = calls_of(layout);
  const auto sums = [](const at::Tensor& x) { return at::zeros(x.sizes(), x.options().dtype(accumulation(x))); };
  const at::Tensor grad_q = sums(q), grad_k = sums(k), grad_v = sums(v);
  if (!calls.own.empty()) {
    const auto own = [&](const at::Tensor& x) { return x.narrow(0, 0, calls.own_rows); };
    const auto [own_q, own_k, own_v] =
        ranges.backward(own(grad_out), own(q), own(k), own(v), own(out),
                        log_sum.narrow(1, 0, calls.own_rows).contiguous(), calls.own, softmax_scale);
    own(grad_q).add_(own_q);
    own(grad_k).add_(own_k);
    own(grad_v).add_(own_v);
  }
  if (const std::int64_t rest = q.size(0) - calls.own_rows; rest > 0) {
    const std::int64_t key_heads = k.size(1);
    const auto behind = [&](const at::Tensor& x) { return wide(x.narrow(0, calls.own_rows, rest)); };
    const auto of_group = [&](const at::Tensor& x) { return grouped(behind(x), key_heads); };
    const at::Tensor keys = behind(k).unsqueeze(2), values = behind(v).unsqueeze(2), upstream = of_group(grad_out);
    const at::Tensor log_sums = log_sum.narrow(1, calls.own_rows, rest).t();
    const at::Tensor scores =
        own_scores(q.narrow(0, calls.own_rows, rest), k.narrow(0, calls.own_rows, rest), softmax_scale);
    const at::Tensor weights = at::exp(scores - log_sums.reshape(scores.sizes())).unsqueeze(-1);
    const at::Tensor delta = (of_group(out) * upstream).sum(-1, true);
    const at::Tensor grad_scores = weights * ((upstream * values).sum(-1, true) - delta) * softmax_scale;
    grad_q.narrow(0, calls.own_rows, rest).add_((grad_scores * keys).reshape({rest, q.size(1), q.size(2)}));
    grad_k.narrow(0, calls.own_rows, rest).add_((grad_scores * of_group(q)).sum(2));
    grad_v.narrow(0, calls.own_rows, rest).add_((weights * upstream).sum(2));
  }
  if (!calls.context.empty()) {
    const auto rows = [&](const at::Tensor& x) { return calls.queries.of(x); };
    const auto [context_q, context_k, context_v] =
        ranges.backward(rows(grad_out), rows(q), calls.keys.of(k), calls.keys.of(v), rows(out),
                        calls.queries.of(log_sum.t()).t().contiguous(), calls.context, softmax_scale);
    calls.queries.add_to(grad_q, context_q);
    calls.keys.add_to(grad_k, context_k);
    calls.keys.add_to(grad_v, context_v);
  }
  return {grad_q.to(q.scalar_type()), grad_k.to(k.scalar_type()), grad_v.to(v.scalar_type())};
}

class Merged : public torch::autograd::Function<Merged> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& q, const at::Tensor& k,
                            const at::Tensor& v, const std::vector<std::int64_t>& cu_seqlens,
                            const std::vector<std::int64_t>& branches, bool isolated, bool deterministic,
                            double softmax_scale, const RangeAttention* ranges) {
    const at::AutoDispatchBelowADInplaceOrView guard;
    AttentionLayout layout = attention_layout(cu_seqlens, branches, isolated);
    layout.deterministic = deterministic;
    const auto [out, log_sum] = forward_of(q, k, v, layout, softmax_scale, *ranges);
    context->save_for_backward({q, k, v, out, log_sum});
    context->saved_data["cu_seqlens"] = cu_seqlens;
    context->saved_data["branches"] = branches;
    context->saved_data["isolated"] = isolated;
    context->saved_data["deterministic"] = deterministic;
    context->saved_data["softmax_scale"] = softmax_scale;
    context->saved_data["ranges"] = reinterpret_cast<std::int64_t>(ranges);
    return out;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 const torch::autograd::variable_list& grad_outputs) {
    const torch::autograd::variable_list saved = context->get_saved_variables();
    AttentionLayout layout =
        attention_layout(context->saved_data["cu_seqlens"].toIntVector(), context->saved_data["branches"].toIntVector(),
                         context->saved_data["isolated"].toBool());
    layout.deterministic = context->saved_data["deterministic"].toBool();
    torch::autograd::variable_list gradients(9);
    std::tie(gradients[0], gradients[1], gradients[2]) =
        backward_of(grad_outputs[0].contiguous(), saved[0], saved[1], saved[2], saved[3], saved[4], layout,
                    context->saved_data["softmax_scale"].toDouble(),
                    *reinterpret_cast<const RangeAttention*>(context->saved_data["ranges"].toInt()));
    return gradients;
  }
};

}  // namespace

at::Tensor attention_merged(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                            const AttentionLayout& layout, double softmax_scale, const RangeAttention& ranges) {
  return Merged::apply(q.contiguous(), k.contiguous(), v.contiguous(), layout.cu_seqlens, integers_of(layout.branches),
                       layout.isolated, layout.deterministic, softmax_scale, &ranges);
}

}  // namespace ehrjepa::ops
