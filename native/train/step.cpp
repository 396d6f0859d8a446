#include "train/step.h"

#include <ATen/TensorOperators.h>
#include <c10/core/GradMode.h>

#include <cmath>
#include <optional>
#include <string>
#include <utility>

#include "core/error.h"
#include "train/gradient_sum.h"
#include "train/loss_numbers.h"
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

/// Runs an update. One that breaks off, out of memory for one, may be half made.
template <typename Update>
auto whole_or_abandoned(WorldModel& model, const Update& update) {
  try {
    return update();
  } catch (...) {
    model.abandon();
    throw;
  }
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
  const LossNumbers losses = sum.total();
  require_trained(loss);
  if (cancelled.load(std::memory_order_relaxed)) throw Cancelled();
  TrainingState& training = model.training();
  UpdateOptions update = update_options(options);
  update.gradient_scale = clip_scale(losses.loss, 0.0);  // a loss that is not finite moves nothing
  training.optimizer.forget_updates();
  const at::Tensor norm = whole_or_abandoned(
      model, [&] { return update_in_backward(loss, training.trainable, training.optimizer, update); });
  try {
    const StepResult result = read(losses, norm);
    training.optimizer.count_updates();
    return result;
  } catch (...) {
    // With a loss that is not finite nothing has moved; with a gradient that is not, other parameters have.
    if (std::isfinite(losses.loss.item<double>())) model.abandon();
    throw;
  }
}

/// What acts 1 and 2 make, where the model computes.
struct Pass {
  LossNumbers losses;
  std::vector<at::Tensor> gradients;
};

Pass pass(WorldModel& model, std::span<const WorldModelBatch> batches, const LossOptions& options, bool with_dropout,
          const std::atomic<bool>& cancelled) {
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
  Pass result{sum.total(), {}};
  if (apart) {
    result.losses.interference = next_token.cosine(together, model.training().trainable_of_encoder);
    together.add(next_token);
  }
  result.gradients = together.take();
  return result;
}

}  // namespace

Gradients gradients(WorldModel& model, std::span<const WorldModelBatch> batches, const LossOptions& options,
                    const std::atomic<bool>& cancelled, bool with_dropout) {
  Pass found = pass(model, batches, options, with_dropout, cancelled);
  return {read(found.losses), std::move(found.gradients)};
}

StepResult step(WorldModel& model, std::span<const WorldModelBatch> batches, const StepOptions& options,
                const std::atomic<bool>& cancelled) {
  TrainingState& training = model.training();
  training.optimizer.require(options.optimizer);
  if (options.restart_target) training.target_encoder.restart_from(model.encoder());

  if (options.update_in_backward) return step_in_backward(model, batches, options, cancelled);

  // Acts 1 and 2: forward and backward.
  const Pass found = pass(model, batches, options, /*with_dropout=*/true, cancelled);

  // Act 3: update, and the momentum update of the target encoder with it. The host does not wait for the norm: a scale
  // that is not finite leaves everything as it is.
  if (cancelled.load(std::memory_order_relaxed)) throw Cancelled();
  const at::Tensor norm = gradient_norm(found.gradients);
  UpdateOptions update = update_options(options);
  update.gradient_scale = clip_scale(norm, options.clip_by == ClipBy::kGlobal ? options.gradient_clip : 0.0) *
                          clip_scale(found.losses.loss, 0.0);
  whole_or_abandoned(model, [&] { training.optimizer.step(found.gradients, update); });

  // What the step tells: the one time that the host waits for the device.
  const StepResult result = read(found.losses, norm);
  training.optimizer.count_updates();
  return result;
}

Losses losses(WorldModel& model, const WorldModelBatch& batch, const LossOptions& options,
              const std::atomic<bool>& cancelled) {
  const at::NoGradGuard no_grad;
  LossSum sum({&batch, 1}, options);
  sum.add(batch, forward(model, batch, options, /*with_dropout=*/false, cancelled));
  return read(sum.total());
}

}  // namespace ehrjepa::train
