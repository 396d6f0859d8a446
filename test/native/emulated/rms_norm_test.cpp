#include "ops/rms_norm/rms_norm.h"

#include <tuple>

#include "cases/rms_norm.h"
#include "native/emulated/emulated.h"
#include "ops/rms_norm/kernel.h"

namespace emulated_rms_norm_test {
namespace {

using namespace emulated;
using namespace ehrjepa;

constexpr double eps = 1e-6;

struct Inputs {
  at::Tensor x, delta, weight, grad_out, grad_sum;
  bool with_sum;

  Inputs to(at::ScalarType dtype) const {
    return {x.to(dtype), delta.to(dtype), weight.to(dtype), grad_out.to(dtype), grad_sum.to(dtype), with_sum};
  }
};

/// y, grad_x, grad_weight, and with a sum the sum.
std::vector<at::Tensor> by_kernels(const Inputs& in) {
  const std::int64_t rows = in.x.size(0), size = in.x.size(1);
  std::vector<at::Tensor> result;
  at::Tensor rows_normed = in.x;
  const at::Tensor rstd_copy = [&] {
    Arguments memory;
    const at::Tensor y = memory.output_like(in.x), rstd = memory.output({rows}, at::kFloat);
    const at::Tensor sum = in.with_sum ? memory.output_like(in.x) : at::Tensor();
    EXPECT(kernels::launch_rms_norm_forward({.x = memory.input(in.x),
                                             .delta = in.with_sum ? memory.input(in.delta) : nullptr,
                                             .weight = memory.input(in.weight),
                                             .sum = in.with_sum ? sum.data_ptr() : nullptr,
                                             .y = y.data_ptr(),
                                             .rstd = rstd.data_ptr<float>(),
                                             .rows = rows,
                                             .size = size,
                                             .eps = static_cast<float>(eps),
                                             .dtype = dtype_of(in.x)},
                                            nullptr) == 0);
    result.push_back(y);
    if (in.with_sum) rows_normed = sum;
    return rstd;
  }();
  Arguments memory;
  const at::Tensor grad_x = memory.output_like(in.x), grad_weight = memory.output_like(in.weight);
  const at::Tensor partial = memory.output({kernels::rms_norm_partials, size}, at::kFloat);
  EXPECT(kernels::launch_rms_norm_backward({.grad_out = memory.input(in.grad_out),
                                            .grad_sum = in.with_sum ? memory.input(in.grad_sum) : nullptr,
                                            .x = memory.input(rows_normed),
                                            .weight = memory.input(in.weight),
                                            .rstd = static_cast<const float*>(memory.input(rstd_copy)),
                                            .grad_x = grad_x.data_ptr(),
                                            .partial = partial.data_ptr<float>(),
                                            .grad_weight = grad_weight.data_ptr(),
                                            .rows = rows,
                                            .size = size,
                                            .dtype = dtype_of(in.x)},
                                           nullptr) == 0);
  result.insert(result.end(), {grad_x, grad_weight});
  if (in.with_sum) result.push_back(rows_normed);
  return result;
}

std::vector<at::Tensor> by_reference(const Inputs& in) {
  const at::Tensor x = in.x.detach().requires_grad_(), weight = in.weight.detach().requires_grad_();
  if (!in.with_sum) {
    const at::Tensor y = ops::rms_norm_reference(x, weight, eps);
    y.backward(in.grad_out);
    return {y.detach(), x.grad(), weight.grad()};
  }
  const auto [sum, y] = ops::add_rms_norm_reference(x, in.delta, weight, eps);
  ((y * in.grad_out).sum() + (sum * in.grad_sum).sum()).backward();
  return {y.detach(), x.grad(), weight.grad(), sum.detach()};
}

/// Beside the case table: every layout, with and without a last part that is not full, fewer and more rows than run at
/// once.
const std::vector<std::tuple<std::int64_t, std::int64_t>> shapes = {
    {1, 2048}, {257, 520}, {3, 4096}, {5, 1032}, {2050, 24}, {9, 512}, {7, 2050}, {1, 8192}, {258, 6}, {1, 4}};

void compare(std::int64_t rows, std::int64_t size, at::ScalarType dtype, bool with_sum) {
  at::manual_seed(23);
  const Inputs in = Inputs{at::randn({rows, size}) * 3 + 0.2, at::randn({rows, size}), at::rand({size}) + 0.5,
                           at::randn({rows, size}),           at::randn({rows, size}), with_sum}
                        .to(dtype);
  const std::vector<at::Tensor> found = under_schedules([&] { return by_kernels(in); });
  const std::vector<at::Tensor> exact = by_reference(in.to(at::kDouble)), plain = by_reference(in);
  expect_near(found, exact, plain);
}

void compare_all(at::ScalarType dtype) {
  for (const bool with_sum : {false, true}) {
    for (const auto& [rows, size] : shapes) compare(rows, size, dtype, with_sum);
    for (const RmsNormCase& c : rms_norm_cases) {
      // With one feature the gradient is the difference of equal numbers.
      if (c.size > 1 && c.tokens > 0 && c.tokens * c.size <= 100'000) compare(c.tokens, c.size, dtype, with_sum);
    }
  }
}

TEST("emulated rms_norm: float32, with and without a sum") { compare_all(at::kFloat); }
TEST("emulated rms_norm: bfloat16, with and without a sum") { compare_all(at::kBFloat16); }

}  // namespace
}  // namespace emulated_rms_norm_test
