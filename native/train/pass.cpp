#include "train/pass.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "core/error.h"
#include "distributed/group.h"
#include "distributed/shard_sum.h"
#include "memory/streams.h"
#include "train/backward_half.h"
#include "train/gathered_model.h"
#include "train/shared_state.h"
#include "train/turns.h"

namespace ehrjepa::train {

BatchLosses forward(WorldModel& model, const WorldModelBatch& batch, LossOptions options, bool predicts,
                    bool with_dropout, const std::atomic<bool>& cancelled) {
  if (!predicts) options.latent_weight = 0.0;
  if (options.next_token_weight <= 0.0 && !predicts) return {};

  // Without gradients and with weights of its own, the EMA target needs nothing of the encoder's pass: on a device with
  // several streams both run at the same time. Where ranks gather weights for it, they do so in one order.
  std::optional<memory::Beside> beside;
  Targets targets;
  if (predicts && options.latent.target == TargetKind::kEma && model.gathered() == nullptr &&
      model.target_stream().exists()) {
    targets =
        beside.emplace(model.target_stream()).run([&] { return encode_targets(model, batch, {}, options, cancelled); });
  }

  BatchLosses result;
  const auto dropout = with_dropout ? std::optional(model::DropoutKey{options.seed, options.step}) : std::nullopt;
  const ContextStates context = encode_context(model, batch, options, dropout, cancelled);
  if (options.next_token_weight > 0.0) add_next_token_loss(batch, context, result);
  if (predicts) {
    if (beside) {
      beside->end();
    } else {
      targets = encode_targets(model, batch, context.hidden_TD, options, cancelled);
    }
    add_latent_loss(model, batch, context, targets, options, result);
  }
  return result;
}

LossOptions Batches::options_of(const LossOptions& options, std::size_t number) const {
  const auto place = static_cast<std::uint32_t>(shards_.first) * static_cast<std::uint32_t>(each_) +
                     static_cast<std::uint32_t>(number);
  LossOptions own = options;
  own.with_collapse_monitors = options.with_collapse_monitors && number % each_ == 0;
  own.step = options.step * static_cast<std::uint32_t>(shards_.total) * static_cast<std::uint32_t>(each_) + place;
  return own;
}

namespace {

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

/// Of a model whose parameters are all here.
Leaves leaves_of(const TrainingState& training) {
  Leaves result;
  for (const io::NamedTensor& parameter : training.trainable) {
    result.add(parameter.tensor, parameter.tensor.scalar_type());
  }
  return result;
}

/// Most batches that a rank computes in an update.
std::size_t turns_each(const UpdateShare& share, std::size_t each) {
  if (share.group == nullptr) return static_cast<std::size_t>(share.shards.count) * each;
  const std::int64_t ranks = share.group->size();
  return static_cast<std::size_t>((share.shards.total + ranks - 1) / ranks) * each;
}

}  // namespace

Pass pass(WorldModel& model, std::span<const WorldModelBatch> batches, const LossOptions& options, bool with_dropout,
          const UpdateShare& share, const std::atomic<bool>& cancelled, UpdateInBackward* updates) {
  check_shards(batches.size(), share);
  const bool with_target = options.latent_weight > 0.0 && options.latent.target == TargetKind::kEma;
  std::optional<WholeTarget> whole_target;
  std::optional<GatheredModel> gathered;
  if (model.shares_encoder() && share.group != nullptr) {
    gathered.emplace(model, *share.group, with_target, cancelled);
  } else if (with_target) {
    whole_target.emplace(model, share.group, model.compute_dtype(), cancelled);
  }
  GatheredWeights* const encoder = gathered ? &gathered->encoder() : nullptr;
  GatheredWeights* const target = gathered ? gathered->target() : nullptr;
  const Leaves leaves = gathered ? gathered->leaves() : leaves_of(model.training());

  LossSum sum(batches, options, share, cancelled);
  const Batches by_shard(batches, share.shards);
  std::vector<Turn> own(turns_each(share, by_shard.each()));
  for (std::size_t i = 0; i < batches.size(); ++i) {
    const bool predicts = !batches[i].is_empty() && sum.predicts(batches[i]);
    own[i] = {predicts || (!batches[i].is_empty() && options.next_token_weight > 0.0), predicts};
  }
  const std::vector<Turn> any = gathered ? turns_of_ranks(own, *share.group, cancelled) : own;

  // What a batch adds to the loss, with its graph; nothing where this rank computes none.
  const auto forward_half = [&](std::size_t i) -> LossSum::Share {
    if (!own[i].computes) {
      if (encoder != nullptr && any[i].computes) encoder->follow_forward();
      if (target != nullptr && any[i].predicts) target->follow_forward();
      return {};
    }
    const BatchLosses losses =
        forward(model, batches[i], by_shard.options_of(options, i), own[i].predicts, with_dropout, cancelled);
    if (target != nullptr && any[i].predicts && !own[i].predicts) target->follow_forward();
    return sum.add(batches[i], losses);
  };

  const std::int64_t ranks = share.group == nullptr ? 1 : share.group->size();
  BackwardHalf backward_half(
      model, leaves, share,
      {// Their interference needs the gradients of both losses apart.
       .apart = options.with_interference && options.next_token_weight > 0.0 && options.latent_weight > 0.0,
       .one_each = share.shards.total == ranks && batches.size() == 1},
      encoder, updates, cancelled);
  std::optional<LossNumbers> losses;
  for (std::size_t i = 0; i < own.size(); ++i) {
    const LossSum::Share part = forward_half(i);
    const bool ends_shard = i < batches.size() && (i + 1) % by_shard.each() == 0;
    if (ends_shard) sum.end_shard();
    // No forward pass of this rank reads it again.
    if (i + 1 >= batches.size()) whole_target.reset();
    if (updates != nullptr) {
      losses = sum.total(model, cancelled);
      if (cancelled.load(std::memory_order_relaxed)) throw Cancelled();
      updates->begin(*losses);
    }
    // Backward, while the graph of one micro-batch alone is alive.
    backward_half.run(part, any[i]);
    if (ends_shard) backward_half.end_shard();
  }
  BackwardHalf::Result gradients = backward_half.total();
  if (!losses) losses = sum.total(model, cancelled);
  if (gradients.products.defined()) losses->interference = cosine(gradients.products);
  return {std::move(*losses), gradients.sum.take()};
}

}  // namespace ehrjepa::train
