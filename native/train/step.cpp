#include "train/step.h"

#include <ATen/TensorOperators.h>
#include <c10/core/GradMode.h>

#include <optional>
#include <string>

#include "core/error.h"
#include "train/gradient_sum.h"
#include "train/losses.h"
#include "train/optimizer.h"
#include "train/update_in_backward.h"

namespace ehrjepa::train {
namespace {

/// Act 1: context, target, losses.
BatchLosses forward(WorldModel& model, const WorldModelBatch& batch, const LossOptions& options, bool with_dropout,
                    const std::atomic<bool>& cancelled) {
  BatchLosses result;
  const auto dropout = with_dropout ? std::optional(model::DropoutKey{options.seed, options.step}) : std::nullopt;
  const ContextStates context = encode_context(model, batch, options, dropout, cancelled);
  if (options.next_token_weight > 0.0) add_next_token_loss(batch, context, result);
  if (options.latent_weight > 0.0) {
    const Targets targets = encode_targets(model, batch, context.hidden_TD, options, cancelled);
    add_latent_loss(model, batch, context, targets, options, result);
  }
  return result;
}

/// Options of one of the micro-batches of an update: draws of its own, and the monitors read once.
LossOptions options_of(const LossOptions& options, std::size_t index, std::size_t count) {
  LossOptions own = options;
  own.with_collapse_monitors = options.with_collapse_monitors && index == 0;
  own.step = options.step * static_cast<std::uint32_t>(count) + static_cast<std::uint32_t>(index);
  return own;
}

/// What the optimiser makes an update with, but for clipping by the global norm.
UpdateOptions update_options(const StepOptions& options) {
  const bool with_target = options.latent_weight > 0.0 && options.latent.target == TargetKind::kEma;
  return {.optimizer = options.optimizer,
          .parameter_clip = options.clip_by == ClipBy::kParameter ? options.gradient_clip : 0.0,
          .momentum = with_target ? std::optional(options.momentum) : std::nullopt,
          .seed = options.seed,
          .step = options.step};
}

/// A step whose update is made in the backward pass.
StepResult step_in_backward(WorldModel& model, std::span<const WorldModelBatch> batches, const StepOptions& options,
                            const std::atomic<bool>& cancelled) {
  const auto require = [](bool holds, const std::string& rule) {
    if (!holds) throw Error("[step] an update in the backward pass needs " + rule);
  };
  require(batches.size() == 1, "one batch but there are " + std::to_string(batches.size()));
  require(!options.with_interference, "the gradients of both losses at once but their interference is asked for");
  require(options.gradient_clip <= 0.0 || options.clip_by == ClipBy::kParameter,
          "clipping by parameter, or none, but the limit is that of the global norm, which is known too late");
  LossSum sum(batches, options);
  const at::Tensor loss =
      sum.add(batches[0], forward(model, batches[0], options_of(options, 0, 1), /*with_dropout=*/true, cancelled))
          .sum();
  const Losses losses = sum.total();
  require_trained(loss);
  if (cancelled.load(std::memory_order_relaxed)) throw Cancelled();
  TrainingState& training = model.training();
  try {
    return {losses, update_in_backward(loss, training.trainable, training.optimizer, update_options(options))};
  } catch (...) {
    model.abandon();
    throw;
  }
}

}  // namespace

Gradients gradients(WorldModel& model, std::span<const WorldModelBatch> batches, const LossOptions& options,
                    const std::atomic<bool>& cancelled, bool with_dropout) {
  std::vector<at::Tensor> parameters;
  for (const io::NamedTensor& parameter : model.training().trainable) parameters.push_back(parameter.tensor);
  // The interference of both losses needs their gradients apart.
  const bool apart = options.with_interference && options.next_token_weight > 0.0 && options.latent_weight > 0.0;
  GradientSum next_token(parameters), together(parameters);
  LossSum sum(batches, options);
  for (std::size_t i = 0; i < batches.size(); ++i) {
    const BatchLosses losses =
        forward(model, batches[i], options_of(options, i, batches.size()), with_dropout, cancelled);
    // Act 2: backward, while the graph of one micro-batch alone is alive.
    const LossSum::Share share = sum.add(batches[i], losses);
    if (apart) next_token.add(share.next_token, /*keep_graph=*/true);
    together.add(apart ? share.latent : share.sum(), /*keep_graph=*/false);
  }
  Gradients result{sum.total(), {}};
  if (apart) {
    result.losses.interference = next_token.cosine(together, model.training().trainable_of_encoder);
    together.add(next_token);
  }
  result.values = together.take();
  return result;
}

StepResult step(WorldModel& model, std::span<const WorldModelBatch> batches, const StepOptions& options,
                const std::atomic<bool>& cancelled) {
  TrainingState& training = model.training();
  training.optimizer.require(options.optimizer);
  if (options.restart_target) training.target_encoder.restart_from(model.encoder());

  if (options.update_in_backward) return step_in_backward(model, batches, options, cancelled);

  // Acts 1 and 2: forward and backward.
  const Gradients pass = gradients(model, batches, options, cancelled, /*with_dropout=*/true);

  // Act 3: update, and the momentum update of the target encoder with it.
  const StepResult result{pass.losses, gradient_norm(pass.values)};
  require_finite("gradient norm", result.gradient_norm);
  if (cancelled.load(std::memory_order_relaxed)) throw Cancelled();
  UpdateOptions update = update_options(options);
  if (options.clip_by == ClipBy::kGlobal) {
    update.gradient_scale = clip_scale(result.gradient_norm, options.gradient_clip);
  }
  training.optimizer.step(pass.values, update);
  return result;
}

Losses losses(WorldModel& model, const WorldModelBatch& batch, const LossOptions& options,
              const std::atomic<bool>& cancelled) {
  const at::NoGradGuard no_grad;
  LossSum sum({&batch, 1}, options);
  sum.add(batch, forward(model, batch, options, /*with_dropout=*/false, cancelled));
  return sum.total();
}

}  // namespace ehrjepa::train
