#include "model/qwen3.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/embedding.h>
#include <ATen/ops/layer_norm.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/tensor.h>

#include <cmath>
#include <optional>
#include <string>
#include <utility>

#include "core/error.h"
#include "model/layout.h"
#include "ops/attention/attention.h"
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
    const at::Tensor base = at::linear(x, weight_of(layer_, which));
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

/// The residual stream and its norm: what a block reads.
struct Stream {
  at::Tensor x, normed;  ///< (T + R, D), of the last block (Q, D)
};

/// A pre-norm block. @param next_norm  of the block behind it, or the final one. @param wanted  null: every row.
Stream decoder_block(const Pass& pass, std::size_t index, const Stream& stream, const at::Tensor& next_norm,
                     const WantedRows* wanted) {
  const Qwen3Layer& layer = pass.weights.layers[index];
  const BlockMaps maps(pass.weights, index, pass.dropout);
  const auto add_and_norm = [&](const at::Tensor& x, const at::Tensor& delta, const at::Tensor& weight) {
    auto [sum, normed] = ops::add_rms_norm(x, delta, weight, pass.config.rms_norm_eps);
    return Stream{std::move(sum), std::move(normed)};
  };
  const at::Tensor x_QD = wanted == nullptr ? stream.x : stream.x.index_select(0, wanted->index);
  const Stream middle =
      add_and_norm(x_QD, attention_block(stream.normed, layer, maps, pass, wanted), layer.post_attention_layernorm);
  return add_and_norm(middle.x, mlp_block(middle.normed, maps), next_norm);
}

/// The embedding, all blocks and the final norm.
/// @param wanted  of the last block; null: every row.
/// @param visit   called with the number of each block and its output: (T + R, D), of the last block (Q, D).
/// @return (Q, D)
template <typename Visit>
at::Tensor decoder(const Qwen3Weights& weights, const Qwen3Config& config, const PackedTokens& batch,
                   const WantedRows* wanted, const std::optional<DropoutKey>& dropout,
                   const std::atomic<bool>& cancelled, const Visit& visit) {
  const at::Tensor x_TD = at::embedding(weights.embed_tokens, batch.tokens);
  const std::size_t depth = weights.layers.size();
  const Pass pass{weights, config, batch, dropout,
                  ops::rotary_tables(batch.position_ids, config.head_dim, config.rope_theta, x_TD.scalar_type())};
  Stream stream{x_TD, ops::rms_norm(x_TD, weights.layers.front().input_layernorm, config.rms_norm_eps)};
  for (std::size_t i = 0; i < depth; ++i) {
    if (cancelled.load(std::memory_order_relaxed)) throw Cancelled();
    const bool last = i + 1 == depth;
    stream = decoder_block(pass, i, stream, last ? weights.norm : weights.layers[i + 1].input_layernorm,
                           last ? wanted : nullptr);
    visit(i, stream.x);
  }
  return stream.normed;
}

}  // namespace

at::Tensor qwen3_forward(const Qwen3Weights& weights, const Qwen3Config& config, const PackedTokens& batch,
                         const std::atomic<bool>& cancelled, const std::optional<DropoutKey>& dropout) {
  const auto keep_none = [](std::size_t, const at::Tensor&) {};
  return decoder(weights, config, batch, nullptr, dropout, cancelled, keep_none);
}

at::Tensor qwen3_forward_rows(const Qwen3Weights& weights, const Qwen3Config& config, const PackedTokens& batch,
                              const std::vector<std::int64_t>& rows, std::int64_t layers,
                              const std::atomic<bool>& cancelled) {
  const auto depth = static_cast<std::int64_t>(weights.layers.size());
  if (layers < 1 || layers > depth) {
    throw Error("[qwen3] target layers must lie in [1, " + std::to_string(depth) + "] but it is " +
                std::to_string(layers));
  }
  const WantedRows wanted{rows, at::tensor(rows, at::kLong)};
  at::Tensor sum_QD;
  const auto add_last_blocks = [&](std::size_t index, const at::Tensor& x) {
    const auto i = static_cast<std::int64_t>(index);
    if (layers == 1 || i < depth - layers) return;
    const at::Tensor wide_QD = (i + 1 == depth ? x : x.index_select(0, wanted.index)).to(at::kFloat);
    const at::Tensor block_QD = at::layer_norm(wide_QD, {wide_QD.size(-1)}, {}, {}, 1e-5);
    sum_QD = sum_QD.defined() ? sum_QD + block_QD : block_QD;
  };
  // A target carries no noise: nothing is dropped.
  const at::Tensor normed_QD = decoder(weights, config, batch, &wanted, std::nullopt, cancelled, add_last_blocks);
  return layers > 1 ? sum_QD / static_cast<double>(layers) : normed_QD;
}

}  // namespace ehrjepa::model
