#include "ops/norm_rotary/norm_rotary.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <string>
#include <vector>

#include "cases/norm_rotary.h"
#include "native/against_reference.h"
#include "native/check.h"
#include "native/gradcheck.h"
#include "native/instruction_sets.h"
#include "ops/norm_rotary/cpu.h"

namespace ehrjepa::ops::norm_rotary_cpu {
extern const KernelSet<Kernels> wide_kernels;
}

namespace norm_rotary_test {
namespace {

using namespace ehrjepa;
using Inputs = std::vector<at::Tensor>;
using Set = ops::KernelSet<ops::norm_rotary_cpu::Kernels>;

constexpr double eps = 1e-6;

std::vector<std::pair<std::string, const Set*>> sets() {
  using namespace ops::norm_rotary_cpu;
  return sets_that_run(plain_kernels, avx2_kernels, avx512_kernels, wide_kernels, &avx512_bf16_kernels);
}

/// Out of order and with gaps, as those of branches are.
ops::RotaryTables tables_of(std::int64_t tokens, std::int64_t head_dim, at::ScalarType dtype) {
  return ops::rotary_tables(at::arange(tokens, at::kLong).mul(7).remainder(1000), head_dim, 1e4, dtype);
}

/// Through the dispatcher, then with every instruction set of this processor.
void compare(at::ScalarType dtype) {
  for (const NormRotaryCase& c : norm_rotary_cases) {
    at::manual_seed(5);
    const at::Tensor x = (at::randn({c.tokens, c.heads, c.head_dim}, at::kDouble) * 3 + 0.2).to(dtype);
    const at::Tensor weight = (at::rand({c.head_dim}, at::kDouble) + 0.5).to(dtype);
    const at::Tensor upstream = at::randn_like(x);
    // The tables are rounded as the inputs are: the same ones for all.
    const ops::RotaryTables rounded = tables_of(c.tokens, c.head_dim, dtype);
    const auto tables = [&](const at::Tensor& values) {
      return ops::RotaryTables{rounded.cos.to(values.scalar_type()), rounded.sin.to(values.scalar_type())};
    };
    const auto reference = [&](const Inputs& in) {
      return ops::norm_rotary_reference(in[0], in[1], tables(in[0]), eps);
    };
    against_reference::expect_as_exact(
        [&](const Inputs& in) { return ops::norm_rotary(in[0], in[1], tables(in[0]), eps); }, reference, {x, weight},
        upstream, c.name);
    const at::Tensor cos = rounded.cos.squeeze(1).contiguous(), sin = rounded.sin.squeeze(1).contiguous();
    for (const auto& [name, set] : sets()) {
      against_reference::expect_results_as_exact(
          [&, kernels = set](const Inputs& in, const at::Tensor& gradient) {
            using namespace ops::norm_rotary_cpu;
            const auto [y, rstd] = forward(in[0], in[1], cos, sin, eps, *kernels);
            const auto [grad_x, grad_weight] = backward(gradient, in[0], in[1], cos, sin, rstd, *kernels);
            return Inputs{y, grad_x, grad_weight};
          },
          reference, {x, weight}, upstream, c.name + (", " + name));
    }
  }
}

TEST("norm_rotary: float32 agrees with the reference, output and all gradients") { compare(at::kFloat); }
TEST("norm_rotary: bfloat16 within twice the error of plain ATen") { compare(at::kBFloat16); }

TEST("norm_rotary: gradients agree with central differences in float64") {
  at::manual_seed(3);
  const ops::RotaryTables tables = ops::rotary_tables(at::tensor({3, 0, 14}, at::kLong), 6, 1e4, at::kDouble);
  EXPECT_LE(gradcheck([&](const Inputs& in) { return ops::norm_rotary(in[0], in[1], tables, eps); },
                      {at::randn({3, 2, 6}, at::kDouble), at::rand({6}, at::kDouble) + 0.5}),
            1e-7);
}

TEST("norm_rotary: position 0 is the norm alone, and scores depend on the distance alone") {
  const at::Tensor x = at::randn({1, 1, 8}, at::kDouble), y = at::randn({1, 1, 8}, at::kDouble);
  const auto at_position = [](const at::Tensor& values, std::int64_t position) {
    return ops::norm_rotary(values, at::ones({8}, at::kDouble),
                            ops::rotary_tables(at::tensor({position}, at::kLong), 8, 1e4, at::kDouble), 0.0);
  };
  EXPECT_LE((at_position(x, 0) - x / x.square().mean().sqrt()).abs().max().item<double>(), 1e-15);
  const auto score = [&](std::int64_t i, std::int64_t j) {
    return (at_position(x, i) * at_position(y, j)).sum().item<double>();
  };
  EXPECT_CLOSE(score(7, 3), score(104, 100), 1e-10);
  EXPECT(std::abs(score(7, 3) - score(7, 4)) > 1e-6);
}

TEST("norm_rotary: the same bytes with one thread and with many; strided input gives what contiguous gives") {
  const at::Tensor x = at::randn({8, 301, 32}).transpose(0, 1), weight = at::rand({32});
  const ops::RotaryTables tables = tables_of(301, 32, at::kFloat);
  const auto ours = [&](const Inputs& in) { return ops::norm_rotary(in[0], in[1], tables, eps); };
  const at::Tensor upstream = at::randn({301, 8, 32});
  const int threads = at::get_num_threads();
  at::set_num_threads(1);
  const Inputs one = against_reference::results(ours, {x.contiguous(), weight}, upstream);
  at::set_num_threads(threads);
  const Inputs many = against_reference::results(ours, {x, weight}, upstream);
  for (std::size_t i = 0; i < one.size(); ++i) EXPECT(one[i].equal(many[i]));
}

TEST("norm_rotary: errors name argument, rule and value") {
  const auto call = [](const at::Tensor& x, const at::Tensor& weight, const ops::RotaryTables& tables) {
    return ops::norm_rotary(x, weight, tables, eps);
  };
  const at::Tensor x = at::ones({2, 3, 8}), weight = at::ones({8});
  EXPECT_THROWS(tables_of(2, 7, at::kFloat), "[rotary] head_dim must be even but is 7");
  EXPECT_THROWS(call(at::ones({2, 3, 7}), weight, tables_of(2, 8, at::kFloat)), "with an even head_dim");
  EXPECT_THROWS(call(x, at::ones({6}), tables_of(2, 8, at::kFloat)), "weight must have head_dim elements (8)");
  EXPECT_THROWS(call(x, weight, tables_of(3, 8, at::kFloat)),
                "[norm_rotary] the tables must have shape (2, 1, 8) but one has [3, 1, 8]");
  EXPECT_THROWS(call(x, weight, tables_of(2, 8, at::kBFloat16)), "must have the dtype and the device of x");
  EXPECT_THROWS(ops::norm_rotary(x, weight, tables_of(2, 8, at::kFloat), -1.0), "eps must not be negative but is -1");
}

}  // namespace
}  // namespace norm_rotary_test
