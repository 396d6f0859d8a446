#include "model/target_encoder.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>

#include <algorithm>

#include "ops/adamw/adamw.h"

namespace ehrjepa::model {
namespace {

std::vector<at::Tensor> tensors(const Qwen3Weights& weights, const Qwen3Config& config) {
  std::vector<at::Tensor> result;
  for (NamedTensor& parameter : weights.trainable(config)) result.push_back(parameter.tensor.detach());
  return result;
}

Qwen3Weights start_of(const Qwen3Weights& encoder) {
  if (encoder.adapters.empty()) return clone_detached(encoder);
  Qwen3Weights result = encoder;  // shares the base, which never moves
  result.adapters = encoder.adapters.map([](const at::Tensor& tensor) { return tensor.detach().clone(); });
  return result;
}

at::Tensor zero_beside(const at::Tensor& tensor) { return at::zeros({}, tensor.options().dtype(at::kDouble)); }

at::Tensor global_norm(const std::vector<at::Tensor>& list) {
  at::Tensor squares = zero_beside(list.front());
  for (const at::Tensor& tensor : list) squares += ops::sum_of_squares(tensor);
  return squares.sqrt();
}

}  // namespace

TargetEncoder::TargetEncoder(const Qwen3Weights& encoder, const Qwen3Config& config)
    : config_(config), weights_(start_of(encoder)) {}

void TargetEncoder::restart_from(const Qwen3Weights& encoder) {
  const at::NoGradGuard no_grad;
  const std::vector<at::Tensor> target = tensors(weights_, config_), online = tensors(encoder, config_);
  for (std::size_t i = 0; i < target.size(); ++i) target[i].copy_(online[i]);
}

at::Tensor TargetEncoder::relative_distance(const Qwen3Weights& encoder) const {
  const at::NoGradGuard no_grad;
  const std::vector<at::Tensor> online = tensors(encoder, config_);
  const std::vector<at::Tensor> target = tensors(weights_, config_);
  // Piece by piece: the difference of two whole models would take memory of their size at every reading.
  constexpr std::int64_t piece = 1 << 20;
  at::Tensor squares = zero_beside(online.front());
  for (std::size_t i = 0; i < online.size(); ++i) {
    const at::Tensor a = target[i].reshape({-1}), b = online[i].reshape({-1});
    for (std::int64_t begin = 0; begin < a.size(0); begin += piece) {
      const std::int64_t length = std::min(piece, a.size(0) - begin);
      const at::Tensor norm = (a.narrow(0, begin, length).to(at::kFloat) - b.narrow(0, begin, length).to(at::kFloat))
                                  .norm()
                                  .to(at::kDouble);
      squares += norm * norm;
    }
  }
  return squares.sqrt() / global_norm(online);
}

}  // namespace ehrjepa::model
