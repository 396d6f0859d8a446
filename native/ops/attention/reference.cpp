#include <ATen/TensorOperators.h>
#include <ATen/ops/einsum.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/zeros.h>

#include <limits>

#include "memory/transfer.h"
#include "ops/attention/attention.h"

namespace ehrjepa::ops {
namespace {

/// (T + R, T + R) bool on the host: row t sees row s.
at::Tensor who_sees_whom(const AttentionLayout& layout) {
  const at::Tensor sees = at::zeros({layout.rows(), layout.rows()}, memory::on_host(at::kBool));
  const auto causal = [&](std::int64_t begin, std::int64_t end) {
    const std::int64_t length = end - begin;
    sees.narrow(0, begin, length).narrow(1, begin, length).copy_(at::ones({length, length}, sees.options()).tril());
  };
  for (std::size_t s = 0; s + 1 < layout.cu_seqlens.size(); ++s) causal(layout.cu_seqlens[s], layout.cu_seqlens[s + 1]);
  for (const Branch& branch : layout.branches) {
    sees.narrow(0, branch.begin, branch.end - branch.begin)
        .narrow(1, branch.context_begin, branch.context_end - branch.context_begin)
        .fill_(true);
    if (!layout.isolated) causal(branch.begin, branch.end);
    for (std::int64_t t = branch.begin; t < branch.end; ++t) sees[t][t].fill_(true);
  }
  return sees;
}

}  // namespace

at::Tensor attention_reference(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                               const AttentionLayout& layout, double softmax_scale,
                               const std::optional<std::vector<std::int64_t>>& rows) {
  const std::int64_t groups = q.size(1) / k.size(1);
  at::Tensor sees = who_sees_whom(layout);
  if (rows) sees = sees.index_select(0, memory::upload(*rows, at::kCPU));
  sees = memory::upload(sees, q.device());
  const at::ScalarType wide = q.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  const at::Tensor keys = k.repeat_interleave(groups, 1).to(wide), values = v.repeat_interleave(groups, 1).to(wide);
  at::Tensor scores_NQT = at::einsum("qnh,tnh->nqt", {q.to(wide), keys}) * softmax_scale;
  scores_NQT = scores_NQT.masked_fill(sees.logical_not(), -std::numeric_limits<double>::infinity());
  return at::einsum("nqt,tnh->qnh", {at::softmax(scores_NQT, -1), values}).to(q.scalar_type());
}

}  // namespace ehrjepa::ops
