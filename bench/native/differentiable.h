#pragma once
#include <ATen/core/Tensor.h>

#include <functional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "native/timing.h"

namespace bench {

/// What an op returns: one tensor or two.
struct Outputs : std::vector<at::Tensor> {
  Outputs() = default;
  Outputs(at::Tensor one) : std::vector<at::Tensor>{std::move(one)} {}
  Outputs(std::tuple<at::Tensor, at::Tensor> two)
      : std::vector<at::Tensor>{std::move(std::get<0>(two)), std::move(std::get<1>(two))} {}
};

/// Differentiable in the floating-point inputs.
using Differentiable = std::function<Outputs(const std::vector<at::Tensor>&)>;

struct Implementation {
  std::string name;  ///< `ours` comes first
  Differentiable call;
};

/// What one pass costs at the least.
struct Cost {
  double bytes = 0.0;  ///< inputs read once, outputs written once
  double flops = 0.0;  ///< multiplications and additions of matrix products
};

struct Subject {
  std::string op;                  ///< `rms_norm`
  std::string name;                ///< of the case
  std::vector<at::Tensor> inputs;  ///< those in a floating-point type are differentiated
  Outputs upstream;                ///< gradient of each output, its shape
  Cost forward, backward;
  /// The gradients are formed on the way forward, so that neither pass with them can be timed without the other.
  bool passes_are_one = false;
};

/// Times both passes of every implementation in turns, or the forward pass alone and both together, after each has been
/// checked: outputs and gradients are at most twice as far from the reference in float64 as the reference in the
/// inputs' own type is, plus half a unit in the last place.
/// @throws std::runtime_error when one of them is farther away; nothing is timed then.
std::vector<Row> check_and_time(const Subject& subject, const Differentiable& reference,
                                const std::vector<Implementation>& implementations, const Settings& settings);

}  // namespace bench
