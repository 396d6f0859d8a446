#include "model/layout.h"

#include <ATen/ops/empty.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "model/predictor.h"
#include "native/check.h"

namespace layout_test {
namespace {

using namespace ehrjepa;
using Shape = std::vector<std::int64_t>;

/// Every size is another number, so that no two shapes agree by chance.
Qwen3Config config_of(bool tied) {
  Qwen3Config config;
  config.vocab_size = 37;
  config.hidden_size = 14;
  config.intermediate_size = 20;
  config.num_hidden_layers = 2;
  config.num_attention_heads = 6;
  config.num_key_value_heads = 3;
  config.head_dim = 4;
  config.tie_word_embeddings = tied;
  return config;
}

TEST("layout: names and shapes of a block, of what is outside, and of a head that is not tied") {
  const std::vector<std::pair<std::string, Shape>> block = {
      {"input_layernorm.weight", {14}},      {"self_attn.q_proj.weight", {24, 14}},
      {"self_attn.k_proj.weight", {12, 14}}, {"self_attn.v_proj.weight", {12, 14}},
      {"self_attn.o_proj.weight", {14, 24}}, {"self_attn.q_norm.weight", {4}},
      {"self_attn.k_norm.weight", {4}},      {"post_attention_layernorm.weight", {14}},
      {"mlp.gate_proj.weight", {20, 14}},    {"mlp.up_proj.weight", {20, 14}},
      {"mlp.down_proj.weight", {14, 20}}};
  for (const bool tied : {true, false}) {
    std::vector<std::pair<std::string, Shape>> expected{{"model.embed_tokens.weight", {37, 14}}};
    for (const std::string layer : {"0", "1"}) {
      for (const auto& [name, shape] : block) expected.emplace_back("model.layers." + layer + "." + name, shape);
    }
    expected.emplace_back("model.norm.weight", Shape{14});
    if (!tied) expected.emplace_back("lm_head.weight", Shape{37, 14});

    const Qwen3Config config = config_of(tied);
    const std::vector<model::Weight> rows = model::qwen3_layout(config);
    const std::vector<model::NamedTensor> drawn = model::initialise_qwen3(config, 1).named(config);
    const std::vector<model::NamedTensor> shapes = model::shapes_of_qwen3(config).named(config);
    EXPECT(rows.size() == expected.size() && drawn.size() == expected.size() && shapes.size() == expected.size());
    std::int64_t scalars = 0;
    for (std::size_t i = 0; i < rows.size(); ++i) {
      const auto& [name, shape] = expected[i];
      EXPECT(rows[i].name() == name && drawn[i].name == name && shapes[i].name == name);
      EXPECT(rows[i].shape(config) == shape);
      EXPECT(drawn[i].tensor.sizes() == at::IntArrayRef(shape) && shapes[i].tensor.sizes() == at::IntArrayRef(shape));
      EXPECT(rows[i].count(config) == drawn[i].tensor.numel());
      scalars += drawn[i].tensor.numel();
    }
    EXPECT(model::parameter_count(config) == scalars);
  }
}

TEST("layout: the linear maps are seven, each with the weight of its block") {
  const Qwen3Config config = config_of(true);
  const model::Qwen3Weights weights = model::shapes_of_qwen3(config);
  std::vector<std::string> names;
  for (const model::Weight& weight : model::qwen3_layout(config)) {
    if (!weight.map()) continue;
    names.emplace_back(model::module_name(*weight.map()));
    EXPECT(weight.name().ends_with("." + names.back() + ".weight"));
    EXPECT(weight.of(weights).is_same(model::weight_of(weights.layers[weight.layer()], *weight.map())));
  }
  EXPECT(names.size() == 2 * model::linear_maps);
  for (std::size_t map = 0; map < model::linear_maps; ++map) EXPECT(names[map] == names[map + model::linear_maps]);
}

TEST("layout: assigned tensors must be one for each weight and of its shape, or nothing is replaced") {
  const Qwen3Config config = config_of(true);
  model::Qwen3Weights weights = model::shapes_of_qwen3(config);
  std::vector<at::Tensor> tensors;
  for (const model::Weight& weight : model::qwen3_layout(config)) tensors.push_back(at::empty(weight.shape(config)));
  const auto with = [&](const auto& change) {
    std::vector<at::Tensor> changed = tensors;
    change(changed);
    return changed;
  };
  EXPECT_THROWS(weights.assign(config, with([](auto& list) { list.pop_back(); })),
                "there must be 24 tensors, one for each weight, but there are 23");
  EXPECT_THROWS(weights.assign(config, with([](auto& list) { list.push_back(list.back()); })), "but there are 25");
  EXPECT_THROWS(weights.assign(config, with([](auto& list) { list[2] = list[2].t(); })),
                "model.layers.0.self_attn.q_proj.weight must have shape [24, 14] but has [14, 24]");
  EXPECT(weights.embed_tokens.is_meta() && weights.layers[0].q_proj.is_meta());
  weights.assign(config, tensors);
  EXPECT(weights.embed_tokens.is_same(tensors[0]) && weights.layers[0].q_proj.is_same(tensors[2]));
  EXPECT(weights.norm.is_same(tensors.back()) && weights.has_tied_head());
}

TEST("layout: a number of layers that no model has is refused before anything is listed") {
  Qwen3Config config = config_of(true);
  config.num_hidden_layers = 2'000'000'000'000;
  EXPECT_THROWS(model::qwen3_layout(config), "num_hidden_layers must be at most 10000");
  EXPECT_THROWS(model::parameter_count(config), "num_hidden_layers must be at most 10000");
}

TEST("layout: a predictor's count is that of its tensors, whatever its kind") {
  using Kind = PredictorKind;
  for (const PredictorOptions& options :
       {PredictorOptions{.kind = Kind::kIdentity}, PredictorOptions{.kind = Kind::kMlp, .width = 10},
        PredictorOptions{.kind = Kind::kTransformer, .width = 8, .layers = 3, .heads = 2},
        PredictorOptions{.kind = Kind::kTransformer, .width = 8, .layers = 1, .heads = 4, .from_state = true}}) {
    std::int64_t scalars = 0;
    for (const model::NamedTensor& parameter : model::initialise_predictor(12, options, 1).named()) {
      scalars += parameter.tensor.numel();
    }
    EXPECT(scalars == model::parameter_count(options, 12));
  }
}

}  // namespace
}  // namespace layout_test
