#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "contract/losses.h"

namespace ehrjepa::train {

/// The numbers of a pass where the model computes, () float64 each, undefined where there is none. The host reads them
/// once, at the end of a step: nothing before that waits for the device.
struct LossNumbers {
  at::Tensor loss;
  at::Tensor next_token;
  at::Tensor latent;
  at::Tensor regulariser;
  at::Tensor interference;
  std::vector<at::Tensor> collapse;  ///< what the monitors measured
  std::int64_t scored_tokens = 0;
};

/// All of them on the host, in one transfer.
/// @param gradient_norm  () float64; undefined: the result's is 0.
/// @throws Error when the loss or the norm is not finite: an update that depends on them is not made.
StepResult read(const LossNumbers& numbers, const at::Tensor& gradient_norm = {});

}  // namespace ehrjepa::train
