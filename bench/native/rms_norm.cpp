// Is our RMSNorm faster than plain ATen and than at::rms_norm, and how near is it to the speed of a copy?
#include "ops/rms_norm/rms_norm.h"

#include <ATen/Context.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/rand.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/rms_norm.h>
#include <torch/csrc/autograd/autograd.h>

#include <functional>
#include <memory>
#include <sstream>
#include <stdexcept>

#include "cases/rms_norm.h"
#include "native/timing.h"
#include "ops/rms_norm/cpu_rows.h"

namespace bench {
namespace {

using ehrjepa::ops::rms_norm_reference;
using ehrjepa::ops::rms_norm_cpu::PlainKernelsOnly;

constexpr double eps = 1e-6;

struct Implementation {
  const char* name;
  at::Tensor (*norm)(const at::Tensor& x, const at::Tensor& weight);
  bool plain_kernels;
};

at::Tensor ours(const at::Tensor& x, const at::Tensor& weight) { return ehrjepa::ops::rms_norm(x, weight, eps); }
at::Tensor plain_aten(const at::Tensor& x, const at::Tensor& weight) { return rms_norm_reference(x, weight, eps); }
at::Tensor libtorch(const at::Tensor& x, const at::Tensor& weight) {
  return at::rms_norm(x, {x.size(-1)}, weight, eps);
}

/// Switches the AVX-512 path off for one call when that is what the implementation stands for.
std::unique_ptr<PlainKernelsOnly> kernels_of(const Implementation& implementation) {
  return implementation.plain_kernels ? std::make_unique<PlainKernelsOnly>() : nullptr;
}

/// y, grad_x, grad_weight.
std::vector<at::Tensor> results(const Implementation& implementation, const at::Tensor& x, const at::Tensor& weight,
                                const at::Tensor& upstream) {
  const auto kernels = kernels_of(implementation);
  const at::Tensor leaf = x.detach().clone().requires_grad_(true);
  const at::Tensor leaf_weight = weight.detach().clone().requires_grad_(true);
  const at::Tensor y = implementation.norm(leaf, leaf_weight);
  const std::vector<at::Tensor> gradients = torch::autograd::grad({y}, {leaf, leaf_weight}, {upstream});
  return {y.detach(), gradients[0], gradients[1]};
}

double relative_error(const at::Tensor& found, const at::Tensor& exact) {
  return ((found.to(at::kDouble) - exact).norm() / exact.norm()).item<double>();
}

/// Output and gradients against float64: at most twice the error of plain ATen plus half a unit in the last place.
void check(const Implementation& implementation, const at::Tensor& x, const at::Tensor& weight,
           const at::Tensor& upstream, const char* name) {
  const Implementation plain{"plain ATen", &plain_aten, false};
  const auto wide = [](const at::Tensor& tensor) { return tensor.to(at::kDouble); };
  const std::vector<at::Tensor> exact = results(plain, wide(x), wide(weight), wide(upstream));
  const std::vector<at::Tensor> reference = results(plain, x, weight, upstream);
  const std::vector<at::Tensor> found = results(implementation, x, weight, upstream);
  const double rounding = x.scalar_type() == at::kFloat ? 6e-8 : 4e-3;
  const char* const outputs[] = {"y", "grad_x", "grad_weight"};
  for (std::size_t i = 0; i < exact.size(); ++i) {
    const double error = relative_error(found[i], exact[i]);
    const double limit = 2 * relative_error(reference[i], exact[i]) + rounding;
    if (!(error <= limit)) {
      std::ostringstream message;
      message << "[bench] rms_norm, " << implementation.name << ", " << name << ": relative error of " << outputs[i]
              << " must be at most " << limit << " but is " << error << "; nothing was timed";
      throw std::runtime_error(message.str());
    }
  }
}

}  // namespace

std::vector<Row> rms_norm(const Settings& settings) {
  at::manual_seed(17);
  std::vector<Implementation> implementations = {
      {"ours", &ours, false}, {"plain ATen", &plain_aten, false}, {"at::rms_norm", &libtorch, false}};
  if (ehrjepa::ops::rms_norm_cpu::has_avx512()) implementations.push_back({"ours, plain", &ours, true});
  std::vector<Row> rows;
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
    const std::string dtype_name = dtype == at::kFloat ? "float32" : "bfloat16";
    for (const RmsNormCase& c : rms_norm_cases) {
      if (c.size == 1) continue;  // its gradient is rounding noise
      const at::Tensor x = (at::randn({c.tokens, c.size}) * 3).to(dtype);
      const at::Tensor weight = (at::rand({c.size}) + 0.5).to(dtype);
      const at::Tensor upstream = at::randn({c.tokens, c.size}).to(dtype);
      std::vector<std::function<void()>> forward, backward;
      for (const Implementation& implementation : implementations) {
        check(implementation, x, weight, upstream, c.name);
        const at::Tensor leaf = x.detach().clone().requires_grad_(true);
        const at::Tensor leaf_weight = weight.detach().clone().requires_grad_(true);
        const at::Tensor y = implementation.norm(leaf, leaf_weight);
        forward.push_back([=] {
          const at::NoGradGuard no_grad;
          const auto kernels = kernels_of(implementation);
          implementation.norm(x, weight);
        });
        backward.push_back([=] {
          const auto kernels = kernels_of(implementation);
          torch::autograd::grad({y}, {leaf, leaf_weight}, {upstream}, /*retain_graph=*/true);
        });
      }
      const auto add_rows = [&](const char* pass, double bytes, const std::vector<std::function<void()>>& calls) {
        const std::vector<Quantiles> times = time_in_turns(calls, settings);
        for (std::size_t i = 0; i < calls.size(); ++i) {
          rows.push_back({std::string("rms_norm ") + pass + " " + dtype_name, c.name, implementations[i].name, bytes,
                          times[i].p20, times[i].median, times[i].p80});
        }
      };
      add_rows("forward", 2 * static_cast<double>(x.nbytes()), forward);
      add_rows("backward", 3 * static_cast<double>(x.nbytes()), backward);
    }
  }
  return rows;
}

}  // namespace bench
