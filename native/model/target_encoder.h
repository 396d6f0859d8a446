#pragma once
#include <functional>
#include <string>
#include <vector>

#include "model/qwen3.h"

namespace ehrjepa::model {

/// Exponential moving average of the encoder: target <- momentum * target + (1 - momentum) * encoder.
/// float32 throughout: with momentum 0.996 a bfloat16 average would round almost every update away.
/// Under LoRA the average is of the adapters, over the encoder's own base. It is the usual practice, although an
/// average of B and one of A do not multiply to the average of B A.
class TargetEncoder {
 public:
  using IsElsewhere = std::function<bool(const std::string& name)>;

  /// Starts as a copy of the encoder.
  /// @param is_elsewhere  whether another process keeps the average of a weight that training may change: here it is on
  /// the meta device, a shape without memory.
  TargetEncoder(const Qwen3Weights& encoder, const Qwen3Config& config, const IsElsewhere& is_elsewhere = {});

  /// Becomes a copy of the encoder again. The momentum update is part of the optimiser's.
  void restart_from(const Qwen3Weights& encoder);

  /// |target - encoder|^2 of pieces of the weights, (pieces) float64, in a fixed order; 0 for what is elsewhere.
  at::Tensor squared_distances(const Qwen3Weights& encoder, at::Device device = at::kCPU) const;
  /// |encoder|^2 of each weight that training may change, (weights) float64; 0 for what is elsewhere.
  at::Tensor squares(const Qwen3Weights& encoder, at::Device device = at::kCPU) const;
  /// |target - encoder| / |encoder|, L2 over all weights, or over the adapters under LoRA. () float64.
  at::Tensor relative_distance(const Qwen3Weights& encoder) const {
    return relative_distance(squared_distances(encoder), squares(encoder));
  }
  /// The same from `squared_distances` and `squares`, of all that are somewhere.
  static at::Tensor relative_distance(const at::Tensor& squared_distances, const at::Tensor& squares);

  const Qwen3Weights& weights() const { return weights_; }
  const Qwen3Config& config() const { return config_; }
  /// What training may change of them.
  std::vector<NamedTensor> trainable() const { return weights_.trainable(config_); }

 private:
  Qwen3Config config_;
  Qwen3Weights weights_;
};

}  // namespace ehrjepa::model
