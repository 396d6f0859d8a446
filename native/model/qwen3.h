#pragma once
#include <ATen/core/Tensor.h>

#include <atomic>
#include <cstdint>
#include <optional>
#include <vector>

#include "model/config.h"
#include "model/lora.h"
#include "model/packed.h"
#include "model/parameters.h"

namespace ehrjepa::model {

/// Weights of one decoder block, PyTorch Linear layout (out, in). D hidden, N query heads, K key/value heads, H head
/// size, F intermediate.
struct Qwen3Layer {
  at::Tensor input_layernorm;           ///< (D)
  at::Tensor q_proj;                    ///< (N H, D)
  at::Tensor k_proj;                    ///< (K H, D)
  at::Tensor v_proj;                    ///< (K H, D)
  at::Tensor o_proj;                    ///< (D, N H)
  at::Tensor q_norm;                    ///< (H), shared by all query heads
  at::Tensor k_norm;                    ///< (H), shared by all key heads
  at::Tensor post_attention_layernorm;  ///< (D)
  at::Tensor gate_proj;                 ///< (F, D)
  at::Tensor up_proj;                   ///< (F, D)
  at::Tensor down_proj;                 ///< (D, F)
};

/// All weights of a Qwen3 decoder. A value type: a copy shares the tensors.
struct Qwen3Weights {
  at::Tensor embed_tokens;  ///< (V, D)
  std::vector<Qwen3Layer> layers;
  at::Tensor norm;        ///< (D)
  at::Tensor lm_head;     ///< (V, D); the embedding itself when tied
  LoraAdapters adapters;  ///< empty without LoRA

  /// HuggingFace names in file order; a tied head is not listed.
  std::vector<NamedTensor> named(const Qwen3Config& config) const;
  /// What training may change: the adapters under LoRA, else every weight.
  std::vector<NamedTensor> trainable(const Qwen3Config& config) const;
  /// Replaces the tensors but not the adapters; they come in the order of `named`.
  void assign(const Qwen3Config& config, const std::vector<at::Tensor>& tensors);
};

/// Names and shapes without memory (meta device), to be assigned from files.
Qwen3Weights shapes_of_qwen3(const Qwen3Config& config);

/// Random weights as transformers initialises them: normal(0, initializer_range) for matrices, ones for norms.
Qwen3Weights initialise_qwen3(const Qwen3Config& config, std::uint64_t seed);

/// Deep copy without gradients: the start of a target encoder.
Qwen3Weights clone_detached(const Qwen3Weights& weights);

/// The same weights in another dtype. Differentiable: gradients reach the originals in their own dtype.
Qwen3Weights cast_weights(const Qwen3Weights& weights, at::ScalarType dtype);

/// Hidden states after the final norm, HuggingFace's `last_hidden_state`.
///
/// Pre-norm blocks; queries and keys are RMS-normalised over head_dim before RoPE; softmax scale head_dim^-0.5; SwiGLU.
/// @param weights  in the compute dtype.
/// @param dropout  of the adapters' inputs; given in training alone.
/// @return (T + R, D)
/// @throws Cancelled between blocks.
/// Source: transformers modeling_qwen3.py.
at::Tensor qwen3_forward(const Qwen3Weights& weights, const Qwen3Config& config, const PackedTokens& batch,
                         const std::atomic<bool>& cancelled, const std::optional<DropoutKey>& dropout = std::nullopt);

/// Hidden states of some trunk rows alone: the last block computes nothing for the others but keys and values.
///
/// @param rows    (Q) ascending.
/// @param layers  1: after the final norm. k > 1: the mean over the last k blocks of their outputs, each
/// layer-normalised
///                without affine (data2vec, Baevski et al. 2022, 3.2).
/// @return (Q, D)
at::Tensor qwen3_forward_rows(const Qwen3Weights& weights, const Qwen3Config& config, const PackedTokens& batch,
                              const std::vector<std::int64_t>& rows, std::int64_t layers,
                              const std::atomic<bool>& cancelled);

}  // namespace ehrjepa::model
