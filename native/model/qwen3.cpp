#include "model/qwen3.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/embedding.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/layer_norm.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/silu.h>
#include <ATen/ops/tensor.h>

#include <array>
#include <cmath>
#include <optional>
#include <string>
#include <utility>

#include "core/error.h"
#include "ops/attention/attention.h"
#include "ops/rms_norm/rms_norm.h"
#include "ops/rotary/rotary.h"

namespace ehrjepa::model {
namespace {

/// Name in the file and place in the struct, once for listing, casting and copying.
constexpr std::array<std::pair<const char*, at::Tensor Qwen3Layer::*>, 11> layer_fields = {{
    {"input_layernorm.weight", &Qwen3Layer::input_layernorm},
    {"self_attn.q_proj.weight", &Qwen3Layer::q_proj},
    {"self_attn.k_proj.weight", &Qwen3Layer::k_proj},
    {"self_attn.v_proj.weight", &Qwen3Layer::v_proj},
    {"self_attn.o_proj.weight", &Qwen3Layer::o_proj},
    {"self_attn.q_norm.weight", &Qwen3Layer::q_norm},
    {"self_attn.k_norm.weight", &Qwen3Layer::k_norm},
    {"post_attention_layernorm.weight", &Qwen3Layer::post_attention_layernorm},
    {"mlp.gate_proj.weight", &Qwen3Layer::gate_proj},
    {"mlp.up_proj.weight", &Qwen3Layer::up_proj},
    {"mlp.down_proj.weight", &Qwen3Layer::down_proj},
}};

template <typename Function>
Qwen3Weights map_weights(const Qwen3Weights& weights, const Function& function) {
  Qwen3Weights result;
  const bool tied = weights.lm_head.is_same(weights.embed_tokens);
  result.embed_tokens = function(weights.embed_tokens);
  for (const Qwen3Layer& layer : weights.layers) {
    Qwen3Layer& mapped = result.layers.emplace_back();
    for (const auto& [name, field] : layer_fields) mapped.*field = function(layer.*field);
  }
  result.norm = function(weights.norm);
  result.lm_head = tied ? result.embed_tokens : function(weights.lm_head);
  result.adapters = weights.adapters.map(function);
  return result;
}

/// One block's linear maps: x W^T, and the adapter's share where there is one.
class BlockMaps {
 public:
  BlockMaps(const Qwen3Weights& weights, std::size_t layer, const std::optional<DropoutKey>& dropout)
      : layer_(weights.layers[layer]), adapters_(weights.adapters), index_(layer), dropout_(dropout) {}

  at::Tensor operator()(LinearMap which, const at::Tensor& x) const {
    static constexpr std::array<at::Tensor Qwen3Layer::*, linear_maps> fields = {
        &Qwen3Layer::q_proj,    &Qwen3Layer::k_proj,  &Qwen3Layer::v_proj,   &Qwen3Layer::o_proj,
        &Qwen3Layer::gate_proj, &Qwen3Layer::up_proj, &Qwen3Layer::down_proj};
    const auto map = static_cast<std::size_t>(which);
    const at::Tensor base = at::linear(x, layer_.*fields[map]);
    if (adapters_.empty() || !adapters_.layers[index_][map].a.defined()) return base;
    return base + lora_linear(x, adapters_.layers[index_][map], adapters_.scale, adapters_.dropout, dropout_,
                              static_cast<std::uint32_t>(index_ * linear_maps + map));
  }

 private:
  const Qwen3Layer& layer_;
  const LoraAdapters& adapters_;
  std::size_t index_;
  const std::optional<DropoutKey>& dropout_;
};

/// @param rows  trunk rows whose output is wanted; absent: every row. @return (Q, D)
at::Tensor attention_block(const at::Tensor& x_TD, const Qwen3Layer& layer, const BlockMaps& maps,
                           const Qwen3Config& config, const ops::RotaryTables& rotary,
                           const ops::AttentionLayout& layout, const std::optional<std::vector<std::int64_t>>& rows,
                           const at::Tensor& row_index) {
  const auto heads = [&](LinearMap which, const at::Tensor& x, std::int64_t count) {
    return maps(which, x).view({x.size(0), count, config.head_dim});
  };
  const auto chosen = [&](const at::Tensor& x) { return rows ? x.index_select(0, row_index) : x; };
  const ops::RotaryTables query_rotary{chosen(rotary.cos), chosen(rotary.sin)};
  at::Tensor q_QNH = heads(LinearMap::kQ, chosen(x_TD), config.num_attention_heads);
  at::Tensor k_TKH = heads(LinearMap::kK, x_TD, config.num_key_value_heads);
  const at::Tensor v_TKH = heads(LinearMap::kV, x_TD, config.num_key_value_heads);
  q_QNH = ops::apply_rotary(ops::rms_norm(q_QNH, layer.q_norm, config.rms_norm_eps), query_rotary);
  k_TKH = ops::apply_rotary(ops::rms_norm(k_TKH, layer.k_norm, config.rms_norm_eps), rotary);
  const double softmax_scale = 1.0 / std::sqrt(static_cast<double>(config.head_dim));
  const at::Tensor mixed_QNH = ops::attention(q_QNH, k_TKH, v_TKH, layout, softmax_scale, rows);
  return maps(LinearMap::kO, mixed_QNH.reshape({q_QNH.size(0), config.num_attention_heads * config.head_dim}));
}

at::Tensor mlp_block(const at::Tensor& x_TD, const BlockMaps& maps) {
  const at::Tensor hidden_TF = at::silu(maps(LinearMap::kGate, x_TD)) * maps(LinearMap::kUp, x_TD);
  return maps(LinearMap::kDown, hidden_TF);
}

/// @param matrix  (out, in) -> tensor, called in the order of the files; @param norm  size -> tensor.
template <typename Matrix, typename Norm>
Qwen3Weights build_qwen3(const Qwen3Config& config, const Matrix& matrix, const Norm& norm) {
  config.check();
  const std::int64_t query = config.num_attention_heads * config.head_dim;
  const std::int64_t key_value = config.num_key_value_heads * config.head_dim;
  Qwen3Weights weights;
  weights.embed_tokens = matrix(config.vocab_size, config.hidden_size);
  for (std::int64_t i = 0; i < config.num_hidden_layers; ++i) {
    Qwen3Layer& layer = weights.layers.emplace_back();
    layer.input_layernorm = norm(config.hidden_size);
    layer.q_proj = matrix(query, config.hidden_size);
    layer.k_proj = matrix(key_value, config.hidden_size);
    layer.v_proj = matrix(key_value, config.hidden_size);
    layer.o_proj = matrix(config.hidden_size, query);
    layer.q_norm = norm(config.head_dim);
    layer.k_norm = norm(config.head_dim);
    layer.post_attention_layernorm = norm(config.hidden_size);
    layer.gate_proj = matrix(config.intermediate_size, config.hidden_size);
    layer.up_proj = matrix(config.intermediate_size, config.hidden_size);
    layer.down_proj = matrix(config.hidden_size, config.intermediate_size);
  }
  weights.norm = norm(config.hidden_size);
  weights.lm_head = config.tie_word_embeddings ? weights.embed_tokens : matrix(config.vocab_size, config.hidden_size);
  return weights;
}

void require(bool holds, const std::string& rule, std::int64_t found) {
  if (!holds) throw Error("[qwen3] " + rule + " but it is " + std::to_string(found));
}

}  // namespace

void Qwen3Config::check() const {
  require(vocab_size > 0, "vocab_size must be positive", vocab_size);
  require(hidden_size > 0, "hidden_size must be positive", hidden_size);
  require(intermediate_size > 0, "intermediate_size must be positive", intermediate_size);
  require(num_hidden_layers > 0, "num_hidden_layers must be positive", num_hidden_layers);
  require(num_attention_heads > 0, "num_attention_heads must be positive", num_attention_heads);
  require(num_key_value_heads > 0 && num_attention_heads % num_key_value_heads == 0,
          "num_key_value_heads must divide num_attention_heads (" + std::to_string(num_attention_heads) + ")",
          num_key_value_heads);
  require(head_dim > 0 && head_dim % 2 == 0, "head_dim must be even and positive", head_dim);
}

std::int64_t Qwen3Config::parameter_count() const {
  const std::int64_t query = num_attention_heads * head_dim;
  const std::int64_t key_value = num_key_value_heads * head_dim;
  const std::int64_t layer =
      hidden_size * (2 * query + 2 * key_value + 3 * intermediate_size) + 2 * hidden_size + 2 * head_dim;
  const std::int64_t embeddings = (tie_word_embeddings ? 1 : 2) * vocab_size * hidden_size;
  return embeddings + num_hidden_layers * layer + hidden_size;
}

std::vector<NamedTensor> Qwen3Weights::named(const Qwen3Config& config) const {
  std::vector<NamedTensor> result{{"model.embed_tokens.weight", embed_tokens}};
  for (std::size_t index = 0; index < layers.size(); ++index) {
    const std::string prefix = "model.layers." + std::to_string(index) + ".";
    for (const auto& [name, field] : layer_fields) result.push_back({prefix + name, layers[index].*field});
  }
  result.push_back({"model.norm.weight", norm});
  if (!config.tie_word_embeddings) result.push_back({"lm_head.weight", lm_head});
  return result;
}

std::vector<NamedTensor> Qwen3Weights::trainable(const Qwen3Config& config) const {
  return adapters.empty() ? named(config) : adapters.named();
}

void Qwen3Weights::assign(const Qwen3Config& config, const std::vector<at::Tensor>& tensors) {
  std::size_t next = 0;
  embed_tokens = tensors.at(next++);
  for (Qwen3Layer& layer : layers) {
    for (const auto& [name, field] : layer_fields) layer.*field = tensors.at(next++);
  }
  norm = tensors.at(next++);
  lm_head = config.tie_word_embeddings ? embed_tokens : tensors.at(next);
}

Qwen3Weights initialise_qwen3(const Qwen3Config& config, std::uint64_t seed) {
  std::uint32_t index = 0;
  return build_qwen3(
      config,
      [&](std::int64_t out, std::int64_t in) {
        return normal_parameter({out, in}, config.initializer_range, seed, index++);
      },
      [](std::int64_t size) { return at::ones({size}, at::kFloat); });
}

Qwen3Weights shapes_of_qwen3(const Qwen3Config& config) {
  const at::TensorOptions meta = at::TensorOptions().dtype(at::kFloat).device(at::kMeta);
  return build_qwen3(
      config, [&](std::int64_t out, std::int64_t in) { return at::empty({out, in}, meta); },
      [&](std::int64_t size) { return at::empty({size}, meta); });
}

Qwen3Weights clone_detached(const Qwen3Weights& weights) {
  return map_weights(weights, [](const at::Tensor& tensor) { return tensor.detach().clone(); });
}

Qwen3Weights cast_weights(const Qwen3Weights& weights, at::ScalarType dtype) {
  return map_weights(weights, [dtype](const at::Tensor& tensor) { return tensor.to(dtype); });
}

at::Tensor qwen3_forward(const Qwen3Weights& weights, const Qwen3Config& config, const PackedTokens& batch,
                         const std::atomic<bool>& cancelled, const std::optional<DropoutKey>& dropout) {
  at::Tensor x_TD = at::embedding(weights.embed_tokens, batch.tokens);
  const ops::RotaryTables rotary =
      ops::rotary_tables(batch.position_ids, config.head_dim, config.rope_theta, x_TD.scalar_type());
  for (std::size_t i = 0; i < weights.layers.size(); ++i) {
    if (cancelled.load(std::memory_order_relaxed)) throw Cancelled();
    const Qwen3Layer& layer = weights.layers[i];
    const BlockMaps maps(weights, i, dropout);
    x_TD = x_TD + attention_block(ops::rms_norm(x_TD, layer.input_layernorm, config.rms_norm_eps), layer, maps, config,
                                  rotary, batch.layout, std::nullopt, {});
    x_TD = x_TD + mlp_block(ops::rms_norm(x_TD, layer.post_attention_layernorm, config.rms_norm_eps), maps);
  }
  return ops::rms_norm(x_TD, weights.norm, config.rms_norm_eps);
}

at::Tensor qwen3_forward_rows(const Qwen3Weights& weights, const Qwen3Config& config, const PackedTokens& batch,
                              const std::vector<std::int64_t>& rows, std::int64_t layers,
                              const std::atomic<bool>& cancelled) {
  const auto depth = static_cast<std::int64_t>(weights.layers.size());
  require(layers >= 1 && layers <= depth, "target layers must lie in [1, " + std::to_string(depth) + "]", layers);
  at::Tensor x_TD = at::embedding(weights.embed_tokens, batch.tokens);
  const ops::RotaryTables rotary =
      ops::rotary_tables(batch.position_ids, config.head_dim, config.rope_theta, x_TD.scalar_type());
  const at::Tensor row_index = at::tensor(rows, at::kLong);
  at::Tensor sum_QD;
  for (std::int64_t i = 0; i < depth; ++i) {
    if (cancelled.load(std::memory_order_relaxed)) throw Cancelled();
    const Qwen3Layer& layer = weights.layers[static_cast<std::size_t>(i)];
    // A target carries no noise: nothing is dropped.
    const std::optional<DropoutKey> no_dropout;
    const BlockMaps maps(weights, static_cast<std::size_t>(i), no_dropout);
    const bool last = i + 1 == depth;
    const at::Tensor normed = ops::rms_norm(x_TD, layer.input_layernorm, config.rms_norm_eps);
    const at::Tensor attended =
        attention_block(normed, layer, maps, config, rotary, batch.layout,
                        last ? std::optional<std::vector<std::int64_t>>(rows) : std::nullopt, row_index);
    x_TD = (last ? x_TD.index_select(0, row_index) : x_TD) + attended;
    x_TD = x_TD + mlp_block(ops::rms_norm(x_TD, layer.post_attention_layernorm, config.rms_norm_eps), maps);
    if (layers > 1 && i >= depth - layers) {
      const at::Tensor wide_QD = (last ? x_TD : x_TD.index_select(0, row_index)).to(at::kFloat);
      const at::Tensor block_QD = at::layer_norm(wide_QD, {wide_QD.size(-1)}, {}, {}, 1e-5);
      sum_QD = sum_QD.defined() ? sum_QD + block_QD : block_QD;
    }
  }
  if (layers > 1) return sum_QD / static_cast<double>(layers);
  return ops::rms_norm(x_TD, weights.norm, config.rms_norm_eps);
}

}  // namespace ehrjepa::model
