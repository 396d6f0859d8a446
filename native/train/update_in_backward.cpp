#include "train/update_in_backward.h"

#include <ATen/TensorOperators.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>
#include <utility>

#include "train/gradient_hooks.h"

namespace ehrjepa::train {

UpdateInBackward::UpdateInBackward(WorldModel& model, UpdateOptions options)
    : model_(model),
      optimizer_(model.training().optimizer()),
      options_(std::move(options)),
      squares_(model.training().trainable.size()) {}

void UpdateInBackward::begin(const LossNumbers& losses) {
  model_.wait_for_copies();
  optimizer_.forget_updates();
  loss_ = losses.loss;
  loss_scale_ = clip_scale(loss_, 0.0);
}

void UpdateInBackward::apply(std::size_t parameter, const at::Tensor& gradient) {
  at::Tensor& squares = squares_[parameter];
  squares = squares_of({gradient})[0];
  UpdateOptions own = options_;
  own.gradient_scale = squares.defined() ? loss_scale_ * clip_scale(squares.sqrt(), 0.0) : loss_scale_;
  optimizer_.update(parameter, gradient, own);
}

void UpdateInBackward::backward(const at::Tensor& loss, const Leaves& leaves) {
  std::vector<bool> applied(leaves.size(), false);
  const GradientHooks hooks(leaves.tensors, [&](std::size_t parameter, const at::Tensor& gradient) {
    apply(parameter, gradient);
    applied[parameter] = true;
  });
  torch::autograd::backward({loss});
  // A target follows its parameter even where no loss reached it.
  for (std::size_t i = 0; i < applied.size(); ++i) {
    if (!applied[i]) apply(i, {});
  }
}

bool UpdateInBackward::has_begun() const { return loss_.defined() && std::isfinite(loss_.item<double>()); }

}  // namespace ehrjepa::train
