#pragma once
#include <ATen/core/Tensor.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "model/config.h"
#include "model/lora.h"
#include "model/parameters.h"

namespace ehrjepa::model {

/// Weights of one decoder block, PyTorch Linear layout (out, in). D hidden, N query heads, K key/value heads, H head
/// size, F intermediate. Names, shapes and initial values are rows of layout.cpp.
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

  bool has_tied_head() const { return lm_head.is_same(embed_tokens); }
  /// HuggingFace names in file order; a tied head is not listed.
  std::vector<NamedTensor> named(const Qwen3Config& config) const;
  /// What training may change: the adapters under LoRA, else every weight.
  std::vector<NamedTensor> trainable(const Qwen3Config& config) const;
  /// Replaces the tensors but not the adapters; they come in the order of `named`.
  /// @throws Error unless there is one for each weight, of its shape; nothing is replaced then.
  void assign(const Qwen3Config& config, const std::vector<at::Tensor>& tensors);
  /// The same with other tensors for what training may change, in the order of `trainable`.
  Qwen3Weights with(const Qwen3Config& config, const std::vector<at::Tensor>& tensors) const;
  /// Of each of `trainable`, the block it belongs to; absent for what belongs to none.
  std::vector<std::optional<std::size_t>> blocks(const Qwen3Config& config) const;
};

/// Names and shapes without memory (meta device), to be assigned from files.
Qwen3Weights shapes_of_qwen3(const Qwen3Config& config);

/// Random weights as transformers initialises them: normal(0, initializer_range) for matrices, ones for norms. Drawn in
/// float32 on the host, one tensor at a time.
Qwen3Weights initialise_qwen3(const Qwen3Config& config, std::uint64_t seed, at::ScalarType dtype = at::kFloat,
                              at::Device device = at::kCPU);

/// Deep copy without gradients: the start of a target encoder.
Qwen3Weights clone_detached(const Qwen3Weights& weights);

/// The same weights in another dtype. Differentiable: gradients reach the originals in their own dtype.
Qwen3Weights cast_weights(const Qwen3Weights& weights, at::ScalarType dtype);

}  // namespace ehrjepa::model
