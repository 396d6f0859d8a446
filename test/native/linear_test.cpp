#include "ops/linear/linear.h"

#include <ATen/ATen.h>

#include <string>
#include <vector>

#include "cases/linear.h"
#include "native/against_reference.h"
#include "native/check.h"
#include "native/gradcheck.h"
#include "ops/isa.h"
#include "ops/linear/products.h"
#include "ops/linear/wide.h"

namespace {

using namespace ehrjepa;
using Inputs = std::vector<at::Tensor>;

at::Tensor ours(const Inputs& in) { return ops::linear(in[0], in[1], in[2]); }
at::Tensor reference(const Inputs& in) { return ops::linear_reference(in[0], in[1], in[2]); }

Inputs inputs_of(const LinearCase& c, at::ScalarType dtype) {
  at::manual_seed(5);
  const auto random = [&](at::IntArrayRef shape) { return at::randn(shape, at::kDouble).to(dtype); };
  return {random({c.tokens, c.inputs}), random({c.outputs, c.inputs}), random({c.outputs})};
}

void compare(at::ScalarType dtype) {
  for (const LinearCase& c : linear_cases) {
    const Inputs in = inputs_of(c, dtype);
    const at::Tensor upstream = at::randn({c.tokens, c.outputs}).to(dtype);
    against_reference::expect_as_exact(ours, reference, in, upstream, c.name);
    if (dtype != at::kBFloat16) continue;
    // Whatever this processor multiplies: what serves where it does not multiply bfloat16.
    against_reference::expect_results_as_exact(
        [](const Inputs& x, const at::Tensor& gradient) {
          using namespace ops::linear_wide;
          return Inputs{product(x[0], x[1], x[2]), input_gradient(gradient, x[1]), weight_gradient(gradient, x[0], {}),
                        gradient.sum(0)};
        },
        reference, in, upstream, c.name + std::string(", widened"));
  }
}

TEST("linear: float32 agrees with the reference, output and all gradients") { compare(at::kFloat); }
TEST("linear: bfloat16 within twice the error of libtorch's, widened or not") { compare(at::kBFloat16); }

TEST("linear: gradients agree with central differences in float64") {
  EXPECT_LE(
      gradcheck(ours, {at::randn({3, 5}, at::kDouble), at::randn({4, 5}, at::kDouble), at::randn({4}, at::kDouble)}),
      1e-7);
}

TEST("linear: the bias may be absent, and a gradient that nobody needs") {
  const Inputs in = inputs_of(linear_cases[2], at::kBFloat16);
  const at::Tensor x = in[0].detach().clone().requires_grad_(true);
  const at::Tensor y = ops::linear(x, in[1]);
  EXPECT_LE(against_reference::error(y.detach(), at::linear(in[0].to(at::kDouble), in[1].to(at::kDouble))), 4e-3);
  const at::Tensor found = torch::autograd::grad({y}, {x}, {at::ones_like(y)}).front();
  const at::Tensor exact = at::mm(at::ones({y.size(0), y.size(1)}, at::kDouble), in[1].to(at::kDouble));
  EXPECT_LE(against_reference::error(found, exact), 4e-3);
}

TEST("linear: a weight gradient is added to a sum, which is returned") {
  const Inputs in = inputs_of(linear_cases[4], at::kBFloat16);
  const at::Tensor grad = at::randn({in[0].size(0), in[1].size(0)}).to(at::kBFloat16);
  const at::Tensor sum = at::randn_like(in[1]);
  const at::Tensor exact = at::mm(grad.to(at::kDouble).t(), in[0].to(at::kDouble)) + sum.to(at::kDouble);
  for (const auto& add : {&ops::linear_weight_gradient, &ops::linear_wide::weight_gradient}) {
    const at::Tensor into = sum.clone();
    const at::Tensor found = add(grad, in[0], into);
    EXPECT(found.data_ptr() == into.data_ptr());
    EXPECT_LE(against_reference::error(found, exact), 4e-3);
  }
}

TEST("linear: bfloat16 is widened where the processor does not multiply it, and nothing else is") {
  EXPECT(ops::widens_products(at::ones({1}, at::kBFloat16)) == !ops::multiplies_bfloat16());
  EXPECT(!ops::widens_products(at::ones({1}, at::kFloat)));
  EXPECT(!ops::widens_products(at::ones({1}, at::kDouble)));
}

TEST("linear: errors name argument, rule and value") {
  if (ops::multiplies_bfloat16()) return;  // libtorch's own messages there
  const at::Tensor x = at::ones({2, 3}, at::kBFloat16);
  EXPECT_THROWS(ops::linear(x, at::ones({4, 2}, at::kBFloat16)),
                "[linear] x must be (tokens, inputs) and weight (outputs, inputs) but have shapes [2, 3] and [4, 2]");
  EXPECT_THROWS(ops::linear(x, at::ones({4, 3})), "[linear] weight must have the dtype and the device of x");
}

}  // namespace
