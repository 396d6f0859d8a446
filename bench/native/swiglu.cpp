// Is our SwiGLU faster than plain ATen, and how near is it to the speed of a copy?
#include "ops/swiglu/swiglu.h"

#include <ATen/ops/randn.h>
#include <ATen/ops/randn_like.h>

#include "cases/swiglu.h"
#include "native/differentiable.h"

namespace bench {

namespace ops = ehrjepa::ops;

std::vector<Row> swiglu(const Settings& settings) {
  at::manual_seed(17);
  const Differentiable reference = [](const std::vector<at::Tensor>& in) {
    return ops::swiglu_reference(in[0], in[1]);
  };
  const Differentiable ours = [](const std::vector<at::Tensor>& in) { return ops::swiglu(in[0], in[1]); };
  std::vector<Row> rows;
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
    for (const SwigluCase& c : swiglu_cases) {
      if (c.tokens < 2) continue;
      const at::Tensor gate = at::randn({c.tokens, c.features}).to(dtype);
      const double bytes = static_cast<double>(gate.nbytes());
      const std::vector<Row> found = check_and_time({.op = "swiglu",
                                                     .name = c.name,
                                                     .inputs = {gate, at::randn_like(gate)},
                                                     .upstream = at::randn_like(gate),
                                                     .forward = {.bytes = 3 * bytes},
                                                     .backward = {.bytes = 5 * bytes}},
                                                    reference, {{"ours", ours}, {"plain ATen", reference}}, settings);
      rows.insert(rows.end(), found.begin(), found.end());
    }
  }
  return rows;
}

}  // namespace bench
