// Is our attention faster than libtorch's scaled_dot_product_attention, and how near is it to the speed of products?
#include "ops/attention/attention.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/scaled_dot_product_attention.h>

#include "native/differentiable.h"

namespace bench {
namespace {

namespace ops = ehrjepa::ops;

/// One causal sequence: what libtorch's kernel is made for.
struct CausalCase {
  const char* name;
  std::int64_t tokens, query_heads, key_value_heads, head_dim;
};

constexpr double scale = 0.1;

at::Tensor sdpa(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) {
  const auto heads = [](const at::Tensor& x) { return x.transpose(0, 1).unsqueeze(0); };
  const std::int64_t groups = q.size(1) / k.size(1);
  return at::scaled_dot_product_attention(heads(q), heads(k.repeat_interleave(groups, 1)),
                                          heads(v.repeat_interleave(groups, 1)), {}, 0.0, /*is_causal=*/true, scale)
      .squeeze(0)
      .transpose(0, 1);
}

}  // namespace

std::vector<Row> attention(const Settings& settings) {
  at::manual_seed(17);
  std::vector<Row> rows;
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
    for (const CausalCase& c : {CausalCase{"causal, the demo's heads", 384, 4, 4, 32},
                                CausalCase{"causal, heads of 64, two to a key", 1024, 4, 2, 64},
                                CausalCase{"causal, two heads of Qwen3-1.7B", 3328, 2, 1, 128}}) {
      const ops::AttentionLayout layout{{0, c.tokens}, {}, false};
      const at::Tensor q = at::randn({c.tokens, c.query_heads, c.head_dim}).to(dtype);
      const at::Tensor k = at::randn({c.tokens, c.key_value_heads, c.head_dim}).to(dtype);
      const at::Tensor v = at::randn_like(k);
      // Two products over half the square; five in the backward pass.
      const double flops = 2.0 * static_cast<double>(c.tokens * c.tokens * c.head_dim * c.query_heads);
      const std::vector<Row> found = check_and_time(
          {.op = "attention",
           .name = c.name,
           .inputs = {q, k, v},
           .upstream = at::randn_like(q),
           .forward = {.flops = flops},
           .backward = {.flops = 2.5 * flops}},
          [&](const std::vector<at::Tensor>& in) {
            return ops::attention_reference(in[0], in[1], in[2], layout, scale);
          },
          {{"ours",
            [&](const std::vector<at::Tensor>& in) { return ops::attention(in[0], in[1], in[2], layout, scale); }},
           {"SDPA", [](const std::vector<at::Tensor>& in) { return sdpa(in[0], in[1], in[2]); }}},
          settings);
      rows.insert(rows.end(), found.begin(), found.end());
    }
  }
  return rows;
}

}  // namespace bench
