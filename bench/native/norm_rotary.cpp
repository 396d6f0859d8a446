// Is our QK-norm with rotary embedding faster than plain ATen, and how near is it to the speed of a copy?
#include "ops/norm_rotary/norm_rotary.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/rand.h>
#include <ATen/ops/randn.h>

#include "cases/norm_rotary.h"
#include "native/differentiable.h"

namespace bench {

namespace ops = ehrjepa::ops;

std::vector<Row> norm_rotary(const Settings& settings) {
  at::manual_seed(17);
  constexpr double eps = 1e-6;
  std::vector<Row> rows;
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
    for (const NormRotaryCase& c : norm_rotary_cases) {
      if (c.tokens < 2) continue;
      const ops::RotaryTables tables = ops::rotary_tables(at::arange(c.tokens, at::kLong), c.head_dim, 1e6, dtype);
      // Rounded to the dtype of the inputs for all.
      const auto of = [&](const at::Tensor& x) {
        return ops::RotaryTables{tables.cos.to(x.scalar_type()), tables.sin.to(x.scalar_type())};
      };
      const Differentiable reference = [&](const std::vector<at::Tensor>& in) {
        return ops::norm_rotary_reference(in[0], in[1], of(in[0]), eps);
      };
      const Differentiable ours = [&](const std::vector<at::Tensor>& in) {
        return ops::norm_rotary(in[0], in[1], of(in[0]), eps);
      };
      const at::Tensor x = (at::randn({c.tokens, c.heads, c.head_dim}) * 3).to(dtype);
      const double bytes = static_cast<double>(x.nbytes());
      const std::vector<Row> found = check_and_time({.op = "norm_rotary",
                                                     .name = c.name,
                                                     .inputs = {x, (at::rand({c.head_dim}) + 0.5).to(dtype)},
                                                     .upstream = at::randn_like(x),
                                                     .forward = {.bytes = 2 * bytes},
                                                     .backward = {.bytes = 3 * bytes}},
                                                    reference, {{"ours", ours}, {"plain ATen", reference}}, settings);
      rows.insert(rows.end(), found.begin(), found.end());
    }
  }
  return rows;
}

}  // namespace bench
