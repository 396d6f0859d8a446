#include "train/gradient_hooks.h"

#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/function_hook.h>
#include <torch/csrc/autograd/variable.h>

#include <memory>
#include <utility>

namespace ehrjepa::train {
namespace {

/// Called when a leaf's gradient is whole.
class WhenWhole : public torch::autograd::PostAccumulateGradHook {
 public:
  explicit WhenWhole(std::function<void(const at::Tensor&)> call) : call_(std::move(call)) {}
  void operator()(const torch::autograd::Variable& leaf) override {
    const at::NoGradGuard no_grad;
    const at::Tensor gradient = leaf.grad();
    leaf.mutable_grad().reset();
    call_(gradient);
  }

 private:
  std::function<void(const at::Tensor&)> call_;
};

}  // namespace

GradientHooks::GradientHooks(const std::vector<at::Tensor>& parameters, const Call& call) : parameters_(parameters) {
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    torch::autograd::impl::set_post_acc_grad_hooks(
        parameters_[i], std::make_unique<WhenWhole>([call, i](const at::Tensor& gradient) { call(i, gradient); }));
  }
}

GradientHooks::~GradientHooks() {
  for (const at::Tensor& parameter : parameters_) {
    torch::autograd::impl::set_post_acc_grad_hooks(parameter, nullptr);
    parameter.mutable_grad().reset();
  }
}

}  // namespace ehrjepa::train
