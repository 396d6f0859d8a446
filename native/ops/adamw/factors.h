#pragma once
#include <cmath>

#include "ops/adamw/adamw.h"
#include "ops/adamw/cpu_kernels.h"

namespace ehrjepa::ops {

/// What an update comes to for each element, worked out in float64, but for the scale of the gradient: 1.
inline adamw_cpu::Factors factors_of(const AdamWUpdate& update) {
  const double t = static_cast<double>(update.updates);
  const double correction1 = 1.0 - std::pow(update.beta1, t), correction2 = 1.0 - std::pow(update.beta2, t);
  // From the nearer end, so that momentum 0 gives the parameter to the bit and 1 the target.
  const bool from_parameter = update.momentum <= 0.5;
  return {.gradient_scale = 1.0F,
          .decay = static_cast<float>(1.0 - update.learning_rate * update.weight_decay),
          .beta1_rest = static_cast<float>(1.0 - update.beta1),
          .beta2 = static_cast<float>(update.beta2),
          .beta2_rest = static_cast<float>(1.0 - update.beta2),
          .step_size = static_cast<float>(update.learning_rate / correction1),
          .root_scale = static_cast<float>(1.0 / std::sqrt(correction2)),
          .epsilon = static_cast<float>(update.epsilon),
          .from_parameter = from_parameter,
          .target_share = static_cast<float>(from_parameter ? -update.momentum : 1.0 - update.momentum)};
}

}  // namespace ehrjepa::ops
