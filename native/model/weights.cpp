#include "model/weights.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/ones.h>

#include <algorithm>
#include <string>

#include "core/error.h"
#include "memory/transfer.h"
#include "model/layout.h"

namespace ehrjepa::model {
namespace {

/// @param tensor  of a row of the layout, called in the order of the files.
template <typename Function>
Qwen3Weights build(const Qwen3Config& config, const Function& tensor) {
  const std::vector<Weight> rows = qwen3_layout(config);
  Qwen3Weights result;
  result.layers.resize(static_cast<std::size_t>(config.num_hidden_layers));
  for (const Weight& weight : rows) weight.of(result) = tensor(weight);
  if (config.tie_word_embeddings) result.lm_head = result.embed_tokens;
  return result;
}

/// The same weights and adapters with every tensor replaced by `function` of it.
template <typename Function>
Qwen3Weights map_weights(const Qwen3Weights& weights, const Function& function) {
  Qwen3Weights result;
  result.layers.resize(weights.layers.size());
  for (const Weight& weight : qwen3_layout(weights.layers.size(), weights.has_tied_head())) {
    weight.of(result) = function(weight.of(weights));
  }
  if (weights.has_tied_head()) result.lm_head = result.embed_tokens;
  result.adapters = weights.adapters.map(function);
  return result;
}

std::string shape_text(at::IntArrayRef shape) {
  std::string result = "[";
  for (std::size_t i = 0; i < shape.size(); ++i) result += (i == 0 ? "" : ", ") + std::to_string(shape[i]);
  return result + "]";
}

}  // namespace

std::vector<NamedTensor> Qwen3Weights::named(const Qwen3Config& config) const {
  std::vector<NamedTensor> result;
  for (const Weight& weight : qwen3_layout(config)) result.push_back({weight.name(), weight.of(*this)});
  return result;
}

std::vector<NamedTensor> Qwen3Weights::trainable(const Qwen3Config& config) const {
  return adapters.empty() ? named(config) : adapters.named();
}

void Qwen3Weights::assign(const Qwen3Config& config, const std::vector<at::Tensor>& tensors) {
  const std::vector<Weight> rows = qwen3_layout(config);
  if (tensors.size() != rows.size()) {
    throw Error("[qwen3] there must be " + std::to_string(rows.size()) +
                " tensors, one for each weight, but there are " + std::to_string(tensors.size()));
  }
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const std::vector<std::int64_t> shape = rows[i].shape(config);
    if (tensors[i].sizes() != at::IntArrayRef(shape)) {
      throw Error("[qwen3] " + rows[i].name() + " must have shape " + shape_text(shape) + " but has " +
                  shape_text(tensors[i].sizes()));
    }
  }
  layers.resize(static_cast<std::size_t>(config.num_hidden_layers));
  for (std::size_t i = 0; i < rows.size(); ++i) rows[i].of(*this) = tensors[i];
  if (config.tie_word_embeddings) lm_head = embed_tokens;
}

Qwen3Weights Qwen3Weights::with(const Qwen3Config& config, const std::vector<at::Tensor>& tensors) const {
  Qwen3Weights result = *this;
  if (adapters.empty()) {
    result.assign(config, tensors);
    return result;
  }
  const std::vector<NamedTensor> named = adapters.named();
  result.adapters = adapters.map([&](const at::Tensor& tensor) {
    const auto found = std::ranges::find_if(named, [&](const NamedTensor& one) { return one.tensor.is_same(tensor); });
    return tensors.at(static_cast<std::size_t>(found - named.begin()));
  });
  return result;
}

std::vector<std::optional<std::size_t>> Qwen3Weights::blocks(const Qwen3Config& config) const {
  std::vector<std::optional<std::size_t>> result;
  for (const Weight& weight : qwen3_layout(config)) {
    // An adapter has two tensors.
    const std::size_t count = adapters.empty() ? 1 : adapters.of(weight) == nullptr ? 0 : 2;
    result.insert(result.end(), count, weight.block());
  }
  return result;
}

Qwen3Weights initialise_qwen3(const Qwen3Config& config, std::uint64_t seed, at::ScalarType dtype, at::Device device) {
  std::uint32_t stream = 0;
  return build(config, [&](const Weight& weight) {
    const std::vector<std::int64_t> shape = weight.shape(config);
    if (weight.initial() == Initial::kOnes) return at::ones(shape, at::TensorOptions().dtype(dtype).device(device));
    return memory::upload(normal_parameter(shape, config.initializer_range, seed, stream++).to(dtype), device);
  });
}

Qwen3Weights shapes_of_qwen3(const Qwen3Config& config) {
  const at::TensorOptions meta = at::TensorOptions().dtype(at::kFloat).device(at::kMeta);
  return build(config, [&](const Weight& weight) { return at::empty(weight.shape(config), meta); });
}

Qwen3Weights clone_detached(const Qwen3Weights& weights) {
  return map_weights(weights, [](const at::Tensor& tensor) { return tensor.detach().clone(); });
}

Qwen3Weights cast_weights(const Qwen3Weights& weights, at::ScalarType dtype) {
  return map_weights(weights, [dtype](const at::Tensor& tensor) { return tensor.to(dtype); });
}

}  // namespace ehrjepa::model
