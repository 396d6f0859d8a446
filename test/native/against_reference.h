#pragma once
#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

#include <functional>
#include <string>
#include <vector>

#include "native/check.h"

/// An op against its reference.
namespace against_reference {

using Call = std::function<at::Tensor(const std::vector<at::Tensor>&)>;

/// Output, then the gradients of the floating-point inputs for one upstream gradient.
inline std::vector<at::Tensor> results(const Call& call, const std::vector<at::Tensor>& inputs,
                                       const at::Tensor& upstream) {
  std::vector<at::Tensor> arguments, leaves;
  for (const at::Tensor& input : inputs) {
    arguments.push_back(input.is_floating_point() ? input.detach().clone().requires_grad_(true) : input);
    if (input.is_floating_point()) leaves.push_back(arguments.back());
  }
  const at::Tensor output = call(arguments);
  std::vector<at::Tensor> all = {output.detach()};
  const auto gradients = torch::autograd::grad({output}, leaves, {upstream.to(output.scalar_type())});
  all.insert(all.end(), gradients.begin(), gradients.end());
  return all;
}

inline at::Tensor wide(const at::Tensor& tensor) {
  return tensor.is_floating_point() ? tensor.to(at::kDouble) : tensor;
}

/// |found - exact| / |exact| in the L2 norm, float64.
inline double error(const at::Tensor& found, const at::Tensor& exact) {
  return ((wide(found) - exact).norm() / exact.norm().clamp_min(1e-30)).item<double>();
}

/// Output and gradients of some inputs and one upstream gradient.
using Results = std::function<std::vector<at::Tensor>(const std::vector<at::Tensor>&, const at::Tensor&)>;

/// Fails unless output and every gradient of `ours` are at most twice as far from the float64 truth of the same rounded
/// inputs as the reference in their dtype is, plus half a unit in the last place: where plain ATen is exact by luck,
/// ours may still round. @param slack  more of it, for results of so few elements that rounding does not average out.
inline void expect_results_as_exact(const Results& ours, const Call& reference, const std::vector<at::Tensor>& inputs,
                                    const at::Tensor& upstream, const std::string& name, double slack = 0.0) {
  std::vector<at::Tensor> wide_inputs;
  for (const at::Tensor& input : inputs) wide_inputs.push_back(wide(input));
  const std::vector<at::Tensor> exact = results(reference, wide_inputs, wide(upstream));
  const std::vector<at::Tensor> plain = results(reference, inputs, upstream);
  const std::vector<at::Tensor> found = ours(inputs, upstream);
  const double rounding = inputs.front().scalar_type() == at::kBFloat16 ? 4e-3 : 6e-8;
  for (std::size_t i = 0; i < exact.size(); ++i) {
    const double limit = 2 * error(plain[i], exact[i]) + rounding + slack;
    const double distance = error(found[i], exact[i]);
    if (distance <= limit && found[i].sizes() == exact[i].sizes()) continue;
    check::fail(__FILE__, __LINE__,
                name + ", " + (i == 0 ? "output" : "gradient " + std::to_string(i)) + ": relative error " +
                    std::to_string(distance * 1e6) + "e-6 must be at most " + std::to_string(limit * 1e6) + "e-6");
  }
}

/// The same of an op that autograd differentiates.
inline void expect_as_exact(const Call& ours, const Call& reference, const std::vector<at::Tensor>& inputs,
                            const at::Tensor& upstream, const std::string& name, double slack = 0.0) {
  expect_results_as_exact(
      [&](const std::vector<at::Tensor>& in, const at::Tensor& gradient) { return results(ours, in, gradient); },
      reference, inputs, upstream, name, slack);
}

}  // namespace against_reference
