#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/zeros_like.h>
#include <c10/cuda/CUDAGuard.h>
#include <torch/library.h>

#include <cstring>
#include <tuple>

#include "memory/transfer.h"
#include "ops/attention/attention.h"
#include "ops/attention/cuda_plan.h"
#include "ops/attention/kernel.h"
#include "ops/attention/merge_kernel.h"
#include "ops/cuda/tensors.h"

namespace ehrjepa::ops {
namespace {

using attention_cuda::Plan;

/// The plan and the rows' positions on the card, in one transfer.
struct Tables {
  at::Tensor words;
  const std::int32_t* positions = nullptr;
  const kernels::QueryTile* query_tiles = nullptr;
  const kernels::KeyTile* key_tiles = nullptr;
  const kernels::Visit* visits = nullptr;
};

Tables upload(const Plan& plan, at::OptionalIntArrayRef rows, at::Device device) {
  const std::vector<std::int32_t> places =
      rows ? std::vector<std::int32_t>(rows->begin(), rows->end()) : std::vector<std::int32_t>();
  const auto words_of = [](const auto& list) {
    return static_cast<std::int64_t>(list.size() * sizeof(list[0]) / sizeof(std::int32_t));
  };
  const std::int64_t key_tiles = words_of(plan.query_tiles), visits = key_tiles + words_of(plan.key_tiles),
                     positions = visits + words_of(plan.visits), all = positions + words_of(places);
  const at::Tensor host = at::empty({all}, memory::on_host(at::kInt));
  const auto put = [&](std::int64_t at, const auto& list) {
    if (!list.empty()) std::memcpy(host.data_ptr<std::int32_t>() + at, list.data(), list.size() * sizeof(list[0]));
  };
  put(0, plan.query_tiles);
  put(key_tiles, plan.key_tiles);
  put(visits, plan.visits);
  put(positions, places);
  Tables result{memory::upload(host, device)};
  const auto* const first = result.words.const_data_ptr<std::int32_t>();
  result.query_tiles = reinterpret_cast<const kernels::QueryTile*>(first);
  result.key_tiles = reinterpret_cast<const kernels::KeyTile*>(first + key_tiles);
  result.visits = reinterpret_cast<const kernels::Visit*>(first + visits);
  if (rows) result.positions = first + positions;
  return result;
}

Plan plan_of(at::IntArrayRef cu_seqlens, at::IntArrayRef branches, bool isolated, at::OptionalIntArrayRef rows) {
  return attention_cuda::plan_of(attention_layout(cu_seqlens, branches, isolated),
                                 rows ? std::optional(rows->vec()) : std::nullopt);
}

void check(const at::Tensor& q, const at::Tensor& k) {
  TORCH_CHECK_VALUE(q.scalar_type() == at::kBFloat16 && kernels::attention_has_head(q.size(2)),
                    "[attention] q must be bfloat16 with heads of 64 or 128 for the kernels on CUDA but is ",
                    q.scalar_type(), " with heads of ", q.size(2));
  check_rows("attention", k.size(0) * q.size(1));
}

std::tuple<at::Tensor, at::Tensor> forward(const at::Tensor& given_q, const at::Tensor& given_k,
                                           const at::Tensor& given_v, at::IntArrayRef cu_seqlens,
                                           at::IntArrayRef branches, bool isolated, double softmax_scale,
                                           at::OptionalIntArrayRef rows) {
  const c10::cuda::CUDAGuard guard(given_q.device());
  const at::Tensor out = at::empty_like(given_q);
  const at::Tensor log_sum_NQ = at::empty({given_q.size(1), given_q.size(0)}, given_q.options().dtype(at::kFloat));
  if (given_q.numel() == 0) return {out, log_sum_NQ};
  check(given_q, given_k);
  const at::Tensor q = at_16_bytes(given_q), k = at_16_bytes(given_k), v = at_16_bytes(given_v);
  const Plan plan = plan_of(cu_seqlens, branches, isolated, rows);
  const Tables tables = upload(plan, rows, q.device());
  check_launch("attention",
               kernels::launch_attention_forward({.q = q.const_data_ptr(),
                                                  .k = k.const_data_ptr(),
                                                  .v = v.const_data_ptr(),
                                                  .positions = tables.positions,
                                                  .tiles = tables.query_tiles,
                                                  .out = out.data_ptr(),
                                                  .log_sum = log_sum_NQ.data_ptr<float>(),
                                                  .tile_count = static_cast<std::int64_t>(plan.query_tiles.size()),
                                                  .queries = q.size(0),
                                                  .heads = q.size(1),
                                                  .key_heads = k.size(1),
                                                  .head_dim = q.size(2),
                                                  .softmax_scale = static_cast<float>(softmax_scale)},
                                                 current_stream()));
  return {out, log_sum_NQ};
}

std::tuple<at::Tensor, at::Tensor, at::Tensor> backward(const at::Tensor& given_grad_out, const at::Tensor& given_q,
                                                        const at::Tensor& given_k, const at::Tensor& given_v,
                                                        const at::Tensor& out, const at::Tensor& log_sum_NQ,
                                                        at::IntArrayRef cu_seqlens, at::IntArrayRef branches,
                                                        bool isolated, double softmax_scale,
                                                        at::OptionalIntArrayRef rows) {
  const c10::cuda::CUDAGuard guard(given_q.device());
  if (given_q.numel() == 0) return {at::zeros_like(given_q), at::zeros_like(given_k), at::zeros_like(given_v)};
  check(given_q, given_k);
  const at::Tensor q = at_16_bytes(given_q), k = at_16_bytes(given_k), v = at_16_bytes(given_v);
  const at::Tensor grad_out = at_16_bytes(given_grad_out), delta = at::empty_like(log_sum_NQ);
  const at::Tensor grad_q = at::empty_like(q), grad_k = at::empty_like(k), grad_v = at::empty_like(v);
  const Plan plan = plan_of(cu_seqlens, branches, isolated, rows);
  const Tables tables = upload(plan, rows, q.device());
  const kernels::AttentionBackwardParams params{.grad_out = grad_out.const_data_ptr(),
                                                .q = q.const_data_ptr(),
                                                .k = k.const_data_ptr(),
                                                .v = v.const_data_ptr(),
                                                .out = out.const_data_ptr(),
                                                .log_sum = log_sum_NQ.const_data_ptr<float>(),
                                                .positions = tables.positions,
                                                .query_tiles = tables.query_tiles,
                                                .key_tiles = tables.key_tiles,
                                                .visits = tables.visits,
                                                .delta = delta.data_ptr<float>(),
                                                .grad_q = grad_q.data_ptr(),
                                                .grad_k = grad_k.data_ptr(),
                                                .grad_v = grad_v.data_ptr(),
                                                .query_tile_count = static_cast<std::int64_t>(plan.query_tiles.size()),
                                                .key_tile_count = static_cast<std::int64_t>(plan.key_tiles.size()),
                                                .queries = q.size(0),
                                                .heads = q.size(1),
                                                .key_heads = k.size(1),
                                                .head_dim = q.size(2),
                                                .softmax_scale = static_cast<float>(softmax_scale)};
  check_launch("attention", kernels::launch_attention_delta(params, current_stream()));
  check_launch("attention", kernels::launch_attention_query_gradient(params, current_stream()));
  check_launch("attention", kernels::launch_attention_key_gradient(params, current_stream()));
  return {grad_q, grad_k, grad_v};
}

void merge_(const at::Tensor& out, const at::Tensor& log_sum, const at::Tensor& rows, const at::Tensor& other,
            const at::Tensor& other_log_sum) {
  const c10::cuda::CUDAGuard guard(out.device());
  check_rows("attention_merge", other.size(0) * other.size(1));
  check_launch("attention_merge",
               kernels::launch_attention_merge({.out = out.data_ptr(),
                                                .log_sum = log_sum.data_ptr<float>(),
                                                .rows = rows.const_data_ptr<std::int64_t>(),
                                                .other = other.const_data_ptr(),
                                                .other_log_sum = other_log_sum.const_data_ptr<float>(),
                                                .total_rows = out.size(0),
                                                .rows_merged = rows.numel(),
                                                .heads = out.size(1),
                                                .head_dim = out.size(2),
                                                .dtype = kernel_dtype("attention_merge", out)},
                                               current_stream()));
}

}  // namespace

TORCH_LIBRARY_IMPL(ehrjepa, CUDA, m) {
  if (!cuda_kernels_wanted()) return;
  m.impl("attention_forward", &forward);
  m.impl("attention_backward", &backward);
  m.impl("attention_merge_", &merge_);
}

}  // namespace ehrjepa::ops
