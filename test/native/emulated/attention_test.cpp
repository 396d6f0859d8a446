#include "ops/attention/attention.h"

#include "cases/attention.h"
#include "native/emulated/emulated.h"
#include "ops/attention/cuda_plan.h"
#include "ops/attention/kernel.h"

namespace emulated_attention_test {
namespace {

using namespace emulated;
using namespace ehrjepa;

struct Inputs {
  at::Tensor q, k, v, grad_out;

  Inputs to(at::ScalarType dtype) const { return {q.to(dtype), k.to(dtype), v.to(dtype), grad_out.to(dtype)}; }
};

/// The table's cases with heads that the kernels have.
AttentionCase with_head(AttentionCase c, std::int64_t head_dim) {
  c.head_dim = head_dim;
  return c;
}

double scale_of(const AttentionCase& c) { return 1.0 / std::sqrt(static_cast<double>(c.head_dim)); }

Inputs inputs_of(const AttentionCase& c) {
  at::manual_seed(53);
  const std::int64_t keys = c.layout.rows(), queries = c.rows ? static_cast<std::int64_t>(c.rows->size()) : keys;
  return Inputs{at::randn({queries, c.query_heads, c.head_dim}), at::randn({keys, c.key_value_heads, c.head_dim}),
                at::randn({keys, c.key_value_heads, c.head_dim}), at::randn({queries, c.query_heads, c.head_dim})}
      .to(at::kBFloat16);
}

at::Tensor bytes_of(const void* values, std::size_t bytes) {
  const at::Tensor result = at::empty({static_cast<std::int64_t>(bytes)}, at::kByte);
  if (bytes > 0) std::memcpy(result.data_ptr(), values, bytes);
  return result;
}

/// out, log_sum, grad_q, grad_k, grad_v
std::vector<at::Tensor> by_kernels(const AttentionCase& c, const Inputs& in) {
  const ops::attention_cuda::Plan plan = ops::attention_cuda::plan_of(c.layout, c.rows);
  const auto table = [](Arguments& memory, const auto& rows) {
    using Row = typename std::decay_t<decltype(rows)>::value_type;
    return static_cast<const Row*>(memory.input(bytes_of(rows.data(), rows.size() * sizeof(Row))));
  };
  std::vector<std::int32_t> positions;
  if (c.rows) positions.assign(c.rows->begin(), c.rows->end());
  const std::int64_t queries = in.q.size(0);
  Arguments forward;
  const at::Tensor out = forward.output_like(in.q);
  const at::Tensor log_sum = forward.output({c.query_heads, queries}, at::kFloat);
  EXPECT(kernels::launch_attention_forward({.q = forward.input(in.q),
                                            .k = forward.input(in.k),
                                            .v = forward.input(in.v),
                                            .positions = c.rows ? table(forward, positions) : nullptr,
                                            .tiles = table(forward, plan.query_tiles),
                                            .out = out.data_ptr(),
                                            .log_sum = log_sum.data_ptr<float>(),
                                            .tile_count = static_cast<std::int64_t>(plan.query_tiles.size()),
                                            .queries = queries,
                                            .heads = c.query_heads,
                                            .key_heads = c.key_value_heads,
                                            .head_dim = c.head_dim,
                                            .softmax_scale = static_cast<float>(scale_of(c))},
                                           nullptr) == 0);
  Arguments backward;
  const at::Tensor delta = backward.output({c.query_heads, queries}, at::kFloat);
  const at::Tensor grad_q = backward.output_like(in.q), grad_k = backward.output_like(in.k),
                   grad_v = backward.output_like(in.v);
  const kernels::AttentionBackwardParams params{.grad_out = backward.input(in.grad_out),
                                                .q = backward.input(in.q),
                                                .k = backward.input(in.k),
                                                .v = backward.input(in.v),
                                                .out = backward.input(out.clone()),
                                                .log_sum = static_cast<const float*>(backward.input(log_sum.clone())),
                                                .positions = c.rows ? table(backward, positions) : nullptr,
                                                .query_tiles = table(backward, plan.query_tiles),
                                                .key_tiles = table(backward, plan.key_tiles),
                                                .visits = table(backward, plan.visits),
                                                .delta = delta.data_ptr<float>(),
                                                .grad_q = grad_q.data_ptr(),
                                                .grad_k = grad_k.data_ptr(),
                                                .grad_v = grad_v.data_ptr(),
                                                .query_tile_count = static_cast<std::int64_t>(plan.query_tiles.size()),
                                                .key_tile_count = static_cast<std::int64_t>(plan.key_tiles.size()),
                                                .queries = queries,
                                                .heads = c.query_heads,
                                                .key_heads = c.key_value_heads,
                                                .head_dim = c.head_dim,
                                                .softmax_scale = static_cast<float>(scale_of(c))};
  EXPECT(kernels::launch_attention_delta(params, nullptr) == 0);
  EXPECT(kernels::launch_attention_query_gradient(params, nullptr) == 0);
  EXPECT(kernels::launch_attention_key_gradient(params, nullptr) == 0);
  return {out, log_sum, grad_q, grad_k, grad_v};
}

/// out, grad_q, grad_k, grad_v
std::vector<at::Tensor> by_reference(const AttentionCase& c, const Inputs& in, bool plain) {
  const auto leaf = [](const at::Tensor& x) { return x.detach().requires_grad_(); };
  const at::Tensor q = leaf(in.q), k = leaf(in.k), v = leaf(in.v);
  const at::Tensor out = plain ? ops::attention_sdpa(q, k, v, c.layout, scale_of(c), c.rows)
                               : ops::attention_reference(q, k, v, c.layout, scale_of(c), c.rows);
  out.backward(in.grad_out);
  return {out.detach(), q.grad(), k.grad(), v.grad()};
}

void compare(const AttentionCase& c) {
  const Inputs in = inputs_of(c);
  const std::vector<at::Tensor> found = under_schedules([&] { return by_kernels(c, in); });
  if (in.q.numel() == 0) {
    EXPECT(found[3].numel() == 0 || found[3].abs().max().item<double>() == 0.0);
    return;
  }
  const std::vector<at::Tensor> exact = by_reference(c, in.to(at::kDouble), false), plain = by_reference(c, in, true);
  const std::size_t of_found[] = {0, 2, 3, 4};
  for (std::size_t i = 0; i < exact.size(); ++i) {
    // One key alone has a weight of 1 whatever its score is: the gradient of the score is noise around 0.
    if (exact[i].norm().item<double>() < 1e-6 * in.q.numel()) continue;
    expect_near(found[of_found[i]], exact[i], plain[i]);
  }
}

TEST("emulated attention: every case with heads of 64") {
  for (const AttentionCase& c : attention_cases) compare(with_head(c, 64));
}

TEST("emulated attention: heads of 128, branches, chosen rows and lengths around a tile") {
  for (const std::size_t i : {1, 4, 5, 6, 9, 13}) compare(with_head(attention_cases[i], 128));
  for (const std::int64_t length : {63, 64, 65}) {
    compare({"around a tile", 2, 1, 128, {{0, length}, {{0, length, length, length + 66}}, false}});
  }
}

TEST("emulated attention: scores far apart and all alike stay finite") {
  for (const double size : {0.0, 100.0}) {
    const AttentionCase c = with_head(attention_cases[4], 64);
    Inputs in = inputs_of(c);
    in.q = in.q * size;
    for (const at::Tensor& result : by_kernels(c, in)) EXPECT(result.isfinite().all().item<bool>());
  }
}

TEST("emulated attention: no two words that are read at a time lie in one bank") {
  for (const std::int64_t head_dim : {64, 128}) {
    const AttentionCase c{"banks", 1, 1, head_dim, {{0, 70}, {}, false}};
    host_cuda::count_banks();
    by_kernels(c, inputs_of(c));
    const host_cuda::BankUse use = host_cuda::bank_use();
    EXPECT(use.accesses > 1000);
    EXPECT(use.passes == use.accesses);
  }
}

}  // namespace
}  // namespace emulated_attention_test
