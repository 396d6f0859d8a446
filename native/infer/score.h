#pragma once
#include <ATen/core/Tensor.h>

#include <atomic>

#include "model/qwen3.h"

namespace ehrjepa::infer {

struct ScoreTensors {
  /// (T - S), float32, natural log; of every token but the first of each of the S sequences, which nothing predicts
  at::Tensor log_probabilities;
  at::Tensor hidden;  ///< (T, D), float32, after the final norm; undefined unless asked for
};

/// Log-probability of every token given those before it in its sequence, sequence after sequence. No gradients. The
/// logits are never stored.
ScoreTensors score(const model::Qwen3Weights& weights, const Qwen3Config& config, at::ScalarType compute_dtype,
                   const model::PackedTokens& batch, bool with_hidden, const std::atomic<bool>& cancelled);

}  // namespace ehrjepa::infer
