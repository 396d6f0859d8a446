#include "train/optimizer.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/full_like.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/error.h"
#include "memory/transfer.h"
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

Optimizer::Optimizer(const std::vector<model::NamedTensor>& parameters, const std::vector<model::NamedTensor>& targets,
                     const distributed::Ownership* ownership) {
  for (const model::NamedTensor& parameter : parameters) {
    const at::Tensor values = parameter.tensor.detach();
    const bool is_own = ownership == nullptr || ownership->is_own(slots_.size());
    const auto moment = [&] {
      return is_own ? at::zeros_like(values) : at::empty_like(values, at::TensorOptions().device(at::kMeta));
    };
    const auto target = std::find_if(targets.begin(), targets.end(),
                                     [&](const model::NamedTensor& other) { return other.name == parameter.name; });
    names_.push_back(parameter.name);
    slots_.push_back({.parameter = values,
                      .exp_avg = moment(),
                      .exp_avg_sq = moment(),
                      .steps = at::zeros({}, memory::on_host(at::kFloat)),
                      .target = target == targets.end() ? at::Tensor() : target->tensor.detach(),
                      .decays = values.dim() >= 2,
                      .is_matrix = is_matrix(parameter.name, values)});
  }
  forget_updates();
}

void Optimizer::require(const OptimizerOptions& options) const {
  if (options.matrix_update != MatrixUpdate::kMuon) return;
  for (std::size_t i = 0; i < slots_.size(); ++i) {
    if (!slots_[i].is_matrix || slots_[i].parameter.scalar_type() == at::kFloat) continue;
    throw Error("[optimizer] matrixUpdate muon needs float32 parameters but " + names_[i] + " is bfloat16; use adamw");
  }
}

void Optimizer::step(const std::vector<at::Tensor>& gradients, const UpdateOptions& options) {
  forget_updates();
  for (std::size_t i = 0; i < slots_.size(); ++i) update(i, gradients[i], options);
}

void Optimizer::update(std::size_t index, const at::Tensor& gradient, const UpdateOptions& options) {
  const at::NoGradGuard no_grad;
  const OptimizerOptions& optimizer = options.optimizer;
  const Slot& slot = slots_[index];
  const at::Tensor target = options.momentum ? slot.target : at::Tensor();
  if (!gradient.defined() && !target.defined()) return;
  if (slot.exp_avg.is_meta()) {
    if (gradient.defined()) updated_[index] = true;
    return;
  }
  at::Tensor scale = options.gradient_scale;
  std::int64_t updates = 1;
  if (gradient.defined()) {
    updates += std::llround(slot.steps.item<double>());
    updated_[index] = true;
    if (options.parameter_clip > 0.0) {
      const at::Tensor own = clip_scale(gradient_norm({gradient}), options.parameter_clip);
      scale = scale.defined() ? scale * own : own;
    }
  }
  const bool by_muon = gradient.defined() && slot.is_matrix && optimizer.matrix_update == MatrixUpdate::kMuon;
  if (by_muon) {
    muon_(slot.parameter, slot.exp_avg, gradient,
          {.gradient_scale = scale,
           .learning_rate = optimizer.learning_rate,
           .momentum = optimizer.muon_momentum,
           .weight_decay = optimizer.weight_decay,
           .products = options.products});
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
               .updates = updates,
               .momentum = options.momentum.value_or(1.0),
               .seed = options.seed,
               .step = options.step,
               .parameter = static_cast<std::uint32_t>(index)});
}

void Optimizer::count_updates() {
  const at::NoGradGuard no_grad;
  for (std::size_t i = 0; i < slots_.size(); ++i) {
    if (updated_[i]) slots_[i].steps.add_(1);
  }
  forget_updates();
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

std::vector<at::Tensor> squares_of(const std::vector<at::Tensor>& gradients) {
  std::vector<at::Tensor> result;
  for (const at::Tensor& gradient : gradients) {
    if (!gradient.defined()) {
      result.emplace_back();
    } else if (gradient.is_meta()) {
      result.push_back(at::zeros({}, memory::on_host(at::kDouble)));
    } else {
      result.push_back(ops::sum_of_squares(gradient));
    }
  }
  return result;
}

at::Tensor gradient_norm(const std::vector<at::Tensor>& gradients) { return norm_of(squares_of(gradients)); }

at::Tensor norm_of(const std::vector<at::Tensor>& squares_of_each) {
  at::Tensor squares;
  for (const at::Tensor& own : squares_of_each) {
    if (own.defined()) squares = squares.defined() ? squares + own : own;
  }
  return squares.defined() ? squares.sqrt() : at::zeros({}, memory::on_host(at::kDouble));
}

at::Tensor clip_scale(const at::Tensor& norm, double limit) {
  at::Tensor scale = at::ones_like(norm);
  if (limit > 0.0) scale = at::where(norm.gt(limit), at::full_like(norm, limit) / norm, scale);
  return at::where(norm.isfinite(), scale, std::numeric_limits<double>::quiet_NaN());
}

}  // namespace ehrjepa::train
