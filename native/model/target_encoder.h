#pragma once
#include "model/qwen3.h"

namespace ehrjepa::model {

/// Exponential moving average of the encoder: target <- momentum * target + (1 - momentum) * encoder.
/// float32 throughout: with momentum 0.996 a bfloat16 average would round almost every update away.
/// Under LoRA the average is of the adapters, over the encoder's own base. It is the usual practice, although an
/// average of B and one of A do not multiply to the average of B A.
class TargetEncoder {
 public:
  /// Starts as a copy of the encoder.
  TargetEncoder(const Qwen3Weights& encoder, const Qwen3Config& config);

  /// Becomes a copy of the encoder again. The momentum update is part of the optimiser's.
  void restart_from(const Qwen3Weights& encoder);

  /// |target - encoder| / |encoder|, L2 over all weights, or over the adapters under LoRA. () float64.
  at::Tensor relative_distance(const Qwen3Weights& encoder) const;

  const Qwen3Weights& weights() const { return weights_; }

 private:
  Qwen3Config config_;
  Qwen3Weights weights_;
};

}  // namespace ehrjepa::model
