#pragma once
#include <cstdint>
#include <optional>

#include "ops/adamw/adamw.h"

namespace ehrjepa::ops {

/// An implementation of `adamw_` with the arguments of its schema, as the dispatcher calls it.
template <void (*implementation)(const AdamWTensors& tensors, const AdamWUpdate& update)>
void adamw_with_arguments(const at::Tensor& parameter, const at::Tensor& exp_avg, const at::Tensor& exp_avg_sq,
                          const std::optional<at::Tensor>& target, const std::optional<at::Tensor>& gradient,
                          const std::optional<at::Tensor>& gradient_scale, double learning_rate, double beta1,
                          double beta2, double epsilon, double weight_decay, std::int64_t updates, double momentum,
                          std::int64_t seed, std::int64_t step, std::int64_t number) {
  implementation({.parameter = parameter,
                  .exp_avg = exp_avg,
                  .exp_avg_sq = exp_avg_sq,
                  .target = target.value_or(at::Tensor()),
                  .gradient = gradient.value_or(at::Tensor())},
                 {.gradient_scale = gradient_scale.value_or(at::Tensor()),
                  .learning_rate = learning_rate,
                  .beta1 = beta1,
                  .beta2 = beta2,
                  .epsilon = epsilon,
                  .weight_decay = weight_decay,
                  .updates = updates,
                  .momentum = momentum,
                  .seed = static_cast<std::uint64_t>(seed),
                  .step = static_cast<std::uint32_t>(step),
                  .parameter = static_cast<std::uint32_t>(number)});
}

}  // namespace ehrjepa::ops
