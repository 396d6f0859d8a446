#include "ops/attention/attention.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <cmath>
#include <string>
#include <vector>

#include "cases/attention.h"
#include "native/against_reference.h"
#include "native/check.h"
#include "native/gradcheck.h"
#include "native/instruction_sets.h"
#include "ops/attention/choice.h"
#include "ops/attention/cpu.h"

namespace ehrjepa::ops::attention_cpu {
extern const KernelSet<Kernels> wide_kernels;
extern const PairKernels wide_pair_kernels;
}  // namespace ehrjepa::ops::attention_cpu

namespace attention_test {
namespace {

using namespace ehrjepa;
using against_reference::results;
using Inputs = std::vector<at::Tensor>;
using Chosen = ops::attention_cpu::Chosen;

constexpr double scale = 0.3;

Inputs inputs_of(const AttentionCase& c, at::ScalarType dtype) {
  at::manual_seed(5);
  const std::int64_t rows = c.layout.rows();
  const std::int64_t queries = c.rows ? static_cast<std::int64_t>(c.rows->size()) : rows;
  const auto random = [&](std::int64_t count, std::int64_t heads) {
    return at::randn({count, heads, c.head_dim}, at::kDouble).to(dtype);
  };
  return {random(queries, c.query_heads), random(rows, c.key_value_heads), random(rows, c.key_value_heads)};
}
at::Tensor ours(const Inputs& in, const AttentionCase& c) {
  return ops::attention(in[0], in[1], in[2], c.layout, scale, c.rows);
}
at::Tensor reference(const Inputs& in, const AttentionCase& c) {
  return ops::attention_reference(in[0], in[1], in[2], c.layout, scale, c.rows);
}

/// Output and gradients through the CPU kernels of one instruction set.
Inputs results_on(const Chosen& set, const AttentionCase& c, const Inputs& in, const at::Tensor& upstream) {
  const at::OptionalIntArrayRef rows = c.rows ? at::OptionalIntArrayRef(*c.rows) : at::OptionalIntArrayRef();
  const auto [out, log_sum] = ops::attention_cpu::forward(in[0], in[1], in[2], c.layout, scale, rows, set);
  const auto [grad_q, grad_k, grad_v] =
      ops::attention_cpu::backward(upstream, in[0], in[1], in[2], out, log_sum, c.layout, scale, rows, set);
  return {out, grad_q, grad_k, grad_v};
}

/// With bfloat16, also those that multiply it, and their logic on processors that do not.
std::vector<std::pair<std::string, Chosen>> sets(at::ScalarType dtype) {
  using namespace ops::attention_cpu;
  std::vector<std::pair<std::string, Chosen>> found;
  for (const auto& [name, set] : sets_that_run(plain_kernels, avx2_kernels, avx512_kernels, wide_kernels)) {
    found.push_back({name, {*set}});
  }
  if (dtype != at::kBFloat16) return found;
  if (ops::runs(ops::Isa::kAvx2)) found.push_back({"pairs of 64 bytes", {wide_kernels, &wide_pair_kernels}});
  if (ops::multiplies_bfloat16()) found.push_back({"pairs", {avx512_kernels, &avx512_bf16_pair_kernels}});
  return found;
}

/// Through the dispatcher, with libtorch's attention, and with every instruction set of this processor.
void compare(at::ScalarType dtype) {
  for (const AttentionCase& c : attention_cases) {
    const Inputs in = inputs_of(c, dtype);
    const at::Tensor upstream = at::randn_like(in[0]);
    const auto exact = [&](const Inputs& x) { return reference(x, c); };
    against_reference::expect_as_exact([&](const Inputs& x) { return ours(x, c); }, exact, in, upstream, c.name);
    // In float32 libtorch's own is not always within twice the reference's error.
    if (in[0].numel() > 0 && dtype != at::kFloat) {
      const auto sdpa = [&](const Inputs& x) { return ops::attention_sdpa(x[0], x[1], x[2], c.layout, scale, c.rows); };
      against_reference::expect_as_exact(sdpa, exact, in, upstream, c.name + std::string(", SDPA"));
    }
    for (const auto& [name, set] : sets(dtype)) {
      against_reference::expect_results_as_exact(
          [&, kernels = set](const Inputs& x, const at::Tensor& gradient) {
            return results_on(kernels, c, x, gradient);
          },
          exact, in, upstream, c.name + (", " + name));
    }
  }
}

/// The definition, sum by sum.
at::Tensor by_definition(const Inputs& in, const AttentionCase& c) {
  const std::vector<std::int64_t>& cu_seqlens = c.layout.cu_seqlens;
  const at::Tensor out = at::zeros_like(in[0]);
  const auto sees = [&](std::int64_t t, std::int64_t s) {
    for (std::size_t i = 0; i + 1 < cu_seqlens.size(); ++i) {
      if (t >= cu_seqlens[i] && t < cu_seqlens[i + 1]) return s >= cu_seqlens[i] && s <= t;
    }
    for (const ops::Branch& branch : c.layout.branches) {
      if (t < branch.begin || t >= branch.end) continue;
      if (s >= branch.context_begin && s < branch.context_end) return true;
      return c.layout.isolated ? s == t : s >= branch.begin && s <= t;
    }
    return false;
  };
  for (std::int64_t row = 0; row < in[0].size(0); ++row) {
    const std::int64_t t = c.rows ? (*c.rows)[static_cast<std::size_t>(row)] : row;
    std::vector<std::int64_t> keys;
    for (std::int64_t s = 0; s < in[1].size(0); ++s) {
      if (sees(t, s)) keys.push_back(s);
    }
    const at::Tensor index = at::tensor(keys, at::kLong);
    for (std::int64_t n = 0; n < c.query_heads; ++n) {
      const std::int64_t head = n / (c.query_heads / c.key_value_heads);
      const at::Tensor scores = in[1].select(1, head).index_select(0, index).mv(in[0][row][n]) * scale;
      out[row][n].copy_(in[2].select(1, head).index_select(0, index).t().mv(at::softmax(scores, 0)));
    }
  }
  return out;
}

TEST("attention: the reference is the definition, sum by sum") {
  for (const AttentionCase& c : attention_cases) {
    const Inputs in = inputs_of(c, at::kDouble);
    if (c.layout.rows() > 100 || in[0].numel() == 0) continue;
    EXPECT_LE((reference(in, c) - by_definition(in, c)).abs().max().item<double>(), 1e-12);
  }
}

TEST("attention: float32 agrees with the reference, output and all gradients") { compare(at::kFloat); }
TEST("attention: bfloat16 within twice the error of plain ATen") { compare(at::kBFloat16); }
TEST("attention: products of bfloat16 are neither too large nor too small by a thousandth") {
  // Twice the error of plain bfloat16 hides a factor that is one percent off; over all elements rounding cancels.
  const AttentionCase& c = attention_cases[7];
  const Inputs in = inputs_of(c, at::kBFloat16);
  const at::Tensor upstream = at::randn_like(in[0]);
  const auto exact = [&](const Inputs& x) { return reference(x, c); };
  Inputs wide;
  for (const at::Tensor& x : in) wide.push_back(x.to(at::kDouble));
  const Inputs wanted = results(exact, wide, upstream.to(at::kDouble));
  for (const auto& [name, set] : sets(at::kBFloat16)) {
    const Inputs found = results_on(set, c, in, upstream);
    for (std::size_t i = 0; i < wanted.size(); ++i) {
      const at::Tensor given = found[i].to(at::kDouble);
      EXPECT_LE(std::abs((given * wanted[i]).sum().item<double>() / wanted[i].square().sum().item<double>() - 1.0),
                1e-3);
      EXPECT_LE(((given - wanted[i]).norm() / wanted[i].norm()).item<double>(), 6e-3);
    }
  }
}
TEST("attention: float64 agrees with the reference") { compare(at::kDouble); }

TEST("attention: gradients agree with central differences in float64") {
  for (const AttentionCase& c : attention_cases) {
    if (c.layout.rows() > 40 || c.layout.rows() == 0) continue;
    EXPECT_LE(gradcheck([&](const Inputs& in) { return ours(in, c); }, inputs_of(c, at::kDouble)), 1e-6);
  }
}

TEST("attention: the same bytes with one thread and with many") {
  const int threads = at::get_num_threads();
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
    for (const AttentionCase& c : attention_cases) {
      if (c.layout.rows() < 100) continue;
      const Inputs in = inputs_of(c, dtype);
      const at::Tensor upstream = at::randn_like(in[0]);
      for (const auto& [name, set] : sets(dtype)) {
        at::set_num_threads(1);
        const Inputs one = results_on(set, c, in, upstream);
        for (const int many : {2, 3, threads}) {
          at::set_num_threads(many);
          const Inputs found = results_on(set, c, in, upstream);
          at::set_num_threads(threads);
          for (std::size_t i = 0; i < one.size(); ++i) EXPECT(one[i].equal(found[i]));
        }
      }
    }
  }
}

TEST("attention: ours is chosen where it was measured to be faster") {
  using ops::AttentionChoice, ops::Isa, ops::attention_choice;
  EXPECT(attention_choice(Isa::kPlain) == AttentionChoice::kSdpa);
  EXPECT(attention_choice(Isa::kAvx2) == AttentionChoice::kKernels);
  EXPECT(attention_choice(Isa::kAvx512) == AttentionChoice::kKernels);
  EXPECT(attention_choice(Isa::kAvx512Bf16) == AttentionChoice::kKernels);
}

TEST("attention: what a row does not see changes neither its output nor its gradient") {
  const AttentionCase& c = attention_cases[7];
  Inputs in = inputs_of(c, at::kFloat);
  const auto call = [&](const Inputs& x) { return ours(x, c); };
  at::Tensor upstream = at::zeros_like(in[0]);
  upstream[440].fill_(1.0);  // a row of the first branch, whose context ends at 150
  const Inputs before = results(call, in, upstream);
  in[1].narrow(0, 150, 281).mul_(-3.0);
  in[2].narrow(0, 150, 281).add_(7.0);
  const Inputs after = results(call, in, upstream);
  EXPECT(before[0][440].equal(after[0][440]));
  EXPECT(before[1].equal(after[1]));
  for (const std::size_t gradient : {2, 3}) {
    EXPECT(after[gradient].narrow(0, 150, 281).abs().max().item<double>() == 0.0);
    EXPECT(after[gradient].narrow(0, 441, 151).abs().max().item<double>() == 0.0);
  }
}

TEST("attention: scores far apart and scores all alike stay finite") {
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
    for (const double size : {0.0, 300.0}) {
      const AttentionCase& c = attention_cases[7];
      Inputs in = inputs_of(c, dtype);
      in[0] = in[0] * size;
      for (const at::Tensor& result : results([&](const Inputs& x) { return ours(x, c); }, in, at::ones_like(in[0]))) {
        EXPECT(result.isfinite().all().item<bool>());
      }
    }
  }
}

TEST("attention: strided inputs give what contiguous ones give") {
  const AttentionCase& c = attention_cases[4];
  const Inputs in = inputs_of(c, at::kFloat);
  Inputs strided;
  for (const at::Tensor& x : in) strided.push_back(x.transpose(0, 1).contiguous().transpose(0, 1));
  EXPECT(ours(in, c).equal(ours(strided, c)));
}

TEST("attention: errors name argument, rule and value") {
  const at::Tensor q = at::ones({5, 4, 8}), k = at::ones({5, 2, 8});
  const auto call = [&](const ops::AttentionLayout& layout, std::optional<std::vector<std::int64_t>> rows = {}) {
    return ops::attention(q, k, k, layout, scale, rows);
  };
  EXPECT_THROWS(ops::attention(q, k, at::ones({5, 2, 6}), {{0, 5}, {}, false}, scale), "must have shape");
  EXPECT_THROWS(ops::attention(q, at::ones({5, 3, 8}), at::ones({5, 3, 8}), {{0, 5}, {}, false}, scale),
                "[attention] key/value heads (3) must divide query heads (4)");
  EXPECT_THROWS(ops::attention(q, k.to(at::kDouble), k, {{0, 5}, {}, false}, scale), "must have the dtype");
  EXPECT_THROWS(ops::attention(q.to(at::kLong), k, k, {{0, 5}, {}, false}, scale), "float32, bfloat16 or float64");
  EXPECT_THROWS(call({{0, 4}, {}, false}), "[attention] the layout must end at total_tokens (5) but ends at 4");
  EXPECT_THROWS(call({{1, 5}, {}, false}), "cu_seqlens must start with 0 and ascend");
  EXPECT_THROWS(call({{0, 4, 3, 5}, {}, false}), "cu_seqlens must start with 0 and ascend");
  EXPECT_THROWS(call({{0, 3}, {{0, 2, 4, 5}}, false}), "back to back");
  EXPECT_THROWS(call({{0, 2, 3}, {{1, 3, 3, 5}}, false}), "within one trunk sequence but is [1, 3)");
  EXPECT_THROWS(call({{0, 3}, {{-1, 2, 3, 5}}, false}), "within one trunk sequence");
  EXPECT_THROWS(call({{0, 5}, {}, false}, {{0, 1}}), "q must have a row for each wanted output but has 5");
  EXPECT_THROWS(call({{0, 5}, {}, false}, {{0, 1, 3, 2, 4}}), "rows must ascend within the trunk (5 rows)");
  EXPECT_THROWS(call({{0, 5}, {}, false}, {{0, 1, 2, 3, 5}}), "rows must ascend within the trunk (5 rows)");
}

}  // namespace
}  // namespace attention_test
