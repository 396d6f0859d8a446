#include "ops/attention/attention.h"

#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/library.h>

#include <algorithm>

namespace ehrjepa::ops {

TORCH_LIBRARY_FRAGMENT(ehrjepa, m) {
  m.def(
      "attention(Tensor q, Tensor k, Tensor v, int[] cu_seqlens, int[] branches, bool isolated, float softmax_scale, "
      "int[]? rows) -> Tensor");
}

namespace {

void check_layout(const AttentionLayout& layout, std::int64_t rows) {
  TORCH_CHECK_VALUE(!layout.cu_seqlens.empty() && layout.cu_seqlens.front() == 0 &&
                        std::is_sorted(layout.cu_seqlens.begin(), layout.cu_seqlens.end()),
                    "[attention] cu_seqlens must start with 0 and ascend but are ", layout.cu_seqlens);
  std::int64_t next = layout.trunk_rows();
  for (const Branch& branch : layout.branches) {
    TORCH_CHECK_VALUE(branch.begin == next && branch.end >= branch.begin,
                      "[attention] branches must lie back to back behind the trunk but one holds rows [", branch.begin,
                      ", ", branch.end, ") where ", next, " is next");
    const auto after = std::upper_bound(layout.cu_seqlens.begin(), layout.cu_seqlens.end(), branch.context_begin);
    TORCH_CHECK_VALUE(branch.context_begin >= 0 && branch.context_end >= branch.context_begin &&
                          (branch.context_end == branch.context_begin ||
                           (after != layout.cu_seqlens.end() && branch.context_end <= *after)),
                      "[attention] the context of a branch must lie within one trunk sequence but is [",
                      branch.context_begin, ", ", branch.context_end, ")");
    next = branch.end;
  }
  TORCH_CHECK_VALUE(layout.rows() == rows, "[attention] the layout must end at total_tokens (", rows, ") but ends at ",
                    layout.rows());
}

}  // namespace

at::Tensor attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const AttentionLayout& layout,
                     double softmax_scale, const std::optional<std::vector<std::int64_t>>& rows) {
  TORCH_CHECK_VALUE(q.dim() == 3 && k.dim() == 3 && k.sizes() == v.sizes() && q.size(2) == k.size(2) && q.size(2) >= 1,
                    "[attention] q, k and v must have shape (tokens, heads, head_dim) but have ", q.sizes(), ", ",
                    k.sizes(), " and ", v.sizes());
  TORCH_CHECK_VALUE(q.scalar_type() == at::kFloat || q.scalar_type() == at::kBFloat16 || q.scalar_type() == at::kDouble,
                    "[attention] q must be float32, bfloat16 or float64 but is ", q.scalar_type());
  TORCH_CHECK_VALUE(k.scalar_type() == q.scalar_type() && v.scalar_type() == q.scalar_type() &&
                        k.device() == q.device() && v.device() == q.device(),
                    "[attention] k and v must have the dtype and the device of q (", q.scalar_type(), ", ", q.device(),
                    ") but have ", k.scalar_type(), ", ", k.device(), " and ", v.scalar_type(), ", ", v.device());
  TORCH_CHECK_VALUE(k.size(1) >= 1 && q.size(1) % k.size(1) == 0, "[attention] key/value heads (", k.size(1),
                    ") must divide query heads (", q.size(1), ")");
  check_layout(layout, k.size(0));
  TORCH_CHECK_VALUE(q.size(0) == (rows ? static_cast<std::int64_t>(rows->size()) : k.size(0)),
                    "[attention] q must have a row for each wanted output but has ", q.size(0));
  if (rows) {
    TORCH_CHECK_VALUE(std::is_sorted(rows->begin(), rows->end()) &&
                          (rows->empty() || (rows->front() >= 0 && rows->back() < layout.trunk_rows())),
                      "[attention] rows must ascend within the trunk (", layout.trunk_rows(), " rows)");
  }
  std::vector<std::int64_t> branches;
  for (const Branch& branch : layout.branches) {
    branches.insert(branches.end(), {branch.context_begin, branch.context_end, branch.begin, branch.end});
  }
  using Op = at::Tensor(const at::Tensor&, const at::Tensor&, const at::Tensor&, at::IntArrayRef, at::IntArrayRef, bool,
                        double, at::OptionalIntArrayRef);
  static const auto op = c10::Dispatcher::singleton().findSchemaOrThrow("ehrjepa::attention", "").typed<Op>();
  return op.call(q, k, v, layout.cu_seqlens, branches, layout.isolated, softmax_scale,
                 rows ? at::OptionalIntArrayRef(*rows) : at::OptionalIntArrayRef());
}

}  // namespace ehrjepa::ops
