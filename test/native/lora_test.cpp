#include "model/lora.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <atomic>
#include <cmath>

#include "core/random.h"
#include "native/check.h"
#include "native/gradcheck.h"
#include "native/random_batch.h"
#include "train/step.h"

namespace lora_test {
namespace {

using namespace ehrjepa;

const std::atomic<bool> running{false};
constexpr std::int32_t vocabulary = 31;
const std::vector<std::string> seven = {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"};

Qwen3Config config_of() {
  Qwen3Config config = test::config_of(true);
  config.vocab_size = vocabulary;
  return config;
}

LoraOptions lora_of(double dropout, std::vector<std::string> targets = seven) {
  return {.rank = 3, .alpha = 6.0, .dropout = dropout, .targets = std::move(targets)};
}

EngineOptions options_of(double dropout, Dtype dtype = Dtype::kFloat32) {
  return {.config = config_of(),
          .predictor = {.kind = PredictorKind::kMlp, .width = 16},
          .compute_dtype = dtype,
          .parameter_dtype = dtype,
          .lora = lora_of(dropout),
          .seed = 3};
}

train::WorldModelBatch small_batch() {
  PlainBatch batch;
  batch.sequences = {{1, 2, 3, 4, 5, 6, 7, 8}, {9, 10, 11, 12, 13}};
  batch.context_lengths = {4, 3};
  batch.branches = {{0, 4, {30, 6, 30, 8}, {4, 5, 6, 7}, {4, -1, 6, -1}}, {1, 3, {30, 30}, {3, 4}, {3, 4}}};
  return batch.packed(vocabulary);
}

/// B starts at zero; drawn values show what it does.
void draw_b(const model::LoraAdapters& adapters, std::uint64_t seed) {
  at::manual_seed(seed);
  const at::NoGradGuard no_grad;
  for (const auto& layer : adapters.layers) {
    for (const model::LoraAdapter& adapter : layer) {
      if (adapter.b.defined()) adapter.b.normal_(0.0, 0.3);
    }
  }
}

std::vector<at::Tensor> copies(const std::vector<model::NamedTensor>& tensors) {
  std::vector<at::Tensor> result;
  for (const model::NamedTensor& entry : tensors) result.push_back(entry.tensor.detach().clone());
  return result;
}

bool all_equal(const std::vector<model::NamedTensor>& now, const std::vector<at::Tensor>& before) {
  for (std::size_t i = 0; i < now.size(); ++i) {
    if (!now[i].tensor.equal(before.at(i))) return false;
  }
  return now.size() == before.size();
}

double largest_difference(const at::Tensor& a, const at::Tensor& b) { return (a - b).abs().max().item<double>(); }

TEST("lora: base and adapters give what merged weights give, in float64, for all seven maps and for some") {
  for (const std::vector<std::string>& targets : {seven, std::vector<std::string>{"v_proj", "down_proj"}}) {
    model::Qwen3Weights weights = model::initialise_qwen3(config_of(), 1);
    const at::Tensor plain =
        model::qwen3_forward(model::cast_weights(weights, at::kDouble), config_of(), small_batch().packed, running);
    weights.adapters = model::initialise_lora(config_of(), lora_of(0.1, targets), 2);
    EXPECT(model::qwen3_forward(model::cast_weights(weights, at::kDouble), config_of(), small_batch().packed, running)
               .equal(plain));
    draw_b(weights.adapters, 3);
    const model::Qwen3Weights wide = model::cast_weights(weights, at::kDouble);
    model::Qwen3Weights merged = wide;
    merged.adapters = {};
    std::vector<at::Tensor> tensors;
    for (const auto& entry : model::merge_lora(wide.named(config_of()), wide.adapters)) tensors.push_back(entry.make());
    merged.assign(config_of(), tensors);
    const at::Tensor found = model::qwen3_forward(wide, config_of(), small_batch().packed, running);
    EXPECT_LE(largest_difference(found, model::qwen3_forward(merged, config_of(), small_batch().packed, running)),
              1e-12);
    EXPECT(largest_difference(found, plain) > 0.1);
    const std::vector<std::int64_t> rows = {1, 7, 12};
    const model::PackedTokens trunk = small_batch().packed.trunk();
    EXPECT_LE(largest_difference(model::qwen3_forward_rows(wide, config_of(), trunk, rows, 1, running),
                                 model::qwen3_forward_rows(merged, config_of(), trunk, rows, 1, running)),
              1e-12);
    EXPECT(weights.adapters.named().size() == 2 * 2 * targets.size());
  }
}

TEST("lora: names and initial values are PEFT's") {
  const model::LoraAdapters adapters = model::initialise_lora(config_of(), lora_of(0.1), 2);
  const auto named = adapters.named();
  EXPECT(named.front().name == "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight");
  EXPECT(named.back().name == "base_model.model.model.layers.1.mlp.down_proj.lora_B.weight");
  EXPECT_CLOSE(adapters.scale, 2.0, 0);
  std::int64_t scalars = 0;
  for (const auto& [name, tensor] : named) {
    scalars += tensor.numel();
    if (name.ends_with("lora_B.weight")) {
      EXPECT(tensor.eq(0).all().item<bool>());
    } else {
      // torch's kaiming_uniform_(a = sqrt 5): a bound of 1 / sqrt(in).
      const double bound = 1.0 / std::sqrt(static_cast<double>(tensor.size(1)));
      EXPECT_LE(tensor.abs().max().item<double>(), bound);
      EXPECT(tensor.abs().max().item<double>() > 0.8 * bound);
      EXPECT_LE(std::abs(tensor.mean().item<double>()), 0.35 * bound);
    }
  }
  EXPECT(scalars == model::lora_parameter_count(config_of(), lora_of(0.1)));
  EXPECT_THROWS(model::initialise_lora(config_of(), {.rank = 0, .targets = seven}, 1),
                "rank must be positive but is 0");
  EXPECT_THROWS(model::initialise_lora(config_of(), {.dropout = 1.0, .targets = seven}, 1),
                "dropout must lie in [0, 1)");
  EXPECT_THROWS(model::initialise_lora(config_of(), {.targets = {"lm_head"}}, 1), "but hold lm_head");
  EXPECT_THROWS(model::initialise_lora(config_of(), {.targets = {}}, 1), "at least one linear map");
}

TEST("lora: gradients of x, A and B in float64, with dropout and without") {
  at::manual_seed(5);
  const at::Tensor x = at::randn({7, 5}, at::kDouble), a = at::randn({3, 5}, at::kDouble),
                   b = at::randn({4, 3}, at::kDouble);
  for (const double dropout : {0.0, 0.4}) {
    const auto apply = [&](const std::vector<at::Tensor>& in) {
      return model::lora_linear(in[0], {in[1], in[2]}, 1.7, dropout, model::DropoutKey{9, 4}, 2);
    };
    EXPECT_LE(gradcheck(apply, {x, a, b}), 1e-7);
  }
  const at::Tensor mask = model::dropout_mask({7, 5}, 0.4, {9, 4}, 2);
  const at::Tensor expected = 1.7 / 0.6 * (x * mask).matmul(a.t()).matmul(b.t());
  EXPECT_LE(largest_difference(model::lora_linear(x, {a, b}, 1.7, 0.4, model::DropoutKey{9, 4}, 2), expected), 1e-7);
}

TEST("lora: dropout is a function of seed, step and map, keeps its share, and is not biased") {
  const auto mask = [](std::uint64_t seed, std::uint32_t step, std::uint32_t map) {
    return model::dropout_mask({200, 500}, 0.1, {seed, step}, map);
  };
  const at::Tensor first = mask(1, 2, 3);
  EXPECT(first.equal(mask(1, 2, 3)));
  for (const at::Tensor& other : {mask(2, 2, 3), mask(1, 3, 3), mask(1, 2, 4)}) {
    // Independent masks agree in 0.9^2 + 0.1^2 of their places.
    EXPECT_CLOSE(first.eq(other).to(at::kDouble).mean().item<double>(), 0.82, 0.01);
  }
  EXPECT_CLOSE(first.to(at::kDouble).mean().item<double>(), 0.9, 0.005);
  // The draws are those of the stream that any other code would read.
  RandomStream stream(1, RandomPurpose::kDropout, 2, 3);
  const at::Tensor flat = first.flatten();
  for (std::int64_t i = 0; i < 10'000; ++i) {
    EXPECT(flat[i].item<bool>() == (stream.uint32() >= static_cast<std::uint32_t>(std::lround(0.1 * 0x1p32))));
  }
  const at::Tensor ones = at::ones({1, 1000}, at::kDouble);
  const model::LoraAdapter sum{at::ones({1, 1000}, at::kDouble), at::ones({1, 1}, at::kDouble)};
  double mean = 0;
  for (std::uint32_t step = 0; step < 200; ++step) {
    mean += model::lora_linear(ones, sum, 1.0, 0.1, model::DropoutKey{1, step}, 0).item<double>() / 200;
  }
  EXPECT_CLOSE(mean, 1000.0, 3.0);
}

TEST("lora: a step moves adapters and predictor; the base has no gradient, no moments and keeps its bytes") {
  for (const Dtype dtype : {Dtype::kFloat32, Dtype::kBfloat16}) {
    train::WorldModel model(options_of(0.1, dtype));
    const auto base = copies(model.encoder().named(model.config()));
    const auto initial = copies(model.encoder().adapters.named());
    const std::vector<train::WorldModelBatch> batch = {small_batch()};
    StepOptions options;
    options.optimizer.learning_rate = 3e-2;
    options.momentum = 0.9;
    const StepResult before = train::step(model, batch, options, running);
    StepResult after = before;
    for (std::uint32_t step = 1; step < 40; ++step) {
      options.step = step;
      after = train::step(model, batch, options, running);
    }
    EXPECT(after.loss < 0.8 * before.loss);
    EXPECT(all_equal(model.encoder().named(model.config()), base));
    for (const auto& weight : model.encoder().named(model.config())) {
      EXPECT(!weight.tensor.requires_grad());
      EXPECT(weight.tensor.scalar_type() == model.parameter_dtype());
    }
    const auto adapters = model.encoder().adapters.named();
    for (std::size_t i = 0; i < adapters.size(); ++i) {
      EXPECT(adapters[i].tensor.scalar_type() == at::kFloat);
      EXPECT(!adapters[i].tensor.equal(initial[i]));
    }
    // Three entries for each adapter tensor and each of the predictor's four.
    EXPECT(model.training().optimizer().state().size() == 3 * (adapters.size() + 4));
    for (const auto& entry : model.training().optimizer().state()) {
      EXPECT(entry.name.find("lora_") != std::string::npos || entry.name.find("predictor") != std::string::npos);
    }
  }
}

TEST("lora: the target encoder shares the base and averages the adapters") {
  train::WorldModel model(options_of(0.0));
  draw_b(model.encoder().adapters, 7);
  const model::TargetEncoder& target = model.training().target_encoder();
  EXPECT(target.weights().embed_tokens.is_same(model.encoder().embed_tokens));
  EXPECT(target.weights().layers[1].down_proj.is_same(model.encoder().layers[1].down_proj));
  EXPECT_CLOSE(target.relative_distance(model.encoder()).item<double>(), 0.0, 0);
  const auto start = copies(model.encoder().adapters.named());
  StepOptions options;
  options.optimizer.learning_rate = 3e-2;
  options.momentum = 0.75;
  const std::vector<train::WorldModelBatch> batch = {small_batch()};
  train::step(model, batch, options, running);
  const auto now = copies(model.encoder().adapters.named());
  const auto averaged = target.weights().adapters.named();
  double difference = 0, norm = 0;
  for (std::size_t i = 0; i < averaged.size(); ++i) {
    EXPECT_LE(largest_difference(averaged[i].tensor, 0.75 * start[i] + 0.25 * now[i]), 1e-6);
    difference += (averaged[i].tensor - now[i]).square().sum().item<double>();
    norm += now[i].square().sum().item<double>();
  }
  EXPECT_CLOSE(target.relative_distance(model.encoder()).item<double>(), std::sqrt(difference / norm), 1e-5);
  options.restart_target = true;
  options.momentum = 1.0;
  train::step(model, batch, options, running);
  EXPECT(all_equal(target.weights().adapters.named(), now));
}

TEST("lora: dropout is on in a step and off in losses, gradients and the target pass") {
  const std::vector<train::WorldModelBatch> batch = {small_batch()};
  const auto loss_of = [&](double dropout, auto&& read) {
    train::WorldModel model(options_of(dropout));
    draw_b(model.encoder().adapters, 7);
    return read(model);
  };
  const auto step_at = [&](std::uint32_t step) {
    return [&, step](train::WorldModel& model) {
      StepOptions options;
      options.step = step;
      return train::step(model, batch, options, running);
    };
  };
  const auto read = [&](train::WorldModel& model) { return train::losses(model, batch[0], {}, running).loss; };
  EXPECT_CLOSE(loss_of(0.5, read), loss_of(0.0, read), 0);
  const double first = loss_of(0.5, step_at(1)).loss;
  EXPECT_CLOSE(first, loss_of(0.5, step_at(1)).loss, 0);
  EXPECT(first != loss_of(0.5, step_at(2)).loss);
  EXPECT_CLOSE(loss_of(0.0, step_at(1)).loss, loss_of(0.0, step_at(2)).loss, 0);
  const auto target_std = [&](train::WorldModel& model) {
    StepOptions options;
    options.with_collapse_monitors = true;
    return monitor(train::step(model, batch, options, running), "target_std");
  };
  EXPECT_CLOSE(loss_of(0.5, target_std), loss_of(0.0, target_std), 0);
}

TEST("frozen weights keep their bytes, have no moments, and the gradient norm leaves them out") {
  const std::vector<std::string> frozen = {"model.embed_tokens.weight", "model.layers.0.self_attn.q_proj.weight",
                                           "model.norm.weight"};
  const auto make = [&](std::vector<std::string> names) {
    return train::WorldModel({.config = config_of(),
                              .predictor = {.kind = PredictorKind::kMlp, .width = 16},
                              .frozen = std::move(names),
                              .seed = 3});
  };
  train::WorldModel some = make(frozen), all = make({});
  const std::vector<train::WorldModelBatch> batch = {small_batch()};
  double expected = 0;
  const train::Gradients gradients = train::gradients(all, batch, {}, running);
  for (std::size_t i = 0; i < gradients.values.size(); ++i) {
    const bool left_out = std::count(frozen.begin(), frozen.end(), all.training().trainable[i].name) > 0;
    if (!left_out) expected += gradients.values[i].square().sum().item<double>();
  }
  const auto before = copies(some.encoder().named(some.config()));
  StepOptions options;
  options.optimizer.learning_rate = 1e-2;
  EXPECT_CLOSE(train::step(some, batch, options, running).gradient_norm, std::sqrt(expected), 1e-5);
  for (int i = 0; i < 3; ++i) train::step(some, batch, options, running);
  const auto now = some.encoder().named(some.config());
  const auto averaged = some.training().target_encoder().weights().named(some.config());
  for (std::size_t i = 0; i < now.size(); ++i) {
    const bool kept = std::count(frozen.begin(), frozen.end(), now[i].name) > 0;
    EXPECT(now[i].tensor.equal(before[i]) == kept);
    EXPECT(averaged[i].tensor.equal(before[i]) == kept);
  }
  for (const auto& entry : some.training().optimizer().state()) {
    for (const std::string& name : frozen) EXPECT(!entry.name.ends_with(name));
  }
  std::vector<std::string> every;
  for (const auto& weight : all.encoder().named(all.config())) every.push_back(weight.name);
  EXPECT_THROWS(make(every).training(), "frozen must leave a weight to train");
  EXPECT_THROWS(make({"model.embed"}).training(), "each once, but holds model.embed");
  every.pop_back();
  train::WorldModel last_norm_alone = make(every);
  EXPECT(train::step(last_norm_alone, batch, options, running).gradient_norm > 0);
}

}  // namespace
}  // namespace lora_test
