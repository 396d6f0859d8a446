#include "doctor/op_cases.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>

#include <cmath>

#include "ops/attention/attention.h"
#include "ops/linear/linear.h"
#include "ops/linear_cross_entropy/linear_cross_entropy.h"
#include "ops/norm_rotary/norm_rotary.h"
#include "ops/rms_norm/rms_norm.h"
#include "ops/rotary/rotary.h"
#include "ops/swiglu/swiglu.h"

namespace ehrjepa::doctor {
namespace {

constexpr double eps = 1e-6;
using Inputs = std::vector<at::Tensor>;

/// Both results of a sum with a norm, as one tensor.
template <typename Pair>
at::Tensor both(const Pair& pair) {
  return at::cat({std::get<0>(pair), std::get<1>(pair)});
}

/// Row numbers beside a tensor.
at::Tensor rows_of(const at::Tensor& x) { return at::arange(x.size(0), x.options().dtype(at::kLong)); }

/// Two sequences, and behind them two branches that see a part of the first.
ops::AttentionLayout layout_of(std::int64_t tokens) {
  const std::int64_t trunk = tokens * 3 / 4, first = trunk / 2, branch = (tokens - trunk) / 2;
  return {.cu_seqlens = {0, first, trunk},
          .branches = {{0, first / 2, trunk, trunk + branch}, {0, first / 3, trunk + branch, tokens}}};
}

/// Pairs of rows that see one another.
double pairs_of(const ops::AttentionLayout& layout) {
  const auto causal = [](std::int64_t n) { return static_cast<double>(n) * static_cast<double>(n + 1) / 2; };
  double pairs = 0.0;
  for (std::size_t i = 0; i + 1 < layout.cu_seqlens.size(); ++i) {
    pairs += causal(layout.cu_seqlens[i + 1] - layout.cu_seqlens[i]);
  }
  for (const ops::Branch& branch : layout.branches) {
    const std::int64_t rows = branch.end - branch.begin;
    pairs += causal(rows) + static_cast<double>(rows) * static_cast<double>(branch.context_end - branch.context_begin);
  }
  return pairs;
}

OpCase attention_case(const OpSizes& s, std::int64_t head) {
  const AttentionOp attention = attention_op(s, head);
  return {.name = with_heads("attention", head),
          .function = "ehrjepa::attention_forward",
          .shapes = attention.shapes,
          .op =
              [=](const Inputs& in) {
                return ops::attention(in[0], in[1], in[2], attention.layout, attention.softmax_scale);
              },
          .reference =
              [=](const Inputs& in) {
                return ops::attention_reference(in[0], in[1], in[2], attention.layout, attention.softmax_scale);
              },
          .flops = attention.flops,
          .elements = attention.elements};
}

OpCase norm_rotary_case(const OpSizes& s, std::int64_t head) {
  const auto tables = [=](const at::Tensor& x) { return ops::rotary_tables(rows_of(x), head, 1e6, x.scalar_type()); };
  return {.name = with_heads("QK-norm and rotary embedding", head),
          .function = "ehrjepa::norm_rotary_forward",
          .shapes = {{s.tokens, s.hidden / head, head}, {head}},
          .op = [=](const Inputs& in) { return ops::norm_rotary(in[0], in[1], tables(in[0]), eps); },
          .reference = [=](const Inputs& in) { return ops::norm_rotary_reference(in[0], in[1], tables(in[0]), eps); },
          .elements = 5.0 * static_cast<double>(s.tokens * s.hidden)};
}

OpCase cross_entropy_case(const OpSizes& s) {
  const auto labels = [v = s.vocabulary](const at::Tensor& hidden) { return (rows_of(hidden) * 7).remainder(v); };
  return {
      .name = "loss head",
      .function = "ehrjepa::linear_cross_entropy_forward",
      .shapes = {{s.tokens, s.hidden}, {s.vocabulary, s.hidden}},
      .op = [=](const Inputs& in) { return ops::linear_cross_entropy(in[0], in[1], labels(in[0])); },
      .reference = [=](const Inputs& in) { return ops::linear_cross_entropy_reference(in[0], in[1], labels(in[0])); },
      .flops = 6.0 * static_cast<double>(s.tokens * s.hidden) * static_cast<double>(s.vocabulary),
      .elements = 4.0 * static_cast<double>((s.tokens + s.vocabulary) * s.hidden)};
}

}  // namespace

std::string with_heads(const std::string& name, std::int64_t head_dim) {
  return name + ", heads of " + std::to_string(head_dim);
}

AttentionOp attention_op(const OpSizes& s, std::int64_t head) {
  const std::int64_t heads = s.hidden / head, key_heads = heads / 2;
  const ops::AttentionLayout layout = layout_of(s.tokens);
  return {.layout = layout,
          .softmax_scale = 1.0 / std::sqrt(static_cast<double>(head)),
          .shapes = {{s.tokens, heads, head}, {s.tokens, key_heads, head}, {s.tokens, key_heads, head}},
          // Two products forward, five backward, of `head` products and sums each.
          .flops = 14.0 * pairs_of(layout) * static_cast<double>(heads * head),
          .elements = 8.0 * static_cast<double>(s.tokens * (heads + key_heads) * head)};
}

std::vector<OpCase> op_cases(const OpSizes& s) {
  const auto rows = static_cast<double>(s.tokens), features = static_cast<double>(s.hidden);
  std::vector<OpCase> cases;
  cases.push_back({.name = "RMSNorm",
                   .function = "ehrjepa::rms_norm_forward",
                   .shapes = {{s.tokens, s.hidden}, {s.hidden}},
                   .op = [](const Inputs& in) { return ops::rms_norm(in[0], in[1], eps); },
                   .reference = [](const Inputs& in) { return ops::rms_norm_reference(in[0], in[1], eps); },
                   .elements = 5.0 * rows * features});
  cases.push_back(
      {.name = "sum and RMSNorm",
       .function = "ehrjepa::add_rms_norm_forward",
       .shapes = {{s.tokens, s.hidden}, {s.tokens, s.hidden}, {s.hidden}},
       .op = [](const Inputs& in) { return both(ops::add_rms_norm(in[0], in[1], in[2], eps)); },
       .reference = [](const Inputs& in) { return both(ops::add_rms_norm_reference(in[0], in[1], in[2], eps)); },
       .elements = 8.0 * rows * features});
  for (const std::int64_t head : head_sizes) cases.push_back(norm_rotary_case(s, head));
  cases.push_back({.name = "SwiGLU",
                   .function = "ehrjepa::swiglu_forward",
                   .shapes = {{s.tokens, 3 * s.hidden}, {s.tokens, 3 * s.hidden}},
                   .op = [](const Inputs& in) { return ops::swiglu(in[0], in[1]); },
                   .reference = [](const Inputs& in) { return ops::swiglu_reference(in[0], in[1]); },
                   .elements = 24.0 * rows * features});
  cases.push_back({.name = "linear map",
                   .function = "",
                   .shapes = {{s.tokens, s.hidden}, {s.hidden, s.hidden}},
                   .op = [](const Inputs& in) { return ops::linear(in[0], in[1]); },
                   .reference = [](const Inputs& in) { return ops::linear_reference(in[0], in[1]); },
                   .flops = 6.0 * rows * features * features,
                   .elements = 6.0 * rows * features + 3.0 * features * features});
  for (const std::int64_t head : head_sizes) cases.push_back(attention_case(s, head));
  cases.push_back(cross_entropy_case(s));
  return cases;
}

}  // namespace ehrjepa::doctor
