#include "train/optimizer.h"

#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "ops/adamw/adamw.h"
#include "train/muon.h"

namespace ehrjepa::train {
namespace {

/// Whether a parameter maps features to features: not the embedding or the head, whose rows are tokens, nor one row
/// alone.
bool is_matrix(const std::string& name, const at::Tensor& values) {
  return values.dim() == 2 && std::min(values.size(0), values.size(1)) > 1 && !name.starts_with("model.embed_tokens") &&
         !name.starts_with("lm_head");
}

}  // namespace

Optimizer::Optimizer(const std::vector<model::NamedTensor>& parameters,
                     const std::vector<model::NamedTensor>& targets) {
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
                      .decays = values.dim() >= 2,
                      .is_matrix = is_matrix(parameter.name, values)});
  }
}

void Optimizer::require(const OptimizerOptions& options) const {
  if (options.matrix_update != MatrixUpdate::kMuon) return;
  for (std::size_t i = 0; i < slots_.size(); ++i) {
    if (!slots_[i].is_matrix || slots_[i].parameter.scalar_type() == at::kFloat) continue;
    throw Error("[optimizer] matrixUpdate muon needs float32 parameters but " + names_[i] + " is bfloat16; use adamw");
  }
}

void Optimizer::step(const std::vector<at::Tensor>& gradients, const UpdateOptions& options) {
  for (std::size_t i = 0; i < slots_.size(); ++i) update(i, gradients[i], options);
}

void Optimizer::update(std::size_t index, const at::Tensor& gradient, const UpdateOptions& options) {
  const at::NoGradGuard no_grad;
  const OptimizerOptions& optimizer = options.optimizer;
  const Slot& slot = slots_[index];
  const at::Tensor target = options.momentum ? slot.target : at::Tensor();
  if (!gradient.defined() && !target.defined()) return;
  double scale = options.gradient_scale;
  if (gradient.defined()) {
    slot.steps.add_(1);
    if (options.parameter_clip > 0.0) scale *= clip_scale(gradient_norm({gradient}), options.parameter_clip);
  }
  const bool by_muon = gradient.defined() && slot.is_matrix && optimizer.matrix_update == MatrixUpdate::kMuon;
  if (by_muon) {
    muon_(slot.parameter, slot.exp_avg, gradient,
          {.gradient_scale = scale,
           .learning_rate = optimizer.learning_rate,
           .momentum = optimizer.muon_momentum,
           .weight_decay = optimizer.weight_decay});
    if (!target.defined()) return;
  }
  ops::adamw_({.parameter = slot.parameter,
               .exp_avg = slot.exp_avg,
               .exp_avg_sq = slot.exp_avg_sq,
               .target = target,
               .gradient = gradient.defined() && !by_muon ? gradient.contiguous() : at::Tensor()},
              {.gradient_scale = scale,
               .learning_rate = optimizer.learning_rate,
               .beta1 = optimizer.beta1,
               .beta2 = optimizer.beta2,
               .epsilon = optimizer.epsilon,
               .weight_decay = slot.decays ? optimizer.weight_decay : 0.0,
               .updates = std::max<std::int64_t>(1, std::llround(slot.steps.item<double>())),
               .momentum = options.momentum.value_or(1.0),
               .seed = options.seed,
               .step = options.step,
               .parameter = static_cast<std::uint32_t>(index)});
}

std::vector<model::NamedTensor> Optimizer::state() const {
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
