// Is our update of parameters, moments and target faster than libtorch's fused AdamW followed by a lerp, and how near
// is it to the speed of a copy?
#include "ops/adamw/adamw.h"

#include <ATen/ops/_foreach_lerp.h>
#include <ATen/ops/_fused_adamw.h>
#include <ATen/ops/full.h>
#include <ATen/ops/rand.h>
#include <ATen/ops/randn.h>

#include <stdexcept>

#include "cases/adamw.h"
#include "native/timing.h"
#include "ops/adamw/cpu.h"
#include "ops/isa.h"

namespace bench {
namespace {

namespace ops = ehrjepa::ops;

const ops::AdamWUpdate update{.learning_rate = 1e-4, .weight_decay = 0.01, .updates = 10, .momentum = 0.996};

ops::AdamWTensors state_of(std::int64_t elements, at::ScalarType dtype) {
  const auto drawn = [&] { return at::randn({elements}).to(dtype); };
  return {drawn(), drawn(), at::rand({elements}).to(dtype), drawn(), drawn()};
}

void libtorch(const ops::AdamWTensors& state) {
  static const at::Tensor steps = at::full({}, 10.0f);
  at::_fused_adamw_({state.parameter}, {state.gradient}, {state.exp_avg}, {state.exp_avg_sq}, {}, {steps},
                    update.learning_rate, update.beta1, update.beta2, update.weight_decay, update.epsilon, false,
                    false);
  at::_foreach_lerp_({state.target}, {state.parameter}, 1.0 - update.momentum);
}

/// @throws std::runtime_error unless both come to the same.
void check(at::ScalarType dtype) {
  at::manual_seed(3);
  const ops::AdamWTensors ours = state_of(4099, dtype);
  at::manual_seed(3);
  const ops::AdamWTensors theirs = state_of(4099, dtype);
  ops::adamw_(ours, update);
  libtorch(theirs);
  const double error =
      ((ours.parameter - theirs.parameter).to(at::kFloat).norm() / theirs.parameter.to(at::kFloat).norm())
          .item<double>();
  if (!(error <= (dtype == at::kFloat ? 1e-6 : 1e-2))) throw std::runtime_error("[bench] adamw: results differ");
}

}  // namespace

std::vector<Row> adamw(const Settings& settings) {
  std::vector<Row> rows;
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
    check(dtype);
    for (const AdamWCase& c : adamw_cases) {
      if (c.elements < 2000 || !c.with_gradient || !c.with_target) continue;
      const ops::AdamWTensors ours = state_of(c.elements, dtype), plain = state_of(c.elements, dtype),
                              theirs = state_of(c.elements, dtype);
      // Four arrays read and written, the gradient read.
      const double bytes = 9.0 * static_cast<double>(ours.parameter.nbytes());
      std::vector<std::pair<const char*, std::function<void()>>> calls = {{"ours", [&] { ops::adamw_(ours, update); }},
                                                                          {"libtorch", [&] { libtorch(theirs); }}};
      if (ops::best_isa() != ops::Isa::kPlain) {
        calls.emplace_back("ours, plain",
                           [&] { ops::adamw_cpu::update(plain, update, ops::adamw_cpu::plain_kernels); });
      }
      std::vector<std::function<void()>> timed;
      for (const auto& [name, call] : calls) timed.push_back(call);
      const std::vector<Quantiles> times = time_in_turns(timed, settings);
      for (std::size_t i = 0; i < calls.size(); ++i) {
        rows.push_back({dtype == at::kFloat ? "adamw float32" : "adamw bfloat16", c.name, calls[i].first, bytes, 0.0,
                        times[i].p20, times[i].median, times[i].p80});
      }
    }
  }
  return rows;
}

}  // namespace bench
