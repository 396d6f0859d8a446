#include "ops/adamw/adamw.h"

#include "core/random.h"
#include "native/emulated/emulated.h"
#include "ops/adamw/factors.h"
#include "ops/adamw/kernel.h"

namespace emulated_adamw_test {
namespace {

using namespace emulated;
using namespace ehrjepa;

struct State {
  at::Tensor parameter, exp_avg, exp_avg_sq, target, gradient;
};

State state_of(std::int64_t count, at::ScalarType dtype, bool with_gradient, bool with_target) {
  at::manual_seed(43);
  const auto drawn = [&] { return at::randn({count}).to(dtype); };
  return {drawn(), drawn(), drawn().square(), with_target ? drawn() : at::Tensor(),
          with_gradient ? drawn() : at::Tensor()};
}

/// Parameter, moments and target after the update.
std::vector<at::Tensor> by_kernels(const State& state, const ops::AdamWUpdate& update) {
  Arguments memory;
  const at::Tensor parameter = memory.in_place(state.parameter), exp_avg = memory.in_place(state.exp_avg),
                   exp_avg_sq = memory.in_place(state.exp_avg_sq);
  const at::Tensor target = state.target.defined() ? memory.in_place(state.target) : at::Tensor();
  const at::Tensor scale = update.gradient_scale;
  EXPECT(kernels::launch_adamw(
             {.parameter = parameter.data_ptr(),
              .exp_avg = exp_avg.data_ptr(),
              .exp_avg_sq = exp_avg_sq.data_ptr(),
              .target = target.defined() ? target.data_ptr() : nullptr,
              .gradient = state.gradient.defined() ? memory.input(state.gradient) : nullptr,
              .gradient_scale = scale.defined() ? static_cast<const double*>(memory.input(scale)) : nullptr,
              .factors = ops::factors_of(update),
              .key = {static_cast<std::uint32_t>(update.seed), static_cast<std::uint32_t>(update.seed >> 32),
                      update.step, update.parameter, static_cast<std::uint32_t>(RandomPurpose::kRounding)},
              .count = parameter.numel(),
              .dtype = dtype_of(parameter)},
             nullptr) == 0);
  std::vector<at::Tensor> result{parameter, exp_avg, exp_avg_sq};
  if (target.defined()) result.push_back(target);
  return result;
}

std::vector<at::Tensor> by_reference(const State& state, const ops::AdamWUpdate& update) {
  std::vector<at::Tensor> result{state.parameter.clone(), state.exp_avg.clone(), state.exp_avg_sq.clone()};
  if (state.target.defined()) result.push_back(state.target.clone());
  ops::adamw_reference_({.parameter = result[0],
                         .exp_avg = result[1],
                         .exp_avg_sq = result[2],
                         .target = state.target.defined() ? result[3] : at::Tensor(),
                         .gradient = state.gradient},
                        update);
  return result;
}

void compare(const State& state, const ops::AdamWUpdate& update) {
  const std::vector<at::Tensor> found = under_schedules([&] { return by_kernels(state, update); });
  const std::vector<at::Tensor> expected = by_reference(state, update);
  for (std::size_t i = 0; i < found.size(); ++i) EXPECT(found[i].equal(expected[i]));
}

ops::AdamWUpdate an_update() {
  return {.gradient_scale = at::scalar_tensor(0.37, at::kDouble),
          .learning_rate = 0.01,
          .weight_decay = 0.1,
          .updates = 3,
          .momentum = 0.99,
          .seed = 0x1234567890abcdef,
          .step = 17,
          .parameter = 5};
}

TEST(
    "emulated adamw: the bits of the reference, whatever the number of elements, with and without target or gradient") {
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
    for (const std::int64_t count : {1, 15, 16, 17, 31, 32, 33, 64, 1000, 8191}) {
      compare(state_of(count, dtype, true, true), an_update());
    }
    compare(state_of(500, dtype, true, false), an_update());
    compare(state_of(500, dtype, false, true), an_update());
    compare(state_of(0, dtype, true, true), an_update());
  }
}

TEST("emulated adamw: momentum 0 and 1, no scale, a scale that is not finite") {
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
    const State state = state_of(300, dtype, true, true);
    for (const double momentum : {0.0, 0.3, 1.0}) {
      ops::AdamWUpdate update = an_update();
      update.momentum = momentum;
      update.gradient_scale = at::Tensor();
      compare(state, update);
    }
    for (const double scale : {static_cast<double>(INFINITY), static_cast<double>(NAN)}) {
      ops::AdamWUpdate update = an_update();
      update.gradient_scale = at::scalar_tensor(scale, at::kDouble);
      const std::vector<at::Tensor> found = by_kernels(state, update);
      EXPECT(found[0].equal(state.parameter) && found[2].equal(state.exp_avg_sq) && found[3].equal(state.target));
    }
  }
}

TEST("emulated adamw: arrays that do not start at 16 bytes give the same bits") {
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
    const State state = state_of(333, dtype, true, true);
    State shifted = state;
    shifted.gradient = at::cat({state.gradient.narrow(0, 0, 1), state.gradient}).narrow(0, 1, 333);
    compare(shifted, an_update());
  }
}

TEST("emulated sum_of_squares: float32 and bfloat16, any number of elements") {
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
    for (const std::int64_t count : {0, 1, 7, 8, 9, 70'001}) {
      at::manual_seed(47);
      const at::Tensor values = at::randn({count}).to(dtype);
      const auto by_kernel = [&] {
        Arguments memory;
        const at::Tensor partial = memory.output({kernels::sum_of_squares_partials}, at::kDouble);
        const at::Tensor result = memory.output({1}, at::kDouble);
        EXPECT(kernels::launch_sum_of_squares({memory.input(values), partial.data_ptr<double>(),
                                               result.data_ptr<double>(), count, dtype_of(values)},
                                              nullptr) == 0);
        return std::vector<at::Tensor>{result};
      };
      const double found = under_schedules(by_kernel)[0].item<double>();
      const double exact = values.to(at::kDouble).square().sum().item<double>();
      EXPECT_LE(std::abs(found - exact), 1e-6 * exact);
    }
  }
}

}  // namespace
}  // namespace emulated_adamw_test
