// Is our linear map as fast as libtorch's, and where bfloat16 is widened, how near is it to a float32 product?
#include "ops/linear/linear.h"

#include <ATen/ops/randn.h>

#include "cases/linear.h"
#include "native/differentiable.h"

namespace bench {

namespace ops = ehrjepa::ops;

std::vector<Row> linear(const Settings& settings) {
  at::manual_seed(19);
  const Differentiable reference = [](const std::vector<at::Tensor>& in) {
    return ops::linear_reference(in[0], in[1]);
  };
  const Differentiable ours = [](const std::vector<at::Tensor>& in) { return ops::linear(in[0], in[1]); };
  std::vector<Row> rows;
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
    for (const LinearCase& c : linear_cases) {
      if (c.tokens < 100) continue;
      const double flops = 2.0 * static_cast<double>(c.tokens * c.inputs * c.outputs);
      const std::vector<at::Tensor> inputs = {at::randn({c.tokens, c.inputs}).to(dtype),
                                              at::randn({c.outputs, c.inputs}).to(dtype)};
      const std::vector<Row> found = check_and_time({.op = "linear",
                                                     .name = c.name,
                                                     .inputs = inputs,
                                                     .upstream = at::randn({c.tokens, c.outputs}).to(dtype),
                                                     .forward = {.flops = flops},
                                                     .backward = {.flops = 2 * flops}},
                                                    reference, {{"ours", ours}, {"libtorch", reference}}, settings);
      rows.insert(rows.end(), found.begin(), found.end());
    }
  }
  return rows;
}

}  // namespace bench
