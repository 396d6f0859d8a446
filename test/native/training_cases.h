#pragma once
#include <ATen/ATen.h>

#include <string>
#include <tuple>
#include <vector>

#include "contract/fields.h"
#include "native/check.h"
#include "native/random_batch.h"
#include "train/step.h"

/// The ways of training that a device is tested with.
namespace ehrjepa::test {

/// A way of training.
struct TrainingCase {
  std::string name;
  EngineOptions engine;
  StepOptions step;
  BranchKind branch = BranchKind::kIsolated;
  int micro_batches = 1;
};

inline LoraOptions lora_with_dropout() {
  return {.rank = 3, .alpha = 6, .dropout = 0.2, .targets = {"q_proj", "v_proj", "down_proj"}};
}

inline std::vector<TrainingCase> training_cases() {
  const EngineOptions plain{.config = config_of(true), .predictor = mlp_predictor, .seed = 5};
  StepOptions step;
  step.optimizer.learning_rate = 3e-3;
  step.gradient_clip = 0.5;
  step.seed = 11;
  step.with_collapse_monitors = true;
  std::vector<TrainingCase> result;
  const auto add = [&](const std::string& name, BranchKind branch, const auto& change) {
    TrainingCase& added = result.emplace_back(TrainingCase{name, plain, step, branch});
    change(added);
  };
  add("next token alone", BranchKind::kCausal, [](TrainingCase& c) { c.step.latent_weight = 0.0; });
  add("latent alone", BranchKind::kCausal, [](TrainingCase& c) { c.step.next_token_weight = 0.0; });
  add("masked copies", BranchKind::kCausal, [](TrainingCase&) {});
  add("queries, untied head", BranchKind::kIsolated, [](TrainingCase& c) { c.engine.config = config_of(false); });
  add("from the state", BranchKind::kState, [](TrainingCase& c) { c.engine.predictor = state_predictor; });
  add("transformer predictor", BranchKind::kIsolated,
      [](TrainingCase& c) { c.engine.predictor = transformer_predictor; });
  add("two views", BranchKind::kViews, [](TrainingCase& c) {
    c.step.latent.target = TargetKind::kViews;
    c.step.latent.loss = LatentLossKind::kCosine;
    c.engine.predictor = {};
  });
  add("online target, all terms", BranchKind::kIsolated, [](TrainingCase& c) {
    c.step.latent.target = TargetKind::kOnline;
    c.step.latent.loss = LatentLossKind::kSmoothL1;
    c.step.latent.anti_collapse = {{"variance", 0.5}, {"covariance", 0.1}, {"sigreg", 0.2}};
  });
  add("two target layers", BranchKind::kCausal, [](TrainingCase& c) {
    c.step.latent.target_layers = 2;
    c.step.latent.loss = LatentLossKind::kL1;
  });
  add("micro-batches and interference", BranchKind::kIsolated, [](TrainingCase& c) {
    c.micro_batches = 2;
    c.step.with_interference = true;
  });
  add("clip by parameter", BranchKind::kIsolated, [](TrainingCase& c) { c.step.clip_by = ClipBy::kParameter; });
  add("update in the backward pass", BranchKind::kIsolated, [](TrainingCase& c) {
    c.step.clip_by = ClipBy::kParameter;
    c.step.update_in_backward = true;
  });
  add("matrices by Muon", BranchKind::kIsolated,
      [](TrainingCase& c) { c.step.optimizer.matrix_update = MatrixUpdate::kMuon; });
  add("checkpointed blocks", BranchKind::kIsolated,
      [](TrainingCase& c) { c.engine.activation_checkpointing = ActivationCheckpointing::kBlock; });
  add("checkpointed MLPs", BranchKind::kCausal,
      [](TrainingCase& c) { c.engine.activation_checkpointing = ActivationCheckpointing::kSelective; });
  add("LoRA with dropout", BranchKind::kIsolated, [](TrainingCase& c) { c.engine.lora = lora_with_dropout(); });
  add("frozen embedding", BranchKind::kIsolated,
      [](TrainingCase& c) { c.engine.frozen = {"model.embed_tokens.weight"}; });
  return result;
}

template <typename Struct>
void expect_same(const Struct& found, const Struct& expected) {
  const auto compare = [&](const auto& field) {
    if (found.*field.member != expected.*field.member) {
      check::fail(__FILE__, __LINE__, std::string(field.name) + " is another than on the CPU");
    }
  };
  std::apply([&](const auto&... field) { (..., compare(field)); }, Fields<Struct>::list);
}

inline std::vector<train::WorldModelBatch> batches_of(const TrainingCase& c, at::Device device) {
  std::vector<train::WorldModelBatch> result;
  for (int i = 0; i < c.micro_batches; ++i) {
    result.push_back(random_batch(2 + 16 * static_cast<unsigned>(i), 24, c.branch).packed(vocabulary, device));
  }
  return result;
}

/// Every tensor of a training.
inline std::vector<at::Tensor> state_of(train::WorldModel& model) {
  std::vector<at::Tensor> result;
  for (const auto& list : {model.encoder_tensors(), model.training().trainable, model.training().optimizer().state(),
                           model.training().target_encoder().weights().trainable(model.config())}) {
    for (const model::NamedTensor& entry : list) result.push_back(entry.tensor.detach());
  }
  return result;
}

inline train::WorldModel model_on(EngineOptions options, const char* device) {
  options.device = device;
  return train::WorldModel(options);
}

}  // namespace ehrjepa::test
