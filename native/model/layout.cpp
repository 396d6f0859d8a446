#include "model/layout.h"

#include <algorithm>
#include <array>

namespace ehrjepa::model {
/// A size of the decoder.
enum class RowSize {
  kOne,  ///< a vector has no second size
  kVocabulary,
  kHidden,
  kQuery,     ///< all query heads side by side
  kKeyValue,  ///< all key or value heads side by side
  kHead,
  kIntermediate,
};

namespace {

std::int64_t size_of(RowSize size, const Qwen3Config& config) {
  switch (size) {
    case RowSize::kOne:
      return 1;
    case RowSize::kVocabulary:
      return config.vocab_size;
    case RowSize::kHidden:
      return config.hidden_size;
    case RowSize::kQuery:
      return config.num_attention_heads * config.head_dim;
    case RowSize::kKeyValue:
      return config.num_key_value_heads * config.head_dim;
    case RowSize::kHead:
      return config.head_dim;
    case RowSize::kIntermediate:
      return config.intermediate_size;
  }
  return 0;
}

}  // namespace

struct LayoutRow {
  std::string_view module;  ///< in files; inside a block what follows `model.layers.N.`
  at::Tensor Qwen3Weights::* outside;
  at::Tensor Qwen3Layer::* in_block;  ///< exactly one of the two is set
  RowSize out, in;
  Initial initial;
  std::optional<LinearMap> map;
};

namespace {

using Outside = at::Tensor Qwen3Weights::*;
using InBlock = at::Tensor Qwen3Layer::*;

constexpr LayoutRow matrix(std::string_view module, Outside field, RowSize out, RowSize in) {
  return {module, field, nullptr, out, in, Initial::kNormal, std::nullopt};
}
constexpr LayoutRow linear(std::string_view module, InBlock field, RowSize out, RowSize in, LinearMap map) {
  return {module, nullptr, field, out, in, Initial::kNormal, map};
}
constexpr LayoutRow norm(std::string_view module, Outside field, RowSize size) {
  return {module, field, nullptr, size, RowSize::kOne, Initial::kOnes, std::nullopt};
}
constexpr LayoutRow norm(std::string_view module, InBlock field, RowSize size) {
  return {module, nullptr, field, size, RowSize::kOne, Initial::kOnes, std::nullopt};
}

/// The layout of Qwen3, in the order of the files. Source: transformers modeling_qwen3.py.
constexpr std::array layout_rows = {
    matrix("model.embed_tokens", &Qwen3Weights::embed_tokens, RowSize::kVocabulary, RowSize::kHidden),
    norm("input_layernorm", &Qwen3Layer::input_layernorm, RowSize::kHidden),
    linear("self_attn.q_proj", &Qwen3Layer::q_proj, RowSize::kQuery, RowSize::kHidden, LinearMap::kQ),
    linear("self_attn.k_proj", &Qwen3Layer::k_proj, RowSize::kKeyValue, RowSize::kHidden, LinearMap::kK),
    linear("self_attn.v_proj", &Qwen3Layer::v_proj, RowSize::kKeyValue, RowSize::kHidden, LinearMap::kV),
    linear("self_attn.o_proj", &Qwen3Layer::o_proj, RowSize::kHidden, RowSize::kQuery, LinearMap::kO),
    norm("self_attn.q_norm", &Qwen3Layer::q_norm, RowSize::kHead),
    norm("self_attn.k_norm", &Qwen3Layer::k_norm, RowSize::kHead),
    norm("post_attention_layernorm", &Qwen3Layer::post_attention_layernorm, RowSize::kHidden),
    linear("mlp.gate_proj", &Qwen3Layer::gate_proj, RowSize::kIntermediate, RowSize::kHidden, LinearMap::kGate),
    linear("mlp.up_proj", &Qwen3Layer::up_proj, RowSize::kIntermediate, RowSize::kHidden, LinearMap::kUp),
    linear("mlp.down_proj", &Qwen3Layer::down_proj, RowSize::kHidden, RowSize::kIntermediate, LinearMap::kDown),
    norm("model.norm", &Qwen3Weights::norm, RowSize::kHidden),
    matrix("lm_head", &Qwen3Weights::lm_head, RowSize::kVocabulary, RowSize::kHidden),
};

const LayoutRow& row_of(LinearMap map) {
  return *std::find_if(layout_rows.begin(), layout_rows.end(), [&](const LayoutRow& row) { return row.map == map; });
}

}  // namespace

std::string Weight::module() const {
  const std::string module(row_->module);
  return row_->in_block == nullptr ? module : "model.layers." + std::to_string(layer_) + "." + module;
}

std::vector<std::int64_t> Weight::shape(const Qwen3Config& config) const {
  const std::int64_t out = size_of(row_->out, config);
  if (row_->in == RowSize::kOne) return {out};
  return {out, size_of(row_->in, config)};
}

std::int64_t Weight::count(const Qwen3Config& config) const {
  return size_of(row_->out, config) * size_of(row_->in, config);
}

Initial Weight::initial() const { return row_->initial; }
std::optional<LinearMap> Weight::map() const { return row_->map; }
std::optional<std::size_t> Weight::block() const {
  return row_->in_block == nullptr ? std::nullopt : std::optional(layer_);
}

at::Tensor& Weight::of(Qwen3Weights& weights) const {
  return row_->in_block == nullptr ? weights.*row_->outside : weights.layers.at(layer_).*row_->in_block;
}
const at::Tensor& Weight::of(const Qwen3Weights& weights) const {
  return row_->in_block == nullptr ? weights.*row_->outside : weights.layers.at(layer_).*row_->in_block;
}

std::vector<Weight> qwen3_layout(std::size_t layers, bool has_tied_head) {
  const auto in_block = [](const LayoutRow& row) { return row.in_block != nullptr; };
  const auto block = std::find_if(layout_rows.begin(), layout_rows.end(), in_block);
  const auto behind = std::find_if_not(block, layout_rows.end(), in_block);
  std::vector<Weight> result;
  for (auto row = layout_rows.begin(); row != block; ++row) result.emplace_back(*row, 0);
  for (std::size_t layer = 0; layer < layers; ++layer) {
    for (auto row = block; row != behind; ++row) result.emplace_back(*row, layer);
  }
  for (auto row = behind; row != layout_rows.end(); ++row) {
    if (!has_tied_head || row->outside != &Qwen3Weights::lm_head) result.emplace_back(*row, 0);
  }
  return result;
}

std::vector<Weight> qwen3_layout(const Qwen3Config& config) {
  check(config);
  return qwen3_layout(static_cast<std::size_t>(config.num_hidden_layers), config.tie_word_embeddings);
}

std::int64_t parameter_count(const Qwen3Config& config) {
  std::int64_t result = 0;
  for (const Weight& weight : qwen3_layout(config)) result += weight.count(config);
  return result;
}

std::vector<at::Tensor*> tensors_of(Qwen3Layer& layer) {
  std::vector<at::Tensor*> result;
  for (const LayoutRow& row : layout_rows) {
    if (row.in_block != nullptr) result.push_back(&(layer.*row.in_block));
  }
  return result;
}

std::string_view module_name(LinearMap map) {
  const std::string_view module = row_of(map).module;
  return module.substr(module.rfind('.') + 1);
}

const at::Tensor& weight_of(const Qwen3Layer& layer, LinearMap map) { return layer.*row_of(map).in_block; }

}  // namespace ehrjepa::model
