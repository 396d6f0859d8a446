#pragma once
#include <ATen/core/Tensor.h>

#include <atomic>

#include "model/qwen3.h"

namespace ehrjepa::infer {

struct ScoreTensors {
  at::Tensor
      log_probabilities;  ///< (T), float32, natural log; NaN for the first token of a sequence, which nothing predicts
  at::Tensor hidden;      ///< (T, D), float32, after the final norm; undefined unless asked for
};

/// Log-probability of every token given those before it in its sequence. No gradients. The logits are never stored.
ScoreTensors score(const model::Qwen3Weights& weights, const Qwen3Config& config, at::ScalarType compute_dtype,
                   const model::PackedTokens& batch, bool with_hidden, const std::atomic<bool>& cancelled);

}  // namespace ehrjepa::infer
