// Is our loss head faster than logits, log-softmax and their gradients apart, and how near is it to its three products?
#include "ops/linear_cross_entropy/linear_cross_entropy.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/full.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/randn.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>

#include "cases/linear_cross_entropy.h"
#include "native/differentiable.h"

namespace bench {

namespace ops = ehrjepa::ops;

std::vector<Row> linear_cross_entropy(const Settings& settings) {
  at::manual_seed(17);
  const Differentiable reference = [](const std::vector<at::Tensor>& in) {
    return ops::linear_cross_entropy_reference(in[0], in[1], in[2]);
  };
  const Differentiable ours = [](const std::vector<at::Tensor>& in) {
    return ops::linear_cross_entropy(in[0], in[1], in[2]);
  };
  std::vector<Row> rows;
  // Too large for a test.
  const LinearCrossEntropyCase whole{"the head of Qwen3-1.7B", 512, 151'936, 2'048, 0};
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
    std::vector<LinearCrossEntropyCase> cases = linear_cross_entropy_cases;
    if (dtype == at::kBFloat16) cases.push_back(whole);
    for (const LinearCrossEntropyCase& c : cases) {
      if (c.rows * c.vocab_size < 10'000) continue;
      const at::Tensor hidden = at::randn({c.rows, c.features}).to(dtype);
      const at::Tensor weight = (at::randn({c.vocab_size, c.features}) / std::sqrt(c.features)).to(dtype);
      const double product = 2.0 * static_cast<double>(c.rows * c.vocab_size * c.features);
      const std::vector<Row> found =
          check_and_time({.op = "linear_cross_entropy",
                          .name = c.name,
                          .inputs = {hidden, weight, at::randint(c.vocab_size, {c.rows}, at::kLong)},
                          .upstream = at::full({}, 1.0),
                          .forward = {.flops = product},
                          .backward = {.flops = 2 * product},
                          .passes_are_one = true},
                         reference, {{"ours", ours}, {"plain ATen", reference}}, settings);
      rows.insert(rows.end(), found.begin(), found.end());
    }
  }
  return rows;
}

}  // namespace bench
