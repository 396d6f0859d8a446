#include "train/step.h"

#include <ATen/ATen.h>

#include <atomic>
#include <cmath>

#include "native/check.h"
#include "native/random_batch.h"

namespace step_test {
namespace {

using namespace ehrjepa;
using namespace ehrjepa::test;

const std::atomic<bool> running{false};

train::WorldModel model_of(Dtype dtype = Dtype::kFloat32) {
  return train::WorldModel({.config = config_of(true), .predictor = mlp_predictor, .compute_dtype = dtype, .seed = 5});
}

TEST("step: micro-batches of unequal size give the update of one large batch") {
  PlainBatch first = random_batch(2, 24), second = random_batch(18, 24);
  PlainBatch both = first;
  for (std::size_t s = 0; s < second.sequences.size(); ++s) {
    both.sequences.push_back(second.sequences[s]);
    both.context_lengths.push_back(second.context_lengths[s]);
  }
  for (PlainBranch branch : second.branches) {
    branch.sequence += static_cast<std::int32_t>(first.sequences.size());
    both.branches.push_back(branch);
  }
  const std::vector<train::WorldModelBatch> parts = {first.packed(vocabulary), second.packed(vocabulary)};
  EXPECT(parts[0].labels.size(0) != parts[1].labels.size(0));
  EXPECT(parts[0].target_rows.size() != parts[1].target_rows.size());
  const std::vector<train::WorldModelBatch> whole = {both.packed(vocabulary)};
  StepOptions options;
  train::WorldModel a = model_of(), b = model_of();
  const train::Gradients found = train::gradients(a, parts, options, running);
  const train::Gradients expected = train::gradients(b, whole, options, running);
  EXPECT_LE(relative(flat(found.values), flat(expected.values)), 1e-5);
  EXPECT_CLOSE(found.losses.loss, expected.losses.loss, 1e-5);
  EXPECT_CLOSE(*found.losses.next_token_loss, *expected.losses.next_token_loss, 1e-5);
  EXPECT_CLOSE(*found.losses.latent_loss, *expected.losses.latent_loss, 1e-5);
  EXPECT(found.losses.scored_tokens == expected.losses.scored_tokens);
}

TEST("step: every loss, target and predictor takes a step; the online target needs no target encoder") {
  const std::vector<train::WorldModelBatch> batch = {random_batch(2, 24).packed(vocabulary)};
  for (const LatentLossKind kind :
       {LatentLossKind::kMse, LatentLossKind::kSmoothL1, LatentLossKind::kL1, LatentLossKind::kCosine}) {
    for (const TargetKind target : {TargetKind::kEma, TargetKind::kOnline}) {
      train::WorldModel model({.config = config_of(true),
                               .predictor = kind == LatentLossKind::kL1 ? PredictorOptions{} : mlp_predictor,
                               .seed = 5});
      StepOptions options;
      options.optimizer.learning_rate = 3e-3;
      options.latent.loss = kind;
      options.latent.target = target;
      options.with_collapse_monitors = true;
      const double before = *train::step(model, batch, options, running).latent_loss;
      for (int i = 0; i < 40; ++i) train::step(model, batch, options, running);
      const StepResult after = train::step(model, batch, options, running);
      EXPECT(*after.latent_loss < before);
      EXPECT((monitor(after, "target_encoder_distance") > 0));
    }
  }
  train::WorldModel model = model_of();
  StepOptions options;
  options.latent.target = TargetKind::kOnline;
  options.latent.target_layers = 2;
  EXPECT_THROWS(train::step(model, batch, options, running),
                "target layers must be 1 with the online target but are 2");
}

TEST("step: predictions from the state and from two views take steps; what does not fit is refused") {
  const auto last_loss = [](train::WorldModel& model, const PlainBatch& plain, StepOptions options) {
    const std::vector<train::WorldModelBatch> batch = {plain.packed(vocabulary)};
    options.optimizer.learning_rate = 3e-3;
    options.with_collapse_monitors = true;
    const StepResult first = train::step(model, batch, options, running);
    for (int i = 0; i < 60; ++i) train::step(model, batch, options, running);
    const StepResult last = train::step(model, batch, options, running);
    EXPECT(*last.latent_loss < 0.8 * *first.latent_loss);
    EXPECT(std::isfinite(monitor(last, "copy_context_loss")) && monitor(last, "target_std") > 0);
  };
  const auto model_with = [](const PredictorOptions& predictor) {
    return train::WorldModel({.config = config_of(true), .predictor = predictor, .seed = 5});
  };
  const PlainBatch state = random_batch(2, 24, BranchKind::kState);
  const PlainBatch views = random_batch(2, 24, BranchKind::kViews);
  const PlainBatch masked = random_batch(2, 24, BranchKind::kCausal);
  StepOptions two_views;
  two_views.latent.target = TargetKind::kViews;
  two_views.latent.loss = LatentLossKind::kCosine;
  train::WorldModel from_state = model_with(state_predictor), identity = model_with({}),
                    transformer = model_with(transformer_predictor);
  last_loss(from_state, state, {});
  last_loss(transformer, masked, {});
  last_loss(identity, views, two_views);
  const std::vector<train::WorldModelBatch> wrong = {masked.packed(vocabulary)}, right = {state.packed(vocabulary)};
  EXPECT_THROWS(train::step(from_state, wrong, {}, running), "must be given no branch rows");
  EXPECT_THROWS(train::step(transformer, right, {}, running), "must have a branch row each but have none");
  EXPECT_THROWS(train::step(identity, wrong, two_views, running),
                "the target must be views exactly when the branches are");

  const at::Tensor states = at::randn({3, 12}), days = at::tensor({1.0F, 30.0F, 365.0F}, at::kFloat);
  const at::Tensor predicted = from_state.predict_latent(states, days);
  EXPECT(predicted.sizes() == at::IntArrayRef({3, 12}) && predicted.scalar_type() == at::kFloat);
  EXPECT(predicted.equal(from_state.predict_latent(states, days)));
  EXPECT(!predicted.requires_grad());
  EXPECT_THROWS(transformer.predict_latent(states, days), "need a transformer predictor that starts from the state");
  EXPECT_THROWS(identity.predict_latent(states, days), "need a transformer predictor that starts from the state");
}

TEST("step: predictions are those that predict_latent makes of the encoder's states") {
  const PlainBatch plain = random_batch(6, 24, BranchKind::kState);
  const train::WorldModelBatch batch = plain.packed(vocabulary);
  train::WorldModel model({.config = config_of(true), .predictor = state_predictor, .seed = 5});
  const at::NoGradGuard no_grad;
  const at::Tensor hidden = model::qwen3_forward(model.encoder(), model.config(), batch.packed, running);
  const at::Tensor predicted =
      model.predict_latent(hidden.index_select(0, at::tensor(batch.context_rows, at::kLong)), batch.days);
  const at::Tensor target = objective::normalise_target(
      model::qwen3_forward(model.training().target_encoder().weights(), model.config(), batch.packed, running)
          .index_select(0, at::tensor(batch.target_rows, at::kLong)));
  EXPECT_CLOSE(*train::losses(model, batch, {}, running).latent_loss,
               objective::latent_loss(predicted, target).item<double>(), 1e-5);
}

TEST("batch: branches that break a rule are refused") {
  PlainBatch state = leak_batch(BranchKind::kState);
  state.branches[0].days[1] = -1;
  EXPECT_THROWS(state.packed(vocabulary), "branch days must be finite and not negative but row 1 holds -1");
  state = leak_batch(BranchKind::kState);
  state.branches[1].targets[0] = 2;
  EXPECT_THROWS(state.packed(vocabulary), "branch targets must lie behind the cut");
  state = leak_batch(BranchKind::kState);
  state.branches[0].tokens = {1};
  EXPECT_THROWS(state.packed(vocabulary), "must have a token and a position id each (0) but have 1 and 0");
  PlainBatch views = random_batch(3, 12, BranchKind::kViews);
  views.predictor_tokens = 100;
  EXPECT_THROWS(views.packed(vocabulary), "predictor_tokens must leave the second view a row but are 100");
  views = random_batch(3, 12, BranchKind::kViews);
  views.branches[0].targets[0] = 11;
  EXPECT_THROWS(views.packed(vocabulary), "branch targets must be -1 with two views");
}

TEST("step: interference is the cosine of the two gradients, and the update is the same") {
  const std::vector<train::WorldModelBatch> batch = {random_batch(2, 24).packed(vocabulary)};
  LossOptions options;
  train::WorldModel model = model_of();
  const train::Gradients together = train::gradients(model, batch, options, running);
  EXPECT(!together.losses.interference.has_value());
  options.with_interference = true;
  const train::Gradients apart = train::gradients(model, batch, options, running);
  EXPECT_LE(relative(flat(apart.values), flat(together.values)), 1e-5);
  options.with_interference = false;
  const std::size_t shared = model.encoder_tensors().size();
  const auto encoder_gradient = [&](double next_token, double latent) {
    options.next_token_weight = next_token;
    options.latent_weight = latent;
    std::vector<at::Tensor> gradients = train::gradients(model, batch, options, running).values;
    gradients.resize(shared);
    for (at::Tensor& gradient : gradients) EXPECT(gradient.defined());
    return flat(gradients);
  };
  const at::Tensor a = encoder_gradient(1, 0), b = encoder_gradient(0, 1);
  EXPECT_CLOSE(*apart.losses.interference, (a.dot(b) / (a.norm() * b.norm())).item<double>(), 1e-4);
}

TEST("step: the target encoder restarts from the encoder, and a momentum of 1 freezes it") {
  const std::vector<train::WorldModelBatch> batch = {random_batch(2, 24).packed(vocabulary)};
  train::WorldModel model = model_of();
  StepOptions options;
  options.optimizer.learning_rate = 3e-3;
  options.momentum = 1.0;
  const at::Tensor initial = model.training().target_encoder().weights().norm.clone();
  const at::Tensor first = model.training().target_encoder().weights().embed_tokens.clone();
  for (int i = 0; i < 3; ++i) train::step(model, batch, options, running);
  EXPECT(model.training().target_encoder().weights().embed_tokens.equal(first));
  const at::Tensor encoder = model.encoder().embed_tokens.detach().clone();
  options.restart_target = true;
  train::step(model, batch, options, running);
  EXPECT(model.training().target_encoder().weights().embed_tokens.equal(encoder));
}

}  // namespace
}  // namespace step_test
