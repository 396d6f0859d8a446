#include "ops/linear/linear.h"

#include <ATen/ATen.h>

#include <set>
#include <string>
#include <vector>

#include "cases/linear.h"
#include "native/against_reference.h"
#include "native/check.h"
#include "native/gradcheck.h"
#include "ops/isa.h"
#include "ops/linear/products.h"
#include "ops/linear/wide.h"

namespace linear_test {
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

TEST("linear: small products of bfloat16 have few numbers of rows, at most a sixteenth more than there are") {
  std::set<std::int64_t> numbers;
  for (std::int64_t rows = 0; rows <= 4'096; ++rows) {
    const std::int64_t computed = ops::product_rows(rows, 128, 384);
    EXPECT(computed >= rows);
    EXPECT(16 * (computed - rows) <= rows);
    if (rows >= 2'048) numbers.insert(computed);
  }
  EXPECT(numbers.size() == 17);
  EXPECT(ops::product_rows(4'000, 128, 384) == 4'096);
  EXPECT(ops::product_rows(1'001, 2'048, 6'144) == 1'001);  // long beside its compilation
}

TEST("linear: rows beyond those that there are change neither product nor gradients") {
  at::manual_seed(11);
  const std::int64_t tokens = 1'001;
  EXPECT(ops::product_rows(tokens, 24, 40) != tokens);
  const auto random = [](at::IntArrayRef shape) { return at::randn(shape).to(at::kBFloat16); };
  const Inputs in = {random({tokens, 24}), random({40, 24}), random({40})};
  against_reference::expect_as_exact(ours, reference, in, random({tokens, 40}), "rows that are padded");
  const at::Tensor y = ops::linear(in[0], in[1], in[2]);
  EXPECT(y.sizes() == at::IntArrayRef({tokens, 40}) && y.is_contiguous());
  // What lies beyond a view of some rows is not read.
  const at::Tensor alone = ops::linear(in[0].narrow(0, 0, 77), in[1], in[2]);
  EXPECT(at::equal(alone, ops::linear(in[0].narrow(0, 0, 77).clone(), in[1], in[2])));
}

TEST("linear: errors name argument, rule and value") {
  const at::Tensor x = at::ones({2, 3}, at::kBFloat16);
  EXPECT_THROWS(ops::linear(x, at::ones({4, 2}, at::kBFloat16)),
                "[linear] x must be (tokens, inputs) and weight (outputs, inputs) but have shapes [2, 3] and [4, 2]");
  EXPECT_THROWS(ops::linear(x, at::ones({4, 3})), "[linear] weight must have the dtype and the device of x");
}

}  // namespace
}  // namespace linear_test
