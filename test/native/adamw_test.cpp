#include "ops/adamw/adamw.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <cmath>
#include <vector>

#include "cases/adamw.h"
#include "native/check.h"
#include "native/instruction_sets.h"
#include "ops/adamw/cpu.h"

namespace ehrjepa::ops::adamw_cpu {
extern const Kernels wide_kernels;
}

namespace adamw_test {
namespace {

using namespace ehrjepa::ops;

AdamWTensors inputs_of(const AdamWCase& c, at::ScalarType dtype) {
  at::manual_seed(5);
  const auto drawn = [&] { return at::randn({c.elements}).to(dtype); };
  AdamWTensors result{drawn(), drawn() * 0.1, (drawn() * 0.1).square(), {}, {}};
  if (c.with_target) result.target = drawn();
  if (c.with_gradient) result.gradient = drawn();
  return result;
}

AdamWTensors copy_of(const AdamWTensors& tensors) {
  const auto copy = [](const at::Tensor& tensor) { return tensor.defined() ? tensor.clone() : tensor; };
  return {copy(tensors.parameter), copy(tensors.exp_avg), copy(tensors.exp_avg_sq), copy(tensors.target),
          tensors.gradient};
}

std::vector<at::Tensor> results_of(const AdamWTensors& tensors) {
  std::vector<at::Tensor> result = {tensors.parameter, tensors.exp_avg, tensors.exp_avg_sq};
  if (tensors.target.defined()) result.push_back(tensors.target);
  return result;
}

const AdamWUpdate update{.gradient_scale = at::scalar_tensor(0.7, at::kDouble),
                         .learning_rate = 0.01,
                         .beta1 = 0.9,
                         .beta2 = 0.95,
                         .epsilon = 1e-8,
                         .weight_decay = 0.1,
                         .updates = 3,
                         .momentum = 0.996,
                         .seed = 0x1234567890abcdef,
                         .step = 17,
                         .parameter = 4};

void expect_same(const AdamWTensors& found, const AdamWTensors& expected) {
  const std::vector<at::Tensor> a = results_of(found), b = results_of(expected);
  for (std::size_t i = 0; i < a.size(); ++i) EXPECT(a[i].equal(b[i]));
}

void compare(at::ScalarType dtype, Isa isa, const adamw_cpu::Kernels& set) {
  if (!runs(isa)) throw check::Skipped("this processor has not the instructions");
  for (const AdamWCase& c : adamw_cases) {
    if (c.elements > 1'000'000) continue;  // a case of the benchmark
    const AdamWTensors ours = inputs_of(c, dtype), expected = copy_of(ours);
    adamw_cpu::update(ours, update, set);
    adamw_reference_(expected, update);
    expect_same(ours, expected);
  }
}

TEST("adamw: float32 has the reference's bits, plain kernels") {
  compare(at::kFloat, Isa::kPlain, adamw_cpu::plain_kernels);
}
TEST("adamw: float32 has the reference's bits, AVX2") { compare(at::kFloat, Isa::kAvx2, adamw_cpu::avx2_kernels); }
TEST("adamw: float32 has the reference's bits, AVX-512") {
  compare(at::kFloat, Isa::kAvx512, adamw_cpu::avx512_kernels);
}
TEST("adamw: float32 has the reference's bits, 64 bytes") { compare(at::kFloat, Isa::kAvx2, adamw_cpu::wide_kernels); }
TEST("adamw: bfloat16 has the reference's bits and draws, plain kernels") {
  compare(at::kBFloat16, Isa::kPlain, adamw_cpu::plain_kernels);
}
TEST("adamw: bfloat16 has the reference's bits and draws, AVX2") {
  compare(at::kBFloat16, Isa::kAvx2, adamw_cpu::avx2_kernels);
}
TEST("adamw: bfloat16 has the reference's bits and draws, AVX-512") {
  compare(at::kBFloat16, Isa::kAvx512, adamw_cpu::avx512_kernels);
}
TEST("adamw: bfloat16 has the reference's bits and draws, 64 bytes") {
  compare(at::kBFloat16, Isa::kAvx2, adamw_cpu::wide_kernels);
}

TEST("adamw: float32 agrees with libtorch's fused update and a lerp") {
  const AdamWTensors ours = inputs_of({"", 4096, true, true}, at::kFloat), theirs = copy_of(ours);
  adamw_(ours, update);
  const at::Tensor steps = at::full({}, 3.0f);
  at::_fused_adamw_({theirs.parameter}, {theirs.gradient * 0.7}, {theirs.exp_avg}, {theirs.exp_avg_sq}, {}, {steps},
                    0.01, 0.9, 0.95, 0.1, 1e-8, false, false);
  theirs.target.lerp_(theirs.parameter, 1 - 0.996);
  const std::vector<at::Tensor> a = results_of(ours), b = results_of(theirs);
  for (std::size_t i = 0; i < a.size(); ++i) {
    EXPECT_LE(((a[i] - b[i]).norm() / b[i].norm()).item<double>(), 2e-7);
  }
}

TEST("adamw: a wrong bias correction, decay or epsilon is seen") {
  const AdamWTensors start = inputs_of({"", 4096, true, true}, at::kFloat), expected = copy_of(start);
  adamw_reference_(expected, update);
  const auto differs = [&](const AdamWUpdate& other) {
    const AdamWTensors found = copy_of(start);
    adamw_(found, other);
    return !found.parameter.equal(expected.parameter);
  };
  EXPECT(!differs(update));
  AdamWUpdate other = update;
  other.updates = 4;
  EXPECT(differs(other));
  other = update;
  other.weight_decay = 0.0;
  EXPECT(differs(other));
  other = update;
  other.epsilon = 1e-3;
  EXPECT(differs(other));
}

TEST("adamw: momentum 0 makes the target the parameter and 1 leaves it, to the bit") {
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
    AdamWUpdate other = update;
    AdamWTensors tensors = inputs_of({"", 999, true, true}, dtype);
    const at::Tensor before = tensors.target.clone();
    other.momentum = 1.0;
    adamw_(tensors, other);
    EXPECT(tensors.target.equal(before));
    other.momentum = 0.0;
    adamw_(tensors, other);
    EXPECT(tensors.target.equal(tensors.parameter));
  }
}

/// All results of one update of many equal elements, by name of the array.
AdamWTensors equal_elements(std::int64_t count) {
  const auto all = [&](double value) { return at::full({count}, value, at::kBFloat16); };
  return {all(1.0), all(0.5), all(0.25), all(-2.0), all(0.3)};
}

TEST("adamw: stochastic rounding is unbiased, for parameter, moments and target") {
  constexpr std::int64_t count = 1 << 20;
  const AdamWTensors rounded = equal_elements(count);
  AdamWTensors exact = equal_elements(1);
  for (at::Tensor* const t : {&exact.parameter, &exact.exp_avg, &exact.exp_avg_sq, &exact.target, &exact.gradient}) {
    *t = t->to(at::kFloat);
  }
  adamw_(rounded, update);
  adamw_(exact, update);
  const std::vector<at::Tensor> found = results_of(rounded), truth = results_of(exact);
  for (std::size_t i = 0; i < found.size(); ++i) {
    const at::Tensor values = found[i].to(at::kDouble);
    const double spread = values.max().item<double>() - values.min().item<double>();
    const double value = truth[i].item<double>();
    EXPECT(spread > 0.0);  // both neighbours are drawn
    EXPECT(values.min().item<double>() <= value + spread && value - spread <= values.max().item<double>());
    // Five standard errors of a mean of draws whose standard deviation is at most half the spread.
    EXPECT_CLOSE(values.mean().item<double>(), value, 5 * 0.5 * spread / std::sqrt(static_cast<double>(count)));
    // Rounding to nearest would be off by far more than that.
    EXPECT(std::abs(truth[i].to(at::kBFloat16).item<double>() - value) > 0.01 * spread);
  }
}

TEST("adamw: a bfloat16 target that moves by less than half a step still arrives") {
  // tau = 0.996 moves it by 0.004 of the way; a plain bfloat16 average would stay at 1.
  const AdamWTensors tensors{at::full({4096}, 1.25, at::kBFloat16), {}, {}, at::ones({4096}, at::kBFloat16), {}};
  AdamWUpdate other = update;
  for (std::uint32_t step = 0; step < 250; ++step) {
    other.step = step;
    adamw_({tensors.parameter, tensors.parameter.clone(), tensors.parameter.clone(), tensors.target, {}}, other);
  }
  EXPECT_CLOSE(tensors.target.to(at::kDouble).mean().item<double>(), 1.25 - 0.25 * std::pow(0.996, 250), 2e-3);
}

TEST("adamw: seed, step and parameter change the draws, elements have draws of their own") {
  const auto drawn = [](const AdamWUpdate& options) {
    const AdamWTensors tensors = equal_elements(4096);
    adamw_(tensors, options);
    return tensors.parameter;
  };
  const at::Tensor first = drawn(update);
  EXPECT(first.equal(drawn(update)));
  EXPECT(first.min().item<double>() != first.max().item<double>());
  for (int changed = 0; changed < 4; ++changed) {
    AdamWUpdate other = update;
    if (changed == 0) other.seed += 1;
    if (changed == 1) other.seed += std::uint64_t{1} << 32;
    if (changed == 2) other.step += 1;
    if (changed == 3) other.parameter += 1;
    // Two independent draws of a value that lies 1 / 3 of the way are unequal in 4 / 9 of the cases.
    const double unequal = first.ne(drawn(other)).to(at::kDouble).mean().item<double>();
    EXPECT(unequal > 0.2 && unequal < 0.6);
  }
}

TEST("adamw: results and norm do not depend on the number of threads") {
  const int threads = at::get_num_threads();
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
    const AdamWTensors one = inputs_of({"", 5 * 65'536 + 11, true, true}, dtype), many = copy_of(one);
    at::set_num_threads(1);
    adamw_(one, update);
    const double norm = sum_of_squares(one.parameter).item<double>();
    at::set_num_threads(std::max(3, threads));
    adamw_(many, update);
    EXPECT(norm == sum_of_squares(many.parameter).item<double>());
    at::set_num_threads(threads);
    expect_same(one, many);
  }
}

TEST("adamw: what is not a number stays so in bfloat16") {
  const AdamWTensors tensors = equal_elements(64);
  tensors.gradient.fill_(NAN);
  adamw_(tensors, update);
  EXPECT(tensors.parameter.isnan().all().item<bool>());
  EXPECT(tensors.target.isnan().all().item<bool>());
}

TEST("sum_of_squares: float32 and bfloat16 in float64, empty is 0") {
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
    for (const std::int64_t size : {0, 1, 15, 100'003}) {
      const at::Tensor values = at::randn({size}).to(dtype);
      const double exact = values.to(at::kDouble).square().sum().item<double>();
      using namespace adamw_cpu;
      for (const auto& [name, set] : sets_that_run(plain_kernels, avx2_kernels, avx512_kernels, wide_kernels)) {
        EXPECT_CLOSE(sum_of_squares(values, *set).item<double>(), exact, 1e-12 * exact);
      }
    }
  }
}

TEST("adamw: errors name argument, rule and value") {
  AdamWTensors tensors = inputs_of({"", 8, true, true}, at::kFloat);
  AdamWUpdate other = update;
  other.momentum = 1.5;
  EXPECT_THROWS(adamw_(tensors, other), "[adamw] momentum must lie in [0, 1] but is 1.5");
  other = update;
  other.beta2 = 1.0;
  EXPECT_THROWS(adamw_(tensors, other), "[adamw] beta2 must lie in [0, 1) but is 1");
  other = update;
  other.updates = 0;
  EXPECT_THROWS(adamw_(tensors, other), "[adamw] updates must be at least 1 but is 0");
  tensors.gradient = at::ones({7});
  EXPECT_THROWS(adamw_(tensors, update), "[adamw] gradient must be contiguous, with the shape, dtype and device");
  tensors.gradient = tensors.target = at::Tensor();
  EXPECT_THROWS(adamw_(tensors, update), "[adamw] there must be a gradient or a target but there is neither");
  tensors = inputs_of({"", 8, true, true}, at::kDouble);
  EXPECT_THROWS(adamw_(tensors, update), "[adamw] parameter must be float32 or bfloat16 but is Double");
  EXPECT_THROWS(sum_of_squares(at::ones({2}, at::kDouble)), "[sum_of_squares] values must be float32 or bfloat16");
}

}  // namespace
}  // namespace adamw_test
