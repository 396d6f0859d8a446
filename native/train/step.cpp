#include "train/step.h"

#include <ATen/TensorOperators.h>
#include <c10/core/GradMode.h>

#include <cmath>
#include <optional>
#include <string>
#include <utility>

#include "core/error.h"
#include "distributed/group.h"
#include "train/gradient_sum.h"
#include "train/loss_numbers.h"
#include "train/losses.h"
#include "train/optimizer.h"
#include "train/shared_state.h"
#include "train/streamed_gradients.h"
#include "train/update_gradients.h"
#include "train/update_in_backward.h"

namespace ehrjepa::train {
namespace {

/// Act 1: context, target, losses.
BatchLosses forward(WorldModel& model, const WorldModelBatch& batch, LossOptions options, bool predicts,
                    bool with_dropout, const std::atomic<bool>& cancelled) {
  if (!predicts) options.latent_weight = 0.0;
  if (options.next_token_weight <= 0.0 && !predicts) return {};

  BatchLosses result;
  const auto dropout = with_dropout ? std::optional(model::DropoutKey{options.seed, options.step}) : std::nullopt;
  const ContextStates context = encode_context(model, batch, options, dropout, cancelled);
  if (options.next_token_weight > 0.0) add_next_token_loss(batch, context, result);
  if (predicts) {
    const Targets targets = encode_targets(model, batch, context.hidden_TD, options, cancelled);
    add_latent_loss(model, batch, context, targets, options, result);
  }
  return result;
}

/// The batches of an update, by shards.
class Batches {
 public:
  Batches(std::span<const WorldModelBatch> batches, const ShardRange& shards)
      : batches_(batches), shards_(shards), each_(batches.size() / static_cast<std::size_t>(shards.count)) {}

  /// Of a shard of this rank. @param shard  from 0.
  std::span<const WorldModelBatch> of(std::int64_t shard) const {
    return batches_.subspan(static_cast<std::size_t>(shard) * each_, each_);
  }
  /// Options of one of them: draws of its own, and the monitors read once.
  LossOptions options_of(const LossOptions& options, std::int64_t shard, std::size_t index) const {
    const auto number = static_cast<std::uint32_t>(shards_.first + shard) * static_cast<std::uint32_t>(each_) +
                        static_cast<std::uint32_t>(index);
    LossOptions own = options;
    own.with_collapse_monitors = options.with_collapse_monitors && index == 0;
    own.step = options.step * static_cast<std::uint32_t>(shards_.total) * static_cast<std::uint32_t>(each_) + number;
    return own;
  }

 private:
  std::span<const WorldModelBatch> batches_;
  ShardRange shards_;
  std::size_t each_;
};

void check_shards(std::size_t batches, const UpdateShare& share) {
  const ShardRange& shards = share.shards;
  const bool inside = shards.first >= 0 && shards.count >= 1 && shards.first + shards.count <= shards.total;
  if (!inside || batches % static_cast<std::size_t>(shards.count) != 0) {
    throw Error("[step] shards must be some of the update's, with an equal number of batches each, but are " +
                std::to_string(shards.count) + " from " + std::to_string(shards.first) + " on of " +
                std::to_string(shards.total) + ", with " + std::to_string(batches) + " batches");
  }
  const std::int64_t ranks = share.group == nullptr ? 1 : share.group->size();
  const std::int64_t rank = share.group == nullptr ? 0 : share.group->rank();
  const ShardRange own = distributed::shards_of(rank, ranks, shards.total);
  if (shards != own) {
    throw Error("[step] the shards of rank " + std::to_string(rank) + " of " + std::to_string(ranks) + " must be " +
                std::to_string(own.count) + " from " + std::to_string(own.first) + " on but are " +
                std::to_string(shards.count) + " from " + std::to_string(shards.first) + " on");
  }
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
                            const UpdateShare& share, const std::atomic<bool>& cancelled) {
  const auto require = [](bool holds, const std::string& rule) {
    if (!holds) throw Error("[step] an update in the backward pass needs " + rule);
  };
  require(share.is_whole(),
          "the update to be one process's and one shard but it has " + std::to_string(share.shards.total) + " shards");
  require(batches.size() == 1, "one batch but there are " + std::to_string(batches.size()));
  require(!options.with_interference, "the gradients of both losses at once but their interference is asked for");
  require(options.gradient_clip <= 0.0 || options.clip_by == ClipBy::kParameter,
          "clipping by parameter, or none, but the limit is that of the global norm, which is known too late");
  const UpdateShare alone;
  LossSum sum(batches, options, alone, cancelled);
  const at::Tensor loss =
      sum.add(batches[0], forward(model, batches[0], Batches(batches, alone.shards).options_of(options, 0, 0),
                                  sum.predicts(batches[0]), /*with_dropout=*/true, cancelled))
          .sum();
  sum.end_shard();
  const LossNumbers losses = sum.total(model, cancelled);
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
          const UpdateShare& share, const std::atomic<bool>& cancelled) {
  check_shards(batches.size(), share);
  std::vector<at::Tensor> parameters;
  for (const io::NamedTensor& parameter : model.training().trainable) parameters.push_back(parameter.tensor);
  // The interference of both losses needs their gradients apart.
  const bool apart = options.with_interference && options.next_token_weight > 0.0 && options.latent_weight > 0.0;
  std::optional<WholeTarget> whole_target;
  if (options.latent_weight > 0.0 && options.latent.target == TargetKind::kEma) {
    whole_target.emplace(model.training(), share.group, model.compute_dtype(), cancelled);
  }
  UpdateGradients next_token(parameters, share), together(parameters, share);
  // Where each rank computes one batch its gradients can be on their way while it computes others.
  std::optional<StreamedGradients> streamed;
  const bool one_each = share.group != nullptr && share.shards.total == share.group->size() && batches.size() == 1;
  if (one_each && !apart && model.parallel_kind() != ParallelKind::kZero1) {
    streamed.emplace(parameters, share, cancelled);
  }
  LossSum sum(batches, options, share, cancelled);
  const Batches by_shard(batches, share.shards);
  for (std::int64_t shard = 0; shard < share.shards.count; ++shard) {
    const std::span<const WorldModelBatch> own = by_shard.of(shard);
    for (std::size_t i = 0; i < own.size(); ++i) {
      if (own[i].is_empty()) continue;
      const BatchLosses losses =
          forward(model, own[i], by_shard.options_of(options, shard, i), sum.predicts(own[i]), with_dropout, cancelled);
      // Act 2: backward, while the graph of one micro-batch alone is alive.
      const LossSum::Share part = sum.add(own[i], losses);
      if (apart) next_token.shard().add(part.next_token, /*keep_graph=*/part.latent.defined());
      const at::Tensor rest = apart ? part.latent : part.sum();
      if (!rest.defined()) continue;
      if (streamed) {
        streamed->backward(rest);
      } else {
        together.shard().add(rest, /*keep_graph=*/false);
      }
    }
    sum.end_shard();
    if (apart) next_token.end_shard();
    if (!streamed) together.end_shard();
  }
  whole_target.reset();
  GradientSum total = streamed ? streamed->total() : together.total(cancelled);
  Pass result{sum.total(model, cancelled), {}};
  if (apart) {
    const GradientSum of_next_token = next_token.total(cancelled);
    at::Tensor products = of_next_token.products(total, model.training().trainable_of_encoder);
    if (share.ownership != nullptr) products = share.group->merge(products, cancelled);
    result.losses.interference = cosine(products);
    total.add(of_next_token);
  }
  result.gradients = total.take();
  return result;
}

}  // namespace

Gradients gradients(WorldModel& model, std::span<const WorldModelBatch> batches, const LossOptions& options,
                    const std::atomic<bool>& cancelled, bool with_dropout, const UpdateShare& share) {
  Pass found = pass(model, batches, options, with_dropout, share, cancelled);
  return {read(found.losses), std::move(found.gradients)};
}

StepResult step(WorldModel& model, std::span<const WorldModelBatch> batches, const StepOptions& options,
                const std::atomic<bool>& cancelled, distributed::Group* group) {
  if (group != nullptr && !model.device().is_cpu()) {
    throw Error("[step] several processes must train on the CPU, until they can meet on cards, but the device is " +
                model.device().str());
  }
  TrainingState& training = model.training();
  const UpdateShare share{options.shards, group, training.ownership ? &*training.ownership : nullptr};
  training.optimizer.require(options.optimizer);
  if (options.restart_target) training.target_encoder.restart_from(model.encoder());

  if (options.update_in_backward) return step_in_backward(model, batches, options, share, cancelled);

  // Acts 1 and 2: forward and backward.
  const Pass found = pass(model, batches, options, /*with_dropout=*/true, share, cancelled);

  // Act 3: update, and the momentum update of the target encoder with it. The host does not wait for the norm: a scale
  // that is not finite leaves everything as it is.
  if (cancelled.load(std::memory_order_relaxed)) throw Cancelled();
  const at::Tensor norm = global_norm(found.gradients, training, group, cancelled);
  UpdateOptions update = update_options(options);
  update.gradient_scale = clip_scale(norm, options.clip_by == ClipBy::kGlobal ? options.gradient_clip : 0.0) *
                          clip_scale(found.losses.loss, 0.0);
  whole_or_abandoned(model, [&] {
    training.optimizer.step(found.gradients, update);
    if (training.ownership) gather_parameters(training, *group, cancelled);
  });

  // What the step tells: the one time that the host waits for the device.
  const StepResult result = read(found.losses, norm);
  training.optimizer.count_updates();
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
