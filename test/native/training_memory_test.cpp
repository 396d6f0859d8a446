// What saves memory in training changes nothing else: activation checkpointing, updates in the backward pass, bfloat16
// parameters with stochastic rounding.
#include <ATen/ATen.h>

#include <atomic>
#include <cmath>

#include "native/check.h"
#include "native/random_batch.h"
#include "train/step.h"

namespace training_memory_test {
namespace {

using namespace ehrjepa;
using namespace ehrjepa::test;

const std::atomic<bool> running{false};

EngineOptions options_of(bool tied = true) {
  return {.config = config_of(tied), .predictor = mlp_predictor, .seed = 5};
}

void expect_same(const train::Gradients& found, const train::Gradients& expected) {
  EXPECT(found.losses.loss == expected.losses.loss);
  EXPECT(found.values.size() == expected.values.size());
  for (std::size_t i = 0; i < found.values.size(); ++i) {
    EXPECT(found.values[i].defined() == expected.values[i].defined());
    if (found.values[i].defined()) EXPECT(found.values[i].equal(expected.values[i]));
  }
}

void compare_checkpointing(EngineOptions options, const StepOptions& step) {
  for (const unsigned seed : {2u, 5u}) {
    const std::vector<train::WorldModelBatch> batch = {random_batch(seed, 24).packed(vocabulary)};
    options.activation_checkpointing = ActivationCheckpointing::kNone;
    train::WorldModel kept(options);
    const train::Gradients expected = train::gradients(kept, batch, step, running, /*with_dropout=*/true);
    for (const auto mode : {ActivationCheckpointing::kBlock, ActivationCheckpointing::kSelective}) {
      options.activation_checkpointing = mode;
      train::WorldModel again(options);
      expect_same(train::gradients(again, batch, step, running, true), expected);
    }
  }
}

TEST("checkpointing: losses and gradients are the same to the bit") {
  compare_checkpointing(options_of(true), {});
  compare_checkpointing(options_of(false), {});
  EngineOptions narrow = options_of();
  narrow.compute_dtype = Dtype::kBfloat16;
  compare_checkpointing(narrow, {});
}

TEST("checkpointing: with frozen weights, with LoRA and dropout, with the interference of both losses") {
  EngineOptions frozen = options_of();
  frozen.frozen = {"model.embed_tokens.weight", "model.layers.0.mlp.up_proj.weight"};
  compare_checkpointing(frozen, {});
  EngineOptions lora = options_of();
  lora.lora = LoraOptions{.rank = 3, .alpha = 6, .dropout = 0.3, .targets = {"q_proj", "down_proj"}};
  compare_checkpointing(lora, {});
  StepOptions interference;
  interference.with_interference = true;
  compare_checkpointing(options_of(), interference);
}

StepOptions clipped_by_parameter(double limit) {
  StepOptions step;
  step.optimizer.learning_rate = 3e-3;
  step.gradient_clip = limit;
  step.clip_by = ClipBy::kParameter;
  return step;
}

/// Parameters, target and moments.
std::vector<at::Tensor> state_of(train::WorldModel& model) {
  std::vector<at::Tensor> result;
  for (const auto& p : model.training().trainable) result.push_back(p.tensor.detach());
  for (const auto& p : model.training().target_encoder().weights().named(model.config())) result.push_back(p.tensor);
  for (const auto& p : model.training().optimizer().state()) result.push_back(p.tensor);
  return result;
}

void expect_same_states(train::WorldModel& a, train::WorldModel& b) {
  const std::vector<at::Tensor> found = state_of(a), expected = state_of(b);
  for (std::size_t i = 0; i < found.size(); ++i) EXPECT(found[i].equal(expected[i]));
}

TEST("update in the backward pass: the same bits as an update after it, with and without clipping by parameter") {
  for (const Dtype compute : {Dtype::kFloat32, Dtype::kBfloat16}) {
    for (const double limit : {0.0, 0.05}) {
      for (const auto mode : {ActivationCheckpointing::kNone, ActivationCheckpointing::kBlock}) {
        EngineOptions options = options_of();
        options.compute_dtype = compute;
        options.activation_checkpointing = mode;
        train::WorldModel after(options), within(options);
        for (std::uint32_t i = 1; i <= 3; ++i) {
          const std::vector<train::WorldModelBatch> batch = {random_batch(2 * i, 24).packed(vocabulary)};
          StepOptions step = clipped_by_parameter(limit);
          step.step = i;
          const StepResult expected = train::step(after, batch, step, running);
          step.update_in_backward = true;
          const StepResult found = train::step(within, batch, step, running);
          EXPECT(found.loss == expected.loss);
          EXPECT_CLOSE(found.gradient_norm, expected.gradient_norm, 1e-12 * expected.gradient_norm);
          expect_same_states(within, after);
        }
      }
    }
  }
}

TEST("update in the backward pass: one objective alone leaves the predictor, and the target still follows") {
  const std::vector<train::WorldModelBatch> batch = {random_batch(2, 24).packed(vocabulary)};
  train::WorldModel after(options_of(false)), within(options_of(false));
  for (const double next_token_weight : {0.0, 1.0}) {
    StepOptions step = clipped_by_parameter(1.0);
    step.next_token_weight = next_token_weight;
    step.latent_weight = 1.0 - next_token_weight;
    train::step(after, batch, step, running);
    step.update_in_backward = true;
    train::step(within, batch, step, running);
    expect_same_states(within, after);
  }
}

TEST("update in the backward pass: clips each parameter") {
  const std::vector<train::WorldModelBatch> batch = {random_batch(2, 24).packed(vocabulary)};
  train::WorldModel model(options_of());
  StepOptions step = clipped_by_parameter(1e-6);
  step.update_in_backward = true;
  train::step(model, batch, step, running);
  for (const auto& entry : model.training().optimizer().state()) {
    if (entry.name.rfind("exp_avg.", 0) == 0) EXPECT_LE(entry.tensor.norm().item<double>(), 0.1 * 1e-6 * (1 + 1e-5));
  }
}

TEST("update in the backward pass: what it cannot do is refused, and nothing has changed") {
  const std::vector<train::WorldModelBatch> batch = {random_batch(2, 24).packed(vocabulary)};
  const std::vector<train::WorldModelBatch> two = {batch[0], batch[0]};
  train::WorldModel model(options_of()), untouched(options_of());
  StepOptions step = clipped_by_parameter(1.0);
  step.update_in_backward = true;
  EXPECT_THROWS(train::step(model, two, step, running), "needs one batch but there are 2");
  step.with_interference = true;
  EXPECT_THROWS(train::step(model, batch, step, running), "needs the gradients of both losses at once");
  step.with_interference = false;
  step.clip_by = ClipBy::kGlobal;
  EXPECT_THROWS(train::step(model, batch, step, running), "needs clipping by parameter, or none");
  step.gradient_clip = 0.0;
  const std::atomic<bool> stopped{true};
  EXPECT_THROWS(train::step(model, batch, step, stopped), "cancelled");
  expect_same_states(model, untouched);
  train::step(model, batch, step, running);
}

TEST("update in the backward pass: a gradient that is not finite ends the model, and it says so") {
  const std::vector<train::WorldModelBatch> batch = {random_batch(2, 24).packed(vocabulary)};
  train::WorldModel model(options_of());
  StepOptions step = clipped_by_parameter(1.0);
  step.update_in_backward = true;
  step.latent_weight = 3e38;  // finite as a number of the report, infinite as the gradient's float32
  EXPECT_THROWS(train::step(model, batch, step, running), "gradient norm must be finite");
  EXPECT_THROWS(model.encoder(), "an update broke off half made");
  EXPECT_THROWS(model.training(), "an update broke off half made");
}

EngineOptions rounded_options() {
  EngineOptions options = options_of();
  options.parameter_dtype = options.compute_dtype = Dtype::kBfloat16;
  options.stochastic_rounding = true;
  return options;
}

TEST("stochastic rounding: everything that is trained is bfloat16, the loss falls, the seed of a step decides") {
  const std::vector<train::WorldModelBatch> batch = {random_batch(2, 24).packed(vocabulary)};
  train::WorldModel model(rounded_options()), same(rounded_options()), other(rounded_options());
  StepOptions step;
  step.optimizer.learning_rate = 3e-3;
  const double before = train::step(model, batch, step, running).loss;
  train::step(same, batch, step, running);
  expect_same_states(model, same);
  StepOptions changed = step;
  changed.step = 1;
  train::step(other, batch, changed, running);
  EXPECT(!state_of(model)[0].equal(state_of(other)[0]));
  for (const auto& entry : model.training().optimizer().state()) {
    const bool counts = entry.name.rfind("steps.", 0) == 0;
    EXPECT(entry.tensor.scalar_type() == (counts ? at::kFloat : at::kBFloat16));
  }
  for (const at::Tensor& target : {model.training().target_encoder().weights().norm, model.encoder().embed_tokens}) {
    EXPECT(target.scalar_type() == at::kBFloat16);
  }
  for (step.step = 1; step.step < 60; ++step.step) train::step(model, batch, step, running);
  EXPECT(train::step(model, batch, step, running).loss < 0.7 * before);
}

TEST("stochastic rounding: needs bfloat16 parameters trained whole; without it they are frozen") {
  EngineOptions options = rounded_options();
  options.parameter_dtype = Dtype::kFloat32;
  EXPECT_THROWS(train::WorldModel(options), "stochasticRounding must go with bfloat16 parameters");
  options = rounded_options();
  options.lora = LoraOptions{.rank = 2, .alpha = 4, .dropout = 0, .targets = {"q_proj"}};
  EXPECT_THROWS(train::WorldModel(options), "but is of adapters");
  options = rounded_options();
  options.stochastic_rounding = false;
  train::WorldModel frozen(options);
  EXPECT_THROWS(frozen.training(), "parameterDtype must be float32 to train");
}

}  // namespace
}  // namespace training_memory_test
