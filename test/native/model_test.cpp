#include <ATen/ATen.h>

#include <atomic>
#include <cmath>

#include "infer/encoder.h"
#include "model/graph_node.h"
#include "model/predictor.h"
#include "model/qwen3.h"
#include "model/target_encoder.h"
#include "native/check.h"
#include "native/gradcheck.h"
#include "train/batch.h"

/// Nodes as libtorch had them up to 2.12, and has them from 2.13.
namespace graph_nodes {
int deleted = 0;
struct Shared {
  explicit Shared(int given) : value(given) {}
  int value;
};
void deleteNode(Shared* node) {
  ++deleted;
  delete node;
}
struct SharedChild : Shared {
  using Shared::Shared;
};
struct Intrusive : c10::intrusive_ptr_target {
  explicit Intrusive(int given) : value(given) {}
  int value;
};
}  // namespace graph_nodes

namespace model_test {
namespace {

using namespace ehrjepa;

const std::atomic<bool> running{false};

TEST("a node of the graph is held as libtorch holds it, before 2.13 and from it") {
  {
    const std::shared_ptr<graph_nodes::Shared> node = model::make_graph_node<graph_nodes::SharedChild>(3);
    EXPECT(node->value == 3 && graph_nodes::deleted == 0);
  }
  EXPECT(graph_nodes::deleted == 1);
  const c10::intrusive_ptr<graph_nodes::Intrusive> node = model::make_graph_node<graph_nodes::Intrusive>(4);
  EXPECT(node->value == 4);
}

Qwen3Config small_config() {
  return {.vocab_size = 37,
          .hidden_size = 24,
          .intermediate_size = 40,
          .num_hidden_layers = 2,
          .num_attention_heads = 4,
          .num_key_value_heads = 2,
          .head_dim = 8,
          .rms_norm_eps = 1e-6,
          .rope_theta = 1e4,
          .tie_word_embeddings = true,
          .initializer_range = 0.3};
}

std::vector<std::int32_t> tokens_of(int count, int seed) {
  std::vector<std::int32_t> result;
  for (int i = 0; i < count; ++i) result.push_back((i * 17 + seed * 5 + i * i) % 37);
  return result;
}
std::vector<std::int32_t> positions_of(std::initializer_list<int> lengths) {
  std::vector<std::int32_t> result;
  for (const int length : lengths) {
    for (int i = 0; i < length; ++i) result.push_back(i);
  }
  return result;
}

TEST("qwen3: packed sequences give what separate sequences give") {
  const Qwen3Config config = small_config();
  const model::Qwen3Weights weights = model::initialise_qwen3(config, 11);
  const auto first = tokens_of(5, 1), second = tokens_of(9, 2);
  std::vector<std::int32_t> both = first;
  both.insert(both.end(), second.begin(), second.end());
  const auto run = [&](const std::vector<std::int32_t>& tokens, const std::vector<std::int32_t>& cu_seqlens,
                       const std::vector<std::int32_t>& positions) {
    return model::qwen3_forward(weights, config, model::packed_tokens(tokens, cu_seqlens, positions, 37), running);
  };
  const at::Tensor packed = run(both, {0, 5, 14}, positions_of({5, 9}));
  const at::Tensor separate = at::cat({run(first, {0, 5}, positions_of({5})), run(second, {0, 9}, positions_of({9}))});
  EXPECT_LE((packed - separate).abs().max().item<double>(), 2e-5);
}

TEST("qwen3: a token changes no state before it") {
  const Qwen3Config config = small_config();
  const model::Qwen3Weights weights = model::initialise_qwen3(config, 11);
  auto tokens = tokens_of(12, 3);
  const auto run = [&] {
    return model::qwen3_forward(weights, config,
                                model::packed_tokens(tokens, std::vector<std::int32_t>{0, 12}, positions_of({12}), 37),
                                running);
  };
  const at::Tensor before = run();
  tokens[7] = (tokens[7] + 1) % 37;
  const at::Tensor after = run();
  EXPECT(before.slice(0, 0, 7).equal(after.slice(0, 0, 7)));
  EXPECT(!before[7].equal(after[7]));
}

TEST("qwen3: gradients agree with central differences in float64") {
  Qwen3Config config = small_config();
  config.vocab_size = 7;
  config.hidden_size = 6;
  config.intermediate_size = 8;
  config.num_hidden_layers = 1;
  config.num_attention_heads = 2;
  config.num_key_value_heads = 1;
  config.head_dim = 4;
  model::Qwen3Weights weights = model::cast_weights(model::initialise_qwen3(config, 2), at::kDouble);
  const model::PackedTokens batch =
      model::packed_tokens(std::vector<std::int32_t>{1, 5, 2, 6, 3}, std::vector<std::int32_t>{0, 2, 5},
                           std::vector<std::int32_t>{0, 1, 0, 1, 2}, 7);
  const auto function = [&](const std::vector<at::Tensor>& in) {
    model::Qwen3Weights changed = weights;
    changed.embed_tokens = in[0];
    changed.lm_head = in[0];
    changed.layers[0].q_proj = in[1];
    changed.layers[0].k_norm = in[2];
    changed.layers[0].down_proj = in[3];
    return model::qwen3_forward(changed, config, batch, running);
  };
  const model::Qwen3Layer& layer = weights.layers[0];
  EXPECT_LE(gradcheck(function, {weights.embed_tokens, layer.q_proj, layer.k_norm, layer.down_proj}), 1e-6);
}

TEST("qwen3: same seed, same weights; another seed, other weights; parameter count is that of the tensors") {
  Qwen3Config config = small_config();
  for (const bool tied : {true, false}) {
    config.tie_word_embeddings = tied;
    const auto one = model::initialise_qwen3(config, 4).named(config);
    const auto same = model::initialise_qwen3(config, 4).named(config);
    const auto other = model::initialise_qwen3(config, 5).named(config);
    std::int64_t count = 0;
    for (std::size_t i = 0; i < one.size(); ++i) {
      EXPECT(one[i].tensor.equal(same[i].tensor));
      count += one[i].tensor.numel();
    }
    EXPECT(!one[0].tensor.equal(other[0].tensor));
    EXPECT(count == model::parameter_count(config));
    EXPECT(one.size() == (tied ? 24u : 25u));
  }
}

TEST("qwen3: the published shape has the published number of parameters") {
  const Qwen3Config config{.vocab_size = 151'936,
                           .hidden_size = 2048,
                           .intermediate_size = 6144,
                           .num_hidden_layers = 28,
                           .num_attention_heads = 16,
                           .num_key_value_heads = 8,
                           .head_dim = 128};
  EXPECT(model::parameter_count(config) == 1'720'574'976);
}

TEST("qwen3: shapes that cannot be are refused by name") {
  Qwen3Config config = small_config();
  config.num_key_value_heads = 3;
  EXPECT_THROWS(model::initialise_qwen3(config, 1),
                "num_key_value_heads must divide num_attention_heads (4) but it is 3");
}

TEST("target encoder: starts equal, stays where it is, starts again") {
  const Qwen3Config config = small_config();
  const model::Qwen3Weights encoder = model::initialise_qwen3(config, 1);
  model::TargetEncoder target(encoder, config);
  EXPECT(target.relative_distance(encoder).item<double>() == 0.0);
  const at::Tensor before = target.weights().norm.clone();
  encoder.norm.fill_(3.0);
  EXPECT(target.weights().norm.equal(before));
  target.restart_from(encoder);
  EXPECT(target.weights().norm.equal(encoder.norm));
  EXPECT(!target.weights().norm.requires_grad());
}

TEST("encoder: last, mean and recent pooling of prefixes, each as it would be alone") {
  const Qwen3Config config = small_config();
  const model::Qwen3Weights weights = model::initialise_qwen3(config, 9);
  const model::PackedTokens batch =
      model::packed_tokens(tokens_of(11, 4), std::vector<std::int32_t>{0, 4, 11}, positions_of({4, 7}), 37);
  const at::Tensor hidden = model::qwen3_forward(weights, config, batch, running);
  const std::vector<std::int32_t> ends{4, 11, 1, 5, 8};
  const auto embed = [&](const model::PackedTokens& packed, std::span<const std::int32_t> of, Pooling pooling) {
    const std::vector<std::int32_t> final{static_cast<std::int32_t>(config.num_hidden_layers)};
    return infer::embed(weights, config, at::kFloat, packed, of, pooling, final, running);
  };
  const at::Tensor last = embed(batch, ends, Pooling::kLast);
  const at::Tensor mean = embed(batch, ends, Pooling::kMean);
  EXPECT_LE((last - hidden.index_select(0, at::tensor({3, 10, 0, 4, 7}, at::kLong))).abs().max().item<double>(), 1e-6);
  EXPECT_LE((mean[1] - hidden.slice(0, 4, 11).mean(0)).abs().max().item<double>(), 1e-6);
  EXPECT_LE((mean[4] - hidden.slice(0, 4, 8).mean(0)).abs().max().item<double>(), 1e-6);

  // A token e times less for every `kRecentTokens` behind it; one token alone is itself.
  const at::Tensor recent = embed(batch, ends, Pooling::kRecent);
  at::Tensor sum = at::zeros_like(recent[0]);
  double weights_sum = 0;
  for (std::int64_t row = 4; row < 11; ++row) {
    const double weight = std::exp(-static_cast<double>(10 - row) / kRecentTokens);
    sum += hidden[row] * weight;
    weights_sum += weight;
  }
  EXPECT_LE((recent[1] - sum / weights_sum).abs().max().item<double>(), 1e-6);
  EXPECT_LE((recent[2] - hidden[0]).abs().max().item<double>(), 1e-6);
  EXPECT((recent[1] - mean[1]).abs().max().item<double>() > 1e-4);

  const std::vector<std::int32_t> all = tokens_of(11, 4);
  const model::PackedTokens alone = model::packed_tokens(std::vector<std::int32_t>(all.begin() + 4, all.begin() + 8),
                                                         std::vector<std::int32_t>{0, 4}, positions_of({4}), 37);
  const std::vector<std::int32_t> end{4};
  EXPECT_LE((embed(alone, end, Pooling::kLast)[0] - last[4]).abs().max().item<double>(), 1e-6);
  EXPECT_LE((embed(alone, end, Pooling::kMean)[0] - mean[4]).abs().max().item<double>(), 1e-6);
  EXPECT_LE((embed(alone, end, Pooling::kRecent)[0] - recent[4]).abs().max().item<double>(), 1e-6);

  // Of every hidden state: what is pooled of each by itself, in order.
  std::vector<at::Tensor> hidden_states;
  model::visit_hidden_states(weights, config, batch, running,
                             [&](std::size_t, const at::Tensor& state) { hidden_states.push_back(state); });
  const auto depth = static_cast<std::int32_t>(config.num_hidden_layers);
  EXPECT(hidden_states.size() == weights.layers.size() + 1);
  EXPECT(hidden_states[0].equal(at::embedding(weights.embed_tokens, batch.tokens)));
  EXPECT(hidden_states.back().equal(hidden));
  std::vector<std::int32_t> layers;
  for (std::int32_t number = 0; number <= depth; ++number) layers.push_back(number);
  const at::Tensor every = infer::embed(weights, config, at::kFloat, batch, ends, Pooling::kMean, layers, running);
  for (std::int32_t number = 0; number <= depth; ++number) {
    const at::Tensor own = every.narrow(1, number * config.hidden_size, config.hidden_size);
    EXPECT_LE((own[4] - hidden_states[number].slice(0, 4, 8).mean(0)).abs().max().item<double>(), 1e-6);
  }
  EXPECT(every.narrow(1, depth * config.hidden_size, config.hidden_size).equal(mean));
  for (const std::vector<std::int32_t>& wrong : {std::vector<std::int32_t>{-1}, {depth + 1}, {1, 1}, {1, 0}, {}}) {
    EXPECT_THROWS(infer::embed(weights, config, at::kFloat, batch, ends, Pooling::kMean, wrong, running),
                  "[embed] layers must");
  }
  const std::vector<std::int32_t> none;
  EXPECT_THROWS(embed(alone, none, Pooling::kLast), "ends must hold at least one row");
  const std::vector<std::int32_t> beyond{3, 5};
  EXPECT_THROWS(embed(alone, beyond, Pooling::kMean), "between 1 and the number of tokens (4) but ends[1] is 5");
}

TEST("batch: every rule is checked and named") {
  using V = std::vector<std::int32_t>;
  EXPECT_THROWS(model::packed_tokens(V{1, 2}, V{0, 3}, V{0, 1}, 9),
                "cu_seqlens must end at total_tokens (2) but ends at 3");
  EXPECT_THROWS(model::packed_tokens(V{1, 2}, V{0, 2, 2}, V{0, 1}, 9), "cu_seqlens must ascend");
  EXPECT_THROWS(model::packed_tokens(V{1, 9}, V{0, 2}, V{0, 1}, 9), "tokens must lie in [0, 9) but token 1 is 9");
  EXPECT_THROWS(model::packed_tokens(V{1, 2}, V{0, 2}, V{0}, 9),
                "position_ids must have one entry per token (2) but has 1");
  const auto clean = [] { return model::packed_tokens(V{1, 2, 3, 4}, V{0, 4}, V{0, 1, 2, 3}, 9); };
  const auto batch = [&](const V& contexts, const V& sequences, const V& cuts, const V& cu_rows, const V& tokens,
                         const V& positions, const V& targets) {
    const std::vector<float> days(targets.size());
    return train::world_model_batch(clean(), contexts, {sequences, cuts, cu_rows, tokens, positions, targets, days},
                                    ScoredLabels::kFuture, 9);
  };
  EXPECT_THROWS(batch({4}, {}, {}, {0}, {}, {}, {}), "context_lengths must lie in [1, sequence length)");
  EXPECT_THROWS(batch({2, 2}, {}, {}, {0}, {}, {}, {}), "context_lengths must have one entry per sequence (1)");
  EXPECT_THROWS(batch({2}, {1}, {2}, {0, 1}, {8}, {2}, {2}), "branch sequences must lie in [0, 1) but branch 0 has 1");
  EXPECT_THROWS(batch({2}, {0}, {4}, {0, 1}, {8}, {2}, {2}), "branch cuts must lie in [1, sequence length)");
  EXPECT_THROWS(batch({2}, {0}, {2}, {0, 1}, {9}, {2}, {2}), "branch tokens must lie in [0, 9) but row 0 holds 9");
  EXPECT_THROWS(batch({2}, {0}, {2}, {0, 1}, {8}, {-1}, {2}), "branch position_ids must not be negative");
  EXPECT_THROWS(batch({2}, {0}, {2}, {0, 1}, {8}, {2}, {1}), "branch targets must lie behind the cut");
  EXPECT_THROWS(batch({2}, {0}, {2}, {0, 1}, {8}, {2}, {4}), "branch targets must lie behind the cut");
  EXPECT_THROWS(batch({2}, {0}, {2}, {0, 2}, {8}, {2}, {2}), "branch offsets must run from 0 to the number");
  EXPECT_THROWS(batch({2}, {0, 0}, {2, 2}, {0, 1, 1}, {8}, {2}, {2}), "branch offsets must ascend");
  EXPECT_THROWS(batch({2}, {0}, {2, 3}, {0, 1}, {8}, {2}, {2}), "branches must have a cut each");
  EXPECT_THROWS(batch({2}, {0}, {2}, {0, 1}, {8}, {2, 3}, {2}),
                "branch rows must have a token and a position id each (1) but have 1 and 2");
}

TEST("batch: future tokens carry loss, or all but the first of a sequence") {
  using V = std::vector<std::int32_t>;
  const auto clean = [] { return model::packed_tokens(V{1, 2, 3, 4, 5, 6}, V{0, 4, 6}, V{0, 1, 2, 3, 0, 1}, 9); };
  const auto batch = [&](ScoredLabels labels) {
    const std::vector<float> days = {1, 4, 30};
    return train::world_model_batch(
        clean(), V{2, 1}, {V{0, 1}, V{2, 1}, V{0, 2, 3}, V{3, 8, 8}, V{2, 3, 1}, V{-1, 3, 5}, days}, labels, 9);
  };
  const train::WorldModelBatch future = batch(ScoredLabels::kFuture);
  EXPECT(future.scored_rows.equal(at::tensor({1, 2, 4}, at::kLong)));
  EXPECT(future.labels.equal(at::tensor({3, 4, 6}, at::kLong)));
  EXPECT(future.packed.tokens.equal(at::tensor({1, 2, 3, 4, 5, 6, 3, 8, 8}, at::kLong)));
  EXPECT(future.predicted_rows.equal(at::tensor({7, 8}, at::kLong)));
  EXPECT((future.target_rows == std::vector<std::int64_t>{3, 5}));
  EXPECT(future.days.equal(at::tensor({4.0F, 30.0F}, at::kFloat)));
  EXPECT((future.context_rows == std::vector<std::int64_t>{1, 4}));
  EXPECT(future.packed.trunk().tokens.equal(clean().tokens));
  EXPECT(batch(ScoredLabels::kAll).scored_rows.equal(at::tensor({0, 1, 2, 4}, at::kLong)));
}

}  // namespace
}  // namespace model_test
