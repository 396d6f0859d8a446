#include "ops/swiglu/swiglu.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <string>
#include <vector>

#include "cases/swiglu.h"
#include "native/against_reference.h"
#include "native/check.h"
#include "native/gradcheck.h"
#include "native/instruction_sets.h"
#include "ops/swiglu/cpu.h"

namespace ehrjepa::ops::swiglu_cpu {
extern const KernelSet<Kernels> wide_kernels;
}

namespace swiglu_test {
namespace {

using namespace ehrjepa;
using Inputs = std::vector<at::Tensor>;
using Set = ops::KernelSet<ops::swiglu_cpu::Kernels>;

at::Tensor ours(const Inputs& in) { return ops::swiglu(in[0], in[1]); }
at::Tensor reference(const Inputs& in) { return ops::swiglu_reference(in[0], in[1]); }

std::vector<std::pair<std::string, const Set*>> sets() {
  using namespace ops::swiglu_cpu;
  return sets_that_run(plain_kernels, avx2_kernels, avx512_kernels, wide_kernels, &avx512_bf16_kernels);
}

/// Through the dispatcher, then with every instruction set of this processor.
void compare(at::ScalarType dtype) {
  for (const SwigluCase& c : swiglu_cases) {
    at::manual_seed(7);
    const auto random = [&] { return (at::randn({c.tokens, c.features}, at::kDouble) * 3).to(dtype); };
    const Inputs in = {random(), random()};
    const at::Tensor upstream = random();
    const double slack = c.tokens * c.features == 1 ? 2e-7 : 0.0;
    against_reference::expect_as_exact(ours, reference, in, upstream, c.name, slack);
    for (const auto& [name, set] : sets()) {
      against_reference::expect_results_as_exact(
          [kernels = set](const Inputs& x, const at::Tensor& gradient) {
            const auto [grad_gate, grad_up] = ops::swiglu_cpu::backward(gradient, x[0], x[1], *kernels);
            return Inputs{ops::swiglu_cpu::forward(x[0], x[1], *kernels), grad_gate, grad_up};
          },
          reference, in, upstream, c.name + (", " + name), slack);
    }
  }
}

TEST("swiglu: float32 agrees with the reference, output and both gradients") { compare(at::kFloat); }
TEST("swiglu: bfloat16 within twice the error of plain ATen") { compare(at::kBFloat16); }

TEST("swiglu: gradients agree with central differences in float64") {
  EXPECT_LE(gradcheck(ours, {at::randn({3, 5}, at::kDouble) * 2, at::randn({3, 5}, at::kDouble)}), 1e-7);
}

TEST("swiglu: far gates are passed or shut, without NaN or infinity") {
  const at::Tensor gate = at::tensor({-1e30, -200.0, 0.0, 200.0, 1e30}, at::kFloat);
  const at::Tensor up = at::full({5}, 0.5);
  const Inputs found = against_reference::results(ours, {gate, up}, at::ones({5}));
  for (const at::Tensor& result : found) EXPECT(result.isfinite().all().item<bool>());
  EXPECT_LE((found[0].narrow(0, 1, 3) - at::tensor({0.0, 0.0, 100.0}, at::kFloat)).abs().max().item<double>(), 1e-4);
}

TEST("swiglu: the same bytes with one thread and with many") {
  const Inputs in = {at::randn({501, 333}), at::randn({501, 333})};
  const int threads = at::get_num_threads();
  at::set_num_threads(1);
  const Inputs one = against_reference::results(ours, in, in[0]);
  at::set_num_threads(threads);
  const Inputs many = against_reference::results(ours, in, in[0]);
  for (std::size_t i = 0; i < one.size(); ++i) EXPECT(one[i].equal(many[i]));
}

TEST("swiglu: errors name argument, rule and value") {
  const at::Tensor x = at::ones({2, 3});
  EXPECT_THROWS(ops::swiglu(x, at::ones({3, 2})), "[swiglu] up must have the shape of gate ([2, 3]) but has [3, 2]");
  EXPECT_THROWS(ops::swiglu(x, x.to(at::kDouble)), "[swiglu] up must have the dtype and the device of gate");
  EXPECT_THROWS(ops::swiglu(x.to(at::kLong), x.to(at::kLong)), "must be float32, bfloat16 or float64");
}

}  // namespace
}  // namespace swiglu_test
