#include <ATen/ops/_cudnn_attention_backward.h>
#include <ATen/ops/_cudnn_attention_forward.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <torch/headeronly/version.h>

#include <atomic>

#include "ops/attention/ways.h"

// The functions are libtorch's own affair and change without notice. Up to `scale` their arguments are the same
// from 2.11 to 2.14; those behind it are left at their defaults.
#if TORCH_VERSION_MAJOR != 2 || TORCH_VERSION_MINOR < 11 || TORCH_VERSION_MINOR > 14
#error "read _cudnn_attention_forward.h and _cudnn_attention_backward.h of this libtorch before it is admitted here"
#endif

namespace ehrjepa::ops {
namespace {

// Segment by segment: libtorch's form for many of them took its lengths from the wrong dimension in the gradient
// (attention_backward.cu, max_seqlen_batch_q = query.size(2) with cum_seq_q given).

/// (1, heads, rows, H) of rows [begin, end).
at::Tensor heads_first(const at::Tensor& x, std::int64_t begin, std::int64_t end) {
  return x.narrow(0, begin, end - begin).transpose(0, 1).unsqueeze(0);
}
at::Tensor rows_first(const at::Tensor& x) { return x.squeeze(0).transpose(0, 1); }

/// Dimensions of libtorch's log-sums, (1, N, Q) or (1, N, Q, 1) by its version: as the forward pass gave them, which
/// comes first.
std::atomic<std::int64_t> log_sum_dimensions = 3;

std::tuple<at::Tensor, at::Tensor> cudnn_forward(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                                 const Ranges& ranges, double softmax_scale) {
  std::vector<at::Tensor> outs, log_sums;
  for (std::size_t i = 0; i + 1 < ranges.cu_queries.size(); ++i) {
    const std::int64_t query = ranges.cu_queries[i], query_end = ranges.cu_queries[i + 1];
    const std::int64_t key = ranges.cu_keys[i], key_end = ranges.cu_keys[i + 1];
    const auto result = at::_cudnn_attention_forward(
        heads_first(q, query, query_end), heads_first(k, key, key_end), heads_first(v, key, key_end), std::nullopt,
        std::nullopt, std::nullopt, query_end - query, key_end - key, /*compute_log_sumexp=*/true, /*dropout_p=*/0.0,
        ranges.causal, /*return_debug_mask=*/false, softmax_scale);
    const at::Tensor& log_sum = std::get<1>(result);
    log_sum_dimensions = log_sum.dim();
    outs.push_back(rows_first(std::get<0>(result)));
    log_sums.push_back(log_sum.reshape({q.size(1), query_end - query}));
  }
  return {at::cat(outs), at::cat(log_sums, 1)};
}

std::tuple<at::Tensor, at::Tensor, at::Tensor> cudnn_backward(const at::Tensor& grad_out, const at::Tensor& q,
                                                              const at::Tensor& k, const at::Tensor& v,
                                                              const at::Tensor& out, const at::Tensor& log_sum,
                                                              const Ranges& ranges, double softmax_scale) {
  const at::Tensor no_dropout = at::empty({}, q.options().dtype(at::kLong));
  std::vector<at::Tensor> grad_q, grad_k, grad_v;
  for (std::size_t i = 0; i + 1 < ranges.cu_queries.size(); ++i) {
    const std::int64_t query = ranges.cu_queries[i], query_end = ranges.cu_queries[i + 1];
    const std::int64_t key = ranges.cu_keys[i], key_end = ranges.cu_keys[i + 1];
    at::Tensor log_sums = log_sum.narrow(1, query, query_end - query).contiguous().unsqueeze(0);
    if (log_sum_dimensions == 4) log_sums = log_sums.unsqueeze(-1);
    const auto [q_part, k_part, v_part] = at::_cudnn_attention_backward(
        heads_first(grad_out, query, query_end), heads_first(q, query, query_end), heads_first(k, key, key_end),
        heads_first(v, key, key_end), heads_first(out, query, query_end), log_sums, no_dropout, no_dropout,
        /*attn_bias=*/{}, /*cum_seq_q=*/{}, /*cum_seq_k=*/{}, query_end - query, key_end - key, /*dropout_p=*/0.0,
        ranges.causal, softmax_scale);
    grad_q.push_back(rows_first(q_part));
    grad_k.push_back(rows_first(k_part));
    grad_v.push_back(rows_first(v_part));
  }
  return {at::cat(grad_q), at::cat(grad_k), at::cat(grad_v)};
}

const RangeAttention cudnn_ranges{&cudnn_forward, &cudnn_backward};
const bool cudnn_is_set = (set_attention_ranges(at::kCUDA, AttentionChoice::kCudnn, &cudnn_ranges), true);

}  // namespace
}  // namespace ehrjepa::ops
