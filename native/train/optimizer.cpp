#include "train/optimizer.h"

#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cmath>

#include "ops/adamw/adamw.h"

namespace ehrjepa::train {

AdamW::AdamW(const std::vector<model::NamedTensor>& parameters, const std::vector<model::NamedTensor>& targets) {
  for (const model::NamedTensor& parameter : parameters) {
    const at::Tensor values = parameter.tensor.detach();
    const auto target = std::find_if(targets.begin(), targets.end(),
                                     [&](const model::NamedTensor& other) { return other.name == parameter.name; });
    names_.push_back(parameter.name);
    slots_.push_back({.parameter = values,
                      .exp_avg = at::zeros_like(values),
                      .exp_avg_sq = at::zeros_like(values),
                      .steps = at::zeros({}, at::kFloat),
                      .target = target == targets.end() ? at::Tensor() : target->tensor.detach(),
                      .decays = values.dim() >= 2});
  }
}

void AdamW::step(const std::vector<at::Tensor>& gradients, const UpdateOptions& options) {
  for (std::size_t i = 0; i < slots_.size(); ++i) update(i, gradients[i], options);
}

void AdamW::update(std::size_t index, const at::Tensor& gradient, const UpdateOptions& options) {
  const at::NoGradGuard no_grad;
  const AdamWOptions& adamw = options.adamw;
  const Slot& slot = slots_[index];
  const at::Tensor target = options.momentum ? slot.target : at::Tensor();
  if (!gradient.defined() && !target.defined()) return;
  double scale = options.gradient_scale;
  if (gradient.defined()) {
    slot.steps.add_(1);
    if (options.parameter_clip > 0.0) scale *= clip_scale(gradient_norm({gradient}), options.parameter_clip);
  }
  ops::adamw_({.parameter = slot.parameter,
               .exp_avg = slot.exp_avg,
               .exp_avg_sq = slot.exp_avg_sq,
               .target = target,
               .gradient = gradient.defined() ? gradient.contiguous() : at::Tensor()},
              {.gradient_scale = scale,
               .learning_rate = adamw.learning_rate,
               .beta1 = adamw.beta1,
               .beta2 = adamw.beta2,
               .epsilon = adamw.epsilon,
               .weight_decay = slot.decays ? adamw.weight_decay : 0.0,
               .updates = std::max<std::int64_t>(1, std::llround(slot.steps.item<double>())),
               .momentum = options.momentum.value_or(1.0),
               .seed = options.seed,
               .step = options.step,
               .parameter = static_cast<std::uint32_t>(index)});
}

std::vector<model::NamedTensor> AdamW::state() const {
  std::vector<model::NamedTensor> result;
  for (std::size_t i = 0; i < slots_.size(); ++i) {
    result.push_back({"exp_avg." + names_[i], slots_[i].exp_avg});
    result.push_back({"exp_avg_sq." + names_[i], slots_[i].exp_avg_sq});
    result.push_back({"steps." + names_[i], slots_[i].steps});
  }
  return result;
}

double gradient_norm(const std::vector<at::Tensor>& gradients) {
  double squares = 0.0;
  for (const at::Tensor& gradient : gradients) {
    if (gradient.defined()) squares += ops::sum_of_squares(gradient).item<double>();
  }
  return std::sqrt(squares);
}

double clip_scale(double norm, double limit) { return limit > 0.0 && norm > limit ? limit / norm : 1.0; }

}  // namespace ehrjepa::train
