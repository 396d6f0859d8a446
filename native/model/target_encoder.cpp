#include "model/target_encoder.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/stack.h>
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

at::Tensor zero_on(at::Device device) { return at::zeros({}, at::TensorOptions(device).dtype(at::kDouble)); }

/// The square root of a sum in this order.
at::Tensor norm_of(const at::Tensor& squares) {
  at::Tensor sum = zero_on(squares.device());
  for (const at::Tensor& square : squares.unbind()) sum += square;
  return sum.sqrt();
}

}  // namespace

TargetEncoder::TargetEncoder(const Qwen3Weights& encoder, const Qwen3Config& config, const IsElsewhere& is_elsewhere)
    : config_(config), weights_(encoder) {
  std::vector<at::Tensor> own;
  for (const NamedTensor& weight : encoder.trainable(config)) {
    const bool elsewhere = is_elsewhere && is_elsewhere(weight.name);
    const at::Tensor values = weight.tensor.detach();
    own.push_back(elsewhere ? at::empty_like(values, at::TensorOptions().device(at::kMeta)) : values.clone());
  }
  // Under LoRA it shares the base, which never moves.
  weights_ = weights_.with(config, own);
}

void TargetEncoder::restart_from(const Qwen3Weights& encoder) {
  const at::NoGradGuard no_grad;
  const std::vector<at::Tensor> target = tensors(weights_, config_), online = tensors(encoder, config_);
  for (std::size_t i = 0; i < target.size(); ++i) {
    if (!target[i].is_meta()) target[i].copy_(online[i]);
  }
}

at::Tensor TargetEncoder::squared_distances(const Qwen3Weights& encoder, at::Device device) const {
  const std::vector<at::Tensor> online = tensors(encoder, config_), target = tensors(weights_, config_);
  // Piece by piece: the difference of two whole models would take memory of their size at every reading.
  constexpr std::int64_t piece = 1 << 20;
  std::vector<at::Tensor> squares;
  for (std::size_t i = 0; i < online.size(); ++i) {
    const at::Tensor a = target[i].reshape({-1}), b = online[i].reshape({-1});
    for (std::int64_t begin = 0; begin < b.size(0); begin += piece) {
      if (a.is_meta()) {
        squares.push_back(zero_on(device));
        continue;
      }
      const std::int64_t length = std::min(piece, b.size(0) - begin);
      const at::Tensor norm = (a.narrow(0, begin, length).to(at::kFloat) - b.narrow(0, begin, length).to(at::kFloat))
                                  .norm()
                                  .to(at::kDouble);
      squares.push_back(norm * norm);
    }
  }
  return at::stack(squares);
}

at::Tensor TargetEncoder::squares(const Qwen3Weights& encoder, at::Device device) const {
  std::vector<at::Tensor> result;
  for (const at::Tensor& weight : tensors(encoder, config_)) {
    result.push_back(weight.is_meta() ? zero_on(device) : ops::sum_of_squares(weight));
  }
  return at::stack(result);
}

at::Tensor TargetEncoder::relative_distance(const at::Tensor& squared_distances, const at::Tensor& squares) {
  return norm_of(squared_distances) / norm_of(squares);
}

}  // namespace ehrjepa::model
