#include "ops/rms_norm/rms_norm.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <fstream>
#include <mutex>
#include <set>
#include <string>
#include <thread>

#include "api/build_info.h"
#include "cases/rms_norm.h"
#include "native/against_reference.h"
#include "native/check.h"
#include "native/gradcheck.h"
#include "native/instruction_sets.h"
#include "ops/rms_norm/cpu.h"

namespace ehrjepa::ops::rms_norm_cpu {
extern const KernelSet<Kernels> wide_kernels;
}

namespace rms_norm_test {
namespace {

using Set = ehrjepa::ops::KernelSet<ehrjepa::ops::rms_norm_cpu::Kernels>;
using ehrjepa::ops::add_rms_norm;
using ehrjepa::ops::add_rms_norm_reference;
using ehrjepa::ops::rms_norm;
using ehrjepa::ops::rms_norm_reference;

/// Output and both input gradients for one upstream gradient.
struct Results {
  at::Tensor y, grad_x, grad_weight;
};

template <typename Function>
Results run(const Function& function, const at::Tensor& x, const at::Tensor& weight, const at::Tensor& upstream) {
  const at::Tensor leaf_x = x.detach().clone().requires_grad_(true);
  const at::Tensor leaf_weight = weight.detach().clone().requires_grad_(true);
  const at::Tensor y = function(leaf_x, leaf_weight, 1e-6);
  const std::vector<at::Tensor> gradients = torch::autograd::grad({y}, {leaf_x, leaf_weight}, {upstream});
  return {y.detach(), gradients[0], gradients[1]};
}

/// The same through the CPU kernels of one instruction set.
Results run_on(const Set& set, const at::Tensor& x, const at::Tensor& weight, const at::Tensor& upstream) {
  const auto [y, rstd] = ehrjepa::ops::rms_norm_cpu::forward(x, weight, 1e-6, set);
  const auto [grad_x, grad_weight] = ehrjepa::ops::rms_norm_cpu::backward(upstream, {}, x, weight, rstd, set);
  return {y, grad_x, grad_weight};
}

/// |found - exact| / |exact| in the L2 norm, float64. `found` may be on any device.
double error(const at::Tensor& found, const at::Tensor& exact) {
  return ((found.cpu().to(at::kDouble) - exact).norm() / exact.norm().clamp_min(1e-30)).item<double>();
}

struct Inputs {
  at::Tensor x, weight, upstream;
};
Inputs inputs_of(const RmsNormCase& c, at::ScalarType dtype) {
  at::manual_seed(17);
  const at::Tensor x = at::randn({c.tokens, c.size}, at::kDouble) * 3 + 0.2;
  const at::Tensor weight = at::rand({c.size}, at::kDouble) + 0.5;
  const at::Tensor upstream = at::randn({c.tokens, c.size}, at::kDouble);
  return {x.to(dtype), weight.to(dtype), upstream.to(dtype)};
}

/// Ours and the plain ATen version of one dtype against the float64 truth of the same rounded inputs.
/// @param set  null: through the dispatcher, on `device`.
void compare(at::ScalarType dtype, const Set* set = nullptr, at::Device device = at::kCPU) {
  for (const RmsNormCase& c : rms_norm_cases) {
    const Inputs in = inputs_of(c, dtype);
    const auto wide = [](const at::Tensor& t) { return t.to(at::kDouble); };
    const Results exact = run(rms_norm_reference, wide(in.x), wide(in.weight), wide(in.upstream));
    const Inputs there = {in.x.to(device), in.weight.to(device), in.upstream.to(device)};
    const Results plain = run(rms_norm_reference, there.x, there.weight, there.upstream);
    const Results ours = set != nullptr ? run_on(*set, in.x, in.weight, in.upstream)
                                        : run(rms_norm, there.x, there.weight, there.upstream);
    // Half a unit in the last place of the dtype: where plain ATen is exact by luck, ours may still round.
    const double rounding = dtype == at::kFloat ? 6e-8 : 4e-3;
    EXPECT_LE(error(ours.y, exact.y), 2 * error(plain.y, exact.y) + rounding);
    // A single feature is normalised to a constant: its exact gradient is rounding noise of x^2 / (x^2 + eps).
    if (c.size > 1) EXPECT_LE(error(ours.grad_x, exact.grad_x), 2 * error(plain.grad_x, exact.grad_x) + rounding);
    EXPECT_LE(error(ours.grad_weight, exact.grad_weight), 2 * error(plain.grad_weight, exact.grad_weight) + rounding);
    if (c.tokens * c.size >= 10'000) {
      // A factor-two rule is blind to a constant scale in bfloat16; the mean signed error is not.
      const double bias =
          ((wide(ours.y.cpu()) - exact.y) * exact.y.sign()).mean().item<double>() / exact.y.abs().mean().item<double>();
      EXPECT_LE(std::abs(bias), dtype == at::kFloat ? 1e-7 : 5e-4);
    }
  }
}

std::vector<std::pair<std::string, const Set*>> sets() {
  using namespace ehrjepa::ops::rms_norm_cpu;
  return sets_that_run(plain_kernels, avx2_kernels, avx512_kernels, wide_kernels, &avx512_bf16_kernels);
}

TEST("rms_norm: float32 agrees with the reference, output and all gradients") { compare(at::kFloat); }
TEST("rms_norm: bfloat16 within twice the error of plain ATen, without bias") { compare(at::kBFloat16); }

/// Threads get runs of rows: a row must have the bits that it has by itself, wherever in a run it stands.
void compare_rows(at::ScalarType dtype, const Set& set) {
  using namespace ehrjepa::ops::rms_norm_cpu;
  for (const std::int64_t size : {1, 16, 67, 512}) {
    const RmsNormCase c{"rows", 5, size};
    const Inputs in = inputs_of(c, dtype);
    const auto [y, rstd] = forward(in.x, in.weight, 1e-6, set);
    const auto [sum, sum_y, sum_rstd] = add_forward(in.x, in.upstream, in.weight, 1e-6, set);
    for (const at::Tensor& grad_sum : {at::Tensor(), in.x}) {
      const auto [grad_x, grad_weight] = backward(in.upstream, grad_sum, in.x, in.weight, rstd, set);
      for (std::int64_t row = 0; row < c.tokens; ++row) {
        const auto one = [&](const at::Tensor& of) { return of.narrow(0, row, 1); };
        const auto [y_1, rstd_1] = forward(one(in.x), in.weight, 1e-6, set);
        const auto [sum_1, sum_y_1, sum_rstd_1] = add_forward(one(in.x), one(in.upstream), in.weight, 1e-6, set);
        const auto [grad_x_1, grad_weight_1] = backward(one(in.upstream), grad_sum.defined() ? one(grad_sum) : grad_sum,
                                                        one(in.x), in.weight, one(rstd), set);
        EXPECT(at::equal(y_1, one(y)) && at::equal(rstd_1, one(rstd)));
        EXPECT(at::equal(sum_1, one(sum)) && at::equal(sum_y_1, one(sum_y)) && at::equal(sum_rstd_1, one(sum_rstd)));
        EXPECT(at::equal(grad_x_1, one(grad_x)));
      }
    }
  }
}

TEST("rms_norm: a row has the same bits alone and among others, the kernels of every instruction set") {
  for (const auto& [name, set] : sets()) {
    for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16, at::kDouble}) compare_rows(dtype, *set);
  }
}

TEST("rms_norm: float32, the kernels of every instruction set") {
  for (const auto& [name, set] : sets()) compare(at::kFloat, set);
}
TEST("rms_norm: bfloat16, the kernels of every instruction set") {
  for (const auto& [name, set] : sets()) compare(at::kBFloat16, set);
}

/// @throws check::Skipped  where the kernels cannot be run.
void compare_on_card(at::ScalarType dtype) {
  if (!ehrjepa::api::build_info().cuda) throw check::Skipped("this build is for the CPU");
  if (!at::hasCUDA()) throw check::Skipped("no CUDA device can be used here");
  compare(dtype, nullptr, at::kCUDA);
}
TEST("rms_norm: float32 on a card agrees with the reference") { compare_on_card(at::kFloat); }
TEST("rms_norm: bfloat16 on a card within twice the error of plain ATen") { compare_on_card(at::kBFloat16); }

TEST("rms_norm: all instruction sets round alike in bfloat16") {
  const Inputs in = inputs_of({"", 257, 200}, at::kBFloat16);
  const Results first = run_on(*sets()[0].second, in.x, in.weight, in.upstream);
  for (const auto& [name, set] : sets()) {
    const Results found = run_on(*set, in.x, in.weight, in.upstream);
    // Sums are taken in another order, so single values may fall on the other side of a rounding boundary.
    EXPECT_LE((found.y.ne(first.y)).to(at::kDouble).mean().item<double>(), 0.01);
  }
}

/// `add_rms_norm` as one tensor, so that both outputs carry gradient.
at::Tensor both(const std::tuple<at::Tensor, at::Tensor>& sum_and_norm) {
  return at::cat({std::get<0>(sum_and_norm), std::get<1>(sum_and_norm)}, -1);
}

TEST("rms_norm: a sum and its norm agree with the reference, outputs and all gradients") {
  using Tensors = std::vector<at::Tensor>;
  const auto reference = [](const Tensors& in) { return both(add_rms_norm_reference(in[0], in[1], in[2], 1e-6)); };
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
    for (const RmsNormCase& c : rms_norm_cases) {
      if (c.size == 1) continue;  // its gradient is rounding noise
      const Inputs x = inputs_of(c, dtype);
      // In bfloat16 the float64 truth has to start from the rounded sum: rounding it is part of the op.
      const at::Tensor delta = (at::randn({c.tokens, c.size}) * 4).round().to(dtype);
      const Tensors in = {x.x.round(), delta, x.weight};
      const at::Tensor upstream = at::randn({c.tokens, 2 * c.size}, at::kDouble).to(dtype);
      against_reference::expect_as_exact(
          [](const Tensors& values) { return both(add_rms_norm(values[0], values[1], values[2], 1e-6)); }, reference,
          in, upstream, c.name);
      for (const auto& [name, set] : sets()) {
        against_reference::expect_results_as_exact(
            [kernels = set](const Tensors& values, const at::Tensor& gradient) {
              using namespace ehrjepa::ops::rms_norm_cpu;
              const auto [sum, y, rstd] = add_forward(values[0], values[1], values[2], 1e-6, *kernels);
              const std::int64_t size = sum.size(1);
              const auto [grad_x, grad_weight] =
                  backward(gradient.narrow(1, size, size).contiguous(), gradient.narrow(1, 0, size).contiguous(), sum,
                           values[2], rstd, *kernels);
              return Tensors{at::cat({sum, y}, 1), grad_x, grad_x, grad_weight};
            },
            reference, in, upstream, c.name + (", " + name));
      }
    }
  }
}

TEST("rms_norm: gradients of a sum and its norm agree with central differences; either may be used alone") {
  at::manual_seed(3);
  const std::vector<at::Tensor> in = {at::randn({3, 2, 5}, at::kDouble), at::randn({3, 2, 5}, at::kDouble),
                                      at::rand({5}, at::kDouble) + 0.5};
  for (const int used : {0, 1, 2}) {
    const auto function = [used](const std::vector<at::Tensor>& values) {
      const auto results = add_rms_norm(values[0], values[1], values[2], 1e-6);
      if (used == 2) return both(results);
      // The weight has no part in the sum: a zero share of the norm keeps it in the graph.
      return used == 1 ? std::get<1>(results) : std::get<0>(results) + 0.0 * std::get<1>(results);
    };
    EXPECT_LE(gradcheck(function, in), 1e-7);
  }
}

TEST("rms_norm: gradients agree with central differences in float64") {
  at::manual_seed(3);
  const auto function = [](const std::vector<at::Tensor>& in) { return rms_norm(in[0], in[1], 1e-6); };
  EXPECT_LE(gradcheck(function, {at::randn({4, 6}, at::kDouble), at::rand({6}, at::kDouble) + 0.5}), 1e-7);
  EXPECT_LE(gradcheck(function, {at::randn({3, 2, 5}, at::kDouble), at::rand({5}, at::kDouble) + 0.5}), 1e-7);
}

TEST("rms_norm: a wrong eps and a scale of 1 + 1e-6 are seen in float32") {
  const Inputs in = inputs_of({"", 64, 256}, at::kFloat);
  const at::Tensor small = in.x * 1e-2;
  const at::Tensor exact = rms_norm_reference(small.to(at::kDouble), in.weight.to(at::kDouble), 1e-6);
  const double honest = error(rms_norm(small, in.weight, 1e-6), exact);
  EXPECT_LE(honest, 2e-7);
  EXPECT(error(rms_norm(small, in.weight, 1e-5), exact) > 10 * honest);
  EXPECT(error(rms_norm(small, in.weight, 1e-6) * (1 + 1e-6), exact) > 4 * honest);
}

TEST("rms_norm: strided input and leading dimensions") {
  const at::Tensor x = at::randn({4, 6, 10}).transpose(0, 1);
  const at::Tensor weight = at::rand({10});
  EXPECT_LE((rms_norm(x, weight, 1e-6) - rms_norm_reference(x, weight, 1e-6)).abs().max().item<double>(), 1e-6);
}

TEST("rms_norm: no tokens give no output") { EXPECT(rms_norm(at::empty({0, 8}), at::ones({8}), 1e-6).numel() == 0); }

TEST("rms_norm: the gradient of the weight does not depend on the number of threads") {
  const Inputs in = inputs_of({"", 1000, 128}, at::kFloat);
  const int threads = at::get_num_threads();
  at::set_num_threads(1);
  const Results one = run(rms_norm, in.x, in.weight, in.upstream);
  at::set_num_threads(threads);
  const Results many = run(rms_norm, in.x, in.weight, in.upstream);
  EXPECT(one.grad_weight.equal(many.grad_weight));
}

TEST("rms_norm: errors name argument, rule and value") {
  const at::Tensor x = at::ones({2, 8});
  EXPECT_THROWS(rms_norm(x, at::ones({7}), 1e-6),
                "[rms_norm] weight must have the size of the last dimension of x (8) but has shape [7]");
  EXPECT_THROWS(rms_norm(x, at::ones({8}, at::kBFloat16), 1e-6), "[rms_norm] weight must have the dtype of x");
  EXPECT_THROWS(rms_norm(at::ones({2, 0}), at::ones({0}), 1e-6),
                "[rms_norm] x must have at least one feature but has shape [2, 0]");
  EXPECT_THROWS(rms_norm(at::ones({}), at::ones({1}), 1e-6), "[rms_norm] x must have at least one feature");
  EXPECT_THROWS(rms_norm(x, at::ones({8}, at::kMeta), 1e-6), "[rms_norm] weight must be on the device of x (cpu)");
  EXPECT_THROWS(add_rms_norm(x, at::ones({8}), at::ones({8}), 1e-6),
                "[rms_norm] delta must have shape, dtype and device");
  EXPECT_THROWS(rms_norm(x, at::ones({8}), -1.0), "[rms_norm] eps must not be negative but is -1");
  EXPECT_THROWS(rms_norm(x.to(at::kLong), at::ones({8}, at::kLong), 1e-6), "must be float32, bfloat16 or float64");
}

TEST("threads: parallel_for uses every thread it has") {
  if (at::get_num_threads() < 2) throw check::Skipped("one thread");
  std::mutex mutex;
  std::set<std::thread::id> seen;
  at::parallel_for(0, 64, 1, [&](std::int64_t, std::int64_t) {
    const std::lock_guard lock(mutex);
    seen.insert(std::this_thread::get_id());
  });
  EXPECT(static_cast<int>(seen.size()) == std::min(64, at::get_num_threads()));
}

TEST("threads: one OpenMP runtime is loaded") {
  std::ifstream maps("/proc/self/maps");
  if (!maps) throw check::Skipped("no /proc");
  std::set<std::string> runtimes;
  for (std::string line; std::getline(maps, line);) {
    const std::size_t path = line.find('/');
    if (path == std::string::npos) continue;
    for (const char* const runtime : {"libgomp", "libomp", "libiomp5"}) {
      if (line.find(runtime, path) != std::string::npos) runtimes.insert(line.substr(path));
    }
  }
  EXPECT(runtimes.size() == 1);
}

}  // namespace
}  // namespace rms_norm_test
