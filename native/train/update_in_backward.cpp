#include "train/update_in_backward.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/autograd.h>

#include "train/gradient_hooks.h"

namespace ehrjepa::train {
at::Tensor update_in_backward(const at::Tensor& loss, const std::vector<model::NamedTensor>& parameters,
                              Optimizer& optimizer, const UpdateOptions& options) {
  at::Tensor squares = at::zeros({}, loss.options().dtype(at::kDouble));
  std::vector<bool> updated(parameters.size(), false);
  std::vector<at::Tensor> leaves;
  for (const model::NamedTensor& parameter : parameters) leaves.push_back(parameter.tensor);
  const GradientHooks hooks(leaves, [&](std::size_t i, const at::Tensor& gradient) {
    const at::Tensor norm = gradient_norm({gradient});
    squares += norm * norm;
    UpdateOptions own = options;
    own.gradient_scale = clip_scale(norm, 0.0);
    optimizer.update(i, gradient, own);
    updated[i] = true;
  });
  torch::autograd::backward({loss});
  // A target follows its parameter even where no loss reached it.
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    if (!updated[i]) optimizer.update(i, at::Tensor(), options);
  }
  return squares.sqrt();
}

}  // namespace ehrjepa::train
