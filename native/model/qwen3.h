#pragma once
#include <ATen/core/Tensor.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "model/block_watch.h"
#include "model/config.h"
#include "model/lora.h"
#include "model/packed.h"
#include "model/weights.h"

namespace ehrjepa::model {

/// Hidden states after the final norm, HuggingFace's `last_hidden_state`.
///
/// Pre-norm blocks; queries and keys are RMS-normalised over head_dim before RoPE; softmax scale head_dim^-0.5; SwiGLU.
/// @param weights  in the compute dtype.
/// @param dropout  of the adapters' inputs; given in training alone.
/// @param checkpointing  what the backward pass computes again; results and gradients are the same to the bit.
/// @param watch    of this pass and its backward pass; null: all weights are there.
/// @return (T + R, D)
/// @throws Cancelled between blocks.
/// Source: transformers modeling_qwen3.py.
at::Tensor qwen3_forward(const Qwen3Weights& weights, const Qwen3Config& config, const PackedTokens& batch,
                         const std::atomic<bool>& cancelled, const std::optional<DropoutKey>& dropout = std::nullopt,
                         ActivationCheckpointing checkpointing = ActivationCheckpointing::kNone,
                         BlockWatch* watch = nullptr);

/// Calls `visit` with each of the hidden states of a pass and its number: 0 the embedding, k the output of block k, and
/// the last block's after the final norm; HuggingFace's `hidden_states`. Each (T + R, D).
void visit_hidden_states(const Qwen3Weights& weights, const Qwen3Config& config, const PackedTokens& batch,
                         const std::atomic<bool>& cancelled,
                         const std::function<void(std::size_t number, const at::Tensor& hidden_TD)>& visit);

/// Hidden states of some trunk rows alone: the last block computes nothing for the others but keys and values.
///
/// @param rows    (Q) ascending.
/// @param layers  1: after the final norm. k > 1: the mean over the last k blocks of their outputs, each normalised
///                without affine (data2vec, Baevski et al. 2022, 3.2).
/// @return (Q, D)
at::Tensor qwen3_forward_rows(const Qwen3Weights& weights, const Qwen3Config& config, const PackedTokens& batch,
                              const std::vector<std::int64_t>& rows, std::int64_t layers,
                              const std::atomic<bool>& cancelled, BlockWatch* watch = nullptr);

}  // namespace ehrjepa::model
