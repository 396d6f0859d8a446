#include "train/step.h"

#include <ATen/TensorOperators.h>
#include <c10/core/GradMode.h>

#include <optional>
#include <string>
#include <utility>

#include "core/error.h"
#include "distributed/group.h"
#include "memory/device.h"
#include "train/loss_numbers.h"
#include "train/losses.h"
#include "train/optimizer.h"
#include "train/pass.h"
#include "train/shared_state.h"
#include "train/update_in_backward.h"

namespace ehrjepa::train {
namespace {

/// What the optimiser makes an update with, but for clipping by the global norm.
UpdateOptions update_options(const WorldModel& model, const StepOptions& options) {
  const bool with_target = options.latent_weight > 0.0 && options.latent.target == TargetKind::kEma;
  return {.optimizer = options.optimizer,
          .parameter_clip = options.clip_by == ClipBy::kParameter ? options.gradient_clip : 0.0,
          .momentum = with_target ? std::optional(options.momentum) : std::nullopt,
          .seed = options.seed,
          .step = options.step,
          .products = model.compute_dtype()};
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
                            const UpdateShare& share, const std::atomic<bool>& cancelled,
                            const std::function<void()>& meanwhile) {
  const auto require = [](bool holds, const std::string& rule) {
    if (!holds) throw Error("[step] an update in the backward pass needs " + rule);
  };
  const std::int64_t ranks = share.group == nullptr ? 1 : share.group->size();
  require(share.shards.total == ranks, "one shard a rank (" + std::to_string(ranks) + ") but the update has " +
                                           std::to_string(share.shards.total) + " shards");
  require(batches.size() == 1, "one batch but there are " + std::to_string(batches.size()));
  require(!options.with_interference, "the gradients of both losses at once but their interference is asked for");
  require(options.gradient_clip <= 0.0 || options.clip_by == ClipBy::kParameter,
          "clipping by parameter, or none, but the limit is that of the global norm, which is known too late");
  TrainingState& training = model.training();
  memory::NoWaiting no_waiting(options.forbid_waits && !model.device().is_cpu());
  UpdateInBackward updates(model, update_options(model, options));
  try {
    const Pass found = pass(model, batches, options, /*with_dropout=*/true, share, cancelled, &updates);
    const at::Tensor norm = global_norm(updates.squares(), model, share.group, cancelled);
    if (training.ownership) gather_parameters(model, *share.group, cancelled);
    if (meanwhile) meanwhile();
    no_waiting.end();
    const StepResult result = read(found.losses, norm);
    training.optimizer().count_updates();
    return result;
  } catch (...) {
    if (updates.has_begun()) model.abandon();
    throw;
  }
}

}  // namespace

Gradients gradients(WorldModel& model, std::span<const WorldModelBatch> batches, const LossOptions& options,
                    const std::atomic<bool>& cancelled, bool with_dropout, const UpdateShare& share) {
  Pass found = pass(model, batches, options, with_dropout, share, cancelled);
  return {read(found.losses), std::move(found.gradients)};
}

StepResult step(WorldModel& model, std::span<const WorldModelBatch> batches, const StepOptions& options,
                const std::atomic<bool>& cancelled, distributed::Group* group, const std::function<void()>& meanwhile) {
  TrainingState& training = model.training();
  const bool rounds = options.collectives == Dtype::kBfloat16;
  if (!rounds && options.collectives != Dtype::kFloat32) {
    throw Error("[step] collectives must be float32 or bfloat16 but is float16");
  }
  const UpdateShare share{options.shards, group, training.ownership ? &*training.ownership : nullptr,
                          rounds ? std::optional(UpdateShare::Rounding{options.seed, options.step}) : std::nullopt};
  training.optimizer().require(options.optimizer);
  if (options.restart_target) {
    model.wait_for_copies();
    training.target_encoder().restart_from(model.encoder());
  }

  if (options.update_in_backward) return step_in_backward(model, batches, options, share, cancelled, meanwhile);

  memory::NoWaiting no_waiting(options.forbid_waits && !model.device().is_cpu());
  // Acts 1 and 2: forward and backward.
  const Pass found = pass(model, batches, options, /*with_dropout=*/true, share, cancelled);

  // Act 3: update, and the momentum update of the target encoder with it. The host does not wait for the norm: a scale
  // that is not finite leaves everything as it is.
  if (cancelled.load(std::memory_order_relaxed)) throw Cancelled();
  const at::Tensor norm = global_norm(squares_of(found.gradients), model, group, cancelled);
  UpdateOptions update = update_options(model, options);
  update.gradient_scale = clip_scale(norm, options.clip_by == ClipBy::kGlobal ? options.gradient_clip : 0.0) *
                          clip_scale(found.losses.loss, 0.0);
  model.wait_for_copies();
  whole_or_abandoned(model, [&] {
    training.optimizer().step(found.gradients, update);
    if (training.ownership) gather_parameters(model, *group, cancelled);
  });

  if (meanwhile) meanwhile();
  // What the step tells: the one time that the host waits for the device.
  no_waiting.end();
  const StepResult result = read(found.losses, norm);
  training.optimizer().count_updates();
  return result;
}

Losses losses(WorldModel& model, const WorldModelBatch& batch, const LossOptions& options,
              const std::atomic<bool>& cancelled) {
  const at::NoGradGuard no_grad;
  LossSum sum({&batch, 1}, options, {}, cancelled);
  sum.add(batch, forward(model, batch, options, sum.predicts(batch), /*with_dropout=*/false, cancelled));
  sum.end_shard();
  return read(sum.total(model, cancelled));
}

}  // namespace ehrjepa::train
