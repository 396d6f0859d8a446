#include "ops/norm_rotary/norm_rotary.h"

#include "cases/norm_rotary.h"
#include "native/emulated/emulated.h"
#include "ops/norm_rotary/kernel.h"

namespace emulated_norm_rotary_test {
namespace {

using namespace emulated;
using namespace ehrjepa;

constexpr double eps = 1e-6;

struct Inputs {
  at::Tensor x, weight, grad_out, cos, sin;

  Inputs to(at::ScalarType dtype) const {
    return {x.to(dtype), weight.to(dtype), grad_out.to(dtype), cos.to(dtype), sin.to(dtype)};
  }
};

/// y, grad_x, grad_weight
std::vector<at::Tensor> by_kernels(const Inputs& in) {
  const std::int64_t tokens = in.x.size(0), heads = in.x.size(1), size = in.x.size(2);
  Arguments forward;
  const at::Tensor y = forward.output_like(in.x), rstd = forward.output({tokens, heads}, at::kFloat);
  EXPECT(kernels::launch_norm_rotary_forward({.x = forward.input(in.x),
                                              .weight = forward.input(in.weight),
                                              .cos = forward.input(in.cos),
                                              .sin = forward.input(in.sin),
                                              .y = y.data_ptr(),
                                              .rstd = rstd.data_ptr<float>(),
                                              .tokens = tokens,
                                              .heads = heads,
                                              .size = size,
                                              .eps = static_cast<float>(eps),
                                              .dtype = dtype_of(in.x)},
                                             nullptr) == 0);
  Arguments backward;
  const at::Tensor grad_x = backward.output_like(in.x), grad_weight = backward.output_like(in.weight);
  const at::Tensor partial = backward.output({kernels::norm_rotary_partials, size}, at::kFloat);
  EXPECT(kernels::launch_norm_rotary_backward({.grad_out = backward.input(in.grad_out),
                                               .x = backward.input(in.x),
                                               .weight = backward.input(in.weight),
                                               .cos = backward.input(in.cos),
                                               .sin = backward.input(in.sin),
                                               .rstd = static_cast<const float*>(backward.input(rstd.clone())),
                                               .grad_x = grad_x.data_ptr(),
                                               .partial = partial.data_ptr<float>(),
                                               .grad_weight = grad_weight.data_ptr(),
                                               .tokens = tokens,
                                               .heads = heads,
                                               .size = size,
                                               .dtype = dtype_of(in.x)},
                                              nullptr) == 0);
  return {y, grad_x, grad_weight};
}

std::vector<at::Tensor> by_reference(const Inputs& in) {
  const at::Tensor x = in.x.detach().requires_grad_(), weight = in.weight.detach().requires_grad_();
  const at::Tensor y = ops::norm_rotary_reference(x, weight, {in.cos.unsqueeze(1), in.sin.unsqueeze(1)}, eps);
  y.backward(in.grad_out);
  return {y.detach(), x.grad(), weight.grad()};
}

void compare(std::int64_t tokens, std::int64_t heads, std::int64_t size, at::ScalarType dtype) {
  at::manual_seed(29);
  // Positions that do not ascend, as those of branches.
  const at::Tensor positions = at::arange(tokens, at::kLong).mul(7).remainder(97);
  const ops::RotaryTables tables = ops::rotary_tables(positions, size, 1e4, at::kFloat);
  const Inputs in = Inputs{at::randn({tokens, heads, size}) * 2 + 0.1, at::rand({size}) + 0.5,
                           at::randn({tokens, heads, size}), tables.cos.squeeze(1), tables.sin.squeeze(1)}
                        .to(dtype);
  const std::vector<at::Tensor> found = under_schedules([&] { return by_kernels(in); });
  const std::vector<at::Tensor> exact = by_reference(in.to(at::kDouble)), plain = by_reference(in);
  expect_near(found, exact, plain);
}

TEST("emulated norm_rotary: every case, head sizes beyond a load and the largest, float32 and bfloat16") {
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
    for (const NormRotaryCase& c : norm_rotary_cases) {
      if (c.tokens * c.heads > 0) compare(std::min<std::int64_t>(c.tokens, 150), c.heads, c.head_dim, dtype);
    }
    for (const std::int64_t size : {2, 6, 64, 130, 250, 256}) compare(11, 3, size, dtype);
  }
}

}  // namespace
}  // namespace emulated_norm_rotary_test
