#include "train/pass.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "core/error.h"
#include "distributed/group.h"
#include "distributed/shard_sum.h"
#include "memory/streams.h"
#include "train/gathered_model.h"
#include "train/gradient_sum.h"
#include "train/shared_state.h"
#include "train/streamed_gradients.h"
#include "train/turns.h"
#include "train/update_gradients.h"

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

/// The trained parameters of each block, the last block first, and behind them those of no block.
StreamedGradients::Units units_of(WorldModel& model) {
  const std::vector<std::optional<std::size_t>> blocks = model.encoder().blocks(model.config());
  const std::vector<io::NamedTensor> weights = model.encoder().trainable(model.config());
  const TrainingState& training = model.training();
  const auto count = static_cast<std::size_t>(model.config().num_hidden_layers);
  StreamedGradients::Units result(count + 1);
  for (std::size_t i = 0; i < training.trainable.size(); ++i) {
    const auto weight = std::ranges::find(weights, training.trainable[i].name, &io::NamedTensor::name);
    const auto block =
        weight == weights.end() ? std::nullopt : blocks[static_cast<std::size_t>(weight - weights.begin())];
    result[block ? count - 1 - *block : count].push_back(i);
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
          const UpdateShare& share, const std::atomic<bool>& cancelled, UpdateByParameter* updates) {
  check_shards(batches.size(), share);
  // The interference of both losses needs their gradients apart.
  const bool apart = options.with_interference && options.next_token_weight > 0.0 && options.latent_weight > 0.0;
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
  UpdateGradients next_token(leaves, share), together(leaves, share);
  // Where each rank computes one batch its gradients can be on their way while it computes others.
  std::optional<StreamedGradients> streamed;
  const bool one_each = share.group != nullptr && share.shards.total == share.group->size() && batches.size() == 1;
  if (updates != nullptr && (!one_each || apart)) {
    throw Error("[step] an update in the backward pass needs one batch of each rank, and no reading of interference");
  }
  if (one_each && !apart && (model.parallel_kind() != ParallelKind::kZero1 || updates != nullptr)) {
    const auto consume = [updates](std::size_t parameter, const at::Tensor& gradient) {
      updates->apply(parameter, gradient);
    };
    streamed.emplace(leaves, share, gathered ? units_of(model) : StreamedGradients::Units(),
                     updates == nullptr ? StreamedGradients::Consume() : consume, cancelled);
    if (encoder != nullptr) encoder->when_done([&](std::size_t) { streamed->send_unit(); });
  }
  LossSum sum(batches, options, share, cancelled);
  const Batches by_shard(batches, share.shards);
  std::vector<Turn> own(turns_each(share, by_shard.each()));
  for (std::size_t i = 0; i < batches.size(); ++i) {
    const bool predicts = !batches[i].is_empty() && sum.predicts(batches[i]);
    own[i] = {predicts || (!batches[i].is_empty() && options.next_token_weight > 0.0), predicts};
  }
  const std::vector<Turn> any = gathered ? turns_of_ranks(own, *share.group, cancelled) : own;
  const auto backward = [&](const auto& run) {
    if (encoder != nullptr) encoder->begin_backward();
    run();
    if (encoder != nullptr) encoder->end_backward();
  };
  std::optional<LossNumbers> losses_of_all;
  const auto begin_updates = [&] {
    if (updates == nullptr) return;
    sum.end_shard();
    losses_of_all = sum.total(model, cancelled);
    updates->begin(*losses_of_all);
  };
  for (std::size_t i = 0; i < own.size(); ++i) {
    if (own[i].computes) {
      const BatchLosses losses =
          forward(model, batches[i], by_shard.options_of(options, i), own[i].predicts, with_dropout, cancelled);
      if (target != nullptr && any[i].predicts && !own[i].predicts) target->follow_forward();
      // Backward, while the graph of one micro-batch alone is alive.
      const LossSum::Share part = sum.add(batches[i], losses);
      begin_updates();
      if (apart) backward([&] { next_token.shard().add(part.next_token, /*keep_graph=*/part.latent.defined()); });
      const at::Tensor rest = apart ? part.latent : part.sum();
      if (rest.defined()) {
        backward([&] {
          if (streamed) {
            streamed->backward(rest);
          } else {
            together.shard().add(rest, /*keep_graph=*/false);
          }
        });
      } else if (encoder != nullptr && any[i].predicts) {
        encoder->follow_backward();
      }
    } else if (encoder != nullptr && any[i].computes) {
      encoder->follow_forward();
      if (target != nullptr && any[i].predicts) target->follow_forward();
      begin_updates();
      if (apart) encoder->follow_backward();
      if (!apart || any[i].predicts) encoder->follow_backward();
    } else {
      begin_updates();
    }
    if (i >= batches.size() || (i + 1) % by_shard.each() != 0) continue;
    if (updates == nullptr) sum.end_shard();
    if (apart) next_token.end_shard();
    if (!streamed) together.end_shard();
  }
  whole_target.reset();
  GradientSum total = streamed ? streamed->total() : together.total(cancelled);
  Pass result{losses_of_all ? *losses_of_all : sum.total(model, cancelled), {}};
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

}  // namespace ehrjepa::train
