#include "train/step.h"

#include <ATen/TensorOperators.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>
#include <string>

#include "core/error.h"
#include "objective/collapse.h"
#include "objective/latent.h"
#include "objective/next_token.h"

namespace ehrjepa::train {
namespace {

std::vector<model::NamedTensor> trainable_parameters(const model::Qwen3Weights& encoder,
                                                     const model::Predictor& predictor,
                                                     const model::Qwen3Config& config) {
  std::vector<model::NamedTensor> result = encoder.named(config);
  for (model::NamedTensor& parameter : predictor.named()) result.push_back(std::move(parameter));
  model::require_gradients(result);
  return result;
}

at::ScalarType scalar_type(ComputeDtype dtype) { return dtype == ComputeDtype::kBfloat16 ? at::kBFloat16 : at::kFloat; }

void require_finite(const char* name, double value) {
  if (!std::isfinite(value)) {
    throw Error(std::string("[step] ") + name + " must be finite but is " + std::to_string(value) +
                "; the update was not made. Lower the learning rate or check the batch");
  }
}

}  // namespace

TrainingState::TrainingState(const model::Qwen3Weights& encoder, const WorldModelOptions& options)
    : predictor(model::initialise_predictor(options.config.hidden_size, options.predictor_width, options.seed)),
      target_encoder(encoder, options.config),
      trainable(trainable_parameters(encoder, predictor, options.config)),
      optimizer(trainable) {}

WorldModel::WorldModel(const WorldModelOptions& options)
    : options_(options),
      encoder_(options.encoder_from_files ? model::shapes_of_qwen3(options.config)
                                          : model::cast_weights(model::initialise_qwen3(options.config, options.seed),
                                                                scalar_type(options.parameter_dtype))) {}

at::ScalarType WorldModel::compute_dtype() const { return scalar_type(options_.compute_dtype); }
at::ScalarType WorldModel::parameter_dtype() const { return scalar_type(options_.parameter_dtype); }

const model::Qwen3Weights& WorldModel::encoder() const {
  if (!has_encoder()) throw Error("[world_model] the encoder must be loaded before it is used but has no weights yet");
  return encoder_;
}

void WorldModel::assign_encoder(const std::vector<at::Tensor>& tensors) {
  if (training_) throw Error("[world_model] the encoder's tensors must not be replaced once training has begun");
  encoder_.assign(options_.config, tensors);
}

TrainingState& WorldModel::training() {
  if (options_.parameter_dtype != ComputeDtype::kFloat32) {
    throw Error(
        "[world_model] parameterDtype must be float32 to train but is bfloat16: load the model with float32 "
        "parameters, "
        "with computeDtype bfloat16 for speed");
  }
  if (!training_) training_ = std::make_unique<TrainingState>(encoder(), options_);
  return *training_;
}

WorldModel::Forward WorldModel::forward(const WorldModelBatch& batch, const LossOptions& options,
                                        const std::atomic<bool>& cancelled) {
  Forward result;
  const model::Qwen3Weights weights = model::cast_weights(encoder(), compute_dtype());

  if (options.next_token_weight > 0.0) {
    const at::Tensor hidden_TD = model::qwen3_forward(weights, config(), batch.clean, cancelled);
    const at::Tensor loss =
        objective::next_token_loss(hidden_TD.index_select(0, batch.scored_rows), weights.lm_head, batch.labels);
    result.values.next_token_loss = loss.item<double>();
    result.values.scored_tokens = batch.labels.size(0);
    result.total = loss * options.next_token_weight;
  }

  if (options.latent_weight > 0.0) {
    at::Tensor target_hidden_TD;
    {
      const at::NoGradGuard no_grad;
      const model::Qwen3Weights target_weights =
          model::cast_weights(training().target_encoder.weights(), compute_dtype());
      target_hidden_TD = model::qwen3_forward(target_weights, config(), batch.clean, cancelled);
    }
    const at::Tensor target_MD = objective::normalise_target(target_hidden_TD.index_select(0, batch.masked_positions));
    const model::PackedTokens masked{batch.masked_tokens, batch.clean.position_ids, batch.clean.cu_seqlens};
    const at::Tensor hidden_TD = model::qwen3_forward(weights, config(), masked, cancelled);
    const at::Tensor predicted_MD = training().predictor.forward(hidden_TD.index_select(0, batch.masked_positions));
    const at::Tensor loss = objective::latent_loss(predicted_MD, target_MD);
    result.values.latent_loss = loss.item<double>();
    result.total = result.total.defined() ? result.total + loss * options.latent_weight : loss * options.latent_weight;

    if (options.with_collapse_monitors) {
      const at::NoGradGuard no_grad;
      const objective::LatentSpread prediction = objective::latent_spread(predicted_MD);
      const objective::LatentSpread target = objective::latent_spread(target_MD);
      const objective::NullModelLosses null_models = objective::null_model_losses(
          target_MD, objective::normalise_target(target_hidden_TD.index_select(0, batch.context_rows)));
      result.values.collapse = CollapseMonitors{
          .prediction_std = prediction.standard_deviation,
          .target_std = target.standard_deviation,
          .prediction_cosine = prediction.mean_cosine,
          .target_cosine = target.mean_cosine,
          .prediction_effective_rank = prediction.effective_rank,
          .target_effective_rank = target.effective_rank,
          .batch_mean_loss = null_models.batch_mean,
          .copy_context_loss = null_models.copy_context,
          .target_encoder_distance = training().target_encoder.relative_distance(encoder_),
      };
    }
  }
  if (!result.total.defined())
    throw Error("[step] one of nextTokenWeight and latentWeight must be above 0 but both are 0");
  result.values.loss = result.total.item<double>();
  require_finite("loss", result.values.loss);
  return result;
}

Losses WorldModel::losses(const WorldModelBatch& batch, const LossOptions& options,
                          const std::atomic<bool>& cancelled) {
  const at::NoGradGuard no_grad;
  return forward(batch, options, cancelled).values;
}

Gradients WorldModel::gradients(const WorldModelBatch& batch, const LossOptions& options,
                                const std::atomic<bool>& cancelled) {
  std::vector<at::Tensor> parameters;
  for (const model::NamedTensor& parameter : training().trainable) parameters.push_back(parameter.tensor);
  const Forward pass = forward(batch, options, cancelled);
  return {pass.values, torch::autograd::grad({pass.total}, parameters, {}, std::nullopt, false, /*allow_unused=*/true)};
}

StepResult WorldModel::step(const WorldModelBatch& batch, const StepOptions& options,
                            const std::atomic<bool>& cancelled) {
  // Step 1. Forward and backward
  const Gradients pass = gradients(batch, options, cancelled);

  // Step 2. Update
  StepResult result{pass.losses, 0.0};
  result.gradient_norm = clip_gradients(pass.values, options.gradient_clip);
  require_finite("gradient norm", result.gradient_norm);
  if (cancelled.load(std::memory_order_relaxed)) throw Cancelled();
  training().optimizer.step(pass.values, options.optimizer);

  // Step 3. Momentum update of the target encoder
  if (options.latent_weight > 0.0) training().target_encoder.update_from(encoder_, options.momentum);
  return result;
}

}  // namespace ehrjepa::train
