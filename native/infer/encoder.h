#pragma once
#include <ATen/core/Tensor.h>

#include <atomic>

#include "contract/reading.h"
#include "model/qwen3.h"

namespace ehrjepa::infer {

/// One frozen state per sequence, from the hidden states after the final norm. No gradients.
/// @return (B, D), float32.
at::Tensor embed(const model::Qwen3Weights& weights, const Qwen3Config& config, at::ScalarType compute_dtype,
                 const model::PackedTokens& batch, Pooling pooling, const std::atomic<bool>& cancelled);

}  // namespace ehrjepa::infer
