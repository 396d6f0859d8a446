#include "train/update_in_backward.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/function_hook.h>
#include <torch/csrc/autograd/variable.h>

#include <functional>
#include <memory>
#include <utility>

namespace ehrjepa::train {
namespace {

/// Called when a leaf's gradient is whole.
class WhenWhole : public torch::autograd::PostAccumulateGradHook {
 public:
  explicit WhenWhole(std::function<void(const at::Tensor&)> call) : call_(std::move(call)) {}
  void operator()(const torch::autograd::Variable& leaf) override { call_(leaf); }

 private:
  std::function<void(const at::Tensor&)> call_;
};

/// Hooks of all parameters; gone, and with them what is left of the gradients, when it goes.
class Hooks {
 public:
  explicit Hooks(const std::vector<model::NamedTensor>& parameters) : parameters_(parameters) {}
  ~Hooks() {
    for (const model::NamedTensor& parameter : parameters_) {
      torch::autograd::impl::set_post_acc_grad_hooks(parameter.tensor, nullptr);
      parameter.tensor.mutable_grad().reset();
    }
  }
  Hooks(const Hooks&) = delete;
  Hooks& operator=(const Hooks&) = delete;

 private:
  const std::vector<model::NamedTensor>& parameters_;
};

}  // namespace

at::Tensor update_in_backward(const at::Tensor& loss, const std::vector<model::NamedTensor>& parameters,
                              Optimizer& optimizer, const UpdateOptions& options) {
  at::Tensor squares = at::zeros({}, loss.options().dtype(at::kDouble));
  std::vector<bool> updated(parameters.size(), false);
  const Hooks hooks(parameters);
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    const auto update = [&, i](const at::Tensor& leaf) {
      const at::NoGradGuard no_grad;
      const at::Tensor gradient = leaf.grad();
      leaf.mutable_grad().reset();
      const at::Tensor norm = gradient_norm({gradient});
      squares += norm * norm;
      UpdateOptions own = options;
      own.gradient_scale = clip_scale(norm, 0.0);
      optimizer.update(i, gradient, own);
      updated[i] = true;
    };
    torch::autograd::impl::set_post_acc_grad_hooks(parameters[i].tensor, std::make_unique<WhenWhole>(update));
  }
  torch::autograd::backward({loss});
  // A target follows its parameter even where no loss reached it.
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    if (!updated[i]) optimizer.update(i, at::Tensor(), options);
  }
  return squares.sqrt();
}

}  // namespace ehrjepa::train
