#include <ATen/ops/cat.h>
#include <ATen/ops/scaled_dot_product_attention.h>
#include <c10/util/Exception.h>

#include "ops/attention/attention.h"

namespace ehrjepa::ops {

at::Tensor attention_varlen(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                            const std::vector<std::int64_t>& cu_seqlens, double softmax_scale) {
  TORCH_CHECK_VALUE(q.dim() == 3 && k.dim() == 3 && v.dim() == 3,
                    "[attention] q, k and v must have shape (tokens, heads, head_dim) but have ", q.sizes(), ", ",
                    k.sizes(), " and ", v.sizes());
  TORCH_CHECK_VALUE(q.size(1) % k.size(1) == 0, "[attention] key/value heads (", k.size(1),
                    ") must divide query heads (", q.size(1), ")");
  TORCH_CHECK_VALUE(cu_seqlens.back() == q.size(0), "[attention] cu_seqlens must end at total_tokens (", q.size(0),
                    ") but ends at ", cu_seqlens.back());
  const std::int64_t groups = q.size(1) / k.size(1);
  // (T, heads, H) -> (1, heads, T, H), one key/value head per query head
  const at::Tensor q_1NTH = q.transpose(0, 1).unsqueeze(0);
  const at::Tensor k_1NTH = k.repeat_interleave(groups, 1).transpose(0, 1).unsqueeze(0);
  const at::Tensor v_1NTH = v.repeat_interleave(groups, 1).transpose(0, 1).unsqueeze(0);
  std::vector<at::Tensor> outputs;
  outputs.reserve(cu_seqlens.size() - 1);
  for (std::size_t sequence = 0; sequence + 1 < cu_seqlens.size(); ++sequence) {
    const std::int64_t begin = cu_seqlens[sequence];
    const std::int64_t length = cu_seqlens[sequence + 1] - begin;
    outputs.push_back(at::scaled_dot_product_attention(q_1NTH.narrow(2, begin, length), k_1NTH.narrow(2, begin, length),
                                                       v_1NTH.narrow(2, begin, length), {}, 0.0, /*is_causal=*/true,
                                                       softmax_scale)
                          .squeeze(0)
                          .transpose(0, 1));
  }
  return at::cat(outputs);
}

}  // namespace ehrjepa::ops
