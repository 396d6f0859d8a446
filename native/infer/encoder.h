#pragma once
#include <ATen/core/Tensor.h>

#include <atomic>
#include <cstdint>
#include <span>

#include "contract/reading.h"
#include "model/qwen3.h"

namespace ehrjepa::infer {

/// One frozen state per prefix of a sequence: some of its hidden states, pooled, one after another. The decoder is
/// causal: a prefix has the states that it would have alone, so that one pass serves all prefixes of a sequence. No
/// gradients.
/// @param ends  (B), the row of the pack behind each prefix; it begins where the sequence of its last row does.
/// @param layers  numbers of the hidden states as in `visit_hidden_states`, ascending; {number of blocks}: after the
/// final norm.
/// @return (B, layers x D), float32.
/// @throws Error for an end that is no row's, or a layer that is none.
at::Tensor embed(const model::Qwen3Weights& weights, const Qwen3Config& config, at::ScalarType compute_dtype,
                 const model::PackedTokens& batch, std::span<const std::int32_t> ends, Pooling pooling,
                 std::span<const std::int32_t> layers, const std::atomic<bool>& cancelled);

}  // namespace ehrjepa::infer
