#include "ops/attention/attention.h"

#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include <algorithm>

#include "ops/attention/ways.h"
#include "ops/references.h"

namespace ehrjepa::ops {

TORCH_LIBRARY_FRAGMENT(ehrjepa, m) {
  m.def(
      "attention_forward(Tensor q, Tensor k, Tensor v, int[] cu_seqlens, int[] branches, bool isolated, float "
      "softmax_scale, int[]? rows) -> (Tensor out, Tensor log_sum)");
  m.def(
      "attention_backward(Tensor grad_out, Tensor q, Tensor k, Tensor v, Tensor out, Tensor log_sum, int[] cu_seqlens, "
      "int[] branches, bool isolated, float softmax_scale, int[]? rows) -> (Tensor grad_q, Tensor grad_k, Tensor "
      "grad_v)");
}

std::tuple<at::Tensor, at::Tensor> attention_forward(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                                     at::IntArrayRef cu_seqlens, at::IntArrayRef branches,
                                                     bool isolated, double softmax_scale,
                                                     at::OptionalIntArrayRef rows) {
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("ehrjepa::attention_forward", "")
                             .typed<decltype(attention_forward)>();
  return op.call(q, k, v, cu_seqlens, branches, isolated, softmax_scale, rows);
}

std::tuple<at::Tensor, at::Tensor, at::Tensor> attention_backward(const at::Tensor& grad_out, const at::Tensor& q,
                                                                  const at::Tensor& k, const at::Tensor& v,
                                                                  const at::Tensor& out, const at::Tensor& log_sum,
                                                                  at::IntArrayRef cu_seqlens, at::IntArrayRef branches,
                                                                  bool isolated, double softmax_scale,
                                                                  at::OptionalIntArrayRef rows) {
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("ehrjepa::attention_backward", "")
                             .typed<decltype(attention_backward)>();
  return op.call(grad_out, q, k, v, out, log_sum, cu_seqlens, branches, isolated, softmax_scale, rows);
}

std::vector<std::int64_t> integers_of(const std::vector<Branch>& branches) {
  std::vector<std::int64_t> integers;
  for (const Branch& branch : branches) {
    integers.insert(integers.end(), {branch.context_begin, branch.context_end, branch.begin, branch.end});
  }
  return integers;
}

AttentionLayout attention_layout(at::IntArrayRef cu_seqlens, at::IntArrayRef branches, bool isolated) {
  AttentionLayout layout{cu_seqlens.vec(), {}, isolated};
  for (std::size_t i = 0; i < branches.size(); i += 4) {
    layout.branches.push_back({branches[i], branches[i + 1], branches[i + 2], branches[i + 3]});
  }
  return layout;
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

class Attention : public torch::autograd::Function<Attention> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& q, const at::Tensor& k,
                            const at::Tensor& v, const std::vector<std::int64_t>& cu_seqlens,
                            const std::vector<std::int64_t>& branches, bool isolated, double softmax_scale,
                            const std::optional<std::vector<std::int64_t>>& rows) {
    const at::AutoDispatchBelowADInplaceOrView guard;
    const auto [out, log_sum] = attention_forward(q, k, v, cu_seqlens, branches, isolated, softmax_scale,
                                                  rows ? at::OptionalIntArrayRef(*rows) : at::OptionalIntArrayRef());
    context->save_for_backward({q, k, v, out, log_sum});
    context->saved_data["cu_seqlens"] = cu_seqlens;
    context->saved_data["branches"] = branches;
    context->saved_data["isolated"] = isolated;
    context->saved_data["softmax_scale"] = softmax_scale;
    context->saved_data["rows"] = rows;
    return out;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 const torch::autograd::variable_list& grad_outputs) {
    const torch::autograd::variable_list saved = context->get_saved_variables();
    const auto ints = [&](const char* name) { return context->saved_data[name].toIntVector(); };
    const auto rows = context->saved_data["rows"].toOptional<std::vector<std::int64_t>>();
    auto [grad_q, grad_k, grad_v] = attention_backward(
        grad_outputs[0].contiguous(), saved[0], saved[1], saved[2], saved[3], saved[4], ints("cu_seqlens"),
        ints("branches"), context->saved_data["isolated"].toBool(), context->saved_data["softmax_scale"].toDouble(),
        rows ? at::OptionalIntArrayRef(*rows) : at::OptionalIntArrayRef());
    torch::autograd::variable_list gradients(8);
    gradients[0] = std::move(grad_q);
    gradients[1] = std::move(grad_k);
    gradients[2] = std::move(grad_v);
    return gradients;
  }
};

}  // namespace

at::Tensor attention_kernels(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                             const AttentionLayout& layout, double softmax_scale,
                             const std::optional<std::vector<std::int64_t>>& rows) {
  return Attention::apply(q.contiguous(), k.contiguous(), v.contiguous(), layout.cu_seqlens,
                          integers_of(layout.branches), layout.isolated, softmax_scale, rows);
}

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
  // Without a query there is nothing to choose for, kernels and libraries want one, and a device may have no kernels.
  if (references_in_use() || q.numel() == 0) return attention_reference(q, k, v, layout, softmax_scale, rows);
  return attention_by(attention_way(q, k, v, layout, softmax_scale, rows), q, k, v, layout, softmax_scale, rows);
}

}  // namespace ehrjepa::ops
