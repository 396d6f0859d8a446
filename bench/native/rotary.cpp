// Is our rotary embedding faster than plain ATen, and how near is it to the speed of a copy?
#include "ops/rotary/rotary.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/randn.h>

#include "cases/rotary.h"
#include "native/differentiable.h"

namespace bench {

namespace ops = ehrjepa::ops;

std::vector<Row> rotary(const Settings& settings) {
  at::manual_seed(17);
  std::vector<Row> rows;
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
    for (const RotaryCase& c : rotary_cases) {
      if (c.tokens == 0) continue;
      const ops::RotaryTables tables = ops::rotary_tables(at::arange(c.tokens, at::kLong), c.head_dim, 1e6, dtype);
      // Rounded to the dtype of the inputs for all.
      const auto of = [&](const at::Tensor& x) {
        return ops::RotaryTables{tables.cos.to(x.scalar_type()), tables.sin.to(x.scalar_type())};
      };
      const Differentiable reference = [&](const std::vector<at::Tensor>& in) {
        return ops::apply_rotary_reference(in[0], of(in[0]));
      };
      const at::Tensor x = at::randn({c.tokens, c.heads, c.head_dim}).to(dtype);
      const Cost cost{.bytes = 2 * static_cast<double>(x.nbytes())};
      const std::vector<Row> found = check_and_time(
          {.op = "rotary",
           .name = c.name,
           .inputs = {x},
           .upstream = at::randn_like(x),
           .forward = cost,
           .backward = cost},
          reference,
          {{"ours", [&](const std::vector<at::Tensor>& in) { return ops::apply_rotary(in[0], of(in[0])); }},
           {"plain ATen", reference}},
          settings);
      rows.insert(rows.end(), found.begin(), found.end());
    }
  }
  return rows;
}

}  // namespace bench
