#include "model/qwen3.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/embedding.h>
#include <ATen/ops/layer_norm.h>

#include <array>
#include <cmath>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/error.h"
#include "memory/transfer.h"
#include "model/layout.h"
#include "model/recompute.h"
#include "ops/attention/attention.h"
#include "ops/linear/linear.h"
#include "ops/norm_rotary/norm_rotary.h"
#include "ops/rms_norm/rms_norm.h"
#include "ops/swiglu/swiglu.h"

namespace ehrjepa::model {
namespace {

/// One block's linear maps: x W^T, and the adapter's share where there is one.
class BlockMaps {
 public:
  BlockMaps(const Qwen3Weights& weights, std::size_t layer, const std::optional<DropoutKey>& dropout)
      : layer_(weights.layers[layer]), adapters_(weights.adapters), index_(layer), dropout_(dropout) {}

  at::Tensor operator()(LinearMap which, const at::Tensor& x) const {
    const auto map = static_cast<std::size_t>(which);
    const at::Tensor base = ops::linear(x, weight_of(layer_, which));
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

/// Trunk rows whose output is wanted of the last block: for the others it computes keys and values alone.
struct WantedRows {
  std::vector<std::int64_t> rows;  ///< (Q) ascending
  at::Tensor index;                ///< (Q), the same
};

/// What all blocks of a pass read.
struct Pass {
  const Qwen3Weights& weights;
  const Qwen3Config& config;
  const PackedTokens& batch;
  const std::optional<DropoutKey>& dropout;
  ops::RotaryTables rotary;
  ActivationCheckpointing checkpointing;
};

/// @param wanted  null: every row. @return (Q, D)
at::Tensor attention_block(const at::Tensor& x_TD, const Qwen3Layer& layer, const BlockMaps& maps, const Pass& pass,
                           const WantedRows* wanted) {
  const Qwen3Config& config = pass.config;
  const auto heads = [&](LinearMap which, const at::Tensor& x, std::int64_t count) {
    return maps(which, x).view({x.size(0), count, config.head_dim});
  };
  const auto chosen = [&](const at::Tensor& x) { return wanted == nullptr ? x : x.index_select(0, wanted->index); };
  const ops::RotaryTables query_rotary{chosen(pass.rotary.cos), chosen(pass.rotary.sin)};
  const at::Tensor q_QNH = ops::norm_rotary(heads(LinearMap::kQ, chosen(x_TD), config.num_attention_heads),
                                            layer.q_norm, query_rotary, config.rms_norm_eps);
  const at::Tensor k_TKH = ops::norm_rotary(heads(LinearMap::kK, x_TD, config.num_key_value_heads), layer.k_norm,
                                            pass.rotary, config.rms_norm_eps);
  const at::Tensor v_TKH = heads(LinearMap::kV, x_TD, config.num_key_value_heads);
  const double softmax_scale = 1.0 / std::sqrt(static_cast<double>(config.head_dim));
  const at::Tensor mixed_QNH = ops::attention(q_QNH, k_TKH, v_TKH, pass.batch.layout, softmax_scale,
                                              wanted == nullptr ? std::nullopt : std::optional(wanted->rows));
  return maps(LinearMap::kO, mixed_QNH.reshape({q_QNH.size(0), config.num_attention_heads * config.head_dim}));
}

at::Tensor mlp_block(const at::Tensor& x_TD, const BlockMaps& maps) {
  return maps(LinearMap::kDown, ops::swiglu(maps(LinearMap::kGate, x_TD), maps(LinearMap::kUp, x_TD)));
}

at::Tensor norm(const Pass& pass, const at::Tensor& x, const at::Tensor& weight) {
  return ops::rms_norm(x, weight, pass.config.rms_norm_eps);
}

/// The first half of a pre-norm block: what attention adds. @param wanted  null: every row. @return (Q, D)
at::Tensor attended(const Pass& pass, std::size_t index, const at::Tensor& x_TD, const WantedRows* wanted) {
  const Qwen3Layer& layer = pass.weights.layers[index];
  const BlockMaps maps(pass.weights, index, pass.dropout);
  return attention_block(norm(pass, x_TD, layer.input_layernorm), layer, maps, pass, wanted);
}

/// The second half, from the stream and what attention adds to it.
at::Tensor mlp_half(const Pass& pass, std::size_t index, const at::Tensor& x_QD, const at::Tensor& attended_QD) {
  const BlockMaps maps(pass.weights, index, pass.dropout);
  const auto [sum_QD, normed_QD] = ops::add_rms_norm(
      x_QD, attended_QD, pass.weights.layers[index].post_attention_layernorm, pass.config.rms_norm_eps);
  return sum_QD + mlp_block(normed_QD, maps);
}

at::Tensor rows_of(const at::Tensor& x_TD, const WantedRows* wanted) {
  return wanted == nullptr ? x_TD : x_TD.index_select(0, wanted->index);
}

at::Tensor decoder_block(const Pass& pass, std::size_t index, const at::Tensor& x_TD, const WantedRows* wanted) {
  return mlp_half(pass, index, rows_of(x_TD, wanted), attended(pass, index, x_TD, wanted));
}

/// What a block that is computed again keeps of its pass: nothing that belongs to others, and no weights.
struct KeptPass {
  std::size_t index;
  Qwen3Config config;
  PackedTokens batch;
  std::optional<DropoutKey> dropout;
  ops::RotaryTables rotary;
  LoraAdapters adapters;  ///< their constants alone
  std::array<bool, linear_maps> adapted{};
};

/// A block, or its second half, that the backward pass computes again.
/// @param read  what it reads beside weights.
/// @param run   (pass, index, read) -> x, of the pass with the block's weights alone.
template <typename Run>
at::Tensor recomputed_block(const Pass& pass, std::size_t index, const std::vector<at::Tensor>& read, const Run& run) {
  auto kept = std::make_shared<KeptPass>(KeptPass{index,
                                                  pass.config,
                                                  pass.batch,
                                                  pass.dropout,
                                                  pass.rotary,
                                                  {pass.weights.adapters.scale, pass.weights.adapters.dropout, {}}});
  Qwen3Layer layer = pass.weights.layers[index];
  std::vector<at::Tensor> inputs = read;
  for (const at::Tensor* const weight : tensors_of(layer)) inputs.push_back(*weight);
  if (!pass.weights.adapters.empty()) {
    for (std::size_t map = 0; map < linear_maps; ++map) {
      const LoraAdapter& adapter = pass.weights.adapters.layers[index][map];
      kept->adapted[map] = adapter.a.defined();
      if (kept->adapted[map]) inputs.insert(inputs.end(), {adapter.a, adapter.b});
    }
  }
  const NetworkPart part = [kept, run,
                            count = static_cast<std::ptrdiff_t>(read.size())](const std::vector<at::Tensor>& given) {
    Qwen3Weights weights;
    weights.layers.resize(kept->index + 1);
    weights.adapters = kept->adapters;
    auto next = given.begin() + count;
    for (at::Tensor* const weight : tensors_of(weights.layers[kept->index])) *weight = *next++;
    if (next != given.end()) weights.adapters.layers.resize(kept->index + 1);
    for (std::size_t map = 0; map < linear_maps; ++map) {
      if (!kept->adapted[map]) continue;
      LoraAdapter& adapter = weights.adapters.layers[kept->index][map];
      adapter.a = *next++;
      adapter.b = *next++;
    }
    const Pass own{weights, kept->config, kept->batch, kept->dropout, kept->rotary, ActivationCheckpointing::kNone};
    return std::vector<at::Tensor>{run(own, kept->index, given)};
  };
  return recomputed(part, inputs).front();
}

/// A pre-norm block. @param wanted  null: every row. @return (Q, D)
at::Tensor decoder_block_of(const Pass& pass, std::size_t index, const at::Tensor& x_TD, const WantedRows* wanted) {
  switch (pass.checkpointing) {
    case ActivationCheckpointing::kBlock:
      return recomputed_block(pass, index, {x_TD}, [](const Pass& own, std::size_t i, const auto& read) {
        return decoder_block(own, i, read[0], nullptr);
      });
    case ActivationCheckpointing::kSelective:
      return recomputed_block(
          pass, index, {rows_of(x_TD, wanted), attended(pass, index, x_TD, wanted)},
          [](const Pass& own, std::size_t i, const auto& read) { return mlp_half(own, i, read[0], read[1]); });
    case ActivationCheckpointing::kNone:
      break;
  }
  return decoder_block(pass, index, x_TD, wanted);
}

/// The embedding and all blocks, before the final norm.
/// @param wanted  of the last block; null: every row.
/// @param visit   called with 0 and the embedding, then with the number of each block, from 1, and its output: (T + R,
/// D), of
///                the last block (Q, D).
/// @return (Q, D)
template <typename Visit>
at::Tensor decoder(const Qwen3Weights& weights, const Qwen3Config& config, const PackedTokens& batch,
                   const WantedRows* wanted, const std::optional<DropoutKey>& dropout,
                   ActivationCheckpointing checkpointing, const std::atomic<bool>& cancelled, BlockWatch* watch,
                   const Visit& visit) {
  at::Tensor x_TD = at::embedding(weights.embed_tokens, batch.tokens);
  visit(0, x_TD);
  const Pass pass{weights,
                  config,
                  batch,
                  dropout,
                  ops::rotary_tables(batch.position_ids, config.head_dim, config.rope_theta, x_TD.scalar_type()),
                  checkpointing};
  for (std::size_t i = 0; i < weights.layers.size(); ++i) {
    if (cancelled.load(std::memory_order_relaxed)) throw Cancelled();
    if (watch != nullptr) watch->before(i);
    x_TD = decoder_block_of(pass, i, x_TD, i + 1 == weights.layers.size() ? wanted : nullptr);
    if (watch != nullptr) {
      watch->after(i);
      if (x_TD.requires_grad()) x_TD.register_hook([watch, i](const at::Tensor&) { watch->before_backward(i); });
    }
    visit(i + 1, x_TD);
  }
  return x_TD;
}

}  // namespace

at::Tensor qwen3_forward(const Qwen3Weights& weights, const Qwen3Config& config, const PackedTokens& batch,
                         const std::atomic<bool>& cancelled, const std::optional<DropoutKey>& dropout,
                         ActivationCheckpointing checkpointing, BlockWatch* watch) {
  const auto keep_none = [](std::size_t, const at::Tensor&) {};
  const at::Tensor x_TD = decoder(weights, config, batch, nullptr, dropout, checkpointing, cancelled, watch, keep_none);
  return ops::rms_norm(x_TD, weights.norm, config.rms_norm_eps);
}

void visit_hidden_states(const Qwen3Weights& weights, const Qwen3Config& config, const PackedTokens& batch,
                         const std::atomic<bool>& cancelled,
                         const std::function<void(std::size_t number, const at::Tensor& hidden_TD)>& visit) {
  const std::size_t depth = weights.layers.size();
  const auto visit_inner = [&](std::size_t number, const at::Tensor& x_TD) {
    if (number < depth) visit(number, x_TD);
  };
  const at::Tensor x_TD = decoder(weights, config, batch, nullptr, std::nullopt, ActivationCheckpointing::kNone,
                                  cancelled, nullptr, visit_inner);
  visit(depth, ops::rms_norm(x_TD, weights.norm, config.rms_norm_eps));
}

at::Tensor qwen3_forward_rows(const Qwen3Weights& weights, const Qwen3Config& config, const PackedTokens& batch,
                              const std::vector<std::int64_t>& rows, std::int64_t layers,
                              const std::atomic<bool>& cancelled, BlockWatch* watch) {
  const auto depth = static_cast<std::int64_t>(weights.layers.size());
  if (layers < 1 || layers > depth) {
    throw Error("[qwen3] target layers must lie in [1, " + std::to_string(depth) + "] but it is " +
                std::to_string(layers));
  }
  const WantedRows wanted{rows, memory::upload(rows, batch.tokens.device())};
  at::Tensor sum_QD;
  const auto add_last_blocks = [&](std::size_t index, const at::Tensor& x) {
    const auto number = static_cast<std::int64_t>(index);
    if (layers == 1 || number <= depth - layers) return;
    const at::Tensor wide_QD = (number == depth ? x : x.index_select(0, wanted.index)).to(at::kFloat);
    const at::Tensor block_QD = at::layer_norm(wide_QD, {wide_QD.size(-1)}, {}, {}, 1e-5);
    sum_QD = sum_QD.defined() ? sum_QD + block_QD : block_QD;
  };
  // A target carries no noise: nothing is dropped.
  const at::Tensor x_QD = decoder(weights, config, batch, &wanted, std::nullopt, ActivationCheckpointing::kNone,
                                  cancelled, watch, add_last_blocks);
  if (layers > 1) return sum_QD / static_cast<double>(layers);
  return ops::rms_norm(x_QD, weights.norm, config.rms_norm_eps);
}

}  // namespace ehrjepa::model
