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

void require_finite(const char* name, double value) {
  if (!std::isfinite(value)) {
    throw Error(std::string("[step] ") + name + " must be finite but is " + std::to_string(value) +
                "; the update was not made. Lower the learning rate or check the batch");
  }
}

}  // namespace

WorldModel::WorldModel(const model::Qwen3Config& config, std::int64_t predictor_width, ComputeDtype compute_dtype,
                       std::uint64_t seed)
    : config_(config),
      compute_dtype_(compute_dtype == ComputeDtype::kBfloat16 ? at::kBFloat16 : at::kFloat),
      encoder_(model::initialise_qwen3(config, seed)),
      predictor_(model::initialise_predictor(config.hidden_size, predictor_width, seed)),
      target_encoder_(encoder_, config),
      trainable_(trainable_parameters(encoder_, predictor_, config)),
      optimizer_(trainable_) {}

WorldModel::Forward WorldModel::forward(const WorldModelBatch& batch, const LossOptions& options,
                                        const std::atomic<bool>& cancelled) const {
  Forward result;
  const model::Qwen3Weights weights = model::cast_weights(encoder_, compute_dtype_);

  if (options.next_token_weight > 0.0) {
    const at::Tensor hidden_TD = model::qwen3_forward(weights, config_, batch.clean, cancelled);
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
      const model::Qwen3Weights target_weights = model::cast_weights(target_encoder_.weights(), compute_dtype_);
      target_hidden_TD = model::qwen3_forward(target_weights, config_, batch.clean, cancelled);
    }
    const at::Tensor target_MD = objective::normalise_target(target_hidden_TD.index_select(0, batch.masked_positions));
    const model::PackedTokens masked{batch.masked_tokens, batch.clean.position_ids, batch.clean.cu_seqlens};
    const at::Tensor hidden_TD = model::qwen3_forward(weights, config_, masked, cancelled);
    const at::Tensor predicted_MD = predictor_.forward(hidden_TD.index_select(0, batch.masked_positions));
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
          .target_encoder_distance = target_encoder_.relative_distance(encoder_),
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
                          const std::atomic<bool>& cancelled) const {
  const at::NoGradGuard no_grad;
  return forward(batch, options, cancelled).values;
}

StepResult WorldModel::step(const WorldModelBatch& batch, const StepOptions& options,
                            const std::atomic<bool>& cancelled) {
  // Step 1. Forward
  const Forward pass = forward(batch, options, cancelled);

  // Step 2. Backward and update
  std::vector<at::Tensor> parameters;
  for (const model::NamedTensor& parameter : trainable_) parameters.push_back(parameter.tensor);
  const std::vector<at::Tensor> gradients =
      torch::autograd::grad({pass.total}, parameters, {}, std::nullopt, false, /*allow_unused=*/true);
  StepResult result{pass.values, 0.0};
  result.gradient_norm = clip_gradients(gradients, options.gradient_clip);
  require_finite("gradient norm", result.gradient_norm);
  if (cancelled.load(std::memory_order_relaxed)) throw Cancelled();
  optimizer_.step(gradients, options.optimizer);

  // Step 3. Momentum update of the target encoder
  if (options.latent_weight > 0.0) target_encoder_.update_from(encoder_, options.momentum);
  return result;
}

}  // namespace ehrjepa::train
