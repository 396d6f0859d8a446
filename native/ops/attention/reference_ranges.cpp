#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/einsum.h>
#include <ATen/ops/exp.h>
#include <ATen/ops/logsumexp.h>
#include <ATen/ops/ones.h>

#include <limits>

#include "ops/attention/ranges.h"

namespace ehrjepa::ops {
namespace {

at::Tensor widened(const at::Tensor& x) { return x.to(x.scalar_type() == at::kDouble ? at::kDouble : at::kFloat); }

/// One segment, key/value heads repeated for the query heads of their group.
struct RangeSegment {
  at::Tensor q, k, v;
  std::int64_t query, queries;

  RangeSegment(const at::Tensor& all_q, const at::Tensor& all_k, const at::Tensor& all_v, const Ranges& ranges,
               std::size_t i)
      : query(ranges.cu_queries[i]), queries(ranges.cu_queries[i + 1] - query) {
    const std::int64_t key = ranges.cu_keys[i], keys = ranges.cu_keys[i + 1] - key;
    const std::int64_t group = all_q.size(1) / all_k.size(1);
    q = widened(all_q.narrow(0, query, queries));
    k = widened(all_k.narrow(0, key, keys)).repeat_interleave(group, 1);
    v = widened(all_v.narrow(0, key, keys)).repeat_interleave(group, 1);
  }

  /// (N, queries, keys)
  at::Tensor scores(bool causal, double softmax_scale) const {
    const at::Tensor all = at::einsum("qnh,knh->nqk", {q, k}) * softmax_scale;
    if (!causal) return all;
    const at::Tensor hidden = at::ones({queries, k.size(0)}, all.options().dtype(at::kBool)).triu(1);
    return all.masked_fill(hidden, -std::numeric_limits<double>::infinity());
  }
};

std::tuple<at::Tensor, at::Tensor> reference_forward(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                                     const Ranges& ranges, double softmax_scale) {
  std::vector<at::Tensor> outs, log_sums;
  for (std::size_t i = 0; i + 1 < ranges.cu_queries.size(); ++i) {
    const RangeSegment segment(q, k, v, ranges, i);
    const at::Tensor scores = segment.scores(ranges.causal, softmax_scale);
    const at::Tensor log_sum = at::logsumexp(scores, {-1});
    outs.push_back(at::einsum("nqk,knh->qnh", {at::exp(scores - log_sum.unsqueeze(-1)), segment.v}));
    log_sums.push_back(log_sum);
  }
  return {at::cat(outs).to(q.scalar_type()), at::cat(log_sums, 1)};
}

/// Sums over the query heads of each key/value head. @param x  (keys, N, H)
at::Tensor of_groups(const at::Tensor& x, std::int64_t key_heads) {
  return x.view({x.size(0), key_heads, x.size(1) / key_heads, x.size(2)}).sum(2);
}

std::tuple<at::Tensor, at::Tensor, at::Tensor> reference_backward(const at::Tensor& grad_out, const at::Tensor& q,
                                                                  const at::Tensor& k, const at::Tensor& v,
                                                                  const at::Tensor& out, const at::Tensor& log_sum,
                                                                  const Ranges& ranges, double softmax_scale) {
  std::vector<at::Tensor> grad_q, grad_k, grad_v;
  for (std::size_t i = 0; i + 1 < ranges.cu_queries.size(); ++i) {
    const RangeSegment segment(q, k, v, ranges, i);
    const auto rows = [&](const at::Tensor& x) { return widened(x.narrow(0, segment.query, segment.queries)); };
    const at::Tensor scores = segment.scores(ranges.causal, softmax_scale);
    const at::Tensor weights = at::exp(scores - log_sum.narrow(1, segment.query, segment.queries).unsqueeze(-1));
    const at::Tensor delta = (rows(out) * rows(grad_out)).sum(-1).t().unsqueeze(-1);
    const at::Tensor products = at::einsum("qnh,knh->nqk", {rows(grad_out), segment.v});
    const at::Tensor grad_scores = weights * (products - delta) * softmax_scale;
    grad_q.push_back(at::einsum("nqk,knh->qnh", {grad_scores, segment.k}));
    grad_k.push_back(of_groups(at::einsum("nqk,qnh->knh", {grad_scores, segment.q}), k.size(1)));
    grad_v.push_back(of_groups(at::einsum("nqk,qnh->knh", {weights, rows(grad_out)}), k.size(1)));
  }
  return {at::cat(grad_q).to(q.scalar_type()), at::cat(grad_k).to(k.scalar_type()),
          at::cat(grad_v).to(v.scalar_type())};
}

}  // namespace

const RangeAttention reference_ranges{&reference_forward, &reference_backward};

}  // namespace ehrjepa::ops
