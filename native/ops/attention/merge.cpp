#include "ops/attention/merge.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/ops/exp.h>
#include <ATen/ops/logaddexp.h>
#include <torch/library.h>

#include "ops/kernels_of.h"

namespace ehrjepa::ops {

TORCH_LIBRARY_FRAGMENT(ehrjepa, m) {
  m.def("attention_merge_(Tensor(a!) out, Tensor(b!) log_sum, Tensor rows, Tensor other, Tensor other_log_sum) -> ()");
}

void attention_merge_reference_(const at::Tensor& out, const at::Tensor& log_sum, const at::Tensor& rows,
                                const at::Tensor& other, const at::Tensor& other_log_sum) {
  const at::Tensor before_NC = log_sum.index_select(1, rows), merged_NC = at::logaddexp(before_NC, other_log_sum);
  const auto weighted = [&](const at::Tensor& x_CNH, const at::Tensor& log_sum_NC) {
    return x_CNH.to(log_sum.scalar_type()) * at::exp(log_sum_NC - merged_NC).t().unsqueeze(-1);
  };
  const at::Tensor result_CNH = weighted(out.index_select(0, rows), before_NC) + weighted(other, other_log_sum);
  out.index_copy_(0, rows, result_CNH.to(out.scalar_type()));
  log_sum.index_copy_(1, rows, merged_NC);
}

void attention_merge_(const at::Tensor& out, const at::Tensor& log_sum, const at::Tensor& rows, const at::Tensor& other,
                      const at::Tensor& other_log_sum) {
  const std::int64_t heads = out.size(1), count = rows.numel();
  TORCH_CHECK_VALUE(log_sum.sizes() == at::IntArrayRef({heads, out.size(0)}),
                    "[attention_merge] log_sum must have the shape [heads, rows] of out (", heads, ", ", out.size(0),
                    ") but has ", log_sum.sizes());
  TORCH_CHECK_VALUE(other.sizes() == at::IntArrayRef({count, heads, out.size(2)}) &&
                        other_log_sum.sizes() == at::IntArrayRef({heads, count}),
                    "[attention_merge] other and other_log_sum must have the shapes ",
                    at::IntArrayRef({count, heads, out.size(2)}), " and ", at::IntArrayRef({heads, count}),
                    " but have ", other.sizes(), " and ", other_log_sum.sizes());
  TORCH_CHECK_VALUE(other.scalar_type() == out.scalar_type() && other_log_sum.scalar_type() == log_sum.scalar_type(),
                    "[attention_merge] other and other_log_sum must have the dtypes of out and log_sum (",
                    out.scalar_type(), ", ", log_sum.scalar_type(), ") but have ", other.scalar_type(), " and ",
                    other_log_sum.scalar_type());
  static const c10::OperatorHandle function = function_named("ehrjepa::attention_merge_");
  if (by_reference(function, out)) return attention_merge_reference_(out, log_sum, rows, other, other_log_sum);
  static const auto op = function.typed<decltype(attention_merge_)>();
  op.call(out, log_sum, rows.contiguous(), other.contiguous(), other_log_sum.contiguous());
}

}  // namespace ehrjepa::ops
