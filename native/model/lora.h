#pragma once
#include <ATen/core/Tensor.h>

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "model/config.h"
#include "model/linear_map.h"
#include "model/parameters.h"

namespace ehrjepa::model {

class Weight;

/// Low-rank change of one linear map: W + scale B A. Undefined tensors: the map has none.
struct LoraAdapter {
  at::Tensor a;  ///< (r, in)
  at::Tensor b;  ///< (out, r)
};

/// Which masks a forward pass in training draws.
struct DropoutKey {
  std::uint64_t seed = 0;
  std::uint32_t step = 0;
};

/// The adapters of a decoder. A value type: a copy shares the tensors.
/// Source: Hu et al. 2022, LoRA; names and initial values are those of PEFT.
struct LoraAdapters {
  double scale = 0.0;  ///< alpha / rank
  double dropout = 0.0;
  std::vector<std::array<LoraAdapter, linear_maps>> layers;  ///< empty: no LoRA

  bool empty() const { return layers.empty(); }
  /// The adapter of a weight; null when it has none.
  const LoraAdapter* of(const Weight& weight) const;
  /// As PEFT names them: `base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight`.
  std::vector<NamedTensor> named() const;

  /// The same adapters with every tensor replaced by `function` of it.
  template <typename Function>
  LoraAdapters map(const Function& function) const {
    LoraAdapters result{scale, dropout, layers};
    for (auto& layer : result.layers) {
      for (LoraAdapter& adapter : layer) {
        if (adapter.a.defined()) adapter = {function(adapter.a), function(adapter.b)};
      }
    }
    return result;
  }
};

/// float32 on the host; A uniform in +-in^-1/2 (Kaiming with a = sqrt 5, PEFT's default), B zero, so that training
/// starts from the base itself.
/// @throws Error for a rank, alpha, dropout or target out of range.
LoraAdapters initialise_lora(const Qwen3Config& config, const LoraOptions& options, std::uint64_t seed);

/// Scalars that `initialise_lora` makes; checks the options as well.
std::int64_t lora_parameter_count(const Qwen3Config& config, const LoraOptions& options);

/// scale (dropout(x) A^T) B^T, the adapter's share of a linear map's output.
///
/// The mask is not stored: it is a function of the key, and drawn again in the backward pass.
/// @param x    (T, in)
/// @param key  absent, or dropout 0: nothing is dropped.
/// @param map  number of the linear map in the model: each has masks of its own.
/// @return (T, out)
at::Tensor lora_linear(const at::Tensor& x, const LoraAdapter& adapter, double scale, double dropout,
                       const std::optional<DropoutKey>& key, std::uint32_t map);

/// (shape) bool on the host, true with probability 1 - dropout.
at::Tensor dropout_mask(at::IntArrayRef shape, double dropout, const DropoutKey& key, std::uint32_t map);

/// Weights to be written, each that has an adapter as W + scale B A, made in float32 (float64 for a float64 base).
/// @param weights  under their names in HuggingFace files; any selection.
std::vector<io::TensorToWrite> merge_lora(const std::vector<NamedTensor>& weights, const LoraAdapters& adapters);

}  // namespace ehrjepa::model
