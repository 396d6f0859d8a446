#include "train/optimizer.h"

#include <ATen/ops/_foreach_mul.h>
#include <ATen/ops/_foreach_norm.h>
#include <ATen/ops/_fused_adamw.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <c10/core/GradMode.h>

namespace ehrjepa::train {

AdamW::AdamW(std::vector<model::NamedTensor> parameters) {
  for (const model::NamedTensor& parameter : parameters) {
    const at::Tensor values = parameter.tensor.detach();
    names_.push_back(parameter.name);
    slots_.push_back(
        {values, at::zeros_like(values), at::zeros_like(values), at::zeros({}, at::kFloat), values.dim() >= 2});
  }
}

void AdamW::step(const std::vector<at::Tensor>& gradients, const AdamWOptions& options) {
  const at::NoGradGuard no_grad;
  for (const bool decays : {true, false}) {
    std::vector<at::Tensor> parameters, grads, exp_avgs, exp_avg_sqs, steps;
    for (std::size_t i = 0; i < slots_.size(); ++i) {
      if (!gradients[i].defined() || slots_[i].decays != decays) continue;
      slots_[i].steps.add_(1);
      parameters.push_back(slots_[i].parameter);
      grads.push_back(gradients[i].contiguous());
      exp_avgs.push_back(slots_[i].exp_avg);
      exp_avg_sqs.push_back(slots_[i].exp_avg_sq);
      steps.push_back(slots_[i].steps);
    }
    if (parameters.empty()) continue;
    at::_fused_adamw_(parameters, grads, exp_avgs, exp_avg_sqs, {}, steps, options.learning_rate, options.beta1,
                      options.beta2, decays ? options.weight_decay : 0.0, options.epsilon, /*amsgrad=*/false,
                      /*maximize=*/false);
  }
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

double clip_gradients(const std::vector<at::Tensor>& gradients, double limit) {
  std::vector<at::Tensor> defined;
  for (const at::Tensor& gradient : gradients) {
    if (gradient.defined()) defined.push_back(gradient);
  }
  const double norm = at::stack(at::_foreach_norm(defined, 2)).norm().item<double>();
  if (limit > 0.0 && norm > limit) at::_foreach_mul_(defined, limit / norm);
  return norm;
}

}  // namespace ehrjepa::train
